#include <fmt/format.h>
#include <prune/core/printable.h>
#include <prune/jinja/template.h>

#include <utility>

#include "evaluator.h"
#include "lexer.h"
#include "parser.h"

namespace prune::jinja {

Refusal::Refusal(const std::string& where, std::string reason)
    : Error(ErrorKind::kInput,
            fmt::format("{}: the template refuses its input: {}", where, printable(reason, 1000))),
      reason_(std::move(reason)) {}

Template::Template(std::string name, std::string_view source, const Limits& limits)
    : program_(std::make_unique<Program>()) {
  if (static_cast<int64_t>(source.size()) > limits.source_bytes) {
    throw_at(name, 1,
             fmt::format("the template exceeds the limit of {} bytes", limits.source_bytes));
  }
  program_->name = std::move(name);
  parse(*program_, source, limits.depth);
}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

std::string Template::render(const nlohmann::ordered_json& context, int64_t now,
                             const Limits& limits) const {
  Evaluator evaluator(*program_, limits, now);
  try {
    return evaluator.run(context);
  } catch (const Raised& raised) {
    throw Refusal(fmt::format("{}:{}", program_->name, evaluator.line), raised.what());
  } catch (const Failure& failure) {
    throw_at(program_->name, evaluator.line, printable(failure.what(), 1000));
  }
}

}  // namespace prune::jinja
