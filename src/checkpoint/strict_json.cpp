#include "strict_json.h"

#include <fmt/format.h>
#include <prune/core/error.h>

#include <string>
#include <unordered_set>
#include <vector>

#include "printable.h"

namespace prune::checkpoint {
namespace {

constexpr int kMaxDepth = 32;

/// The names met so far in every object that is still open.
class DuplicateNames {
 public:
  bool operator()(int depth, json::parse_event_t event, const json& parsed) {
    if (depth > kMaxDepth) {
      throw Error(ErrorKind::kInput,
                  fmt::format("JSON is nested deeper than {} levels", kMaxDepth));
    }
    if (event == json::parse_event_t::object_start) open_.emplace_back();
    if (event == json::parse_event_t::object_end) open_.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& name = parsed.get_ref<const std::string&>();
      if (!open_.back().insert(name).second) {
        throw Error(ErrorKind::kInput, fmt::format("'{}' is given twice", printable(name)));
      }
    }
    return true;
  }

 private:
  std::vector<std::unordered_set<std::string>> open_;
};

}  // namespace

json parse_strict_json(std::string_view text) {
  try {
    DuplicateNames names;
    return json::parse(text.begin(), text.end(),
                       [&names](int depth, json::parse_event_t event, json& parsed) {
                         return names(depth, event, parsed);
                       });
  } catch (const json::exception& e) {
    std::string_view reason = e.what();
    // The "[json.exception...] " before it says nothing to a user.
    const size_t bracket = reason.find("] ");
    if (bracket != std::string_view::npos) reason.remove_prefix(bracket + 2);
    throw Error(ErrorKind::kInput, fmt::format("not valid JSON: {}", printable(reason)));
  }
}

}  // namespace prune::checkpoint
