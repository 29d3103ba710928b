#pragma once

#include <prune/core/json_file.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace prune::tokenizer {

/// Adds special tokens around the ids of one text.
using PostProcessor = std::function<void(std::vector<int64_t>&)>;

/// Builds "post_processor" of tokenizer.json; null changes nothing.
/// @throws Error(input) with the name of a component that is not supported.
PostProcessor make_post_processor(const json& description);

/// Puts `before` and `after` around the ids.
PostProcessor surround(std::vector<int64_t> before, std::vector<int64_t> after);

}  // namespace prune::tokenizer
