#pragma once

#include <fmt/format.h>
#include <prune/jinja/template.h>

#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "value.h"

namespace prune::jinja {

/// An error of a template that is being rendered; render() adds the line.
class Failure : public std::exception {
 public:
  explicit Failure(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

/// A limit was exceeded.
class Exceeded : public Failure {
 public:
  using Failure::Failure;
};

/// raise_exception() was called.
class Raised : public Failure {
 public:
  using Failure::Failure;
};

template <class... Parts>
[[noreturn]] void fail(fmt::format_string<Parts...> format, Parts&&... parts) {
  throw Failure(fmt::format(format, std::forward<Parts>(parts)...));
}

/// What a running template uses up, and the makers of values, which count it. One machine per render.
class Machine {
 public:
  Machine(const Limits& limits, int64_t now) : limits_(limits), now_(now) {}
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  virtual ~Machine();

  int64_t now() const { return now_; }
  int64_t depth_limit() const { return limits_.depth; }

  void step(int64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.steps) exceed("steps");
  }
  /// Counts a builtin that visits this many bytes, one by one or in a block.
  void visit(size_t size_bytes) { step(static_cast<int64_t>(size_bytes / 4)); }
  void copy(size_t size_bytes) { step(static_cast<int64_t>(size_bytes / 64)); }
  /// Fails unless this many more bytes may be held. @param count  of things of `size_bytes` each
  void reserve(int64_t count, int64_t size_bytes = 1);
  /// Bytes written and not yet part of a value.
  void write(std::string& buffer, std::string_view text);
  void drop(const std::string& buffer) { written_ -= static_cast<int64_t>(buffer.size()); }

  Value text(std::string content, bool marked = false);
  /// The result of a method of marked text, which is marked too.
  Value marked(const Value& value);
  Value list(std::vector<Value> items) { return sequence(Kind::kList, std::move(items)); }
  Value tuple(std::vector<Value> items) { return sequence(Kind::kTuple, std::move(items)); }
  Value iterator(std::vector<Value> items);
  Value undefined(std::string message);
  Value function(Function::Call function_call, Value self = Value());
  /// Counts the bytes of a new object.
  template <class T>
  std::shared_ptr<T> make(std::shared_ptr<T> object, int64_t size_bytes) {
    charge(*object, size_bytes);
    return object;
  }
  /// Sets the depth of a finished dict and counts its bytes.
  Value dict(std::shared_ptr<Dict> entries);
  /// Namespaces may hold themselves; the machine breaks such cycles at the end.
  Value make_namespace();
  void set_attribute(Namespace& target, std::string_view name, const Value& value);

  /// The elements that a `for` loop visits. Reads an iterator to its end.
  std::vector<Value> iterate(const Value& value);

  virtual Value call(const Value& callee, Arguments arguments) = 0;
  Value filter(std::string_view name, const Value& value, Arguments arguments);
  bool test(std::string_view name, const Value& value, Arguments arguments);

  int line = 0;  ///< of the node that is evaluated
  int nesting_depth = 0;

  [[noreturn]] static void exceed(std::string_view what);

 protected:
  Value sequence(Kind kind, std::vector<Value> items);
  void charge(Object& object, int64_t size_bytes);
  /// Counts what an object that changes has grown by.
  void grow(Object& object, int64_t size_bytes);
  /// Lets go of the values that namespaces hold.
  void clear_namespaces();

 private:
  Limits limits_;
  Memory memory_;
  int64_t now_;
  int64_t steps_ = 0;
  int64_t written_ = 0;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
};

/// Counts nested evaluation, so that the stack of the process is safe from any template.
class Nesting {
 public:
  explicit Nesting(Machine& machine) : machine_(machine) {
    // A call nests about five levels deep: statement, expression, call, body.
    if (++machine_.nesting_depth > 5 * machine_.depth_limit()) {
      --machine_.nesting_depth;
      Machine::exceed("depth of nested calls");
    }
  }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;
  ~Nesting() { --machine_.nesting_depth; }

 private:
  Machine& machine_;
};

/// Arguments by the parameters of a Python signature.
class Bound {
 public:
  /// @param parameters names; "" for one that is positional only
  /// @throws Failure as Python raises TypeError
  Bound(std::string_view function, std::initializer_list<std::string_view> parameters,
        size_t required, Arguments& arguments);
  bool has(size_t i) const { return given_[i]; }
  const Value& operator[](size_t i) const { return values_[i]; }
  Value value_or(size_t i, Value otherwise) const { return has(i) ? values_[i] : otherwise; }
  bool flag(size_t i, bool otherwise) const { return has(i) ? is_true(values_[i]) : otherwise; }
  /// @throws Failure if the argument is given and not an integer or string
  int64_t integer(size_t i, int64_t otherwise) const;
  std::string_view text(size_t i, std::string_view otherwise) const;

 private:
  std::string_view function_;
  std::vector<Value> values_;
  std::vector<bool> given_;
};

/// Counts the bytes of an object that is not a Value yet.
inline void Machine::charge(Object& object, int64_t size_bytes) {
  if (object.depth > limits_.depth) exceed("depth of nested values");
  object.memory = &memory_;
  grow(object, size_bytes);
}

}  // namespace prune::jinja
