#include "print.h"

#include <prune/core/utf8.h>

#include <array>
#include <cmath>

#include "machine.h"
#include "operators.h"
#include "text.h"

namespace prune::jinja {
namespace {

/// Writes into one string, whose growth is checked against the limits.
class Printer {
 public:
  Printer(Machine& machine, std::string& out) : machine_(machine), out_(out) {}

  void write(std::string_view text) {
    machine_.reserve(static_cast<int64_t>(out_.size() + text.size()));
    machine_.copy(text.size());
    out_ += text;
  }

  void repr(const Value& value) {
    const Nesting nesting(machine_);
    machine_.step();
    switch (value.kind()) {
      case Kind::kString:
        machine_.visit(value.text().size());
        write(value.is_marked() ? "Markup(" + python_quoted(value.text()) + ")"
                                : python_quoted(value.text()));
        break;
      case Kind::kUndefined:
        write("Undefined");
        break;
      case Kind::kList:
        list(value.items(), "[", "]");
        break;
      case Kind::kTuple:
        list(value.items(), "(", value.items().size() == 1 ? ",)" : ")");
        break;
      case Kind::kDict:
        dict(value.dict());
        break;
      case Kind::kView: {
        static constexpr std::array<std::string_view, 3> kOpen = {"dict_keys([", "dict_values([",
                                                                  "dict_items(["};
        list(machine_.iterate(value), kOpen[static_cast<size_t>(value.as<View>().part)], "])");
        break;
      }
      case Kind::kNone:
        return write("None");
      case Kind::kBool:
        return write(value.integer() != 0 ? "True" : "False");
      case Kind::kInt:
        return write(std::to_string(value.integer()));
      case Kind::kFloat:
        return write(float_text(value.number()));
      case Kind::kRange: {
        const auto& range = value.as<Range>();
        return write(range.step == 1
                         ? fmt::format("range({}, {})", range.start, range.stop)
                         : fmt::format("range({}, {}, {})", range.start, range.stop, range.step));
      }
      default:
        fail("printing a {} is not supported", type_name(value));
    }
  }

  void json(const Value& value, const JsonStyle& style, const std::string& newline) {
    const Nesting nesting(machine_);
    machine_.step();
    switch (value.kind()) {
      case Kind::kNone:
        return write("null");
      case Kind::kBool:
        return write(value.integer() != 0 ? "true" : "false");
      case Kind::kInt:
        return write(std::to_string(value.integer()));
      case Kind::kFloat:
        return json_float(value.number());
      case Kind::kString:
        return json_string(value.text(), style.ensure_ascii);
      case Kind::kList:
      case Kind::kTuple: {
        bool first = true;
        const std::string inner = newline + style.indent;
        for (const Value& item : value.items()) {
          write(first ? "[" : style.item_separator);
          if (style.has_indent) write(inner);
          first = false;
          json(item, style, inner);
        }
        return close(first, "[", "]", style, newline);
      }
      case Kind::kDict: {
        bool first = true;
        const std::string inner = newline + style.indent;
        for (const Entry* entry : json_entries(value.dict(), style)) {
          write(first ? "{" : style.item_separator);
          if (style.has_indent) write(inner);
          first = false;
          json_key(entry->first, style);
          write(style.key_separator);
          json(entry->second, style, inner);
        }
        return close(first, "{", "}", style, newline);
      }
      default:
        fail("Object of type {} is not JSON serializable", type_name(value));
    }
  }

 private:
  void list(const std::vector<Value>& items, std::string_view open, std::string_view end) {
    write(open);
    bool first = true;
    for (const Value& item : items) {
      if (!first) write(", ");
      first = false;
      repr(item);
    }
    write(end);
  }

  void dict(const Dict& value) {
    write("{");
    bool first = true;
    for (const auto& [key, content] : value.entries) {
      if (!first) write(", ");
      first = false;
      repr(key);
      write(": ");
      repr(content);
    }
    write("}");
  }

  void close(bool empty, std::string_view open, std::string_view end, const JsonStyle& style,
             const std::string& newline) {
    if (empty) write(open);
    if (!empty && style.has_indent) write(newline);
    write(end);
  }

  void json_float(double value) {
    write(std::isnan(value)   ? "NaN"
          : std::isinf(value) ? (value > 0 ? "Infinity" : "-Infinity")
                              : float_text(value));
  }

  void json_key(const Value& key, const JsonStyle& style) {
    if (key.is(Kind::kString)) return json_string(key.text(), style.ensure_ascii);
    if (!key.is_number() && !key.is(Kind::kNone)) {
      fail("keys must be str, int, float, bool or None, not {}", type_name(key));
    }
    write("\"");
    json(key, style, "");
    write("\"");
  }

  std::vector<const Entry*> json_entries(const Dict& dict, const JsonStyle& style) {
    machine_.reserve(static_cast<int64_t>(dict.entries.size()), 4 * sizeof(Value));
    std::vector<std::pair<Value, Value>> order;
    for (size_t i = 0; i < dict.entries.size(); ++i) {
      order.emplace_back(dict.entries[i].first, Value::of(static_cast<int64_t>(i)));
    }
    if (style.sort_keys) sort_by(machine_, order, false);
    std::vector<const Entry*> entries;
    for (const auto& [key, index] : order) {
      entries.push_back(&dict.entries[static_cast<size_t>(index.integer())]);
    }
    return entries;
  }

  void json_string(std::string_view text, bool ensure_ascii) {
    machine_.visit(text.size());
    write(nlohmann::json(text).dump(-1, ' ', ensure_ascii));
  }

  Machine& machine_;
  std::string& out_;
};

}  // namespace

std::string_view str_view(Machine& machine, const Value& value, std::string& storage) {
  if (value.is(Kind::kString)) return value.text();
  storage.clear();
  if (!value.is(Kind::kUndefined)) Printer(machine, storage).repr(value);
  return storage;
}

std::string str(Machine& machine, const Value& value) {
  std::string storage;
  if (value.is(Kind::kString)) {
    machine.copy(value.text().size());
    machine.reserve(static_cast<int64_t>(value.text().size()));
    return std::string(value.text());
  }
  str_view(machine, value, storage);
  return storage;
}

std::string repr(Machine& machine, const Value& value) {
  std::string out;
  Printer(machine, out).repr(value);
  return out;
}

std::string to_json(Machine& machine, const Value& value, const JsonStyle& style) {
  std::string out;
  Printer(machine, out).json(value, style, "\n");
  return out;
}

}  // namespace prune::jinja
