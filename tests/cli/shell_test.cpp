// What shells, terminals and batch systems do to a program.
#include <prune/core/json_file.h>

#include "cli/program.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Shell : public testing::Test {
 protected:
  std::string out() const { return (folder_.path() / "out").string(); }
  /// A small run's command line.
  std::string command(const std::vector<std::string>& more = {},
                      const std::string& model = test::model_folder()) const {
    std::string line = PRUNE_PROGRAM;
    std::vector<std::string> arguments = test::small_run(model, out(), {"--target", "0.5"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    for (const std::string& argument : arguments) line += " " + test::quoted(argument);
    return line;
  }

  test::TemporaryFolder folder_;
};

TEST_F(Shell, OutputThatCannotBeWrittenIsAnErrorOfEveryCommand) {
  const std::string program = PRUNE_PROGRAM;
  const std::string model = " --model " + test::model_folder();
  const std::string text = folder_.write("text.txt", std::string(4000, 'x')).string();
  for (const std::string& line :
       {command({"--json"}), program + " eval" + model + " --data " + text + " --seqlen 64",
        program + " eval" + model + " --json --data " + text + " --seqlen 64",
        program + " inspect" + model,
        program + " plan" + model + " --target 0.5 --calibration " + text,
        program + " pack" + model + " --output " + out() + "p", program + " man",
        program + " completion bash", program + " --help", program + " --version"}) {
    const test::Outcome outcome = test::run_shell(line + " > /dev/full");
    EXPECT_EQ(outcome.code, exit_code(ErrorKind::kOutput)) << line;
    EXPECT_THAT(outcome.err, HasSubstr("prune: output error: standard output: cannot write"))
        << line;
  }
}

TEST_F(Shell, AResultThatCouldNotBeWrittenIsRefusedBeforeWork) {
  const std::string nowhere = (folder_.path() / "none" / "file").string();
  const test::Outcome pruned = test::run_shell(command({"--report", nowhere}));
  EXPECT_EQ(pruned.code, exit_code(ErrorKind::kOutput));
  EXPECT_EQ(pruned.err,
            "prune: output error: " + nowhere + ": cannot write: No such file or directory\n");
  EXPECT_FALSE(fs::exists(out()));
  for (const std::string& flags : {"--junit " + nowhere, "--write-baseline --baseline " + nowhere,
                                   "--junit " + folder_.path().string()}) {
    const test::Outcome outcome =
        test::run_shell(std::string(PRUNE_PROGRAM) + " eval --model " + test::model_folder() +
                        " --data " + test::calibration_text() + " " + flags);
    EXPECT_EQ(outcome.code, exit_code(ErrorKind::kOutput));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }
}

TEST_F(Shell, AClosedOrFullStreamIsNoBug) {
  const std::string inspect =
      std::string(PRUNE_PROGRAM) + " inspect --model " + test::model_folder();
  EXPECT_EQ(test::run_shell(inspect + " >&-").code, exit_code(ErrorKind::kOutput));
  EXPECT_EQ(test::run_shell(inspect + " 2>&-").code, 0);
  EXPECT_EQ(test::run_shell(inspect + " 2> /dev/full").code, 0);
  EXPECT_EQ(test::run_shell(std::string(PRUNE_PROGRAM) + " --target 2 2> /dev/full").code,
            exit_code(ErrorKind::kUsage));
  const test::Outcome closed = test::run_shell(command() + " >&-");
  EXPECT_EQ(closed.code, exit_code(ErrorKind::kOutput));
  EXPECT_EQ(test::run_prune({"inspect", "--model", out()}).code, 0) << "the output is whole";
  const test::Outcome log = test::run_shell(command({"--overwrite", "--log-file", "/dev/full"}));
  EXPECT_EQ(log.code, exit_code(ErrorKind::kOutput));
  EXPECT_THAT(log.err, HasSubstr("prune: output error: --log-file: "));
}

TEST_F(Shell, AFileSizeLimitIsOneLine) {
  const test::Outcome outcome = test::run_shell("ulimit -f 100; " + command());
  EXPECT_EQ(outcome.code, exit_code(ErrorKind::kOutput));
  EXPECT_THAT(outcome.err, AllOf(StartsWith("prune: output error: "), HasSubstr("File too large")));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_FALSE(fs::exists(out() + ".partial"));
}

TEST_F(Shell, AWorkingDirectoryThatIsGoneIsOneLine) {
  const std::string gone = (folder_.path() / "gone").string();
  const test::Outcome outcome =
      test::run_shell("mkdir " + gone + "; cd " + gone + "; rmdir " + gone + "; " + command());
  EXPECT_EQ(outcome.code, exit_code(ErrorKind::kInput));
  EXPECT_EQ(
      outcome.err,
      "prune: input error: the working directory does not exist any more; change to another one\n");
}

TEST_F(Shell, TheModelInTheWorkingDirectoryHasItsOwnName) {
  const fs::path model = test::copy_model(folder_, "books");
  const test::Outcome outcome = test::run_shell("cd " + model.string() + "; " + PRUNE_PROGRAM +
                                                " --model . --target 0.5 --nsamples 4 --seqlen 64 "
                                                "--quiet --calibration " +
                                                test::calibration_text());
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(fs::exists(model / "books-s50" / "model.safetensors"));
}

TEST_F(Shell, ALogFileMayLieInTheOutput) {
  const std::string log = out() + "/run.log";
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"--log-file", log}, {"--log-file", log, "--overwrite"}}) {
    const test::Outcome outcome = test::run_shell(command(more));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(read_file(log), HasSubstr("prune block 6/6"));
    EXPECT_TRUE(fs::exists(out() + "/model.safetensors"));
  }
}

TEST_F(Shell, TheHubCacheIsFoundAsHuggingFaceDoes) {
  const auto cache_in = [&](const std::string& environment) {
    return test::run_shell("env -i PATH=/bin:/usr/bin " + environment + " " + PRUNE_PROGRAM +
                           " inspect --model org/name")
        .err;
  };
  EXPECT_THAT(cache_in("SCR=/scratch 'HF_HOME=$SCR/hf'"), HasSubstr("hub cache /scratch/hf/hub "));
  EXPECT_THAT(cache_in("SCR=/scratch 'HF_HUB_CACHE=${SCR}/$NONE'"),
              HasSubstr("hub cache /scratch/$NONE "));
  EXPECT_THAT(cache_in("HOME=/h 'HF_HOME=~/hf'"), HasSubstr("hub cache /h/hf/hub "));
  const std::string home = test::run_shell("getent passwd $(id -u) | cut -d: -f6").out;
  ASSERT_GT(home.size(), 1U);
  EXPECT_THAT(cache_in(""), HasSubstr("hub cache " + home.substr(0, home.size() - 1) +
                                      "/.cache/huggingface/hub "));
}

TEST_F(Shell, ADumbTerminalGetsNoEscapes) {
  if (test::run_shell("command -v script").code != 0) GTEST_SKIP() << "no script here";
  const auto screen = [&](const std::string& terminal) {
    return test::run_shell("TERM=" + terminal + " script -qec " +
                           test::quoted(std::string(PRUNE_PROGRAM) + " inspect --model " +
                                        test::model_folder() + " --verbose") +
                           " /dev/null")
               .out +
           test::run_shell("TERM=" + terminal + " script -qec \"" + command({"--overwrite"}) +
                           " --verbose\" /dev/null")
               .out;
  };
  EXPECT_THAT(screen("dumb"), Not(HasSubstr("\033")));
}

TEST_F(Shell, ThreadsWaitPassivelyAndHonourTheShell) {
  const auto said = [&](const std::string& before, const std::string& after = "") {
    return test::run_shell("env -u OMP_WAIT_POLICY -u OMP_NUM_THREADS " + before + " " +
                           PRUNE_PROGRAM + " inspect --verbose --model " + test::model_folder() +
                           after)
        .err;
  };
  EXPECT_THAT(said(""), HasSubstr("OMP_WAIT_POLICY PASSIVE"));
  EXPECT_THAT(said("OMP_WAIT_POLICY=ACTIVE"), HasSubstr("OMP_WAIT_POLICY ACTIVE"));
  EXPECT_THAT(said("GOMP_SPINCOUNT=5"), HasSubstr("OMP_WAIT_POLICY not set"));
  EXPECT_THAT(said("OMP_NUM_THREADS=1"), HasSubstr(" 1 threads of "));
  EXPECT_THAT(said("taskset -c 0"), HasSubstr(" 1 threads of 1 usable"));
  EXPECT_THAT(said("taskset -c 0", " --threads 2"), HasSubstr(" 2 threads of 1 usable"));
}

}  // namespace
}  // namespace prune
