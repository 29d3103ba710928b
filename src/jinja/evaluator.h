#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>

#include "ast.h"
#include "machine.h"

namespace prune::jinja {

/// The variables of a scope: of the template, a call, a loop or a block.
struct Frame : Object {
  static constexpr int64_t kBytes = 192;
  std::unordered_map<int, Value> variables;
  std::shared_ptr<Frame> outer;
  bool ended = false;

  void clear();
  void end();
};

struct Macro : Object {
  const FunctionCode* code = nullptr;
  std::shared_ptr<Frame> closure;
};

/// The variable `loop`, and the items to come.
struct Loop : Object {
  const Statement* code = nullptr;
  std::shared_ptr<Frame> closure;  ///< of the scope around the loop
  std::vector<Value> items;
  size_t next = 0;
  int64_t index0 = -1;
  bool has_ahead = false;
  bool filtered = false;  ///< the items passed the filter already
  Value ahead, current, before;
  int64_t known_length = -1;

  void end();
  /// The next item that passes the loop's filter; false at the end.
  bool fetch(Machine& machine, Value& item);
  bool peek(Machine& machine);
  int64_t length(Machine& machine);
};

/// Runs a template once.
class Evaluator : public Machine {
 public:
  Evaluator(const Program& program, const Limits& limits, int64_t now);
  ~Evaluator() override;

  std::string run(const nlohmann::ordered_json& context);
  Value call(const Value& callee, Arguments arguments) override;

  /// Whether a loop's filter keeps an item.
  bool keeps(const Loop& loop, const Value& item);

 private:
  using Scope = std::shared_ptr<Frame>;
  enum class Flow { kNormal, kBreak, kContinue };
  class Buffer;

  Value from_json(const nlohmann::ordered_json& json, int64_t depth);
  Value context_value(int id);
  Scope inner(const Scope& outer);
  Value lookup(int id, const Scope& scope);
  void set(const Scope& scope, int id, const Value& value);

  Value evaluate(const Expression& node, const Scope& scope);
  Value name(const Expression& node, const Scope& scope);
  Value container(const Expression& node, const Scope& scope);
  Value compare(const Expression& node, const Scope& scope);
  Value concat(const Expression& node, const Scope& scope);
  Value condition(const Expression& node, const Scope& scope);
  Value call_expression(const Expression& node, const Scope& scope, const Value* caller);
  Value filtered(const Expression& node, const Value& value, const Scope& scope);
  Value tested(const Expression& node, const Scope& scope);
  Arguments arguments(const CallArguments& given, const Scope& scope);

  Flow execute(const Body& body, const Scope& scope);
  Flow statement(const Statement& node, const Scope& scope);
  void print(const Value& value);
  void assign(const Expression& target, const Value& value, const Scope& scope);
  Flow for_loop(const Statement& node, const Scope& outer);
  Flow block(const Statement& node, const Scope& outer);
  /// The filters of a block, from the innermost on.
  Value apply_filters(const Expression& node, const Value& content, const Scope& scope);
  Value macro(const FunctionCode& code, const Scope& closure);
  Value call_macro(const Macro& macro, Arguments arguments);

  const Program& program_;
  const nlohmann::ordered_json* context_ = nullptr;
  std::unordered_map<int, Value> variables_;  ///< of the context, as far as they were read
  std::string* out_ = nullptr;
};

}  // namespace prune::jinja
