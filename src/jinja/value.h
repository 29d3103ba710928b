#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace prune::jinja {

class Machine;

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kRange,
  kView,      ///< keys(), values() or items() of a dict
  kIterator,  ///< what Python's generators and reversed() give: read once
  kNamespace,
  kFunction,  ///< a builtin or a bound method
  kMacro,
  kLoop,
};

/// Bytes that the values of one render hold.
struct Memory {
  int64_t used = 0;
};

/// What a Value points to. Its bytes count in `memory` as long as it lives; constants of a template count nowhere.
struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() {
    if (memory != nullptr) memory->used -= charged_bytes;
  }
  Memory* memory = nullptr;
  int64_t charged_bytes = 0;
  int depth =
      1;  ///< of what it holds, itself included; a namespace counts as 1, since the machine holds it
};

struct String;
struct Sequence;
struct Dict;

/// A value of the template language. Copies share what they point to.
class Value {
 public:
  Value() = default;  ///< undefined without a name; in a variable's slot: not set
  Value(Kind kind, std::shared_ptr<Object> object) : kind_(kind), object_(std::move(object)) {}
  static Value none() { return Value(Kind::kNone, nullptr); }
  static Value of(bool value);
  static Value of(int64_t value);
  static Value of(double value);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_unset() const { return kind_ == Kind::kUndefined && object_ == nullptr; }
  /// bool and int: what Python accepts as an index.
  bool is_integer() const { return kind_ == Kind::kInt || kind_ == Kind::kBool; }
  bool is_number() const { return is_integer() || kind_ == Kind::kFloat; }
  bool is_marked() const;
  bool is_sequence() const { return kind_ == Kind::kList || kind_ == Kind::kTuple; }

  int64_t integer() const { return whole; }  ///< of a bool or int
  double number() const { return is(Kind::kFloat) ? real : static_cast<double>(whole); }
  const String& string() const { return as<String>(); }
  std::string_view text() const;
  const std::vector<Value>& items() const;  ///< of a list or tuple
  const Dict& dict() const { return as<Dict>(); }
  template <class T>
  T& as() const {
    return static_cast<T&>(*object_);
  }
  const Object* identity() const { return object_.get(); }
  int depth() const { return object_ == nullptr ? 0 : object_->depth; }

 private:
  Kind kind_ = Kind::kUndefined;
  union {
    int64_t whole = 0;
    double real;
  };
  std::shared_ptr<Object> object_;
};

struct String : Object {
  explicit String(std::string content, bool is_marked = false);
  std::string text;
  int64_t length;  ///< in code points
  bool marked;     ///< by `|safe` or `|escape`: what is added to it with + is escaped
  bool ascii() const { return length == static_cast<int64_t>(text.size()); }
};

struct Sequence : Object {
  std::vector<Value> items;
  bool is_group = false;  ///< a tuple of groupby, with the attributes grouper and list
};

using Entry = std::pair<Value, Value>;

/// Does not change after it was made: the sandbox refuses every method that would.
struct Dict : Object {
  std::vector<Entry> entries;

  /// @throws Failure if the key is a list, dict, ...
  const Value* find(Machine& machine, const Value& key) const;
  const Value* find(std::string_view key) const;
  void set(Machine& machine, const Value& key, const Value& value);

 private:
  template <class Matches>
  const Value* find_if(uint64_t hash, Matches matches) const;
  std::unordered_multimap<uint64_t, uint32_t> index_;  ///< hash -> entry
};

struct Range : Object {
  int64_t start = 0, stop = 0, step = 1;
  int64_t size() const;
};

struct View : Object {
  enum class Part { kKeys, kValues, kItems } part = Part::kKeys;
  Value dict;
};

struct Iterator : Object {
  std::vector<Value> items;
  size_t next = 0;
};

struct Undefined : Object {
  std::string message;  ///< why it is undefined, for the error of its use
};

struct Namespace : Object {
  std::vector<std::pair<std::string, Value>> attributes;
  Value* find(std::string_view name);
  void set(std::string_view name, const Value& value);
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct Function : Object {
  using Call = Value (*)(Machine&, const Value& self, Arguments& arguments);
  Value self;
  Call call = nullptr;
};

/// The name of Python's type, for messages.
std::string_view type_name(const Value& value);

bool is_true(const Value& value);

/// Python's len(); -1 if the value has none.
int64_t length_of(const Value& value);

}  // namespace prune::jinja
