// The tests of `x is NAME`.
#include <algorithm>
#include <array>

#include "builtins.h"
#include "machine.h"
#include "operators.h"
#include "print.h"
#include "text.h"

namespace prune::jinja {
namespace {

void no_arguments(Arguments& arguments) { const Bound bound("test", {}, 0, arguments); }

template <Kind... kinds>
bool is_kind(Machine&, const Value& value, Arguments& arguments) {
  no_arguments(arguments);
  return (value.is(kinds) || ...);
}

template <Kind... kinds>
bool is_not_kind(Machine&, const Value& value, Arguments& arguments) {
  no_arguments(arguments);
  return (!value.is(kinds) && ...);
}

template <bool wanted>
bool is_bool(Machine&, const Value& value, Arguments& arguments) {
  no_arguments(arguments);
  return value.is(Kind::kBool) && (value.integer() != 0) == wanted;
}

bool divides(Machine& machine, const Value& value, const Value& by, int64_t remainder) {
  return equal(machine, binary(machine, "%", value, by), Value::of(remainder));
}

bool divisibleby(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("divisibleby", {"num"}, 1, arguments);
  return divides(machine, value, bound[0], 0);
}

template <int64_t remainder>
bool parity(Machine& machine, const Value& value, Arguments& arguments) {
  no_arguments(arguments);
  return divides(machine, value, Value::of(int64_t{2}), remainder);
}

constexpr char kLower[] = "lower", kUpper[] = "upper";
template <const char* predicate>
bool is_cased(Machine& machine, const Value& value, Arguments& arguments) {
  no_arguments(arguments);
  const std::string text = str(machine, value);
  machine.visit(text.size());
  return all_characters(text, predicate);
}

constexpr char kLess[] = "<", kLessEqual[] = "<=", kGreater[] = ">", kGreaterEqual[] = ">=";
template <const char* name>
bool has_order(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("test", {""}, 1, arguments);
  return ordered(machine, name, value, bound[0]);
}

template <bool wanted>
bool equals(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("test", {""}, 1, arguments);
  return equal(machine, value, bound[0]) == wanted;
}

bool sameas(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("sameas", {"other"}, 1, arguments);
  const Value& other = bound[0];
  if (value.kind() != other.kind()) return false;
  // Values without an object behind them, and strings, which Python shares when they are literals.
  if (value.identity() == nullptr || value.is(Kind::kString)) return equal(machine, value, other);
  return value.identity() == other.identity();
}

bool is_in(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("in", {"seq"}, 1, arguments);
  return contains(machine, bound[0], value);
}

constexpr std::array kTests = std::to_array<Test>({
    {"!=", &equals<false>},
    {"<", &has_order<kLess>},
    {"<=", &has_order<kLessEqual>},
    {"==", &equals<true>},
    {">", &has_order<kGreater>},
    {">=", &has_order<kGreaterEqual>},
    {"boolean", &is_kind<Kind::kBool>},
    // Python's Undefined has a method __call__, which raises.
    {"callable", &is_kind<Kind::kFunction, Kind::kMacro, Kind::kLoop, Kind::kUndefined>},
    {"defined", &is_not_kind<Kind::kUndefined>},
    {"divisibleby", &divisibleby},
    {"eq", &equals<true>},
    {"equalto", &equals<true>},
    {"even", &parity<0>},
    {"false", &is_bool<false>},
    {"float", &is_kind<Kind::kFloat>},
    {"ge", &has_order<kGreaterEqual>},
    {"greaterthan", &has_order<kGreater>},
    {"gt", &has_order<kGreater>},
    {"in", &is_in},
    {"integer", &is_kind<Kind::kInt>},
    {"iterable", &is_not_kind<Kind::kNone, Kind::kBool, Kind::kInt, Kind::kFloat, Kind::kNamespace,
                              Kind::kFunction, Kind::kMacro>},
    {"le", &has_order<kLessEqual>},
    {"lessthan", &has_order<kLess>},
    {"lower", &is_cased<kLower>},
    {"lt", &has_order<kLess>},
    {"mapping", &is_kind<Kind::kDict>},
    {"ne", &equals<false>},
    {"none", &is_kind<Kind::kNone>},
    {"number", &is_kind<Kind::kBool, Kind::kInt, Kind::kFloat>},
    {"odd", &parity<1>},
    {"sameas", &sameas},
    {"sequence", &is_kind<Kind::kString, Kind::kList, Kind::kTuple, Kind::kDict, Kind::kRange,
                          Kind::kUndefined>},
    {"string", &is_kind<Kind::kString>},
    {"true", &is_bool<true>},
    {"undefined", &is_kind<Kind::kUndefined>},
    {"upper", &is_cased<kUpper>},
});

const Test* find_test(std::string_view name) {
  const auto* const found = std::find_if(kTests.begin(), kTests.end(),
                                         [&](const Test& test) { return test.name == name; });
  return found == kTests.end() ? nullptr : found;
}

}  // namespace

bool is_test(std::string_view name) { return find_test(name) != nullptr; }

bool Machine::test(std::string_view name, const Value& value, Arguments arguments) {
  step();
  const Test* const test = find_test(name);
  if (test == nullptr) fail("test '{}' is not supported", name);
  return test->apply(*this, value, arguments);
}

}  // namespace prune::jinja
