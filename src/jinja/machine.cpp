#include "machine.h"

#include <prune/core/utf8.h>

#include <algorithm>

#include "builtins.h"

namespace prune::jinja {
namespace {

// What a value costs beside its content: the object, the block of its reference count, the heap's own words.
constexpr int64_t kObjectBytes = 96;

template <class Values>
int depth_around(const Values& values) {
  int depth = 0;
  for (const Value& value : values) depth = std::max(depth, value.depth());
  return depth + 1;
}

const Filter* find_filter(std::string_view name) {
  for (const auto filters : {text_filters(), number_filters(), sequence_filters()}) {
    for (const Filter& filter : filters) {
      if (filter.name == name) return &filter;
    }
  }
  return nullptr;
}

}  // namespace

Machine::~Machine() { clear_namespaces(); }

void Machine::clear_namespaces() {
  // A namespace may hold another one: none is destroyed before all are empty.
  for (const auto& held : namespaces_) held->attributes.clear();
  namespaces_.clear();
}

void Machine::exceed(std::string_view what) {
  throw Exceeded(
      fmt::format("the template exceeds the limit of {}; it may be broken or hostile", what));
}

void Machine::reserve(int64_t count, int64_t size_bytes) {
  if (count > (limits_.memory_bytes - memory_.used) / size_bytes) exceed("memory");
}

void Machine::grow(Object& object, int64_t size_bytes) {
  reserve(size_bytes);
  object.charged_bytes += size_bytes;
  memory_.used += size_bytes;
}

void Machine::write(std::string& buffer, std::string_view text) {
  copy(text.size());
  written_ += static_cast<int64_t>(text.size());
  if (written_ > limits_.output_bytes) {
    written_ -= static_cast<int64_t>(text.size());
    exceed("output");
  }
  buffer += text;
}

Value Machine::text(std::string content, bool marked) {
  step();
  copy(content.size());
  const auto size_bytes = static_cast<int64_t>(content.capacity());
  return Value(Kind::kString, make(std::make_shared<String>(std::move(content), marked),
                                   kObjectBytes + size_bytes));
}

Value Machine::marked(const Value& value) {
  if (value.is(Kind::kString)) return text(std::string(value.text()), true);
  if (!value.is_sequence()) return value;
  std::vector<Value> items;
  for (const Value& item : value.items()) items.push_back(marked(item));
  return sequence(value.kind(), std::move(items));
}

Value Machine::sequence(Kind kind, std::vector<Value> items) {
  auto object = std::make_shared<Sequence>();
  object->depth = depth_around(items);
  step(static_cast<int64_t>(items.size() / 4));
  object->items = std::move(items);
  const auto size_bytes = static_cast<int64_t>(object->items.capacity() * sizeof(Value));
  return Value(kind, make(std::move(object), kObjectBytes + size_bytes));
}

Value Machine::iterator(std::vector<Value> items) {
  auto object = std::make_shared<Iterator>();
  object->depth = depth_around(items);
  object->items = std::move(items);
  const auto size_bytes = static_cast<int64_t>(object->items.capacity() * sizeof(Value));
  return Value(Kind::kIterator, make(std::move(object), kObjectBytes + size_bytes));
}

Value Machine::dict(std::shared_ptr<Dict> entries) {
  for (const auto& [key, value] : entries->entries) {
    entries->depth = std::max({entries->depth, key.depth() + 1, value.depth() + 1});
  }
  const auto count = static_cast<int64_t>(entries->entries.capacity());
  return Value(Kind::kDict, make(std::move(entries),
                                 kObjectBytes + count * static_cast<int64_t>(sizeof(Entry) + 48)));
}

Value Machine::undefined(std::string message) {
  auto object = std::make_shared<Undefined>();
  object->message = std::move(message);
  return Value(Kind::kUndefined, make(std::move(object), kObjectBytes));
}

Value Machine::function(Function::Call function_call, Value self) {
  auto object = std::make_shared<Function>();
  object->call = function_call;
  object->depth = self.depth() + 1;
  object->self = std::move(self);
  return Value(Kind::kFunction, make(std::move(object), kObjectBytes));
}

Value Machine::make_namespace() {
  auto object = make(std::make_shared<Namespace>(), kObjectBytes);
  namespaces_.push_back(object);
  return Value(Kind::kNamespace, object);
}

void Machine::set_attribute(Namespace& target, std::string_view name, const Value& value) {
  if (target.find(name) == nullptr) {
    grow(target, static_cast<int64_t>(sizeof(Value) + 32 + name.size()));
  }
  step(static_cast<int64_t>(target.attributes.size() / 4));
  target.set(name, value);
}

std::vector<Value> Machine::iterate(const Value& value) {
  const int64_t length = std::max<int64_t>(length_of(value), 0);
  reserve(length, sizeof(Value));
  step(length / 4);
  std::vector<Value> items;
  switch (value.kind()) {
    case Kind::kUndefined:
      return items;
    case Kind::kList:
    case Kind::kTuple:
      return value.items();
    case Kind::kString:
      for (std::string_view rest = value.text(); !rest.empty();) {
        const size_t size = utf8_length(rest.front());
        items.push_back(text(std::string(rest.substr(0, size))));
        rest.remove_prefix(size);
      }
      return items;
    case Kind::kDict:
      for (const Entry& entry : value.dict().entries) items.push_back(entry.first);
      return items;
    case Kind::kView: {
      const auto& view = value.as<View>();
      for (const Entry& entry : view.dict.dict().entries) {
        if (view.part == View::Part::kItems) {
          items.push_back(tuple({entry.first, entry.second}));
        } else {
          items.push_back(view.part == View::Part::kKeys ? entry.first : entry.second);
        }
      }
      return items;
    }
    case Kind::kRange: {
      const auto& range = value.as<Range>();
      for (int64_t i = 0; i < length; ++i) items.push_back(Value::of(range.start + i * range.step));
      return items;
    }
    case Kind::kIterator: {
      auto& iterator = value.as<Iterator>();
      items.assign(iterator.items.begin() + static_cast<std::ptrdiff_t>(iterator.next),
                   iterator.items.end());
      step(static_cast<int64_t>(items.size() / 4));
      iterator.next = iterator.items.size();
      return items;
    }
    default:
      fail("'{}' object is not iterable", type_name(value));
  }
}

bool is_filter(std::string_view name) { return find_filter(name) != nullptr; }

Value Machine::filter(std::string_view name, const Value& value, Arguments arguments) {
  step();
  const Filter* const filter = find_filter(name);
  if (filter == nullptr) fail("filter '{}' is not supported", name);
  return filter->apply(*this, value, arguments);
}

Bound::Bound(std::string_view function, std::initializer_list<std::string_view> parameters,
             size_t required, Arguments& arguments)
    : function_(function), values_(parameters.size()), given_(parameters.size()) {
  if (arguments.positional.size() > parameters.size()) {
    fail("{}() takes at most {} arguments ({} given)", function, parameters.size(),
         arguments.positional.size());
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    values_[i] = arguments.positional[i];
    given_[i] = true;
  }
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(parameters.begin(), parameters.end(), name);
    const auto i = static_cast<size_t>(found - parameters.begin());
    if (found == parameters.end() || name.empty()) {
      fail("{}() got an unexpected keyword argument '{}'", function, name);
    }
    if (given_[i]) fail("{}() got multiple values for argument '{}'", function, name);
    values_[i] = value;
    given_[i] = true;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!given_[i]) fail("{}() is missing argument {}", function, i + 1);
  }
}

int64_t Bound::integer(size_t i, int64_t otherwise) const {
  if (!has(i)) return otherwise;
  if (!values_[i].is_integer()) {
    fail("{}() expects an integer, not '{}'", function_, type_name(values_[i]));
  }
  return values_[i].integer();
}

std::string_view Bound::text(size_t i, std::string_view otherwise) const {
  if (!has(i)) return otherwise;
  if (!values_[i].is(Kind::kString)) {
    fail("{}() expects a string, not '{}'", function_, type_name(values_[i]));
  }
  return values_[i].text();
}

}  // namespace prune::jinja
