#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "value.h"

namespace prune::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

/// Where a variable lives: `hops` functions outwards, then a slot.
struct Variable {
  int hops = 0;
  int slot = 0;
};

enum class ExpressionKind : uint8_t {
  kConstant,
  kName,
  kAttribute,  ///< items[0].name; as a target: an attribute of the namespace `variable`
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
  enum class Use : uint8_t { kLoad, kStore, kParameter };

  ExpressionKind kind;
  int line;
  int depth = 1;
  Use use = Use::kLoad;
  std::string name;
  Value constant;
  std::vector<ExpressionPtr> items;
  std::vector<std::string> operators;
  CallArguments arguments;
  std::string attribute;  ///< of a namespace that is assigned to
  Variable variable;
};

/// What fills a slot when a scope is entered.
struct SlotStart {
  enum class From : uint8_t { kContext, kVariable, kNothing } from;
  int slot;
  std::string name;   ///< of the context's variable
  Variable variable;  ///< of an outer scope
};

struct Statement;
using Body = std::vector<std::unique_ptr<Statement>>;

/// A macro, the body of a call block, a recursive loop, or a loop's filter: has slots of its own for each call.
struct FunctionCode {
  std::string name;
  std::vector<ExpressionPtr> parameters;  ///< names
  std::vector<ExpressionPtr> defaults;    ///< of the last parameters
  std::vector<SlotStart> starts;
  int slots = 0;
  int caller_slot = -1, named_slot = -1, rest_slot = -1;  ///< caller, kwargs, varargs; -1: not used
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
  Body otherwise;                ///< kFor ... else
  std::vector<Branch> branches;  ///< kIf
  bool is_recursive = false;
  int loop_slot = -1;                             ///< of the variable `loop`; -1: not used
  std::vector<SlotStart> starts;                  ///< of the body
  std::vector<SlotStart> otherwise_starts;        ///< of `otherwise`
  Variable variable;                              ///< kMacro
  std::unique_ptr<FunctionCode> function;         ///< macro, caller, generation, recursive loop
  std::unique_ptr<FunctionCode> filter_function;  ///< kFor ... if
};

/// A parsed template.
struct Program {
  std::string name;
  Body body;
  FunctionCode root;
};

}  // namespace prune::jinja
