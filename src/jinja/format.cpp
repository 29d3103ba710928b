#include <prune/core/utf8.h>

#include <charconv>
#include <cmath>
#include <optional>

#include "machine.h"
#include "operators.h"
#include "print.h"
#include "text.h"

namespace prune::jinja {
namespace {

constexpr int64_t kLongestPrecision = 1000;

/// What "%05.1f" and "{:<8,}" say.
struct Spec {
  std::string fill = " ";
  char align = '\0';  ///< < > ^; none: the type's own
  bool zero = false;
  int64_t width = 0;
  bool thousands = false;
  std::optional<int64_t> precision;
  char type = '\0';
};

/// Reads a directive from left to right.
struct Reader {
  std::string_view text;
  size_t at = 0;

  bool skip(char c) {
    const bool found = at < text.size() && text[at] == c;
    at += static_cast<size_t>(found);
    return found;
  }
  int64_t number() {
    int64_t value = 0;
    const char* const first = text.data() + at;
    const auto end = std::from_chars(first, text.data() + text.size(), value);
    if (end.ec == std::errc::result_out_of_range) Machine::exceed("memory");
    at += static_cast<size_t>(end.ptr - first);
    return value;
  }
  /// Width, "," and precision, which end both kinds of directives.
  void sizes(Spec& spec) {
    spec.zero = skip('0');
    if (at < text.size() && text[at] != '-') spec.width = number();
    spec.thousands = skip(',');
    if (!skip('.')) return;
    if (at == text.size() || text[at] < '0' || text[at] > '9') fail("a format lacks its precision");
    spec.precision = number();
    if (*spec.precision > kLongestPrecision)
      fail("a format has more than {} digits", kLongestPrecision);
  }
};

std::string padded(Machine& machine, std::string text, const Spec& spec, char own_align) {
  const int64_t missing = std::max<int64_t>(spec.width - character_count(text), 0);
  machine.reserve(missing, static_cast<int64_t>(spec.fill.size()));
  machine.step(missing / 8);
  const char align = spec.align == '\0' ? own_align : spec.align;
  const int64_t left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += spec.fill;
  out += text;
  for (int64_t i = left; i < missing; ++i) out += spec.fill;
  return out;
}

std::string number_text(Machine& machine, const Value& value, const Spec& spec) {
  std::string digits;
  bool negative = value.integer() < 0;
  if (spec.type == 'f' || value.is(Kind::kFloat)) {
    const double number = std::abs(value.number());
    negative = std::signbit(value.number()) && !std::isnan(number);
    digits = spec.type == 'f' ? fmt::format("{:.{}f}", number, spec.precision.value_or(6))
                              : float_text(number);
  } else {
    const auto size = static_cast<uint64_t>(value.integer());
    const uint64_t magnitude = negative ? 0 - size : size;
    digits = spec.type == 'x' ? fmt::format("{:x}", magnitude) : fmt::format("{}", magnitude);
  }
  if (spec.thousands) {
    size_t at = std::min(digits.find_first_not_of("0123456789"), digits.size());
    while (at > 3) digits.insert(at -= 3, 1, ',');
  }
  if (negative) digits.insert(0, 1, '-');
  const auto width = static_cast<size_t>(spec.width);
  if (spec.zero && digits.size() < width) {
    machine.reserve(spec.width);
    machine.copy(width);
    digits.insert(static_cast<size_t>(negative), width - digits.size(), '0');
  }
  return padded(machine, std::move(digits), spec, '>');
}

std::string first_characters(std::string_view text, const std::optional<int64_t>& count) {
  return std::string(count ? text.substr(0, byte_offset(text, *count)) : text);
}

/// One directive of `%`, behind the percent sign. @param next  the next argument
template <class Next>
std::string percent_directive(Machine& machine, Reader& in, Next next) {
  machine.step();
  Spec spec;
  if (in.skip('-')) spec.align = '<';
  in.sizes(spec);
  if (in.at == in.text.size()) fail("incomplete format");
  spec.type = in.text[in.at++];
  switch (spec.thousands ? ',' : spec.type) {
    case '%':
      return "%";
    case 's':
    case 'r': {
      const Value value = next();
      const std::string shown = spec.type == 's' ? str(machine, value) : repr(machine, value);
      return padded(machine, first_characters(shown, spec.precision), spec, '>');
    }
    case 'd':
    case 'i':
    case 'x':
    case 'f': {
      Value value = next();
      require_defined(value);
      if (!(spec.type == 'x' ? value.is_integer() : value.is_number())) {
        fail("%{} format: a number is required, not {}", spec.type, type_name(value));
      }
      if (spec.type != 'f' && spec.precision)
        fail("a precision in '%{}' is not supported", spec.type);
      if (spec.type != 'f' && value.is(Kind::kFloat)) {
        value = Value::of(integer_of(std::trunc(value.number())));
      }
      spec.zero = spec.zero && spec.align == '\0';
      return number_text(machine, value, spec);
    }
    default:
      fail("the directive '%{}' is not supported, only %s %r %d %i %x %f and %%", spec.type);
  }
}

/// What follows the colon of "{:...}".
Spec parse_spec(std::string_view text) {
  Spec spec;
  Reader in{text};
  const auto is_align = [&](size_t i) {
    return i < text.size() && std::string_view("<>^").find(text[i]) != std::string_view::npos;
  };
  const size_t first = utf8_length(text[0]);
  if (is_align(first)) {
    spec.fill = text.substr(0, first);
    in.at = first;
  }
  if (is_align(in.at)) spec.align = text[in.at++];
  in.sizes(spec);
  if (in.at < text.size()) spec.type = text[in.at++];
  if (in.at < text.size()) spec.type = '?';
  return spec;
}

std::string formatted(Machine& machine, const Value& value, std::string_view text) {
  if (text.empty()) return str(machine, value);
  const Spec spec = parse_spec(text);
  const bool typed = spec.type != '\0';
  if (value.is(Kind::kString) && (!typed || spec.type == 's') && !spec.zero && !spec.thousands) {
    return padded(machine, first_characters(value.text(), spec.precision), spec, '<');
  }
  const bool is_float = value.is(Kind::kFloat) || spec.type == 'f';
  const bool known = !typed || spec.type == 'f' || (spec.type == 'd' && !is_float);
  const bool zero = spec.zero && (spec.align != '\0' || spec.thousands);
  if (!value.is_number() || !known || zero || (spec.precision && spec.type != 'f')) {
    fail("the format '{{:{}}}' is not supported for an object of type '{}'", text,
         type_name(value));
  }
  return number_text(machine, value, spec);
}

/// The arguments of str.format().
class Fields {
 public:
  explicit Fields(const Arguments& arguments) : arguments_(arguments) {}

  const Value& find(std::string_view name) {
    size_t index = 0;
    const char* const end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data(), end, index);
    const bool is_number = parsed.ec == std::errc() && parsed.ptr == end;
    if (name.empty() || is_number) {
      (name.empty() ? automatic_ : manual_) = true;
      if (automatic_ && manual_) fail("format() cannot mix '{{}}' and '{{0}}'");
      if (name.empty()) index = next_++;
      if (index >= arguments_.positional.size()) fail("format() has no argument {}", index);
      return arguments_.positional[index];
    }
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    fail("format() has no argument '{}'; only {{}}, {{0}} and {{name}} are supported", name);
  }

 private:
  const Arguments& arguments_;
  size_t next_ = 0;
  bool automatic_ = false, manual_ = false;
};

}  // namespace

Value percent_format(Machine& machine, const Value& format, const Value& arguments) {
  require_unmarked("%", format);
  const bool many = arguments.is(Kind::kTuple);
  size_t used = 0;
  const auto next = [&] {
    if (used >= (many ? arguments.items().size() : 1)) fail("not enough arguments for the format");
    return many ? arguments.items()[used++] : (++used, arguments);
  };
  std::string out;
  Reader in{format.text()};
  while (in.at < in.text.size()) {
    const size_t percent = std::min(in.text.find('%', in.at), in.text.size());
    std::string part(in.text.substr(in.at, percent - in.at));
    in.at = percent;
    if (in.skip('%')) part += percent_directive(machine, in, next);
    machine.reserve(static_cast<int64_t>(out.size() + part.size()));
    machine.copy(part.size());
    out += part;
  }
  // Of a list or dict that no directive uses, Python does not complain.
  const bool may_stay = arguments.is(Kind::kDict) || arguments.is(Kind::kList) ||
                        arguments.is(Kind::kUndefined) || arguments.is(Kind::kRange);
  if (many ? used < arguments.items().size() : used == 0 && !may_stay) {
    fail("not all arguments converted during string formatting");
  }
  return machine.text(std::move(out));
}

Value str_format(Machine& machine, const Value& format, const Arguments& arguments) {
  require_unmarked("format()", format);
  const std::string_view text = format.text();
  machine.visit(text.size());
  Fields fields(arguments);
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t brace = std::min(text.find_first_of("{}", at), text.size());
    out += text.substr(at, brace - at);
    at = brace + 1;
    if (brace == text.size()) break;
    if (text.substr(at).starts_with(text[brace])) {
      out += text[at++];
      continue;
    }
    const size_t end = text.find_first_of("{}", at);
    if (text[brace] == '}' || end == std::string_view::npos || text[end] == '{') {
      fail("a brace of the format is not closed, not opened, or inside another one");
    }
    const std::string_view field = text.substr(at, end - at);
    const size_t colon = std::min(field.find(':'), field.size());
    const Value& value = fields.find(field.substr(0, colon));
    machine.step();
    const std::string part =
        formatted(machine, value, field.substr(std::min(colon + 1, field.size())));
    machine.reserve(static_cast<int64_t>(out.size() + part.size()));
    out += part;
    at = end + 1;
  }
  return machine.text(std::move(out));
}

}  // namespace prune::jinja
