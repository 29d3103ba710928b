#include <fmt/format.h>
#include <prune/core/printable.h>
#include <prune/jinja/template.h>

#include <utility>

namespace prune::jinja {

struct Program {
  std::string name;
};

Refusal::Refusal(const std::string& where, std::string reason)
    : Error(ErrorKind::kInput,
            fmt::format("{}: the template refuses its input: {}", where, printable(reason))),
      reason_(std::move(reason)) {}

Template::Template(std::string name, std::string_view /*source*/, const Limits& /*limits*/)
    : program_(new Program{std::move(name)}) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

std::string Template::render(const nlohmann::ordered_json& /*context*/, int64_t /*now*/,
                             const Limits& /*limits*/) const {
  throw Error(ErrorKind::kInput, fmt::format("{}: not implemented", program_->name));
}

}  // namespace prune::jinja
