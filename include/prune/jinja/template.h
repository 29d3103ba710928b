#pragma once

#include <prune/core/error.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace prune::jinja {

/// What a template may use. A chat template is somebody else's program (src/jinja/README.md, "Bounds").
struct Limits {
  int64_t depth = 200;         ///< nested constructs of the source, nested calls, nested values
  int64_t steps = 20'000'000;  ///< evaluated nodes, and elements and characters that builtins visit
  int64_t source_bytes = int64_t{1} << 18;    ///< of the template
  int64_t output_bytes = int64_t{64} << 20;   ///< of the rendered text
  int64_t memory_bytes = int64_t{256} << 20;  ///< of all values alive at one time
};

/// The template refuses its input: it called raise_exception().
class Refusal : public Error {
 public:
  /// @param where "chat_template.jinja:12"
  /// @param reason what the template said
  Refusal(const std::string& where, std::string reason);

  /// The template's own words, unescaped.
  const std::string& reason() const { return reason_; }

 private:
  std::string reason_;
};

struct Program;

/// A chat template, rendered exactly as the apply_chat_template() of Transformers 5.17 renders it: jinja2 3.1's
/// ImmutableSandboxedEnvironment with trim_blocks, lstrip_blocks, loop controls and `generation` blocks.
class Template {
 public:
  /// @param name shown in errors: "chat_template.jinja"
  /// @throws Error(input) "NAME:LINE: ..." for a syntax error or a construct that is not supported
  Template(std::string name, std::string_view source, const Limits& limits = {});
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

  /// Thread-safe.
  /// @param context the variables: an object. Strings that are not UTF-8 are repaired.
  /// @param now seconds since 1970-01-01T00:00:00Z, which strftime_now() prints in UTC
  /// @throws Refusal, or Error(input) "NAME:LINE: ..." where jinja2 raises an exception or a limit is exceeded
  std::string render(const nlohmann::ordered_json& context, int64_t now,
                     const Limits& limits = {}) const;

 private:
  std::unique_ptr<Program> program_;
};

}  // namespace prune::jinja
