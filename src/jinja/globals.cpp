#include <locale.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "builtins.h"
#include "machine.h"
#include "operators.h"
#include "print.h"

namespace prune::jinja {
namespace {

// jinja2's sandbox refuses longer ranges.
constexpr int64_t kLongestRange = 100'000;

Value range(Machine& machine, const Value& /*self*/, Arguments& arguments) {
  const Bound bound("range", {"", "", ""}, 1, arguments);
  for (size_t i = 0; i < 3; ++i) {
    if (bound.has(i)) bound.integer(i, 0);
  }
  auto object = std::make_shared<Range>();
  if (bound.has(1)) {
    object->start = bound.integer(0, 0);
    object->stop = bound.integer(1, 0);
    object->step = bound.integer(2, 1);
  } else {
    object->stop = bound.integer(0, 0);
  }
  if (object->step == 0) fail("range() arg 3 must not be zero");
  const auto wide = [](int64_t value) { return static_cast<long double>(value); };
  if ((wide(object->stop) - wide(object->start)) / wide(object->step) > kLongestRange) {
    fail("the sandbox refuses ranges longer than {}", kLongestRange);
  }
  return Value(Kind::kRange, machine.make(std::move(object), 96));
}

/// Entries of dict(mapping or pairs, key=value, ...).
std::shared_ptr<Dict> entries_of(Machine& machine, const char* name, Arguments& arguments) {
  auto entries = std::make_shared<Dict>();
  if (arguments.positional.size() > 1) fail("{}() takes at most 1 positional argument", name);
  for (const Value& source : arguments.positional) {
    require_defined(source);
    if (source.is(Kind::kDict)) {
      for (const auto& [key, value] : source.dict().entries) entries->set(machine, key, value);
      continue;
    }
    for (const Value& pair : machine.iterate(source)) {
      const std::vector<Value> parts = machine.iterate(pair);
      if (parts.size() != 2) fail("{}() expects pairs of key and value", name);
      entries->set(machine, parts[0], parts[1]);
    }
  }
  for (const auto& [key, value] : arguments.named) entries->set(machine, machine.text(key), value);
  return entries;
}

Value dict(Machine& machine, const Value& /*self*/, Arguments& arguments) {
  return machine.dict(entries_of(machine, "dict", arguments));
}

Value make_namespace(Machine& machine, const Value& /*self*/, Arguments& arguments) {
  const Value result = machine.make_namespace();
  const std::shared_ptr<Dict> initial = entries_of(machine, "namespace", arguments);
  for (const auto& [key, value] : initial->entries) {
    if (!key.is(Kind::kString)) fail("namespace() expects strings as names");
    machine.set_attribute(result.as<Namespace>(), key.text(), value);
  }
  return result;
}

Value unsupported(Machine& /*machine*/, const Value& /*self*/, Arguments& /*arguments*/) {
  fail("cycler(), joiner() and lipsum() are not supported");
}

Value raise_exception(Machine& machine, const Value& /*self*/, Arguments& arguments) {
  const Bound bound("raise_exception", {"message"}, 1, arguments);
  throw Raised(str(machine, bound[0]));
}

/// strftime of C in English. A naive Python datetime prints no time zone, and this one has no microseconds.
std::string time_text(Machine& machine, std::string_view format) {
  std::string directives = " ";  // An empty result would look like one that does not fit.
  for (size_t at = 0; at < format.size(); ++at) {
    const char next = format[at] == '%' && at + 1 < format.size() ? format[at + 1] : '\0';
    if (next == 'f') directives += "000000";
    if (next != 'f' && next != 'z' && next != 'Z') {
      directives += format[at];
      if (next == '\0') continue;
      directives += next;
    }
    at += next == '\0' ? 0 : 1;
  }
  const std::time_t now = machine.now();
  std::tm parts{};
  if (gmtime_r(&now, &parts) == nullptr) fail("the time is out of range");
  static const locale_t kEnglish = newlocale(LC_ALL_MASK, "C", nullptr);
  std::string out(directives.size() * 8 + 256, '\0');
  const size_t size = strftime_l(out.data(), out.size(), directives.c_str(), &parts, kEnglish);
  if (size == 0) fail("the format of strftime_now() gives too long a text");
  out.resize(size);
  return out.substr(1);
}

Value strftime_now(Machine& machine, const Value& /*self*/, Arguments& arguments) {
  const Bound bound("strftime_now", {"format"}, 1, arguments);
  const std::string_view format = bound.text(0, "");
  machine.visit(format.size());
  if (format.find('\0') != std::string_view::npos) fail("embedded null character");
  return machine.text(time_text(machine, format));
}

struct Global {
  std::string_view name;
  Function::Call call;
};

constexpr std::array kGlobals = std::to_array<Global>({
    {"cycler", &unsupported},
    {"dict", &dict},
    {"joiner", &unsupported},
    {"lipsum", &unsupported},
    {"namespace", &make_namespace},
    {"raise_exception", &raise_exception},
    {"range", &range},
    {"strftime_now", &strftime_now},
});

}  // namespace

Function::Call find_global(std::string_view name) {
  const auto* const found = std::find_if(kGlobals.begin(), kGlobals.end(),
                                         [&](const Global& global) { return global.name == name; });
  return found == kGlobals.end() ? nullptr : found->call;
}

}  // namespace prune::jinja
