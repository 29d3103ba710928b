#include "operators.h"

#include <cmath>

#include "machine.h"
#include "text.h"

namespace prune::jinja {
namespace {

[[noreturn]] void unsupported(std::string_view name, const Value& left, const Value& right) {
  fail("unsupported operand types for {}: '{}' and '{}'", name, type_name(left), type_name(right));
}

[[noreturn]] void overflow() { fail("an integer exceeds 64 bits"); }

int64_t floor_quotient(int64_t a, int64_t b) {
  if (b == 0) fail("integer division or modulo by zero");
  if (b == -1) {
    int64_t negated = 0;
    if (__builtin_sub_overflow(int64_t{0}, a, &negated)) overflow();
    return negated;
  }
  const int64_t quotient = a / b;
  return quotient - static_cast<int64_t>(a % b != 0 && (a < 0) != (b < 0));
}

int64_t power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  for (; exponent > 0; exponent /= 2) {
    if (exponent % 2 == 1 && __builtin_mul_overflow(result, base, &result)) overflow();
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) overflow();
  }
  return result;
}

Value integers(char op, int64_t a, int64_t b) {
  int64_t result = 0;
  switch (op) {
    case '+':
      if (__builtin_add_overflow(a, b, &result)) overflow();
      return Value::of(result);
    case '-':
      if (__builtin_sub_overflow(a, b, &result)) overflow();
      return Value::of(result);
    case '*':
      if (__builtin_mul_overflow(a, b, &result)) overflow();
      return Value::of(result);
    case 'f':
      return Value::of(floor_quotient(a, b));
    case '%':
      if (b == -1) return Value::of(int64_t{0});
      return Value::of(a - b * floor_quotient(a, b));
    default:
      return Value::of(power(a, b));
  }
}

double float_remainder(double a, double b) {
  double remainder = std::fmod(a, b);
  if (remainder == 0) return std::copysign(0.0, b);
  if ((remainder < 0) != (b < 0)) remainder += b;
  return remainder;
}

Value floats(char op, double a, double b) {
  if ((op == '/' || op == 'f' || op == '%') && b == 0) fail("division by zero");
  switch (op) {
    case '+':
      return Value::of(a + b);
    case '-':
      return Value::of(a - b);
    case '*':
      return Value::of(a * b);
    case '/':
      return Value::of(a / b);
    case 'f': {
      // As CPython's float_divmod: the remainder first, so that the quotient is exact.
      const double quotient = (a - float_remainder(a, b)) / b;
      if (quotient == 0) return Value::of(std::copysign(0.0, a / b));
      const double floored = std::floor(quotient);
      return Value::of(quotient - floored > 0.5 ? floored + 1 : floored);
    }
    case '%':
      return Value::of(float_remainder(a, b));
    default: {
      if (a == 0 && b < 0) fail("zero cannot be raised to a negative power");
      if (a < 0 && std::isfinite(b) && b != std::floor(b))
        fail("complex numbers are not supported");
      const double result = std::pow(a, b);
      if (std::isinf(result) && std::isfinite(a) && std::isfinite(b))
        fail("result of ** is too large");
      return Value::of(result);
    }
  }
}

Value numbers(char op, const Value& left, const Value& right) {
  const bool whole = left.is_integer() && right.is_integer();
  if (whole && op == '/' && right.integer() == 0) fail("division by zero");
  if (whole && op != '/' && !(op == 'p' && right.integer() < 0)) {
    return integers(op, left.integer(), right.integer());
  }
  return floats(op, left.number(), right.number());
}

Value repeat(Machine& machine, const Value& value, int64_t count) {
  count = std::max<int64_t>(count, 0);
  if (value.is(Kind::kString)) {
    const std::string_view text = value.text();
    if (!text.empty()) machine.reserve(count, static_cast<int64_t>(text.size()));
    std::string out;
    if (!text.empty()) {
      machine.copy(text.size() * static_cast<size_t>(count));
      machine.step(count / 8);
      out.reserve(text.size() * static_cast<size_t>(count));
      for (int64_t i = 0; i < count; ++i) out += text;
    }
    return machine.text(std::move(out), value.is_marked());
  }
  const std::vector<Value>& items = value.items();
  std::vector<Value> out;
  if (!items.empty()) {
    machine.reserve(count, static_cast<int64_t>(items.size() * sizeof(Value)));
    machine.step(count * static_cast<int64_t>(items.size()) / 4);
    for (int64_t i = 0; i < count; ++i) out.insert(out.end(), items.begin(), items.end());
  }
  return value.is(Kind::kList) ? machine.list(std::move(out)) : machine.tuple(std::move(out));
}

Value joined(Machine& machine, const Value& left, const Value& right) {
  if (left.is(Kind::kString) && right.is(Kind::kString)) {
    const bool marked = left.is_marked() || right.is_marked();
    std::string out;
    for (const Value* const part : {&left, &right}) {
      machine.reserve(static_cast<int64_t>(out.size() + part->text().size()), marked ? 5 : 1);
      machine.copy(part->text().size());
      out += marked && !part->is_marked() ? escaped(part->text()) : part->string().text;
    }
    return machine.text(std::move(out), marked);
  }
  if (left.is_sequence() && left.kind() == right.kind()) {
    const auto size = left.items().size() + right.items().size();
    machine.reserve(static_cast<int64_t>(size), sizeof(Value));
    machine.step(static_cast<int64_t>(size / 4));
    std::vector<Value> items = left.items();
    items.insert(items.end(), right.items().begin(), right.items().end());
    return left.is(Kind::kList) ? machine.list(std::move(items)) : machine.tuple(std::move(items));
  }
  unsupported("+", left, right);
}

}  // namespace

void require_unmarked(std::string_view name, const Value& value) {
  if (value.is_marked()) fail("{} of text that is marked as safe is not supported", name);
}

void require_defined(const Value& value) {
  if (!value.is(Kind::kUndefined)) return;
  if (value.is_unset()) fail("the value is undefined");
  fail("{}", value.as<Undefined>().message);
}

int64_t integer_of(double value) {
  if (std::isnan(value)) fail("cannot convert float NaN to integer");
  if (!(value >= -9223372036854775808.0 && value < 9223372036854775808.0)) overflow();
  return static_cast<int64_t>(value);
}

Value binary(Machine& machine, std::string_view name, const Value& left, const Value& right) {
  require_defined(left);
  if (name == "%" && left.is(Kind::kString)) return percent_format(machine, left, right);
  require_defined(right);
  const char op = name == "//" ? 'f' : name == "**" ? 'p' : name.front();
  if (left.is_number() && right.is_number()) return numbers(op, left, right);
  if (op == '+') return joined(machine, left, right);
  if (op == '*') {
    const auto is_series = [](const Value& v) { return v.is(Kind::kString) || v.is_sequence(); };
    if (is_series(left) && right.is_integer()) return repeat(machine, left, right.integer());
    if (is_series(right) && left.is_integer()) return repeat(machine, right, left.integer());
  }
  unsupported(name, left, right);
}

Value unary(std::string_view name, const Value& value) {
  require_defined(value);
  if (!value.is_number()) fail("bad operand type for unary {}: '{}'", name, type_name(value));
  if (name == "+") return value.is_integer() ? Value::of(value.integer()) : value;
  if (value.is(Kind::kFloat)) return Value::of(-value.number());
  return integers('-', 0, value.integer());
}

}  // namespace prune::jinja
