#include "evaluator.h"

#include <prune/core/utf8.h>

#include <utility>

#include "builtins.h"
#include "operators.h"
#include "print.h"

namespace prune::jinja {

/// Collects output until it becomes a value.
class Evaluator::Buffer {
 public:
  explicit Buffer(Evaluator& evaluator) : evaluator_(evaluator), outer_(evaluator.out_) {
    evaluator.out_ = &text_;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    evaluator_.drop(text_);
    evaluator_.out_ = outer_;
  }
  Value take() {
    evaluator_.drop(text_);
    return evaluator_.text(std::exchange(text_, ""));
  }

 private:
  Evaluator& evaluator_;
  std::string* outer_;
  std::string text_;
};

namespace {

/// Ends a frame or a loop: what it holds may hold it.
template <class Holder>
class Ending {
 public:
  explicit Ending(Holder& holder) : holder_(holder) {}
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;
  ~Ending() { holder_.end(); }

 private:
  Holder& holder_;
};

}  // namespace

void Frame::clear() {
  variables.clear();
  memory->used -= charged_bytes - kBytes;
  charged_bytes = kBytes;
}

void Frame::end() {
  ended = true;
  clear();
}

void Loop::end() {
  if (code->filter == nullptr) known_length = static_cast<int64_t>(items.size());
  std::vector<Value>().swap(items);
  for (Value* value : {&ahead, &current, &before}) *value = Value();
  closure = nullptr;
  next = 0;
  has_ahead = false;
}

bool Loop::fetch(Machine& machine, Value& item) {
  if (has_ahead) {
    item = std::exchange(ahead, Value());
    has_ahead = false;
    return true;
  }
  while (next < items.size()) {
    machine.step();
    item = items[next++];
    if (code->filter == nullptr || filtered ||
        static_cast<Evaluator&>(machine).keeps(*this, item)) {
      return true;
    }
  }
  return false;
}

bool Loop::peek(Machine& machine) {
  if (has_ahead) return true;
  Value item;
  if (!fetch(machine, item)) return false;
  ahead = std::move(item);
  return has_ahead = true;
}

int64_t Loop::length(Machine& machine) {
  if (known_length >= 0) return known_length;
  if (code->filter == nullptr) return known_length = static_cast<int64_t>(items.size());
  // Of a loop with a filter, jinja2 reads all that is left.
  const bool was_ahead = has_ahead;
  const Value first = ahead;
  std::vector<Value> rest;
  has_ahead = false;
  for (Value item; fetch(machine, item);) rest.push_back(item);
  known_length = static_cast<int64_t>(rest.size()) + index0 + 1 + static_cast<int64_t>(was_ahead);
  items = std::move(rest);
  next = 0;
  filtered = true;
  ahead = first;
  has_ahead = was_ahead;
  return known_length;
}

Evaluator::Evaluator(const Program& program, const Limits& limits, int64_t now)
    : Machine(limits, now), program_(program) {}

Evaluator::~Evaluator() {
  variables_.clear();
  clear_namespaces();
}

std::string Evaluator::run(const nlohmann::ordered_json& context) {
  context_ = &context;
  std::string out;
  out_ = &out;
  const Scope scope = inner(nullptr);
  const Ending<Frame> ending(*scope);
  for (const int id : program_.hidden) set(scope, id, Value());
  execute(program_.body, scope);
  return out;
}

// ---- variables

Value Evaluator::from_json(const nlohmann::ordered_json& json, int64_t depth) {
  if (depth > depth_limit()) exceed("depth of nested values");
  step();
  using Type = nlohmann::ordered_json::value_t;
  switch (json.type()) {
    case Type::boolean:
      return Value::of(json.get<bool>());
    case Type::number_integer:
      return Value::of(json.get<int64_t>());
    case Type::number_unsigned: {
      const auto value = json.get<uint64_t>();
      if (!std::in_range<int64_t>(value))
        fail("the number {} of the context exceeds 64 bits", value);
      return Value::of(static_cast<int64_t>(value));
    }
    case Type::number_float:
      return Value::of(json.get<double>());
    case Type::string: {
      const auto& content = json.get_ref<const std::string&>();
      std::string storage;
      return text(std::string(valid_utf8(content, storage)));
    }
    case Type::array: {
      std::vector<Value> items;
      reserve(static_cast<int64_t>(json.size()), sizeof(Value));
      for (const auto& item : json) items.push_back(from_json(item, depth + 1));
      return list(std::move(items));
    }
    case Type::object: {
      auto entries = std::make_shared<Dict>();
      for (const auto& [key, value] : json.items()) {
        entries->set(*this, from_json(key, depth + 1), from_json(value, depth + 1));
      }
      return dict(std::move(entries));
    }
    default:
      return Value::none();
  }
}

Value Evaluator::context_value(int id) {
  const auto known = variables_.find(id);
  if (known != variables_.end()) return known->second;
  const std::string& name = program_.names[static_cast<size_t>(id)];
  Value value;
  if (context_->is_object() && context_->contains(name)) {
    value = from_json(context_->at(name), 1);
  } else if (const Function::Call global = find_global(name)) {
    value = function(global);
  } else if (name == "self") {
    fail("the variable 'self' is not supported in chat templates");
  }
  variables_.emplace(id, value);
  return value;
}

Evaluator::Scope Evaluator::inner(const Scope& outer) {
  auto scope = make(std::make_shared<Frame>(), Frame::kBytes);
  scope->outer = outer;
  return scope;
}

void Evaluator::set(const Scope& scope, int id, const Value& value) {
  step();
  constexpr int64_t kVariableBytes = 64;
  if (scope->variables.insert_or_assign(id, value).second) grow(*scope, kVariableBytes);
}

void Evaluator::assign(const Expression& target, const Value& value, const Scope& scope) {
  if (target.kind == ExpressionKind::kName) {
    set(scope, target.id, value);
  } else if (target.kind == ExpressionKind::kAttribute) {
    const Value object = lookup(target.id, scope);
    if (!object.is(Kind::kNamespace)) fail("cannot assign attribute on non-namespace object");
    set_attribute(object.as<Namespace>(), target.attribute, value);
  } else {
    const std::vector<Value> items = iterate(value);
    if (items.size() != target.items.size()) {
      fail("cannot unpack {} values into {} names", items.size(), target.items.size());
    }
    for (size_t i = 0; i < items.size(); ++i) assign(*target.items[i], items[i], scope);
  }
}

// ---- expressions

Value Evaluator::evaluate(const Expression& node, const Scope& scope) {
  const Nesting nesting(*this);
  line = node.line;
  step();
  const auto item = [&](size_t i) { return evaluate(*node.items[i], scope); };
  switch (node.kind) {
    case ExpressionKind::kConstant:
      return node.constant;
    case ExpressionKind::kName:
      return name(node, scope);
    case ExpressionKind::kAttribute:
      return attribute_of(*this, item(0), node.name);
    case ExpressionKind::kItem: {
      const Value object = item(0);
      return item_of(*this, object, item(1));
    }
    case ExpressionKind::kSlice: {
      const auto bound = [&](size_t i) {
        return node.items[i] == nullptr ? Value::none() : item(i);
      };
      const Value object = item(0);
      const Value start = bound(1);
      const Value stop = bound(2);
      return slice_of(*this, object, start, stop, bound(3));
    }
    case ExpressionKind::kTuple:
    case ExpressionKind::kList:
    case ExpressionKind::kDict:
      return container(node, scope);
    case ExpressionKind::kUnary:
      return unary(node.name, item(0));
    case ExpressionKind::kBinary: {
      const Value left = item(0);
      return binary(*this, node.name, left, item(1));
    }
    case ExpressionKind::kAnd:
    case ExpressionKind::kOr: {
      Value left = item(0);
      return is_true(left) == (node.kind == ExpressionKind::kOr) ? left : item(1);
    }
    case ExpressionKind::kNot:
      return Value::of(!is_true(item(0)));
    case ExpressionKind::kConcat:
      return concat(node, scope);
    case ExpressionKind::kCompare:
      return compare(node, scope);
    case ExpressionKind::kCondition:
      return condition(node, scope);
    case ExpressionKind::kCall:
      return call_expression(node, scope, nullptr);
    case ExpressionKind::kFilter:
      return filtered(node, item(0), scope);
    case ExpressionKind::kTest:
      return tested(node, scope);
  }
  return Value();
}

Value Evaluator::lookup(int id, const Scope& scope) {
  for (const Frame* at = scope.get(); at != nullptr; at = at->outer.get()) {
    step();
    const auto found = at->variables.find(id);
    if (found != at->variables.end()) return found->second;
  }
  return context_value(id);
}

Value Evaluator::name(const Expression& node, const Scope& scope) {
  const Value value = lookup(node.id, scope);
  return value.is_unset() ? undefined(fmt::format("'{}' is undefined", node.name)) : value;
}

Value Evaluator::container(const Expression& node, const Scope& scope) {
  if (node.kind == ExpressionKind::kDict) {
    auto entries = std::make_shared<Dict>();
    for (size_t i = 0; i < node.items.size(); i += 2) {
      const Value key = evaluate(*node.items[i], scope);
      entries->set(*this, key, evaluate(*node.items[i + 1], scope));
    }
    return dict(std::move(entries));
  }
  std::vector<Value> items;
  for (const ExpressionPtr& item : node.items) items.push_back(evaluate(*item, scope));
  return node.kind == ExpressionKind::kList ? list(std::move(items)) : tuple(std::move(items));
}

Value Evaluator::compare(const Expression& node, const Scope& scope) {
  Value left = evaluate(*node.items[0], scope);
  for (size_t i = 0; i < node.operators.size(); ++i) {
    const std::string& op = node.operators[i];
    Value right = evaluate(*node.items[i + 1], scope);
    bool holds = false;
    if (op == "==" || op == "!=") {
      holds = equal(*this, left, right) == (op == "==");
    } else if (op == "in" || op == "not in") {
      holds = contains(*this, right, left) == (op == "in");
    } else {
      holds = ordered(*this, op, left, right);
    }
    if (!holds) return Value::of(false);
    left = std::move(right);
  }
  return Value::of(true);
}

Value Evaluator::concat(const Expression& node, const Scope& scope) {
  std::string out;
  std::string storage;
  for (const ExpressionPtr& item : node.items) {
    const Value value = evaluate(*item, scope);
    const std::string_view part = str_view(*this, value, storage);
    reserve(static_cast<int64_t>(out.size() + part.size()));
    copy(part.size());
    out += part;
  }
  return text(std::move(out));
}

Value Evaluator::condition(const Expression& node, const Scope& scope) {
  if (is_true(evaluate(*node.items[0], scope))) return evaluate(*node.items[1], scope);
  if (node.items[2] != nullptr) return evaluate(*node.items[2], scope);
  return undefined("the inline if-expression evaluated to false and no else section was defined");
}

Arguments Evaluator::arguments(const CallArguments& given, const Scope& scope) {
  Arguments result;
  for (const ExpressionPtr& argument : given.positional) {
    result.positional.push_back(evaluate(*argument, scope));
  }
  for (const auto& [name, argument] : given.named) {
    result.named.emplace_back(name, evaluate(*argument, scope));
  }
  if (given.unpacked != nullptr) {
    const std::vector<Value> more = iterate(evaluate(*given.unpacked, scope));
    result.positional.insert(result.positional.end(), more.begin(), more.end());
  }
  if (given.unpacked_named != nullptr) {
    const Value more = evaluate(*given.unpacked_named, scope);
    if (!more.is(Kind::kDict)) fail("the argument after ** is not a mapping");
    for (const auto& [key, value] : more.dict().entries) {
      if (!key.is(Kind::kString)) fail("keywords must be strings");
      for (const auto& [name, other] : result.named) {
        step();
        if (name == key.text()) fail("got multiple values for keyword argument '{}'", name);
      }
      result.named.emplace_back(key.text(), value);
    }
  }
  return result;
}

Value Evaluator::call_expression(const Expression& node, const Scope& scope, const Value* caller) {
  const Value callee = evaluate(*node.items[0], scope);
  Arguments given = arguments(node.arguments, scope);
  if (caller != nullptr) {
    for (const auto& [name, value] : given.named) {
      if (name == "caller") fail("got multiple values for keyword argument 'caller'");
    }
    given.named.emplace_back("caller", *caller);
  }
  line = node.line;
  return call(callee, std::move(given));
}

Value Evaluator::filtered(const Expression& node, const Value& value, const Scope& scope) {
  Arguments given = arguments(node.arguments, scope);
  line = node.line;
  return filter(node.name, value, std::move(given));
}

Value Evaluator::tested(const Expression& node, const Scope& scope) {
  const Value value = evaluate(*node.items[0], scope);
  Arguments given = arguments(node.arguments, scope);
  line = node.line;
  return Value::of(test(node.name, value, std::move(given)));
}

Value Evaluator::call(const Value& callee, Arguments arguments) {
  const Nesting nesting(*this);
  step();
  switch (callee.kind()) {
    case Kind::kMacro:
      return call_macro(callee.as<Macro>(), std::move(arguments));
    case Kind::kLoop:
      fail("recursive loops are not supported");
    case Kind::kFunction: {
      const auto& function = callee.as<Function>();
      const Value result = function.call(*this, function.self, arguments);
      return function.self.is_marked() ? marked(result) : result;
    }
    default:
      require_defined(callee);
      fail("'{}' object is not callable", type_name(callee));
  }
}

Value Evaluator::macro(const FunctionCode& code, const Scope& closure) {
  auto object = std::make_shared<Macro>();
  object->code = &code;
  object->closure = closure;
  return Value(Kind::kMacro, make(std::move(object), 96));
}

Value Evaluator::call_macro(const Macro& macro, Arguments arguments) {
  const FunctionCode& code = *macro.code;
  if (macro.closure->ended) fail("a macro is called after the macro or loop around it has ended");
  const Scope scope = inner(macro.closure);
  const Ending<Frame> ending(*scope);
  auto& positional = arguments.positional;
  auto& named = arguments.named;
  const auto take = [&](std::string_view name, Value& into) {
    for (auto at = named.begin(); at != named.end(); ++at) {
      if (at->first != name) continue;
      into = at->second;
      named.erase(at);
      return true;
    }
    return false;
  };
  const size_t first_default = code.parameters.size() - code.defaults.size();
  std::vector<size_t> missing;
  bool found_caller = false;
  for (size_t i = 0; i < code.parameters.size(); ++i) {
    const Expression& parameter = *code.parameters[i];
    Value value;
    if (i < positional.size()) {
      set(scope, parameter.id, positional[i]);
    } else {
      found_caller = found_caller || parameter.id == kCallerName;
      if (!take(parameter.name, value)) missing.push_back(i);
      set(scope, parameter.id, value);
    }
  }
  if (code.uses_caller && !found_caller) {
    Value caller;
    if (!take("caller", caller) || caller.is(Kind::kNone)) caller = undefined("No caller defined");
    set(scope, kCallerName, caller);
  }
  if (code.uses_kwargs) {
    auto rest = std::make_shared<Dict>();
    for (const auto& [name, value] : named) rest->set(*this, text(name), value);
    set(scope, kKwargsName, dict(std::move(rest)));
  } else if (!named.empty()) {
    fail("macro '{}' takes no keyword argument '{}'", code.name, named.front().first);
  }
  const size_t taken = std::min(positional.size(), code.parameters.size());
  if (code.uses_varargs) {
    set(scope, kVarargsName,
        tuple({positional.begin() + static_cast<std::ptrdiff_t>(taken), positional.end()}));
  } else if (positional.size() > taken) {
    fail("macro '{}' takes not more than {} arguments", code.name, code.parameters.size());
  }
  for (const size_t i : missing) {
    const Expression& parameter = *code.parameters[i];
    set(scope, parameter.id,
        i >= first_default
            ? evaluate(*code.defaults[i - first_default], scope)
            : undefined(fmt::format("parameter '{}' was not provided", parameter.name)));
  }
  Buffer buffer(*this);
  execute(*code.body, scope);
  return buffer.take();
}

// ---- statements

Evaluator::Flow Evaluator::execute(const Body& body, const Scope& scope) {
  const Nesting nesting(*this);
  for (const auto& one : body) {
    const Flow flow = statement(*one, scope);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Evaluator::Flow Evaluator::statement(const Statement& node, const Scope& scope) {
  line = node.line;
  step();
  switch (node.kind) {
    case StatementKind::kOutput:
      for (const ExpressionPtr& part : node.expressions) print(evaluate(*part, scope));
      return Flow::kNormal;
    case StatementKind::kIf:
      for (const Branch& branch : node.branches) {
        if (branch.condition == nullptr || is_true(evaluate(*branch.condition, scope))) {
          return execute(branch.body, scope);
        }
      }
      return Flow::kNormal;
    case StatementKind::kSet: {
      const Value value = evaluate(*node.value, scope);
      assign(*node.targets.front(), value, scope);
      return Flow::kNormal;
    }
    case StatementKind::kFor:
      return for_loop(node, scope);
    case StatementKind::kSetBlock:
    case StatementKind::kFilterBlock:
    case StatementKind::kGeneration:
    case StatementKind::kWith:
      return block(node, scope);
    case StatementKind::kMacro:
      set(scope, node.function->id, macro(*node.function, scope));
      return Flow::kNormal;
    case StatementKind::kCallBlock: {
      const Value caller = macro(*node.function, scope);
      print(call_expression(*node.value, scope, &caller));
      return Flow::kNormal;
    }
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

void Evaluator::print(const Value& value) {
  std::string storage;
  write(*out_, str_view(*this, value, storage));
}

Evaluator::Flow Evaluator::block(const Statement& node, const Scope& outer) {
  const Scope scope = inner(outer);
  const Ending<Frame> ending(*scope);
  if (node.kind == StatementKind::kWith || node.kind == StatementKind::kGeneration) {
    // The values belong to the scope around, whose names the block may hide.
    for (size_t i = 0; i < node.targets.size(); ++i) {
      assign(*node.targets[i], evaluate(*node.expressions[i], outer), scope);
    }
    return execute(node.body, scope);
  }
  Value content;
  {
    Buffer buffer(*this);
    const Flow flow = execute(node.body, scope);
    if (flow != Flow::kNormal) return flow;
    content = buffer.take();
  }
  if (node.value != nullptr) content = apply_filters(*node.value, content, scope);
  if (node.kind == StatementKind::kFilterBlock) {
    print(content);
  } else {
    assign(*node.targets.front(), content, outer);
  }
  return Flow::kNormal;
}

Value Evaluator::apply_filters(const Expression& node, const Value& content, const Scope& scope) {
  const Value value =
      node.items[0] == nullptr ? content : apply_filters(*node.items[0], content, scope);
  return filtered(node, value, scope);
}

Evaluator::Flow Evaluator::for_loop(const Statement& node, const Scope& outer) {
  const Value source = evaluate(*node.value, outer);
  auto object = std::make_shared<Loop>();
  Loop& loop = *object;
  loop.code = &node;
  loop.closure = outer;
  loop.items = iterate(source);
  loop.depth = source.depth() + 1;
  const auto size_bytes = static_cast<int64_t>(loop.items.capacity() * sizeof(Value));
  const Value held(Kind::kLoop, make(std::move(object), 256 + size_bytes));
  const Ending<Loop> loop_ending(loop);
  const Scope scope = inner(outer);
  const Ending<Frame> ending(*scope);
  bool completed = false;
  for (Value item; loop.fetch(*this, item);) {
    ++loop.index0;
    loop.before = std::exchange(loop.current, item);
    scope->clear();
    set(scope, kLoopName, held);
    assign(*node.targets.front(), item, scope);
    const Flow flow = execute(node.body, scope);
    if (flow == Flow::kBreak) {
      // A generator keeps what the loop did not read.
      if (source.is(Kind::kIterator) && !loop.filtered) {
        source.as<Iterator>().next -= loop.items.size() - loop.next;
      }
      break;
    }
    // jinja2 runs `else` unless a body ran to its end: after nothing but `continue` it does.
    completed = completed || flow == Flow::kNormal;
    line = node.line;
  }
  if (completed || node.otherwise.empty()) return Flow::kNormal;
  const Scope other = inner(outer);
  const Ending<Frame> other_ending(*other);
  return execute(node.otherwise, other);
}

bool Evaluator::keeps(const Loop& loop, const Value& item) {
  const Scope scope = inner(loop.closure);
  const Ending<Frame> ending(*scope);
  assign(*loop.code->targets.front(), item, scope);
  return is_true(evaluate(*loop.code->filter, scope));
}

}  // namespace prune::jinja
