#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "value.h"

namespace prune::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

/// Names are numbers while a template runs. These are the same in every template.
enum Name : int { kLoopName, kCallerName, kKwargsName, kVarargsName };

enum class ExpressionKind : uint8_t {
  kConstant,
  kName,
  kAttribute,  ///< items[0].name; as a target: `attribute` of the namespace `id`
  kItem,       ///< items[0][items[1]]
  kSlice,      ///< items[0][items[1]:items[2]:items[3]], each of the last three may be null
  kTuple,
  kList,
  kDict,    ///< items: key, value, key, value, ...
  kUnary,   ///< name items[0]
  kBinary,  ///< items[0] name items[1]
  kAnd,
  kOr,
  kNot,
  kConcat,     ///< items joined by ~
  kCompare,    ///< items[0] operators[0] items[1] operators[1] ...
  kCondition,  ///< items[1] if items[0] else items[2], which may be null
  kCall,       ///< items[0](arguments)
  kFilter,     ///< items[0]|name(arguments); items[0] is null in a filter block
  kTest,       ///< items[0] is name(arguments)
};

struct CallArguments {
  std::vector<ExpressionPtr> positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr unpacked;        ///< *x
  ExpressionPtr unpacked_named;  ///< **x
};

struct Expression {
  ExpressionKind kind;
  int line;
  int depth = 1;
  std::string name;
  int id = -1;  ///< of a name
  Value constant;
  std::vector<ExpressionPtr> items;
  std::vector<std::string> operators;
  CallArguments arguments;
  std::string attribute;  ///< of a namespace that is assigned to
};

struct Statement;
using Body = std::vector<std::unique_ptr<Statement>>;

/// A macro, or the body of a call block.
struct FunctionCode {
  std::string name;
  int id = -1;
  std::vector<ExpressionPtr> parameters;  ///< names
  std::vector<ExpressionPtr> defaults;    ///< of the last parameters
  bool uses_caller = false, uses_kwargs = false,
       uses_varargs = false;  ///< and no parameter is named so
  const Body* body = nullptr;
};

enum class StatementKind : uint8_t {
  kOutput,
  kFor,
  kIf,
  kSet,
  kSetBlock,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kWith,
  kGeneration,
  kBreak,
  kContinue,
};

struct Branch {
  ExpressionPtr condition;  ///< null: else
  Body body;
};

struct Statement {
  StatementKind kind;
  int line;
  std::vector<ExpressionPtr> expressions;  ///< kOutput: what is printed; kWith: the values
  std::vector<ExpressionPtr> targets;      ///< kFor, kSet, kSetBlock: one; kWith: each
  ExpressionPtr
      value;  ///< kFor: what is iterated; kSet; kCallBlock: the call; kFilterBlock, kSetBlock: the filter
  ExpressionPtr filter;  ///< kFor ... if
  Body body;
  Body otherwise;                          ///< kFor ... else
  std::vector<Branch> branches;            ///< kIf
  std::unique_ptr<FunctionCode> function;  ///< kMacro, kCallBlock
};

/// A parsed template.
struct Program {
  std::string name;
  Body body;
  std::vector<std::string> names;  ///< by number
  std::vector<int> hidden;  ///< variables of the context that a `set` hides from the start on
};

}  // namespace prune::jinja
