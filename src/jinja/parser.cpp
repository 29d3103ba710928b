#include "parser.h"

#include <fmt/format.h>
#include <prune/core/printable.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <set>
#include <unordered_map>
#include <utility>

#include "builtins.h"
#include "lexer.h"

namespace prune::jinja {
namespace {

using Names = std::initializer_list<std::string_view>;

class Parser {
 public:
  Parser(Program& program, std::string_view source, int64_t depth)
      : program_(program),
        name_(program.name),
        tokens_(tokenize(name_, source)),
        depth_limit_(depth) {
    for (const char* const name : {"loop", "caller", "kwargs", "varargs"}) id_of(name);
  }

  void run() {
    program_.body = statements({});
    if (!unknown_.empty()) error(unknown_.front().second, unknown_.front().first);
  }

 private:
  /// Counts nested calls of this parser.
  class Level {
   public:
    explicit Level(Parser& parser) : parser_(parser) { parser.check_depth(++parser.depth_); }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    ~Level() { --parser_.depth_; }

   private:
    Parser& parser_;
  };

  void check_depth(int64_t depth) const {
    if (depth > depth_limit_) error("nested constructs exceed the limit of depth");
  }

  [[noreturn]] void error(const std::string& message, int line = 0) const {
    throw_at(name_, line == 0 ? current().line : line, message);
  }

  // ---- names

  /// Where a construct stands.
  struct Place {
    bool is_inner = false;   ///< in a scope of its own
    bool in_branch = false;  ///< of an `if` of the same scope
    bool in_loop = false;    ///< `break` and `continue` are allowed
    bool in_for = false;     ///< also in a macro of a loop
  };

  int id_of(const std::string& name) {
    const auto [at, is_new] = ids_.emplace(name, static_cast<int>(ids_.size()));
    if (is_new) program_.names.push_back(name);
    return at->second;
  }

  int load(const std::string& name) {
    const int id = id_of(name);
    if (!place_.is_inner) mentioned_.insert(id);
    for (FunctionCode* const function : functions_) {
      if (id == kCallerName) function->uses_caller = true;
      if (id == kKwargsName) function->uses_kwargs = true;
      if (id == kVarargsName) function->uses_varargs = true;
    }
    return id;
  }

  /// jinja2 hides a variable of the context from the start on where the template assigns it before it reads it.
  void store(int id) {
    if (place_.is_inner) return;
    if (mentioned_.insert(id).second && !place_.in_branch) program_.hidden.push_back(id);
  }
  void store(const Expression& target) {
    if (target.kind == ExpressionKind::kName) store(target.id);
    for (const ExpressionPtr& item : target.items) store(*item);
  }

  template <class Parse>
  auto at_place(const Place& place, Parse parse) {
    const Place outer = std::exchange(place_, place);
    auto result = parse();
    place_ = outer;
    return result;
  }
  /// A block with a scope of its own.
  Body inner_block(std::string_view end) {
    return at_place({true, false, place_.in_loop, place_.in_for},
                    [&] { return closed_block(end); });
  }
  /// The body of a function, where no loop around it can be left.
  Body function_block(std::string_view end, FunctionCode* function) {
    if (function != nullptr) functions_.push_back(function);
    Body body = at_place({true, false, false, place_.in_for}, [&] { return closed_block(end); });
    if (function != nullptr) functions_.pop_back();
    return body;
  }

  // ---- tokens

  const Token& current() const { return tokens_[at_]; }
  const Token& following() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& next() {
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool is(std::string_view symbol) const { return current().is_operator(symbol); }
  bool is_name(std::string_view name) const { return current().is_name(name); }
  bool is_one_of(Names names) const {
    return std::any_of(names.begin(), names.end(), [&](auto name) { return is_name(name); });
  }
  bool skip(std::string_view symbol) {
    const bool found = is(symbol);
    if (found) next();
    return found;
  }
  bool skip_name(std::string_view name) {
    const bool found = is_name(name);
    if (found) next();
    return found;
  }
  std::string shown() const {
    const Token& token = current();
    switch (token.type) {
      case TokenType::kEnd:
        return "the end of the template";
      case TokenType::kBlockEnd:
        return "the end of the block";
      case TokenType::kVariableEnd:
        return "the end of the print statement";
      default:
        return fmt::format("'{}'", printable(token.text));
    }
  }
  [[noreturn]] void expected(std::string_view what) const {
    error(fmt::format("expected {}, got {}", what, shown()));
  }
  void expect(std::string_view symbol) {
    if (!skip(symbol)) expected(fmt::format("'{}'", symbol));
  }
  void expect_name(std::string_view name) {
    if (!skip_name(name)) expected(fmt::format("'{}'", name));
  }
  const Token& expect_name() {
    if (current().type != TokenType::kName) expected("a name");
    return next();
  }
  void expect_block_end() {
    if (current().type != TokenType::kBlockEnd) expected("the end of the block");
    next();
  }

  // ---- nodes

  ExpressionPtr make(ExpressionKind kind, int line, std::string name = "") {
    auto node = std::make_unique<Expression>();
    node->kind = kind;
    node->line = line;
    node->name = std::move(name);
    return node;
  }
  /// Adds a part; null is allowed. Chains (a.b.c, a + b + c) nest as well as brackets do.
  void add(Expression& node, ExpressionPtr part) {
    deepen(node, part.get());
    node.items.push_back(std::move(part));
  }
  void deepen(Expression& node, const Expression* part) {
    if (part == nullptr) return;
    node.depth = std::max(node.depth, part->depth + 1);
    check_depth(node.depth);
  }
  ExpressionPtr binary(ExpressionKind kind, int line, std::string name, ExpressionPtr left,
                       ExpressionPtr right) {
    ExpressionPtr node = make(kind, line, std::move(name));
    add(*node, std::move(left));
    add(*node, std::move(right));
    return node;
  }
  ExpressionPtr constant(Value value, int line) {
    ExpressionPtr node = make(ExpressionKind::kConstant, line);
    node->constant = std::move(value);
    return node;
  }
  ExpressionPtr text_constant(std::string text, int line) {
    return constant(Value(Kind::kString, std::make_shared<String>(std::move(text))), line);
  }
  std::unique_ptr<Statement> make(StatementKind kind, int line) {
    auto statement = std::make_unique<Statement>();
    statement->kind = kind;
    statement->line = line;
    return statement;
  }

  // ---- statements

  /// Up to a tag named in `ends`, which becomes the current token; at the top level to the end.
  Body statements(Names ends) {
    const Level level(*this);
    Body body;
    const auto output = [&]() -> Statement& {
      if (body.empty() || body.back()->kind != StatementKind::kOutput) {
        body.push_back(make(StatementKind::kOutput, current().line));
      }
      return *body.back();
    };
    while (current().type != TokenType::kEnd) {
      if (current().type == TokenType::kData) {
        Statement& print = output();
        print.expressions.push_back(text_constant(current().text, current().line));
        next();
      } else if (current().type == TokenType::kVariableBegin) {
        next();
        ExpressionPtr printed = tuple(true);
        if (current().type != TokenType::kVariableEnd) expected("the end of the print statement");
        next();
        output().expressions.push_back(std::move(printed));
      } else {
        const Token& begin = next();
        if (begin.type != TokenType::kBlockBegin) error("unexpected " + shown(), begin.line);
        if (is_one_of(ends)) return body;
        body.push_back(statement());
        expect_block_end();
      }
    }
    if (ends.size() > 0) {
      error(fmt::format("the template ends inside a block: expected '{}'", *ends.begin()));
    }
    return body;
  }

  /// The body of a block, from the end of its tag on.
  Body block(Names ends) {
    skip(":");
    expect_block_end();
    return statements(ends);
  }
  Body closed_block(std::string_view end) {
    Body body = block({end});
    next();
    return body;
  }

  std::unique_ptr<Statement> statement() {
    const Token& token = current();
    if (token.type != TokenType::kName) expected("the name of a tag");
    const int line = token.line;
    const std::string& tag = token.text;
    if (tag == "for") return for_loop(line);
    if (tag == "if") return if_chain(line);
    if (tag == "set") return set(line);
    if (tag == "macro") return macro(line);
    if (tag == "call") return call_block(line);
    if (tag == "filter") return filter_block(line);
    if (tag == "with") return with(line);
    if (tag == "break" || tag == "continue") {
      next();
      if (!place_.in_loop) error("break and continue are allowed inside a loop only", line);
      return make(tag == "break" ? StatementKind::kBreak : StatementKind::kContinue, line);
    }
    if (tag == "generation") {
      next();
      auto result = make(StatementKind::kGeneration, line);
      result->body = function_block("endgeneration", nullptr);
      return result;
    }
    error(fmt::format("tag '{}' is not supported", printable(tag)));
  }

  std::unique_ptr<Statement> for_loop(int line) {
    next();
    auto loop = make(StatementKind::kFor, line);
    const Place outer = place_;
    place_.in_for = true;
    loop->targets.push_back(target("in"));
    place_ = outer;
    expect_name("in");
    loop->value = tuple(false, "recursive");
    const Place inner{true, false, true, true};
    if (skip_name("if")) loop->filter = at_place(inner, [&] { return expression(); });
    if (is_name("recursive")) error("recursive loops are not supported");
    loop->body = at_place(inner, [&] { return block({"endfor", "else"}); });
    if (next().text != "endfor") {
      loop->otherwise =
          at_place({true, false, outer.in_loop, true}, [&] { return closed_block("endfor"); });
    }
    return loop;
  }

  std::unique_ptr<Statement> if_chain(int line) {
    auto chain = make(StatementKind::kIf, line);
    next();
    Place place = place_;
    place.in_branch = true;
    return at_place(place, [&] {
      for (;;) {
        Branch branch;
        branch.condition = tuple(false);
        branch.body = block({"elif", "else", "endif"});
        chain->branches.push_back(std::move(branch));
        const std::string end = next().text;
        if (end == "else") chain->branches.push_back({nullptr, closed_block("endif")});
        if (end != "elif") return std::move(chain);
      }
    });
  }

  std::unique_ptr<Statement> set(int line) {
    next();
    auto result = make(StatementKind::kSet, line);
    result->targets.push_back(target("", true));
    if (skip("=")) {
      result->value = tuple(true);
    } else {
      result->kind = StatementKind::kSetBlock;
      result->value = at_place({true}, [&] { return filters(nullptr, false); });
      result->body = inner_block("endset");
    }
    store(*result->targets.front());
    return result;
  }

  std::unique_ptr<Statement> with(int line) {
    next();
    auto result = make(StatementKind::kWith, line);
    while (current().type != TokenType::kBlockEnd && current().type != TokenType::kEnd) {
      if (!result->targets.empty()) expect(",");
      result->targets.push_back(target());
      expect("=");
      result->expressions.push_back(expression());
    }
    result->body = inner_block("endwith");
    return result;
  }

  std::unique_ptr<Statement> macro(int line) {
    next();
    auto result = make(StatementKind::kMacro, line);
    result->function = std::make_unique<FunctionCode>();
    const ExpressionPtr name = name_target();
    result->function->name = name->name;
    result->function->id = name->id;
    store(name->id);
    signature(*result->function);
    function_body(*result, "endmacro");
    return result;
  }

  std::unique_ptr<Statement> call_block(int line) {
    next();
    auto result = make(StatementKind::kCallBlock, line);
    result->function = std::make_unique<FunctionCode>();
    if (is("(")) signature(*result->function);
    result->value = expression();
    if (result->value->kind != ExpressionKind::kCall) error("expected a call", line);
    function_body(*result, "endcall");
    return result;
  }

  std::unique_ptr<Statement> filter_block(int line) {
    next();
    auto result = make(StatementKind::kFilterBlock, line);
    result->value = filters(nullptr, true);
    result->body = inner_block("endfilter");
    return result;
  }

  void function_body(Statement& node, std::string_view end) {
    FunctionCode& code = *node.function;
    node.body = function_block(end, &code);
    code.body = &node.body;
    for (size_t i = 0; i < code.parameters.size(); ++i) {
      const int id = code.parameters[i]->id;
      if (id == kCallerName && code.uses_caller &&
          i + code.defaults.size() < code.parameters.size()) {
        error("the parameter 'caller' must be omitted or have a default", node.line);
      }
      if (id == kCallerName) code.uses_caller = false;
      if (id == kKwargsName) code.uses_kwargs = false;
      if (id == kVarargsName) code.uses_varargs = false;
    }
  }

  void signature(FunctionCode& function) {
    std::set<std::string> names;
    expect("(");
    while (!is(")")) {
      if (!function.parameters.empty()) expect(",");
      function.parameters.push_back(name_target());
      const std::string& name = function.parameters.back()->name;
      if (!names.insert(name).second)
        error(fmt::format("duplicate parameter '{}'", printable(name)));
      if (skip("=")) {
        function.defaults.push_back(at_place({true}, [&] { return expression(); }));
      } else if (!function.defaults.empty()) {
        error("non-default argument follows default argument");
      }
    }
    expect(")");
  }

  // ---- targets of assignments

  ExpressionPtr name_target() {
    const Token& token = expect_name();
    if (is_constant(token.text)) error("cannot assign to this expression", token.line);
    ExpressionPtr node = make(ExpressionKind::kName, token.line, token.text);
    node->id = id_of(token.text);
    return node;
  }

  ExpressionPtr target(std::string_view end = "", bool with_namespace = false) {
    in_target_ = true;
    ExpressionPtr node = sequence(
        end, [&] { return primary(with_namespace); }, false);
    in_target_ = false;
    check_target(*node);
    return node;
  }

  void check_target(const Expression& node) const {
    const bool is_name = node.kind == ExpressionKind::kName;
    const bool is_attribute = node.kind == ExpressionKind::kAttribute && !node.attribute.empty();
    if (!is_name && !is_attribute && node.kind != ExpressionKind::kTuple) {
      error("cannot assign to this expression", node.line);
    }
    if (is_name && node.id == kLoopName && place_.in_for) {
      error("cannot assign to the special variable 'loop' inside a loop", node.line);
    }
    for (const ExpressionPtr& item : node.items) check_target(*item);
  }

  // ---- expressions

  ExpressionPtr expression(bool with_condition = true) {
    const Level level(*this);
    return with_condition ? condition() : or_chain();
  }

  ExpressionPtr condition() {
    const int line = current().line;
    const size_t known = unknown_.size();
    ExpressionPtr value = or_chain();
    while (skip_name("if")) {
      ExpressionPtr node = make(ExpressionKind::kCondition, line);
      add(*node, or_chain());
      add(*node, std::move(value));
      add(*node, skip_name("else") ? expression() : nullptr);
      value = std::move(node);
      // The parts of a condition may name filters that are not supported, as long as they are not used.
      unknown_.resize(known);
    }
    return value;
  }

  ExpressionPtr or_chain() {
    ExpressionPtr left = and_chain();
    while (is_name("or")) {
      const int line = next().line;
      left = binary(ExpressionKind::kOr, line, "or", std::move(left), and_chain());
    }
    return left;
  }

  ExpressionPtr and_chain() {
    ExpressionPtr left = negation();
    while (is_name("and")) {
      const int line = next().line;
      left = binary(ExpressionKind::kAnd, line, "and", std::move(left), negation());
    }
    return left;
  }

  ExpressionPtr negation() {
    if (!is_name("not")) return comparison();
    const Level level(*this);
    ExpressionPtr node = make(ExpressionKind::kNot, next().line);
    add(*node, negation());
    return node;
  }

  ExpressionPtr comparison() {
    const int line = current().line;
    ExpressionPtr first = sum();
    ExpressionPtr node;
    for (;;) {
      std::string symbol;
      if (is("==") || is("!=") || is("<") || is("<=") || is(">") || is(">=") || is_name("in")) {
        symbol = next().text;
      } else if (is_name("not") && following().is_name("in")) {
        next();
        next();
        symbol = "not in";
      } else {
        return node != nullptr ? std::move(node) : std::move(first);
      }
      if (node == nullptr) {
        node = make(ExpressionKind::kCompare, line);
        add(*node, std::move(first));
      }
      node->operators.push_back(symbol);
      add(*node, sum());
    }
  }

  ExpressionPtr sum() {
    ExpressionPtr left = concatenation();
    while (is("+") || is("-")) {
      const Token& symbol = next();
      left = binary(ExpressionKind::kBinary, symbol.line, symbol.text, std::move(left),
                    concatenation());
    }
    return left;
  }

  ExpressionPtr concatenation() {
    ExpressionPtr first = product();
    if (!is("~")) return first;
    ExpressionPtr node = make(ExpressionKind::kConcat, current().line);
    add(*node, std::move(first));
    while (skip("~")) add(*node, product());
    return node;
  }

  ExpressionPtr product() {
    ExpressionPtr left = power();
    while (is("*") || is("/") || is("//") || is("%")) {
      const Token& symbol = next();
      left = binary(ExpressionKind::kBinary, symbol.line, symbol.text, std::move(left), power());
    }
    return left;
  }

  ExpressionPtr power() {
    // Left to right, as jinja2 parses it. The code that jinja2 makes of it is in brackets too.
    ExpressionPtr left = unary(true);
    while (is("**")) {
      const int line = next().line;
      left = binary(ExpressionKind::kBinary, line, "**", std::move(left), unary(true));
    }
    return left;
  }

  ExpressionPtr unary(bool with_filters) {
    ExpressionPtr node;
    if (is("-") || is("+")) {
      const Level level(*this);
      const Token& symbol = next();
      node = make(ExpressionKind::kUnary, symbol.line, symbol.text);
      add(*node, unary(false));
    } else {
      node = primary(false);
    }
    node = postfix(std::move(node));
    return with_filters ? filters_and_tests(std::move(node)) : std::move(node);
  }

  ExpressionPtr primary(bool with_namespace) {
    const Level level(*this);
    const Token& token = current();
    switch (token.type) {
      case TokenType::kName:
        next();
        return name_or_keyword(token, with_namespace);
      case TokenType::kString: {
        std::string text;
        while (current().type == TokenType::kString) text += next().text;
        return text_constant(std::move(text), token.line);
      }
      case TokenType::kInteger:
        next();
        return constant(Value::of(token.integer), token.line);
      case TokenType::kFloat:
        next();
        return constant(Value::of(token.number), token.line);
      default:
        break;
    }
    if (skip("(")) {
      ExpressionPtr node = sequence(
          "", [&] { return expression(); }, true);
      expect(")");
      return node;
    }
    if (is("[")) return list();
    if (is("{")) return dict();
    error("unexpected " + shown());
  }

  static bool is_constant(std::string_view name) {
    constexpr std::array<std::string_view, 6> kNames = {"true",  "True", "false",
                                                        "False", "none", "None"};
    return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
  }

  ExpressionPtr name_or_keyword(const Token& token, bool with_namespace) {
    const std::string& name = token.text;
    if (is_constant(name)) {
      const char first = static_cast<char>(name.front() | 0x20);
      return constant(first == 'n' ? Value::none() : Value::of(first == 't'), token.line);
    }
    if (with_namespace && skip(".")) {
      ExpressionPtr node = make(ExpressionKind::kAttribute, token.line, name);
      node->id = load(name);
      node->attribute = expect_name().text;
      return node;
    }
    ExpressionPtr node = make(ExpressionKind::kName, token.line, name);
    node->id = in_target_ ? id_of(name) : load(name);
    return node;
  }

  /// One expression, or a tuple of several.
  /// @param with_condition  whether `a if b` is allowed
  ExpressionPtr tuple(bool with_condition, std::string_view end = "") {
    return sequence(
        end, [&] { return expression(with_condition); }, false);
  }

  template <class Parse>
  ExpressionPtr sequence(std::string_view end, Parse parse, bool may_be_empty) {
    const int line = current().line;
    ExpressionPtr node = make(ExpressionKind::kTuple, line);
    bool is_tuple = false;
    for (;;) {
      if (!node->items.empty()) expect(",");
      if (current().type == TokenType::kVariableEnd || current().type == TokenType::kBlockEnd ||
          is(")") || (!end.empty() && is_name(end))) {
        break;
      }
      add(*node, parse());
      if (!is(",")) break;
      is_tuple = true;
    }
    if (is_tuple) return node;
    if (!node->items.empty()) return std::move(node->items.front());
    if (!may_be_empty) expected("an expression");
    return node;
  }

  ExpressionPtr list() {
    ExpressionPtr node = make(ExpressionKind::kList, next().line);
    while (!is("]")) {
      if (!node->items.empty()) expect(",");
      if (is("]")) break;
      add(*node, expression());
    }
    expect("]");
    return node;
  }

  ExpressionPtr dict() {
    ExpressionPtr node = make(ExpressionKind::kDict, next().line);
    while (!is("}")) {
      if (!node->items.empty()) expect(",");
      if (is("}")) break;
      add(*node, expression());
      expect(":");
      add(*node, expression());
    }
    expect("}");
    return node;
  }

  ExpressionPtr postfix(ExpressionPtr node) {
    for (;;) {
      if (is(".") || is("[")) {
        node = subscript(std::move(node));
      } else if (is("(")) {
        node = call(std::move(node));
      } else {
        return node;
      }
    }
  }

  ExpressionPtr filters_and_tests(ExpressionPtr node) {
    for (;;) {
      if (is("|")) {
        node = filters(std::move(node), false);
      } else if (is_name("is")) {
        node = test(std::move(node));
      } else if (is("(")) {
        node = call(std::move(node));
      } else {
        return node;
      }
    }
  }

  ExpressionPtr subscript(ExpressionPtr object) {
    const Token& token = next();
    if (token.text == ".") {
      const Token& attribute = next();
      if (attribute.type == TokenType::kName) {
        ExpressionPtr node = make(ExpressionKind::kAttribute, token.line, attribute.text);
        add(*node, std::move(object));
        return node;
      }
      if (attribute.type != TokenType::kInteger) error("expected a name or number", attribute.line);
      return binary(ExpressionKind::kItem, token.line, "", std::move(object),
                    constant(Value::of(attribute.integer), attribute.line));
    }
    ExpressionPtr node = make(ExpressionKind::kItem, token.line);
    add(*node, std::move(object));
    const auto part = [&] { return is(":") || is("]") ? nullptr : expression(); };
    add(*node, part());
    if (skip(":")) {
      node->kind = ExpressionKind::kSlice;
      add(*node, part());
      add(*node, skip(":") ? part() : nullptr);
    } else if (node->items.back() == nullptr) {
      expected("an expression");
    }
    if (is(",")) error("subscripts of several dimensions are not supported");
    expect("]");
    return node;
  }

  ExpressionPtr call(ExpressionPtr callee) {
    ExpressionPtr node = make(ExpressionKind::kCall, current().line);
    add(*node, std::move(callee));
    arguments(*node);
    return node;
  }

  void arguments(Expression& node) {
    const int line = current().line;
    CallArguments& given = node.arguments;
    const auto ensure = [&](bool holds) {
      if (!holds) error("invalid syntax for function call expression", line);
    };
    const auto deep = [&](ExpressionPtr part) {
      deepen(node, part.get());
      return part;
    };
    expect("(");
    bool first = true;
    while (!is(")")) {
      if (!first) expect(",");
      if (is(")")) break;
      first = false;
      if (skip("*")) {
        ensure(given.unpacked == nullptr && given.unpacked_named == nullptr);
        given.unpacked = deep(expression());
      } else if (skip("**")) {
        ensure(given.unpacked_named == nullptr);
        given.unpacked_named = deep(expression());
      } else if (current().type == TokenType::kName && following().is_operator("=")) {
        ensure(given.unpacked_named == nullptr);
        const std::string name = next().text;
        next();
        for (const auto& [other, value] : given.named) {
          if (other == name) error(fmt::format("keyword argument repeated: {}", printable(name)));
        }
        given.named.emplace_back(name, deep(expression()));
      } else {
        ensure(given.unpacked == nullptr && given.unpacked_named == nullptr && given.named.empty());
        given.positional.push_back(deep(expression()));
      }
    }
    expect(")");
  }

  void note_unknown(std::string_view kind, const Expression& node, bool is_known) {
    if (is_known || place_.in_branch) return;
    unknown_.emplace_back(node.line,
                          fmt::format("{} '{}' is not supported", kind, printable(node.name)));
  }

  std::string dotted_name() {
    std::string name = expect_name().text;
    while (skip(".")) name += "." + expect_name().text;
    return name;
  }

  /// @param at_name  whether the first filter comes without "|"
  ExpressionPtr filters(ExpressionPtr value, bool at_name) {
    while (at_name || is("|")) {
      if (!at_name) next();
      at_name = false;
      ExpressionPtr node = make(ExpressionKind::kFilter, current().line);
      node->name = dotted_name();
      note_unknown("filter", *node, is_filter(node->name));
      add(*node, std::move(value));
      if (is("(")) arguments(*node);
      value = std::move(node);
    }
    return value;
  }

  ExpressionPtr test(ExpressionPtr value) {
    const int line = next().line;
    const bool negated = skip_name("not");
    ExpressionPtr node = make(ExpressionKind::kTest, line);
    node->name = dotted_name();
    note_unknown("test", *node, is_test(node->name));
    add(*node, std::move(value));
    const TokenType type = current().type;
    if (is("(")) {
      arguments(*node);
    } else if ((type == TokenType::kName || type == TokenType::kString ||
                type == TokenType::kInteger || type == TokenType::kFloat || is("[") || is("{")) &&
               !is_one_of({"else", "or", "and"})) {
      if (is_name("is")) error("You cannot chain multiple tests with is");
      ExpressionPtr argument = postfix(primary(false));
      deepen(*node, argument.get());
      node->arguments.positional.push_back(std::move(argument));
    }
    if (!negated) return node;
    ExpressionPtr negative = make(ExpressionKind::kNot, line);
    add(*negative, std::move(node));
    return negative;
  }

  Program& program_;
  const std::string& name_;
  const std::vector<Token> tokens_;
  const int64_t depth_limit_;
  size_t at_ = 0;
  int64_t depth_ = 0;
  std::unordered_map<std::string, int> ids_;
  std::set<int> mentioned_;  ///< names of the outermost scope
  Place place_;
  bool in_target_ = false;
  std::vector<FunctionCode*> functions_;              ///< whose bodies are open
  std::vector<std::pair<int, std::string>> unknown_;  ///< lines and errors, known at the end only
};

}  // namespace

void parse(Program& program, std::string_view source, int64_t depth) {
  Parser(program, source, depth).run();
}

}  // namespace prune::jinja
