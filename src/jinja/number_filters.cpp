#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>

#include "filters.h"
#include "machine.h"
#include "operators.h"
#include "text.h"

namespace prune::jinja {
namespace {

/// Without white space around it and without the single underscores between digits; nullopt if there are others.
std::optional<std::string> plain_number(std::string_view text) {
  text = stripped(text, nullptr, Side::kBoth);
  const auto is_digit = [&](size_t i) {
    return i < text.size() && std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
  };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || !is_digit(i - 1) || !is_digit(i + 1)) {
      return std::nullopt;
    }
  }
  return out;
}

/// Python's int(text, base).
std::optional<int64_t> read_integer(std::string_view text, int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) return std::nullopt;
  std::optional<std::string> plain = plain_number(text);
  if (!plain) return std::nullopt;
  std::string digits = *plain;
  std::string sign;
  if (digits.starts_with('-') || digits.starts_with('+')) {
    if (digits[0] == '-') sign = "-";
    digits.erase(0, 1);
  }
  if (digits.size() > 2 && digits[0] == '0') {
    const char letter = static_cast<char>(digits[1] | 0x20);
    const int64_t prefixed = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (prefixed != 0 && (base == 0 || base == prefixed)) {
      digits.erase(0, 2);
      base = prefixed;
    }
  }
  if (base == 0) {
    const bool zeros = digits.find_first_not_of('0') == std::string::npos;
    if (digits.starts_with('0') && !zeros) return std::nullopt;
    base = 10;
  }
  if (digits.empty() || digits[0] == '-') return std::nullopt;
  digits.insert(0, sign);
  int64_t value = 0;
  const auto end =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, static_cast<int>(base));
  if (end.ptr != digits.data() + digits.size()) return std::nullopt;
  if (end.ec == std::errc::result_out_of_range) fail("an integer exceeds 64 bits");
  return end.ec == std::errc() ? std::optional(value) : std::nullopt;
}

/// Python's float(text).
std::optional<double> read_float(std::string_view text) {
  const std::optional<std::string> plain = plain_number(text);
  if (!plain || plain->empty()) return std::nullopt;
  const char* first = plain->data();
  const char* const last = first + plain->size();
  if (*first == '+') ++first;
  if (first != plain->data() && (*first == '-' || *first == '+')) return std::nullopt;
  const bool has_brackets = plain->find('(') != std::string::npos;  // nan(1)
  double value = 0;
  const auto end = std::from_chars(first, last, value);
  if (end.ptr != last || has_brackets || end.ec == std::errc::invalid_argument) return std::nullopt;
  if (end.ec == std::errc::result_out_of_range) return std::strtod(first, nullptr);
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
    const Value base = bound.value_or(1, Value::of(int64_t{10}));
    const std::optional<int64_t> whole =
        base.is_integer() ? read_integer(value.text(), base.integer()) : std::nullopt;
    if (whole) return Value::of(*whole);
    number = read_float(value.text());
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
      value.is(Kind::kString) ? read_float(value.text()) : std::nullopt;
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
Value rounded(Machine& machine, const Value& value, int64_t digits) {
  if (value.is_integer()) {
    if (digits >= 0) return Value::of(value.integer());
    if (digits < -18) return Value::of(int64_t{0});
    const Value unit = binary(machine, "**", Value::of(int64_t{10}), Value::of(-digits));
    const Value below = binary(machine, "//", value, unit);
    const int64_t rest = binary(machine, "%", value, unit).integer();
    const int64_t half = unit.integer() / 2;
    const bool up = rest > half || (rest == half && below.integer() % 2 != 0);
    return binary(machine, "*", binary(machine, "+", below, Value::of(int64_t{up})), unit);
  }
  const double number = value.number();
  if (!std::isfinite(number) || digits > 300) return value;
  if (digits < -308) return Value::of(std::copysign(0.0, number));
  if (digits >= 0) {
    // The decimal expansion is exact, so that this rounds what Python rounds.
    const std::string text = fmt::format("{:.{}f}", number, digits);
    double result = 0;
    std::from_chars(text.data(), text.data() + text.size(), result);
    return Value::of(result);
  }
  const double unit = std::pow(10.0, static_cast<double>(-digits));
  return Value::of(std::nearbyint(number / unit) * unit);
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
  if (method == "common") return rounded(machine, value, digits);
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
