#include <pwd.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "cli/tiny_model.h"
#include "dist/port.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using test::bytes;
using test::Outcome;

/// A private Slurm cluster of this machine: slurmctld and slurmd (Debian's slurm-wlm) run during the test.
class Slurm : public testing::Test {
 protected:
  void SetUp() override {
    if (shell("command -v slurmctld slurmd sbatch srun").code != 0) {
      GTEST_SKIP() << "no Slurm here (Debian: slurm-wlm)";
    }
    for (const char* name : {"state", "spool"}) fs::create_directory(path(name));
    const std::string user = getpwuid(getuid())->pw_name;
    const std::string host = first_line(shell("hostname -s").out);
    std::string lines;
    for (const auto& [key, value] :
         std::map<std::string, std::string>{{"ClusterName", "test"},
                                            {"SlurmctldHost", host + "(127.0.0.1)"},
                                            {"SlurmUser", user},
                                            {"SlurmdUser", user},
                                            {"AuthType", "auth/none"},
                                            {"CredType", "cred/none"},
                                            {"SlurmctldPort", std::to_string(test::free_port())},
                                            {"SlurmdPort", std::to_string(test::free_port())},
                                            {"StateSaveLocation", path("state")},
                                            {"SlurmdSpoolDir", path("spool")},
                                            {"SlurmctldPidFile", path("slurmctld.pid")},
                                            {"SlurmdPidFile", path("slurmd.pid")},
                                            {"SlurmctldLogFile", path("slurmctld.log")},
                                            {"SlurmdLogFile", path("slurmd.log")},
                                            {"ProctrackType", "proctrack/linuxproc"},
                                            {"TaskPlugin", "task/none"},
                                            {"SelectType", "select/cons_tres"},
                                            {"SlurmdParameters", "config_overrides"},
                                            {"KillWait", "5"},
                                            {"NodeName", host + " NodeAddr=127.0.0.1 CPUs=4"},
                                            {"PartitionName", "all Nodes=ALL Default=YES"}}) {
      // Nodes must come before the partitions that name them; the map's order does that.
      lines += key + "=" + value + "\n";
    }
    folder_.write("slurm.conf", lines);
    shell("slurmctld -c && slurmd -N " + host);
    if (!wait_for("timeout 5 sinfo -h -o %T", "idle", 15)) {
      GTEST_SKIP() << "Slurm does not start here: " << bytes(path("slurmctld.log"))
                   << bytes(path("slurmd.log"));
    }
    model_ = test::tiny_model(folder_).string();
    text_ = folder_.write("text.txt", test::tiny_text()).string();
  }

  void TearDown() override {
    shell("timeout 10 scancel --signal=KILL --full --user=$(id -un)");
    for (const char* name : {"slurmd.pid", "slurmctld.pid"}) {
      const std::string pid = bytes(path(name));
      if (!pid.empty()) kill(std::stoi(pid), SIGKILL);
    }
  }

  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  static std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

  Outcome shell(const std::string& command) const {
    return test::run_shell("export SLURM_CONF=" + path("slurm.conf") + "; " + command);
  }

  bool wait_for(const std::string& command, const std::string& answer, int seconds) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (std::chrono::steady_clock::now() < end) {
      if (shell(command).out.find(answer) != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
    return false;
  }

  std::string arguments(const std::string& output) const {
    return fmt::format(
        "--model {} --calibration {} --nsamples 16 --seqlen 32 --target 0.6 --groups 2 --threads 1 "
        "--deterministic --quiet --output {}",
        model_, text_, path(output));
  }

  test::TemporaryFolder folder_;
  std::string model_;
  std::string text_;
};

TEST_F(Slurm, TheBatchScriptEndsAlsoWhenARankIsKilled) {
  const std::string start =
      folder_
          .write("start",
                 "#!/bin/sh\n"
                 "if [ \"$SLURM_PROCID$SLURM_RESTART_COUNT\" = 1 ]; then\n"
                 "  export PRUNE_TEST_KILL_AT='before a pruned layer is shared:9'\n"
                 "fi\n"
                 "exec " PRUNE_PROGRAM " \"$@\"\n")
          .string();
  fs::permissions(start, fs::perms::owner_exec, fs::perm_options::add);
  const std::string script =
      (fs::path(PRUNE_TESTS_DIR).parent_path() / "scripts/slurm/prune.sbatch").string();
  const Outcome submitted = shell(fmt::format(
      "PRUNE={} sbatch --parsable --ntasks-per-node=2 --gpus-per-node=0 --cpus-per-task=1 "
      "--output={} {} {}",
      start, path("job.log"), script, arguments("out")));
  ASSERT_EQ(submitted.code, 0) << submitted.err;
  const std::string job = first_line(submitted.out);
  ASSERT_TRUE(wait_for("cat " + path("job.log"), "goes back", 60)) << bytes(path("job.log"));
  ASSERT_TRUE(wait_for("scontrol show job " + job, "JobState=PENDING", 30));
  // Slurm waits two minutes before it restarts a requeued job. A few seconds suffice for it to finish the
  // first start.
  std::this_thread::sleep_for(std::chrono::seconds(4));
  EXPECT_EQ(shell("scontrol update job=" + job + " StartTime=now").code, 0);
  ASSERT_TRUE(wait_for("scontrol show job " + job + " | grep -E 'JobState=(COMPLETED|FAILED)'",
                       "JobState=", 200));
  EXPECT_THAT(shell("scontrol show job " + job).out, testing::HasSubstr("JobState=COMPLETED"));
  const std::string log = bytes(path("job.log"));
  EXPECT_THAT(log,
              testing::HasSubstr("prune: device error: rank 0: lost rank 1 in prune block 2/2"));
  ASSERT_EQ(test::run_shell(std::string(PRUNE_PROGRAM) + " " + arguments("whole")).code, 0);
  EXPECT_EQ(bytes(path("out") + "/model.safetensors"), bytes(path("whole") + "/model.safetensors"));
  EXPECT_EQ(test::read_report(path("out")).at("world_size"), 2);
}

}  // namespace
}  // namespace prune
