#include "parser.h"

#include <fmt/format.h>
#include <prune/core/printable.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <set>

#include "lexer.h"

namespace prune::jinja {
namespace {

using Names = std::initializer_list<std::string_view>;

constexpr std::array<std::string_view, 6> kUnsupported = {"autoescape", "block",  "extends",
                                                          "from",       "import", "include"};

class Parser {
 public:
  Parser(const std::string& name, std::string_view source, int64_t depth)
      : name_(name), tokens_(tokenize(name, source)), depth_limit_(depth) {}

  Body template_body() { return statements({}); }

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
    if (tag == "print") return print(line);
    if (tag == "break" || tag == "continue") {
      next();
      return make(tag == "break" ? StatementKind::kBreak : StatementKind::kContinue, line);
    }
    if (tag == "generation") {
      next();
      auto result = make(StatementKind::kGeneration, line);
      result->function = std::make_unique<FunctionCode>();
      result->body = generation_body();
      return result;
    }
    if (std::find(kUnsupported.begin(), kUnsupported.end(), tag) != kUnsupported.end()) {
      error(fmt::format("tag '{}' is not supported in chat templates", tag));
    }
    error(fmt::format("unknown tag '{}'", printable(tag)));
  }

  Body generation_body() { return closed_block("endgeneration"); }

  std::unique_ptr<Statement> for_loop(int line) {
    next();
    auto loop = make(StatementKind::kFor, line);
    loop->targets.push_back(target("in"));
    expect_name("in");
    loop->value = tuple(false, "recursive");
    if (skip_name("if")) loop->filter = expression();
    loop->is_recursive = skip_name("recursive");
    loop->body = block({"endfor", "else"});
    if (next().text != "endfor") loop->otherwise = closed_block("endfor");
    return loop;
  }

  std::unique_ptr<Statement> if_chain(int line) {
    auto chain = make(StatementKind::kIf, line);
    next();
    for (;;) {
      Branch branch;
      branch.condition = tuple(false);
      branch.body = block({"elif", "else", "endif"});
      chain->branches.push_back(std::move(branch));
      const std::string end = next().text;
      if (end == "endif") return chain;
      if (end == "else") {
        chain->branches.push_back({nullptr, closed_block("endif")});
        return chain;
      }
    }
  }

  std::unique_ptr<Statement> set(int line) {
    next();
    auto result = make(StatementKind::kSet, line);
    result->targets.push_back(target("", true));
    if (skip("=")) {
      result->value = tuple(true);
      return result;
    }
    result->kind = StatementKind::kSetBlock;
    result->value = filters(nullptr, false);
    result->body = closed_block("endset");
    return result;
  }

  std::unique_ptr<Statement> with(int line) {
    next();
    auto result = make(StatementKind::kWith, line);
    while (current().type != TokenType::kBlockEnd && current().type != TokenType::kEnd) {
      if (!result->targets.empty()) expect(",");
      result->targets.push_back(target("", false, Expression::Use::kParameter));
      expect("=");
      result->expressions.push_back(expression());
    }
    result->body = closed_block("endwith");
    return result;
  }

  std::unique_ptr<Statement> print(int line) {
    next();
    auto result = make(StatementKind::kOutput, line);
    while (current().type != TokenType::kBlockEnd && current().type != TokenType::kEnd) {
      if (!result->expressions.empty()) expect(",");
      result->expressions.push_back(expression());
    }
    return result;
  }

  std::unique_ptr<Statement> macro(int line) {
    next();
    auto result = make(StatementKind::kMacro, line);
    result->function = std::make_unique<FunctionCode>();
    result->function->name = name_target(Expression::Use::kStore)->name;
    signature(*result->function);
    result->body = closed_block("endmacro");
    return result;
  }

  std::unique_ptr<Statement> call_block(int line) {
    next();
    auto result = make(StatementKind::kCallBlock, line);
    result->function = std::make_unique<FunctionCode>();
    if (is("(")) signature(*result->function);
    result->value = expression();
    if (result->value->kind != ExpressionKind::kCall) error("expected a call", line);
    result->body = closed_block("endcall");
    return result;
  }

  std::unique_ptr<Statement> filter_block(int line) {
    next();
    auto result = make(StatementKind::kFilterBlock, line);
    result->value = filters(nullptr, true);
    result->body = closed_block("endfilter");
    return result;
  }

  void signature(FunctionCode& function) {
    std::set<std::string> names;
    expect("(");
    while (!is(")")) {
      if (!function.parameters.empty()) expect(",");
      function.parameters.push_back(name_target(Expression::Use::kParameter));
      const std::string& name = function.parameters.back()->name;
      if (!names.insert(name).second)
        error(fmt::format("duplicate parameter '{}'", printable(name)));
      if (skip("=")) {
        function.defaults.push_back(expression());
      } else if (!function.defaults.empty()) {
        error("non-default argument follows default argument");
      }
    }
    expect(")");
  }

  // ---- targets of assignments

  ExpressionPtr name_target(Expression::Use use) {
    const Token& token = expect_name();
    ExpressionPtr node = make(ExpressionKind::kName, token.line, token.text);
    node->use = use;
    check_target(*node);
    return node;
  }

  ExpressionPtr target(std::string_view end = "", bool with_namespace = false,
                       Expression::Use use = Expression::Use::kStore) {
    ExpressionPtr node = sequence(
        end, [&] { return primary(with_namespace); }, false);
    set_use(*node, use);
    check_target(*node);
    return node;
  }

  void set_use(Expression& node, Expression::Use use) {
    node.use = use;
    for (const ExpressionPtr& item : node.items) set_use(*item, use);
  }

  void check_target(const Expression& node) const {
    const bool is_name = node.kind == ExpressionKind::kName;
    const bool is_attribute = node.kind == ExpressionKind::kAttribute && !node.attribute.empty();
    if (!is_name && !is_attribute && node.kind != ExpressionKind::kTuple) {
      error("cannot assign to this expression", node.line);
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
    ExpressionPtr value = or_chain();
    while (skip_name("if")) {
      ExpressionPtr node = make(ExpressionKind::kCondition, line);
      add(*node, or_chain());
      add(*node, std::move(value));
      add(*node, skip_name("else") ? expression() : nullptr);
      value = std::move(node);
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

  ExpressionPtr name_or_keyword(const Token& token, bool with_namespace) {
    const std::string& name = token.text;
    if (name == "true" || name == "True") return constant(Value::of(true), token.line);
    if (name == "false" || name == "False") return constant(Value::of(false), token.line);
    if (name == "none" || name == "None") return constant(Value::none(), token.line);
    if (with_namespace && skip(".")) {
      ExpressionPtr node = make(ExpressionKind::kAttribute, token.line, name);
      node->attribute = expect_name().text;
      return node;
    }
    return make(ExpressionKind::kName, token.line, name);
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
    if (!slice(*node)) {
      ExpressionPtr index = make(ExpressionKind::kTuple, token.line);
      while (!is("]")) {
        if (!index->items.empty()) expect(",");
        if (is(":")) error("slices of several dimensions are not supported");
        add(*index, expression());
        if (is(":")) {
          if (index->items.size() > 1) error("slices of several dimensions are not supported");
          add(*node, std::move(index->items.front()));
          index.reset();
          slice_rest(*node);
          break;
        }
      }
      if (index != nullptr) {
        add(*node, index->items.size() == 1 ? std::move(index->items.front()) : std::move(index));
      }
    }
    if (is(",")) error("slices of several dimensions are not supported");
    expect("]");
    return node;
  }

  bool slice(Expression& node) {
    if (!is(":")) return false;
    add(node, nullptr);
    slice_rest(node);
    return true;
  }

  /// From the first colon on.
  void slice_rest(Expression& node) {
    node.kind = ExpressionKind::kSlice;
    expect(":");
    const auto part = [&] { return is(":") || is("]") || is(",") ? nullptr : expression(); };
    add(node, part());
    add(node, skip(":") ? part() : nullptr);
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

  const std::string& name_;
  const std::vector<Token> tokens_;
  const int64_t depth_limit_;
  size_t at_ = 0;
  int64_t depth_ = 0;
};

}  // namespace

Body parse(const std::string& name, std::string_view source, int64_t depth) {
  return Parser(name, source, depth).template_body();
}

}  // namespace prune::jinja
