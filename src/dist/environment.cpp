#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/dist/environment.h>

#include <charconv>
#include <cstdlib>
#include <limits>

namespace prune::dist {
namespace {

// Ports above those of well-known services and below Linux's ephemeral ports, which start at 32768.
constexpr int64_t kFirstPort = 20000;
constexpr int64_t kPorts = 10000;

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorKind::kUsage, what); }

class Variables {
 public:
  explicit Variables(const GetVariable& variable) : variable_(variable) {}

  std::optional<std::string> text(const char* name) const {
    auto value = variable_(name);
    return value && !value->empty() ? value : std::nullopt;
  }

  std::optional<int64_t> number(const char* name, int64_t least, int64_t most) const {
    const auto value = text(name);
    if (!value) return std::nullopt;
    int64_t number = 0;
    const char* const end = value->data() + value->size();
    const auto parsed = std::from_chars(value->data(), end, number);
    if (parsed.ec != std::errc() || parsed.ptr != end || number < least || number > most) {
      refuse(fmt::format("{}='{}' is not a whole number from {} to {}", name, *value, least, most));
    }
    return number;
  }

  int64_t required(const char* name, int64_t least, int64_t most, const std::string& why) const {
    const auto value = number(name, least, most);
    if (!value) refuse(fmt::format("{} is not set, but {}", name, why));
    return *value;
  }

 private:
  const GetVariable& variable_;
};

constexpr int64_t kMost = std::numeric_limits<int32_t>::max();

// The first host of "gpu[003-010,12],login1": gpu003.
std::string first_host(const std::string& list) {
  std::string host;
  bool skipping = false;
  bool inside = false;
  for (const char c : list) {
    if (c == ',' && !inside) break;
    if (c == '[') {
      inside = true;
    } else if (c == ']') {
      inside = skipping = false;
    } else if (inside && (c == ',' || c == '-')) {
      skipping = true;
    } else if (!skipping) {
      host += c;
    }
  }
  return host;
}

void set_master(const Variables& variables, Environment& result) {
  if (const auto host = variables.text("MASTER_ADDR")) result.host = *host;
  if (const auto port = variables.number("MASTER_PORT", 1, std::numeric_limits<uint16_t>::max())) {
    result.port = static_cast<uint16_t>(*port);
  }
}

Environment of_slurm_step(const Variables& variables) {
  Environment result;
  // sbatch and salloc set SLURM_NTASKS and SLURM_PROCID=0 too, for their single process.
  if (!variables.text("SLURM_STEP_ID")) return result;
  const char* const tasks =
      variables.text("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
  result.size = variables.number(tasks, 1, kMost).value_or(1);
  if (result.size == 1) return result;
  const std::string why = fmt::format("{} is {}", tasks, result.size);
  result.rank = variables.required("SLURM_PROCID", 0, result.size - 1, why);
  result.local_rank = variables.number("SLURM_LOCALID", 0, kMost).value_or(0);
  const bool one_machine = variables.number("SLURM_STEP_NUM_NODES", 1, kMost) == 1;
  const auto step_nodes = variables.text("SLURM_STEP_NODELIST");
  const auto nodes = step_nodes ? step_nodes : variables.text("SLURM_JOB_NODELIST");
  if (one_machine) {
    result.host = "127.0.0.1";
  } else if (nodes) {
    result.host = first_host(*nodes);
  }
  const int64_t job = variables.number("SLURM_JOB_ID", 0, kMost).value_or(0);
  // Steps of one job may run at the same time, so each takes its own port.
  const int64_t step = variables.number("SLURM_STEP_ID", 0, kMost * 2 + 1).value_or(0);
  result.port = static_cast<uint16_t>(kFirstPort + (job + step) % kPorts);
  set_master(variables, result);
  if (result.host.empty()) {
    refuse(fmt::format("neither SLURM_STEP_NODELIST nor MASTER_ADDR is set, but {}", why));
  }
  return result;
}

}  // namespace

Environment read_environment(const GetVariable& variable) {
  const Variables variables(variable);
  const bool given = variables.text("RANK") || variables.text("WORLD_SIZE");
  if (!given) return of_slurm_step(variables);
  Environment result;
  result.size = variables.required("WORLD_SIZE", 1, kMost, "RANK is");
  const std::string why = fmt::format("WORLD_SIZE is {}", result.size);
  result.rank = variables.required("RANK", 0, kMost, why);
  if (result.rank >= result.size) {
    refuse(fmt::format("RANK is {}, but {}: ranks go from 0 to {}", result.rank, why,
                       result.size - 1));
  }
  result.local_rank = variables.number("LOCAL_RANK", 0, kMost).value_or(0);
  if (result.size == 1) return result;
  set_master(variables, result);
  if (result.host.empty()) refuse(fmt::format("MASTER_ADDR is not set, but {}", why));
  if (result.port == 0) refuse(fmt::format("MASTER_PORT is not set, but {}", why));
  result.agent_store = variables.text("TORCHELASTIC_USE_AGENT_STORE") == "True";
  result.attempt = variables.text("TORCHELASTIC_RESTART_COUNT").value_or("0");
  return result;
}

Environment read_environment() {
  return read_environment([](const char* name) -> std::optional<std::string> {
    const char* const value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  });
}

}  // namespace prune::dist
