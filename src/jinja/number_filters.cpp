#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>
#include <type_traits>

#include "builtins.h"
#include "machine.h"
#include "operators.h"
#include "text.h"

namespace prune::jinja {
namespace {

/// Python's int(text) and float(text): nullopt if it is not a number.
template <class Number>
std::optional<Number> read_number(std::string_view text) {
  text = stripped(text, nullptr, Side::kBoth);
  if (text.starts_with('+') && !text.substr(1).starts_with('-')) text.remove_prefix(1);
  const char* const last = text.data() + text.size();
  Number value = 0;
  const auto end = std::from_chars(text.data(), last, value);
  // In front of "_" and "(" are numbers that from_chars() and Python read in different ways.
  if (end.ec != std::errc::invalid_argument && end.ptr != last && *end.ptr == '_') {
    fail("digits with underscores are not supported in '{}'", text);
  }
  if (end.ec == std::errc::invalid_argument || end.ptr != last || text.ends_with(')')) return {};
  if (end.ec == std::errc::result_out_of_range) {
    if constexpr (std::is_integral_v<Number>) fail("an integer exceeds 64 bits");
    return std::strtod(std::string(text).c_str(), nullptr);
  }
  return value;
}

Value to_int(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("int", {"default", "base"}, 0, arguments);
  const Value otherwise = bound.value_or(0, Value::of(int64_t{0}));
  require_defined(value);
  if (value.is_integer()) return Value::of(value.integer());
  std::optional<double> number;
  if (value.is(Kind::kString)) {
    machine.visit(value.text().size());
    if (bound.integer(1, 10) != 10) fail("int() with a base is not supported");
    if (const auto whole = read_number<int64_t>(value.text())) return Value::of(*whole);
    number = read_number<double>(value.text());
    if (number && std::isinf(*number)) number.reset();
  } else if (value.is(Kind::kFloat)) {
    number = value.number();
  }
  if (!number || std::isnan(*number)) return otherwise;
  return Value::of(integer_of(std::trunc(*number)));
}

Value to_float(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("float", {"default"}, 0, arguments);
  require_defined(value);
  if (value.is_number()) return Value::of(value.number());
  if (value.is(Kind::kString)) machine.visit(value.text().size());
  const std::optional<double> number =
      value.is(Kind::kString) ? read_number<double>(value.text()) : std::nullopt;
  return number ? Value::of(*number) : bound.value_or(0, Value::of(0.0));
}

Value absolute(Machine&, const Value& value, Arguments& arguments) {
  const Bound bound("abs", {}, 0, arguments);
  require_defined(value);
  if (!value.is_number()) fail("bad operand type for abs(): '{}'", type_name(value));
  if (value.is(Kind::kFloat)) return Value::of(std::abs(value.number()));
  return value.integer() < 0 ? unary("-", value) : Value::of(value.integer());
}

/// Python's round(): to even at a tie.
Value rounded(const Value& value, int64_t digits) {
  if (value.is_integer()) return Value::of(value.integer());
  const double number = value.number();
  if (!std::isfinite(number) || digits > 300) return value;
  // The decimal expansion is exact, so that this rounds what Python rounds.
  const std::string text = fmt::format("{:.{}f}", number, digits);
  double result = 0;
  std::from_chars(text.data(), text.data() + text.size(), result);
  return Value::of(result);
}

Value round(Machine& machine, const Value& value, Arguments& arguments) {
  const Bound bound("round", {"precision", "method"}, 0, arguments);
  const std::string_view method = bound.text(1, "common");
  if (method != "common" && method != "ceil" && method != "floor") {
    fail("method must be common, ceil or floor");
  }
  require_defined(value);
  if (!value.is_number()) fail("round() expects a number, not '{}'", type_name(value));
  const int64_t digits = bound.integer(0, 0);
  if (digits < 0) fail("round() to {} digits is not supported", digits);
  if (method == "common") return rounded(value, digits);
  const Value unit = binary(machine, "**", Value::of(int64_t{10}), Value::of(digits));
  const double scaled = binary(machine, "*", value, unit).number();
  const int64_t whole = integer_of(method == "ceil" ? std::ceil(scaled) : std::floor(scaled));
  return binary(machine, "/", Value::of(whole), unit);
}

constexpr std::array kFilters = std::to_array<Filter>({
    {"abs", &absolute},
    {"float", &to_float},
    {"int", &to_int},
    {"round", &round},
});

}  // namespace

std::span<const Filter> number_filters() { return kFilters; }

}  // namespace prune::jinja
