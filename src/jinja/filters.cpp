#include <algorithm>

#include "builtins.h"
#include "machine.h"

namespace prune::jinja {
namespace {

const Filter* find_filter(std::string_view name) {
  for (const auto filters : {text_filters(), number_filters(), sequence_filters()}) {
    for (const Filter& filter : filters) {
      if (filter.name == name) return &filter;
    }
  }
  return nullptr;
}

}  // namespace

bool is_filter(std::string_view name) { return find_filter(name) != nullptr; }

Value Machine::filter(std::string_view name, const Value& value, Arguments arguments) {
  step();
  const Filter* const filter = find_filter(name);
  if (filter == nullptr) fail("filter '{}' is not supported", name);
  return filter->apply(*this, value, arguments);
}

}  // namespace prune::jinja
