#include "scope.h"

#include <fmt/format.h>
#include <prune/core/printable.h>

#include <map>
#include <optional>
#include <set>
#include <string>

#include "builtins.h"
#include "lexer.h"

namespace prune::jinja {
namespace {

using Use = Expression::Use;

/// Calls `visit` for the parts of an expression in jinja2's order.
template <class Visit>
void for_each_part(const Expression& node, Visit visit) {
  for (const ExpressionPtr& item : node.items) {
    if (item != nullptr) visit(*item);
  }
  for (const ExpressionPtr& argument : node.arguments.positional) visit(*argument);
  for (const auto& [name, argument] : node.arguments.named) visit(*argument);
  if (node.arguments.unpacked != nullptr) visit(*node.arguments.unpacked);
  if (node.arguments.unpacked_named != nullptr) visit(*node.arguments.unpacked_named);
}

/// Visits every expression of a statement and then the bodies in it, nested functions included.
template <class Visit>
void for_each_expression(const Body& body, const Visit& visit);

template <class Visit>
void for_each_expression(const Statement& statement, const Visit& visit) {
  const auto each = [&](const std::vector<ExpressionPtr>& all) {
    for (const ExpressionPtr& one : all) visit(*one);
  };
  if (statement.kind == StatementKind::kCallBlock) visit(*statement.value);
  if (statement.function != nullptr) {
    each(statement.function->parameters);
    each(statement.function->defaults);
  }
  each(statement.targets);
  if (statement.value != nullptr && statement.kind != StatementKind::kCallBlock) {
    visit(*statement.value);
  }
  each(statement.expressions);
  for (const Branch& branch : statement.branches) {
    if (branch.condition != nullptr) visit(*branch.condition);
    for_each_expression(branch.body, visit);
  }
  for_each_expression(statement.body, visit);
  for_each_expression(statement.otherwise, visit);
  if (statement.filter != nullptr) visit(*statement.filter);
}

template <class Visit>
void for_each_expression(const Body& body, const Visit& visit) {
  for (const auto& statement : body) for_each_expression(*statement, visit);
}

/// Which of the names a body reads before anything is stored under them.
class Undeclared {
 public:
  explicit Undeclared(std::set<std::string> names) : names_(std::move(names)) {}

  std::set<std::string> in(const Body& body) {
    for_each_expression(body, [&](const Expression& node) { visit(node); });
    return found_;
  }

 private:
  void visit(const Expression& node) {
    if (node.kind == ExpressionKind::kName) {
      if (node.use != Use::kLoad) {
        names_.erase(node.name);
      } else if (names_.contains(node.name)) {
        found_.insert(node.name);
      }
    }
    for_each_part(node, [&](const Expression& part) { visit(part); });
  }

  std::set<std::string> names_;
  std::set<std::string> found_;
};

/// The slots of one function.
struct FunctionScope {
  const FunctionScope* outer = nullptr;
  std::map<std::string, int> slots;
  int slot(const std::string& ident) {
    return slots.emplace(ident, static_cast<int>(slots.size())).first->second;
  }
};

/// The names of one scope (class Symbols of idtracking.py).
struct Symbols {
  struct Load {
    enum class From { kParameter, kContext, kAlias, kNothing } from;
    std::string name;
  };

  Symbols* parent = nullptr;
  int level = 0;
  FunctionScope* function = nullptr;
  std::map<std::string, std::string> refs;  ///< name -> identifier
  std::map<std::string, Load> loads;        ///< by identifier
  std::set<std::string> stores;

  const std::string* find(const std::string& name) const {
    for (const Symbols* at = this; at != nullptr; at = at->parent) {
      const auto found = at->refs.find(name);
      if (found != at->refs.end()) return &found->second;
    }
    return nullptr;
  }
  const std::string& define(const std::string& name, Load load) {
    const std::string ident = fmt::format("{}:{}", level, name);
    loads[ident] = std::move(load);
    return refs[name] = ident;
  }
  void store(const std::string& name) {
    stores.insert(name);
    if (refs.contains(name)) return;
    const std::string* outer = parent == nullptr ? nullptr : parent->find(name);
    if (outer != nullptr) {
      define(name, {Load::From::kAlias, *outer});
    } else {
      define(name, {Load::From::kNothing, ""});
    }
  }
  const std::string& declare(const std::string& name) {
    stores.insert(name);
    return define(name, {Load::From::kParameter, ""});
  }
  void load(const std::string& name) {
    if (find(name) == nullptr) define(name, {Load::From::kContext, name});
  }
  /// Takes over what the branches of an `if` store.
  void merge(const std::vector<Symbols>& branches) {
    std::set<std::string> stored;
    for (const Symbols& branch : branches)
      stored.insert(branch.stores.begin(), branch.stores.end());
    for (const std::string& name : stores) stored.erase(name);
    for (const Symbols& branch : branches) {
      for (const auto& [name, ident] : branch.refs) refs[name] = ident;
      for (const auto& [ident, load] : branch.loads) loads[ident] = load;
      stores.insert(branch.stores.begin(), branch.stores.end());
    }
    for (const std::string& name : stored) {
      const std::string* outer = parent == nullptr ? nullptr : parent->find(name);
      const std::string ident = *find(name);
      loads[ident] =
          outer != nullptr ? Load{Load::From::kAlias, *outer} : Load{Load::From::kContext, name};
    }
  }
};

/// Counts the names that are copied for the branches of `if`: their number may grow with the square of the source.
class CopyBudget {
 public:
  explicit CopyBudget(const std::string& template_name) : template_name_(template_name) {}
  Symbols copy(const Symbols& symbols, int line) {
    copied_ += symbols.loads.size() + symbols.stores.size();
    if (copied_ > kMost) throw_at(template_name_, line, "the template exceeds the limit of names");
    return symbols;
  }

 private:
  static constexpr size_t kMost = 2'000'000;
  const std::string& template_name_;
  size_t copied_ = 0;
};

/// Finds the names of a scope; stops at inner scopes (class FrameSymbolVisitor).
class Finder {
 public:
  Finder(Symbols& symbols, CopyBudget& budget) : symbols_(&symbols), budget_(budget) {}

  void visit(const Expression& node, bool as_parameter = false) {
    if (node.kind == ExpressionKind::kName) {
      if (as_parameter || node.use == Use::kParameter) {
        symbols_->declare(node.name);
      } else if (node.use == Use::kStore) {
        symbols_->store(node.name);
      } else {
        symbols_->load(node.name);
      }
    } else if (node.kind == ExpressionKind::kAttribute && !node.attribute.empty()) {
      symbols_->load(node.name);
    }
    for_each_part(node, [&](const Expression& part) { visit(part, as_parameter); });
  }
  void visit(const std::vector<ExpressionPtr>& nodes) {
    for (const ExpressionPtr& node : nodes) visit(*node);
  }
  void visit(const Body& body) {
    for (const auto& statement : body) visit(*statement);
  }

  void visit(const Statement& statement) {
    switch (statement.kind) {
      case StatementKind::kOutput:
      case StatementKind::kWith:
        visit(statement.expressions);
        break;
      case StatementKind::kFor:
      case StatementKind::kCallBlock:
      case StatementKind::kFilterBlock:
        visit(*statement.value);
        break;
      case StatementKind::kSet:
        visit(*statement.value);
        visit(statement.targets);
        break;
      case StatementKind::kSetBlock:
        visit(statement.targets);
        break;
      case StatementKind::kMacro:
        symbols_->store(statement.function->name);
        break;
      case StatementKind::kIf:
        visit_if(statement, 0);
        break;
      case StatementKind::kGeneration:
      case StatementKind::kBreak:
      case StatementKind::kContinue:
        break;
    }
  }

 private:
  void visit_if(const Statement& statement, size_t first) {
    visit(*statement.branches[first].condition);
    Symbols* const original = symbols_;
    std::vector<Symbols> branches;
    const auto inner = [&](auto&& visit_parts) {
      Symbols copy = budget_.copy(*original, statement.line);
      symbols_ = &copy;
      visit_parts();
      symbols_ = original;
      branches.push_back(std::move(copy));
    };
    inner([&] { visit(statement.branches[first].body); });
    // jinja2 visits every elif in one copy of the scope, each as an `if` of its own.
    inner([&] {
      for (size_t i = first + 1; i < statement.branches.size(); ++i) {
        if (statement.branches[i].condition != nullptr)
          visit_elif(statement.branches[i], statement.line);
      }
    });
    inner([&] {
      if (statement.branches.back().condition == nullptr) visit(statement.branches.back().body);
    });
    original->merge(branches);
  }
  void visit_elif(const Branch& branch, int line) {
    visit(*branch.condition);
    Symbols* const original = symbols_;
    std::vector<Symbols> branches;
    for (int i = 0; i < 3; ++i) branches.push_back(budget_.copy(*original, line));
    symbols_ = &branches[0];
    visit(branch.body);
    symbols_ = original;
    original->merge(branches);
  }

  Symbols* symbols_;
  CopyBudget& budget_;
};

/// Walks the template as jinja2's CodeGenerator does and writes slots into the nodes.
class Resolver {
 public:
  explicit Resolver(Program& program) : program_(program), budget_(program.name) {}

  void run() {
    FunctionScope function;
    Symbols symbols;
    symbols.function = &function;
    Finder(symbols, budget_).visit(program_.body);
    program_.root.body = &program_.body;
    if (symbols.refs.contains("self") && !symbols.stores.contains("self")) {
      error(1, "the variable 'self' is not supported in chat templates");
    }
    Scope scope{&symbols, false, false};
    body(program_.body, scope);
    program_.root.starts = starts(symbols);
    program_.root.slots = static_cast<int>(function.slots.size());
  }

 private:
  struct Scope {
    Symbols* symbols;
    bool is_soft;  ///< inside `if`: unknown filters and tests are errors of their use only
    bool in_loop;  ///< `break` and `continue` are allowed
  };

  [[noreturn]] void error(int line, const std::string& message) const {
    throw_at(program_.name, line, message);
  }

  static Symbols inner(Symbols& parent, FunctionScope* function = nullptr) {
    Symbols symbols;
    symbols.parent = &parent;
    symbols.level = parent.level + 1;
    symbols.function = function != nullptr ? function : parent.function;
    return symbols;
  }

  /// The slot of an identifier as seen from a scope: identifiers of one level belong to one scope of its chain.
  static Variable variable(const Symbols& from, const std::string& ident) {
    const int level = std::stoi(ident);
    const Symbols* owner = &from;
    while (owner->level > level) owner = owner->parent;
    Variable result;
    for (const FunctionScope* at = from.function; at != owner->function; at = at->outer) {
      ++result.hops;
    }
    result.slot = owner->function->slot(ident);
    return result;
  }

  Variable variable_of(const Symbols& from, const std::string& name, int line) const {
    const std::string* ident = from.find(name);
    if (ident == nullptr) {
      error(line,
            fmt::format(
                "name '{}' is not known in the filter of a `set` block; jinja2 cannot compile this",
                printable(name)));
    }
    return variable(from, *ident);
  }

  static std::vector<SlotStart> starts(const Symbols& symbols) {
    std::vector<SlotStart> result;
    for (const auto& [ident, load] : symbols.loads) {
      if (load.from == Symbols::Load::From::kParameter) continue;
      SlotStart start{SlotStart::From::kNothing, variable(symbols, ident).slot, load.name, {}};
      if (load.from == Symbols::Load::From::kContext) start.from = SlotStart::From::kContext;
      if (load.from == Symbols::Load::From::kAlias) {
        start.from = SlotStart::From::kVariable;
        start.variable = variable(symbols, load.name);
      }
      result.push_back(std::move(start));
    }
    return result;
  }

  // ---- expressions

  void expression(Expression& node, const Scope& scope) {
    if (node.kind == ExpressionKind::kName ||
        (node.kind == ExpressionKind::kAttribute && !node.attribute.empty())) {
      node.variable = variable_of(*scope.symbols, node.name, node.line);
    }
    Scope parts = scope;
    parts.is_soft = scope.is_soft || node.kind == ExpressionKind::kCondition;
    if (!scope.is_soft) {
      if (node.kind == ExpressionKind::kFilter && !is_filter(node.name)) {
        error(node.line, fmt::format("filter '{}' is not supported", printable(node.name)));
      }
      if (node.kind == ExpressionKind::kTest && !is_test(node.name)) {
        error(node.line, fmt::format("test '{}' is not supported", printable(node.name)));
      }
    }
    for_each_part(
        node, [&](const Expression& part) { expression(const_cast<Expression&>(part), parts); });
  }
  void expressions(std::vector<ExpressionPtr>& nodes, const Scope& scope) {
    for (ExpressionPtr& node : nodes) expression(*node, scope);
  }

  // ---- statements

  void body(Body& statements, const Scope& scope) {
    for (auto& one : statements) statement(*one, scope);
  }

  void statement(Statement& node, const Scope& scope) {
    switch (node.kind) {
      case StatementKind::kOutput:
        return expressions(node.expressions, scope);
      case StatementKind::kSet:
        expressions(node.targets, scope);
        return expression(*node.value, scope);
      case StatementKind::kIf: {
        Scope soft = scope;
        soft.is_soft = true;
        for (Branch& branch : node.branches) {
          if (branch.condition != nullptr) expression(*branch.condition, soft);
          body(branch.body, soft);
        }
        return;
      }
      case StatementKind::kFor:
        return for_loop(node, scope);
      case StatementKind::kSetBlock:
      case StatementKind::kFilterBlock:
      case StatementKind::kWith:
        return block(node, scope);
      case StatementKind::kMacro:
        node.variable = variable_of(*scope.symbols, node.function->name, node.line);
        return macro(node, scope);
      case StatementKind::kCallBlock:
        expression(*node.value, scope);
        return macro(node, scope);
      case StatementKind::kGeneration:
        return macro(node, scope);
      case StatementKind::kBreak:
      case StatementKind::kContinue:
        if (!scope.in_loop) error(node.line, "break and continue are allowed inside a loop only");
        return;
    }
  }

  void block(Statement& node, const Scope& scope) {
    Symbols symbols = inner(*scope.symbols);
    Finder finder(symbols, budget_);
    if (node.kind == StatementKind::kWith) finder.visit(node.targets);
    finder.visit(node.body);
    if (node.kind == StatementKind::kFilterBlock) finder.visit(*node.value);
    const Scope inside{&symbols, false, scope.in_loop};
    body(node.body, inside);
    if (node.kind == StatementKind::kWith) {
      expressions(node.targets, inside);
      expressions(node.expressions, scope);
    } else {
      expressions(node.targets, scope);
      if (node.value != nullptr) expression(*node.value, inside);
    }
    node.starts = starts(symbols);
  }

  void for_loop(Statement& node, const Scope& scope) {
    const bool extended = node.is_recursive || !Undeclared({"loop"}).in(node.body).empty();
    FunctionScope function;
    function.outer = scope.symbols->function;
    FunctionScope* const own = node.is_recursive ? &function : nullptr;
    Symbols symbols = inner(*scope.symbols, own);
    if (extended) symbols.declare("loop");
    Finder finder(symbols, budget_);
    finder.visit(*node.targets.front(), true);
    finder.visit(node.body);
    refuse_loop_target(node);

    if (node.filter != nullptr) filter(node, scope);
    expression(*node.value, scope);
    const Scope inside{&symbols, false, true};
    expressions(node.targets, inside);
    if (extended) node.loop_slot = variable(symbols, *symbols.find("loop")).slot;
    body(node.body, inside);
    node.starts = starts(symbols);

    Symbols else_symbols = inner(*scope.symbols, own);
    Finder(else_symbols, budget_).visit(node.otherwise);
    body(node.otherwise, {&else_symbols, false, !node.is_recursive && scope.in_loop});
    node.otherwise_starts = starts(else_symbols);
    if (node.is_recursive) {
      node.function = std::make_unique<FunctionCode>();
      node.function->slots = static_cast<int>(function.slots.size());
    }
  }

  /// The condition of a loop runs in a function of its own, which sees the loop's targets.
  void filter(Statement& node, const Scope& scope) {
    FunctionScope function;
    function.outer = scope.symbols->function;
    Symbols symbols = inner(*scope.symbols, &function);
    Finder finder(symbols, budget_);
    finder.visit(*node.targets.front(), true);
    finder.visit(*node.filter);
    const Scope inside{&symbols, false, false};
    expression(*node.filter, inside);
    node.filter_function = std::make_unique<FunctionCode>();
    node.filter_function->parameters.push_back(copied(*node.targets.front(), symbols));
    node.filter_function->starts = starts(symbols);
    node.filter_function->slots = static_cast<int>(function.slots.size());
  }

  /// The target of a loop with the slots of another function.
  static ExpressionPtr copied(const Expression& node, const Symbols& symbols) {
    auto copy = std::make_unique<Expression>();
    copy->kind = node.kind;
    copy->line = node.line;
    copy->use = node.use;
    copy->name = node.name;
    if (node.kind == ExpressionKind::kName)
      copy->variable = variable(symbols, *symbols.find(node.name));
    for (const ExpressionPtr& item : node.items) copy->items.push_back(copied(*item, symbols));
    return copy;
  }

  void refuse_loop_target(const Statement& node) const {
    for_each_expression(node, [&](const Expression& part) { refuse_loop_target(part); });
  }
  void refuse_loop_target(const Expression& node) const {
    if (node.kind == ExpressionKind::kName && node.use == Use::kStore && node.name == "loop") {
      error(node.line, "cannot assign to the special variable 'loop' inside a loop");
    }
    for_each_part(node, [&](const Expression& part) { refuse_loop_target(part); });
  }

  void macro(Statement& node, const Scope& scope) {
    FunctionCode& code = *node.function;
    code.body = &node.body;
    FunctionScope function;
    function.outer = scope.symbols->function;
    Symbols symbols = inner(*scope.symbols, &function);
    const auto analyze = [&] {
      Finder finder(symbols, budget_);
      finder.visit(code.parameters);
      finder.visit(code.defaults);
      finder.visit(node.body);
    };
    analyze();
    const std::set<std::string> special = Undeclared({"caller", "kwargs", "varargs"}).in(node.body);
    const auto parameter = [&](const std::string& name) -> std::optional<size_t> {
      for (size_t i = 0; i < code.parameters.size(); ++i) {
        if (code.parameters[i]->name == name) return i;
      }
      return std::nullopt;
    };
    const auto declare = [&](const std::string& name) {
      return variable(symbols, symbols.declare(name)).slot;
    };
    if (special.contains("caller")) {
      const std::optional<size_t> own = parameter("caller");
      if (!own) {
        code.caller_slot = declare("caller");
      } else if (*own + code.defaults.size() < code.parameters.size()) {
        error(node.line, "the parameter 'caller' must be omitted or have a default");
      }
    }
    if (special.contains("kwargs") && !parameter("kwargs")) code.named_slot = declare("kwargs");
    if (special.contains("varargs") && !parameter("varargs")) code.rest_slot = declare("varargs");
    analyze();
    const Scope inside{&symbols, false, false};
    expressions(code.parameters, inside);
    expressions(code.defaults, inside);
    body(node.body, inside);
    code.starts = starts(symbols);
    code.slots = static_cast<int>(function.slots.size());
  }

  Program& program_;
  CopyBudget budget_;
};

}  // namespace

void resolve(Program& program) { Resolver(program).run(); }

}  // namespace prune::jinja
