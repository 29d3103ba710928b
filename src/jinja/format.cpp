#include "format.h"

#include <prune/core/utf8.h>

#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>

#include "builtins.h"
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
  char align = '\0';  ///< < > ^ =; none: the type's own
  char sign = '-';
  bool alternate = false;
  bool zero = false;
  int64_t width = 0;
  char grouping = '\0';
  std::optional<int64_t> precision;
  char type = '\0';
};

std::string with_groups(const std::string& digits, char separator, size_t group) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % group == 0) out += separator;
    out += digits[i];
  }
  return out;
}

std::string padded(Machine& machine, const std::string& text, const Spec& spec, char own_align) {
  const int64_t missing = spec.width - character_count(text);
  if (missing <= 0) return text;
  machine.reserve(missing, static_cast<int64_t>(spec.fill.size()));
  machine.copy(static_cast<size_t>(missing));
  const auto fill = [&](int64_t count) {
    std::string out;
    for (int64_t i = 0; i < count; ++i) out += spec.fill;
    return out;
  };
  const char align = spec.align == '\0' ? own_align : spec.align;
  if (align == '<') return text + fill(missing);
  if (align == '^') return fill(missing / 2) + text + fill(missing - missing / 2);
  return fill(missing) + text;
}

/// A number from its sign, its prefix ("0x") and the rest ("ff", "1.5e+10").
std::string finish_number(Machine& machine, bool negative, const std::string& prefix,
                          std::string digits, Spec spec) {
  size_t whole = 0;
  while (whole < digits.size() && std::isxdigit(static_cast<unsigned char>(digits[whole])) != 0 &&
         (prefix == "0x" || prefix == "0X" || spec.type == 'x' || spec.type == 'X' ||
          std::isdigit(static_cast<unsigned char>(digits[whole])) != 0)) {
    ++whole;
  }
  const bool by_four = spec.type == 'x' || spec.type == 'X' || spec.type == 'o' || spec.type == 'b';
  const size_t group = spec.grouping == '_' && by_four ? 4 : 3;
  const std::string head = (negative           ? "-"
                            : spec.sign == '-' ? ""
                                               : std::string(1, spec.sign)) +
                           prefix;
  if (spec.zero && spec.align == '\0') {
    spec.align = '=';
    spec.fill = "0";
  }
  std::string number = digits.substr(0, whole);
  const std::string rest = digits.substr(whole);
  if (spec.align == '=') {
    const auto length = [&] {
      return static_cast<int64_t>(head.size() + rest.size()) +
             character_count(spec.grouping == '\0' ? number
                                                   : with_groups(number, spec.grouping, group));
    };
    if (spec.fill == "0" && spec.grouping != '\0') {
      machine.reserve(std::max<int64_t>(spec.width, 0));
      machine.step(std::max<int64_t>(spec.width, 0));
      if (spec.width > 10'000) fail("a format is wider than 10000 digits");
      while (length() < spec.width) number.insert(0, "0");
      return head + with_groups(number, spec.grouping, group) + rest;
    }
    Spec inner = spec;
    inner.align = '>';
    inner.width = spec.width - static_cast<int64_t>(head.size());
    const std::string shown =
        (spec.grouping == '\0' ? number : with_groups(number, spec.grouping, group)) + rest;
    return head + padded(machine, shown, inner, '>');
  }
  if (spec.grouping != '\0') number = with_groups(number, spec.grouping, group);
  return padded(machine, head + number + rest, spec, '>');
}

std::string integer_format(Machine& machine, int64_t value, const Spec& spec) {
  const uint64_t size = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string prefix;
  std::string digits;
  switch (spec.type) {
    case 'x':
      digits = fmt::format("{:x}", size);
      break;
    case 'X':
      digits = fmt::format("{:X}", size);
      break;
    case 'o':
      digits = fmt::format("{:o}", size);
      break;
    case 'b':
      digits = fmt::format("{:b}", size);
      break;
    default:
      digits = std::to_string(size);
  }
  if (spec.alternate && std::string_view("xXob").find(spec.type) != std::string_view::npos) {
    prefix = std::string("0") + spec.type;
  }
  return finish_number(machine, value < 0, prefix, std::move(digits), spec);
}

std::string float_format(Machine& machine, double value, Spec spec) {
  const bool upper = std::isupper(static_cast<unsigned char>(spec.type)) != 0;
  const char type = static_cast<char>(std::tolower(static_cast<unsigned char>(spec.type)));
  const double size = std::abs(value);
  const bool negative = std::signbit(value) && !std::isnan(value);
  const auto precision = static_cast<int>(spec.precision.value_or(6));
  std::string digits;
  if (std::isnan(value) || std::isinf(value)) {
    digits = std::isnan(value) ? "nan" : "inf";
    if (type == '%') digits += '%';
  } else if (type == 'f') {
    digits = spec.alternate ? fmt::format("{:#.{}f}", size, precision)
                            : fmt::format("{:.{}f}", size, precision);
  } else if (type == '%') {
    digits = fmt::format("{:.{}f}%", size * 100, precision);
  } else if (type == 'e') {
    digits = spec.alternate ? fmt::format("{:#.{}e}", size, precision)
                            : fmt::format("{:.{}e}", size, precision);
  } else if (type == 'g' || type == 'n') {
    digits = spec.alternate ? fmt::format("{:#.{}g}", size, precision)
                            : fmt::format("{:.{}g}", size, precision);
  } else if (spec.precision) {
    // Without a type: like 'g', but with a digit after the point, and an exponent one digit earlier.
    const int shown = std::max(precision, 1);
    digits = fmt::format("{:.{}g}", size, shown);
    const std::string scientific = fmt::format("{:.{}e}", size, shown - 1);
    const int exponent = std::stoi(scientific.substr(scientific.find('e') + 1));
    if (exponent >= shown - 1 && exponent < shown && shown > 0 &&
        digits.find('e') == std::string::npos) {
      std::string mantissa = scientific.substr(0, scientific.find('e'));
      if (mantissa.find('.') != std::string::npos) {
        while (mantissa.ends_with('0')) mantissa.pop_back();
        if (mantissa.ends_with('.')) mantissa.pop_back();
      }
      digits = mantissa + scientific.substr(scientific.find('e'));
    } else if (digits.find_first_of(".e") == std::string::npos) {
      digits += ".0";
    }
  } else {
    digits = float_text(size);
  }
  if (upper) {
    for (char& c : digits) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return finish_number(machine, negative, "", std::move(digits), std::move(spec));
}

int64_t read_integer(std::string_view text, size_t& at) {
  int64_t value = 0;
  while (at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0) {
    if (value > 1'000'000'000'000) Machine::exceed("memory");
    value = value * 10 + (text[at++] - '0');
  }
  return value;
}

void check_precision(const Spec& spec) {
  if (spec.precision.value_or(0) > kLongestPrecision)
    fail("a format has more than {} digits", kLongestPrecision);
}

std::string first_characters(std::string_view text, const std::optional<int64_t>& count) {
  return std::string(count ? text.substr(0, byte_offset(text, *count)) : text);
}

// ---- %

class PercentFormat {
 public:
  PercentFormat(Machine& machine, const Value& format, const Value& arguments)
      : machine_(machine),
        markup_(format.string().markup),
        text_(format.text()),
        arguments_(arguments) {}

  std::string run() {
    std::string out;
    for (size_t at = 0; at < text_.size();) {
      const size_t percent = std::min(text_.find('%', at), text_.size());
      machine_.copy(percent - at);
      out += text_.substr(at, percent - at);
      at = percent;
      if (at < text_.size()) {
        ++at;
        const std::string part = directive(at);
        machine_.reserve(static_cast<int64_t>(out.size() + part.size()));
        out += part;
      }
    }
    const bool leaves = arguments_.is(Kind::kTuple) ? next_ < arguments_.items().size()
                                                    : next_ == 0 && !is_mapping();
    if (leaves) fail("not all arguments converted during string formatting");
    return out;
  }

 private:
  bool is_mapping() const {
    return arguments_.is(Kind::kDict) || arguments_.is(Kind::kList) ||
           arguments_.is(Kind::kUndefined) || arguments_.is(Kind::kRange) || by_key_;
  }

  Value next() {
    if (arguments_.is(Kind::kTuple)) {
      if (next_ >= arguments_.items().size()) fail("not enough arguments for format string");
      return arguments_.items()[next_++];
    }
    if (next_++ > 0) fail("not enough arguments for format string");
    return arguments_;
  }

  int64_t star_or_integer(size_t& at) {
    if (at < text_.size() && text_[at] == '*') {
      ++at;
      const Value value = next();
      if (!value.is_integer()) fail("* wants int");
      return value.integer();
    }
    return read_integer(text_, at);
  }

  std::string directive(size_t& at) {
    machine_.step();
    Spec spec;
    std::optional<Value> keyed;
    if (at < text_.size() && text_[at] == '(') {
      int open = 0;
      const size_t start = at + 1;
      do {
        if (at >= text_.size()) fail("incomplete format key");
        open += text_[at] == '(' ? 1 : text_[at] == ')' ? -1 : 0;
        ++at;
      } while (open > 0);
      if (!arguments_.is(Kind::kDict)) fail("format requires a mapping");
      const std::string_view key = text_.substr(start, at - 1 - start);
      const Value* found = arguments_.dict().find(key);
      if (found == nullptr) fail("the mapping has no key '{}'", key);
      keyed = *found;
      by_key_ = true;
    }
    for (; at < text_.size() && std::string_view("-+ #0").find(text_[at]) != std::string_view::npos;
         ++at) {
      if (text_[at] == '-') spec.align = '<';
      if (text_[at] == '+' || (text_[at] == ' ' && spec.sign != '+')) spec.sign = text_[at];
      if (text_[at] == '#') spec.alternate = true;
      if (text_[at] == '0') spec.zero = true;
    }
    spec.width = star_or_integer(at);
    if (spec.width < 0) {
      spec.align = '<';
      spec.width = spec.width < -1'000'000'000 ? 1'000'000'000 : -spec.width;
    }
    if (at < text_.size() && text_[at] == '.') {
      ++at;
      spec.precision = std::max<int64_t>(star_or_integer(at), 0);
    }
    while (at < text_.size() && (text_[at] == 'h' || text_[at] == 'l' || text_[at] == 'L')) ++at;
    if (at >= text_.size()) fail("incomplete format");
    spec.type = text_[at++];
    if (spec.type == '%') return "%";
    return formatted(keyed ? *keyed : next(), spec);
  }

  std::string formatted(const Value& value, Spec spec) {
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a': {
        std::string shown = spec.type == 's' ? str(machine_, value) : repr(machine_, value);
        if (markup_ && !(value.is(Kind::kString) && value.string().markup)) shown = escaped(shown);
        spec.fill = " ";
        return padded(machine_, first_characters(shown, spec.precision), spec, '>');
      }
      case 'c': {
        std::string shown;
        if (value.is_integer()) {
          if (value.integer() < 0 || value.integer() > 0x10FFFF)
            fail("%c arg not in range(0x110000)");
          append_utf8(shown, static_cast<char32_t>(value.integer()));
        } else if (value.is(Kind::kString) && value.string().length == 1) {
          shown = value.text();
        } else {
          fail("%c requires int or char");
        }
        return padded(machine_, shown, spec, '>');
      }
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o': {
        require_defined(value);
        const bool decimal = std::string_view("diu").find(spec.type) != std::string_view::npos;
        if (!value.is_integer() && !(decimal && value.is(Kind::kFloat))) {
          fail("%{} format: a number is required, not {}", spec.type, type_name(value));
        }
        check_precision(spec);
        if (decimal) spec.type = 'd';
        const int64_t number =
            value.is_integer() ? value.integer() : integer_of(std::trunc(value.number()));
        if (!spec.precision) return integer_format(machine_, number, spec);
        // The precision is the least number of digits.
        Spec digits = spec;
        digits.width = *spec.precision + (number < 0 || spec.sign != '-' ? 1 : 0);
        digits.zero = true;
        digits.align = '\0';
        return padded(machine_, integer_format(machine_, number, digits), spec, '>');
      }
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G':
        require_defined(value);
        if (!value.is_number()) fail("must be real number, not {}", type_name(value));
        check_precision(spec);
        if (spec.type == 'g' && spec.precision == 0) spec.precision = 1;
        return float_format(machine_, value.number(), spec);
      default:
        fail("unsupported format character '{}'", spec.type);
    }
  }

  Machine& machine_;
  const bool markup_;
  const std::string_view text_;
  const Value& arguments_;
  size_t next_ = 0;
  bool by_key_ = false;
};

// ---- {}

Spec parse_spec(std::string_view text) {
  Spec spec;
  size_t at = 0;
  bool has_fill = false;
  const auto is_align = [&](size_t i) {
    return i < text.size() && std::string_view("<>^=").find(text[i]) != std::string_view::npos;
  };
  if (!text.empty() && is_align(utf8_length(text[0]))) {
    at = utf8_length(text[0]);
    spec.fill = text.substr(0, at);
    has_fill = true;
    spec.align = text[at++];
  } else if (is_align(0)) {
    spec.align = text[at++];
  }
  const auto take = [&](std::string_view any) {
    const bool found = at < text.size() && any.find(text[at]) != std::string_view::npos;
    return found ? text[at++] : '\0';
  };
  if (const char sign = take("+- ")) spec.sign = sign;
  spec.alternate = take("#") != '\0';
  spec.zero = take("0") != '\0';
  if (spec.zero && !has_fill) spec.fill = "0";
  spec.zero = spec.zero && !has_fill;
  spec.width = read_integer(text, at);
  spec.grouping = take(",_");
  if (take(".") != '\0') {
    if (at >= text.size() || std::isdigit(static_cast<unsigned char>(text[at])) == 0) {
      fail("Format specifier missing precision");
    }
    spec.precision = read_integer(text, at);
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) fail("Invalid format specifier '{}'", text);
  return spec;
}

std::string format_value(Machine& machine, const Value& value, std::string_view text) {
  if (text.empty()) return str(machine, value);
  Spec spec = parse_spec(text);
  const auto refuse = [&] {
    fail("Invalid format specifier '{}' for an object of type '{}'", text, type_name(value));
  };
  const auto known = [&](std::string_view types) {
    if (spec.type != '\0' && types.find(spec.type) == std::string_view::npos) refuse();
  };
  if (value.is(Kind::kString)) {
    known("s");
    if (spec.sign != '-' || spec.align == '=' || spec.grouping != '\0' || spec.alternate) refuse();
    return padded(machine, first_characters(value.text(), spec.precision), spec, '<');
  }
  if (!value.is_number()) refuse();
  check_precision(spec);
  if (value.is_integer() && std::string_view("eEfFgG%").find(spec.type) == std::string_view::npos) {
    known("bcdoxXn");
    if (spec.precision) refuse();
    if (spec.type == 'c') {
      std::string character;
      if (value.integer() < 0 || value.integer() > 0x10FFFF) refuse();
      append_utf8(character, static_cast<char32_t>(value.integer()));
      return padded(machine, character, spec, '<');
    }
    return integer_format(machine, value.integer(), spec);
  }
  known("eEfFgGn%");
  if ((spec.type == 'g' || spec.type == 'G') && spec.precision == 0) spec.precision = 1;
  return float_format(machine, value.number(), spec);
}

class BraceFormat {
 public:
  BraceFormat(Machine& machine, bool markup, const Arguments& arguments)
      : machine_(machine), markup_(markup), arguments_(arguments) {}

  std::string run(std::string_view text, int depth) {
    if (depth > 2) fail("Max string recursion exceeded");
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const char c = text[at];
      if (c != '{' && c != '}') {
        const size_t end = std::min(text.find_first_of("{}", at), text.size());
        out += text.substr(at, end - at);
        at = end;
      } else if (at + 1 < text.size() && text[at + 1] == c) {
        out += c;
        at += 2;
      } else if (c == '}') {
        fail("Single '}}' encountered in format string");
      } else {
        const size_t end = closing(text, at);
        const std::string part = field(text.substr(at + 1, end - at - 1), depth);
        machine_.reserve(static_cast<int64_t>(out.size() + part.size()));
        out += part;
        at = end + 1;
      }
    }
    return out;
  }

 private:
  static size_t closing(std::string_view text, size_t at) {
    int open = 0;
    bool in_brackets = false;
    for (; at < text.size(); ++at) {
      if (text[at] == '[') in_brackets = true;
      if (text[at] == ']') in_brackets = false;
      if (in_brackets) continue;
      open += text[at] == '{' ? 1 : text[at] == '}' ? -1 : 0;
      if (open == 0) return at;
    }
    fail("expected '}}' before end of string");
  }

  std::string field(std::string_view text, int depth) {
    machine_.step();
    size_t end = 0;
    bool in_brackets = false;
    for (; end < text.size(); ++end) {
      if (text[end] == '[') in_brackets = true;
      if (text[end] == ']') in_brackets = false;
      if (!in_brackets && (text[end] == '!' || text[end] == ':')) break;
    }
    Value value = lookup(text.substr(0, end));
    std::string_view rest = text.substr(end);
    if (rest.starts_with('!')) {
      if (rest.size() < 2 || (rest.size() > 2 && rest[2] != ':'))
        fail("expected ':' after conversion specifier");
      if (rest[1] == 's') value = machine_.text(str(machine_, value));
      if (rest[1] == 'r') value = machine_.text(repr(machine_, value));
      if (rest[1] != 's' && rest[1] != 'r') fail("conversion '{}' is not supported", rest[1]);
      rest.remove_prefix(2);
    }
    if (!rest.empty()) rest.remove_prefix(1);
    const std::string spec = run(rest, depth + 1);
    if (markup_ && value.is(Kind::kString) && value.string().markup)
      return std::string(value.text());
    const std::string shown = format_value(machine_, value, spec);
    return markup_ ? escaped(shown) : shown;
  }

  Value lookup(std::string_view name) {
    const size_t end = std::min(name.find_first_of(".["), name.size());
    Value value = argument(name.substr(0, end));
    for (std::string_view rest = name.substr(end); !rest.empty();) {
      if (rest[0] == '.') {
        const size_t stop = std::min(rest.find_first_of(".[", 1), rest.size());
        if (stop == 1) fail("Empty attribute in format string");
        value = attribute_of(machine_, value, rest.substr(1, stop - 1));
        rest.remove_prefix(stop);
      } else {
        const size_t stop = rest.find(']');
        if (rest[0] != '[' || stop == std::string_view::npos) fail("Missing ']' in format string");
        if (stop == 1) fail("Empty attribute in format string");
        const std::string_view key = rest.substr(1, stop - 1);
        value = item_of(
            machine_, value,
            all_characters(key, "digit") ? Value::of(index(key)) : machine_.text(std::string(key)));
        rest.remove_prefix(stop + 1);
      }
    }
    return value;
  }

  static int64_t index(std::string_view digits) {
    int64_t value = -1;
    const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (end.ec != std::errc() || end.ptr != digits.data() + digits.size()) {
      fail("Too many decimal digits in format string");
    }
    return value;
  }

  Value argument(std::string_view name) {
    if (name.empty() || all_characters(name, "digit")) {
      const bool automatic = name.empty();
      if (numbering_ != Numbering::kNone && (numbering_ == Numbering::kAutomatic) != automatic) {
        fail("cannot switch between manual and automatic field numbering");
      }
      numbering_ = automatic ? Numbering::kAutomatic : Numbering::kManual;
      const auto i = automatic ? next_++ : static_cast<size_t>(index(name));
      if (i >= arguments_.positional.size()) fail("format has no argument {}", i);
      return arguments_.positional[i];
    }
    for (const auto& [key, value] : arguments_.named) {
      if (key == name) return value;
    }
    fail("format has no argument '{}'", name);
  }

  enum class Numbering { kNone, kAutomatic, kManual };
  Machine& machine_;
  const bool markup_;
  const Arguments& arguments_;
  size_t next_ = 0;
  Numbering numbering_ = Numbering::kNone;
};

}  // namespace

Value percent_format(Machine& machine, const Value& format, const Value& arguments) {
  return machine.text(PercentFormat(machine, format, arguments).run(), format.string().markup);
}

Value str_format(Machine& machine, const Value& format, const Arguments& arguments) {
  const bool markup = format.string().markup;
  machine.visit(format.text().size());
  return machine.text(BraceFormat(machine, markup, arguments).run(format.text(), 0), markup);
}

}  // namespace prune::jinja
