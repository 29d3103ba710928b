#pragma once

#include <prune/core/json_file.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace prune::tokenizer {

/// Adds special tokens around the ids of one text.
using PostProcessor = std::function<void(std::vector<int64_t>&)>;

/// Builds tokenizer.json's "post_processor"; null changes nothing.
/// @throws Error(input) with the name of a component we do not know.
PostProcessor make_post_processor(const json& description);

/// These ids before, those behind.
PostProcessor surround(std::vector<int64_t> before, std::vector<int64_t> behind);

}  // namespace prune::tokenizer
