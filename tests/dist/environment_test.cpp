#include <prune/dist/environment.h>

#include <map>

#include "support.h"

namespace prune::dist {
namespace {

using test::error_of;
using testing::HasSubstr;

using Variables = std::map<std::string, std::string>;

Environment environment_of(const Variables& variables) {
  return read_environment([&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

Variables torchrun() {
  return {{"RANK", "5"},
          {"WORLD_SIZE", "8"},
          {"LOCAL_RANK", "1"},
          {"MASTER_ADDR", "node7"},
          {"MASTER_PORT", "29400"},
          {"TORCHELASTIC_USE_AGENT_STORE", "True"},
          {"TORCHELASTIC_RESTART_COUNT", "2"}};
}

Variables slurm() {
  return {{"SLURM_STEP_ID", "3"},        {"SLURM_STEP_NUM_TASKS", "16"},
          {"SLURM_NTASKS", "16"},        {"SLURM_PROCID", "9"},
          {"SLURM_LOCALID", "1"},        {"SLURM_STEP_NUM_NODES", "2"},
          {"SLURM_JOB_ID", "12345"},     {"SLURM_STEP_NODELIST", "gpu[007-008,12],login1"},
          {"SLURM_JOB_NODELIST", "gpu1"}};
}

TEST(Environment, IsOneProcessWithoutALauncher) {
  const Environment alone = environment_of({});
  EXPECT_EQ(alone.size, 1);
  EXPECT_EQ(alone.rank, 0);
  EXPECT_EQ(environment_of({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).size, 1);
}

TEST(Environment, OfTorchrun) {
  const Environment environment = environment_of(torchrun());
  EXPECT_EQ(environment.rank, 5);
  EXPECT_EQ(environment.size, 8);
  EXPECT_EQ(environment.local_rank, 1);
  EXPECT_EQ(environment.host, "node7");
  EXPECT_EQ(environment.port, 29400);
  EXPECT_TRUE(environment.agent_store);
  EXPECT_EQ(environment.attempt, "2");
}

TEST(Environment, OfSrun) {
  const Environment environment = environment_of(slurm());
  EXPECT_EQ(environment.rank, 9);
  EXPECT_EQ(environment.size, 16);
  EXPECT_EQ(environment.local_rank, 1);
  EXPECT_EQ(environment.host, "gpu007");
  EXPECT_EQ(environment.port, 20000 + 12348 % 10000);
  EXPECT_FALSE(environment.agent_store);
}

TEST(Environment, TheFirstHostOfANodeList) {
  const std::map<std::string, std::string> hosts = {
      {"gpu1", "gpu1"},           {"gpu1,gpu2", "gpu1"},
      {"gpu[1,3]", "gpu1"},       {"gpu[03-17]-ib", "gpu03-ib"},
      {"a[1-2]b[3-4],c", "a1b3"}, {"n-1,n-2", "n-1"}};
  for (const auto& [list, host] : hosts) {
    Variables variables = slurm();
    variables["SLURM_STEP_NODELIST"] = list;
    EXPECT_EQ(environment_of(variables).host, host) << list;
  }
}

TEST(Environment, OfSrunOnOneMachineNeedsNoHostName) {
  Variables variables = slurm();
  variables["SLURM_STEP_NUM_NODES"] = "1";
  EXPECT_EQ(environment_of(variables).host, "127.0.0.1");
}

TEST(Environment, MasterOverridesSlurm) {
  Variables variables = slurm();
  variables["MASTER_ADDR"] = "10.0.0.1";
  variables["MASTER_PORT"] = "1234";
  EXPECT_EQ(environment_of(variables).host, "10.0.0.1");
  EXPECT_EQ(environment_of(variables).port, 1234);
}

TEST(Environment, ASlurmAllocationIsOneProcess) {
  Variables batch = slurm();
  batch.erase("SLURM_STEP_ID");
  EXPECT_EQ(environment_of(batch).size, 1);
  Variables one_task = slurm();
  one_task["SLURM_STEP_NUM_TASKS"] = "1";
  EXPECT_EQ(environment_of(one_task).size, 1);
}

TEST(Environment, InvalidVariablesAreUsageErrors) {
  const auto refusal = [](Variables variables, const char* name, const char* value) {
    if (value == nullptr) {
      variables.erase(name);
    } else {
      variables[name] = value;
    }
    return error_of(ErrorKind::kUsage, [&] { environment_of(variables); });
  };
  EXPECT_EQ(refusal(torchrun(), "RANK", "8"),
            "RANK is 8, but WORLD_SIZE is 8: ranks go from 0 to 7");
  EXPECT_EQ(refusal(torchrun(), "RANK", nullptr), "RANK is not set, but WORLD_SIZE is 8");
  EXPECT_EQ(refusal(torchrun(), "WORLD_SIZE", nullptr), "WORLD_SIZE is not set, but RANK is");
  EXPECT_EQ(refusal(torchrun(), "MASTER_ADDR", nullptr),
            "MASTER_ADDR is not set, but WORLD_SIZE is 8");
  EXPECT_EQ(refusal(torchrun(), "MASTER_PORT", ""), "MASTER_PORT is not set, but WORLD_SIZE is 8");
  EXPECT_EQ(refusal(torchrun(), "MASTER_PORT", "65536"),
            "MASTER_PORT='65536' is not a whole number from 1 to 65535");
  for (const char* bad : {"-1", "two", "1.5", "0x1", "99999999999999999999"}) {
    EXPECT_THAT(refusal(torchrun(), "RANK", bad), HasSubstr("RANK='")) << bad;
    EXPECT_THAT(refusal(torchrun(), "WORLD_SIZE", bad), HasSubstr("WORLD_SIZE='")) << bad;
    EXPECT_THAT(refusal(slurm(), "SLURM_PROCID", bad), HasSubstr("SLURM_PROCID='")) << bad;
  }
  EXPECT_THAT(refusal(slurm(), "SLURM_PROCID", "16"), HasSubstr("from 0 to 15"));
  EXPECT_EQ(refusal(slurm(), "SLURM_PROCID", nullptr),
            "SLURM_PROCID is not set, but SLURM_STEP_NUM_TASKS is 16");
  Variables no_nodes = slurm();
  no_nodes.erase("SLURM_JOB_NODELIST");
  EXPECT_EQ(refusal(no_nodes, "SLURM_STEP_NODELIST", nullptr),
            "neither SLURM_STEP_NODELIST nor MASTER_ADDR is set, but SLURM_STEP_NUM_TASKS is 16");
}

}  // namespace
}  // namespace prune::dist
