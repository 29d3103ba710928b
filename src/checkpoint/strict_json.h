#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace prune::checkpoint {

using nlohmann::json;

/// Parses JSON whose author is not trusted: a name given twice in one object and absurd nesting are
/// errors, where a plain parser keeps the last value or runs out of memory.
/// @throws Error(input) with the position of what is wrong, or the name found twice.
json parse_strict_json(std::string_view text);

}  // namespace prune::checkpoint
