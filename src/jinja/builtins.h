#pragma once

#include <span>
#include <string_view>

#include "value.h"

namespace prune::jinja {

struct Filter {
  std::string_view name;
  Value (*apply)(Machine&, const Value& value, Arguments& arguments);
};
struct Test {
  std::string_view name;
  bool (*apply)(Machine&, const Value& value, Arguments& arguments);
};

std::span<const Filter> text_filters();
std::span<const Filter> number_filters();
std::span<const Filter> sequence_filters();

bool is_filter(std::string_view name);
bool is_test(std::string_view name);

/// A global function: range, dict, namespace, ...; nullptr if there is none of this name.
Function::Call find_global(std::string_view name);

/// Python's getattr() of jinja2's sandbox: methods come before items.
/// @throws Failure for an attribute of an undefined value
Value attribute_of(Machine& machine, const Value& object, std::string_view name);
/// object[key]: items come before methods.
Value item_of(Machine& machine, const Value& object, const Value& key);
/// What attribute_of() finds without looking at items; unset if there is nothing.
Value own_attribute(Machine& machine, const Value& object, std::string_view name);
/// object[start:stop:step]; None stands for a bound that is not given.
Value slice_of(Machine& machine, const Value& object, const Value& start, const Value& stop,
               const Value& step);

/// A method of str, dict, list or tuple, bound to `self`; unset if the type has no such attribute. What would
/// change `self` is undefined, as in the sandbox.
Value method_of(Machine& machine, const Value& self, std::string_view name);

}  // namespace prune::jinja
