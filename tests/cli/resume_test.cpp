#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <map>

#include "cli/tiny_model.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using test::bytes;
using test::Outcome;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

using Arguments = std::vector<std::string>;

constexpr int kKilled = 128 + SIGKILL;

/// The output of a run: every file's bytes by path, and the report without the keys that may differ between
/// runs: times, peak memory, what this process did, and the flags for existing output.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files[fs::relative(entry, folder)] = bytes(entry);
  }
  if (const auto found = files.find("prune_report.json"); found != files.end()) {
    json report = json::parse(found->second);
    report.erase("elapsed_s");
    report.erase("peak_memory_bytes");
    report.erase("ranks");
    if (!report.at("recovery").is_null()) report.at("recovery").erase("elapsed_s");
    for (json& layer : report.at("layers")) layer.erase("elapsed_s");
    json& program = report.at("prune");
    for (const char* flag : {"resume", "overwrite", "report"}) program.at("options").erase(flag);
    program.erase("command_line");
    found->second = report.dump();
  }
  return files;
}

class Resume : public testing::Test {
 protected:
  Resume() {
    model_ = test::tiny_model(folder_).string();
    text_ = folder_.write("text.txt", test::tiny_text()).string();
    fs::create_directory(folder_.path() / "work");
  }

  fs::path output() const { return folder_.path() / "work" / "out"; }
  fs::path partial() const { return output().string() + ".partial"; }

  /// A small run; flags in `more` replace the defaults.
  Arguments arguments(const Arguments& more = {}) const {
    Arguments all = more;
    all.insert(all.end(), always_.begin(), always_.end());
    for (const auto& [flag, value] :
         std::map<std::string, std::string>{{"--model", model_},
                                            {"--calibration", text_},
                                            {"--nsamples", "4"},
                                            {"--seqlen", "32"},
                                            {"--target", "0.6"},
                                            {"--groups", "2"},
                                            {"--eval", text_},
                                            {"--eval-segments", "4"},
                                            {"--threads", "1"},
                                            {"--output", output().string()}}) {
      if (std::ranges::find(all, flag) != all.end()) continue;
      all.insert(all.end(), {flag, value});
    }
    all.emplace_back("--quiet");
    return all;
  }

  static std::string command(const Arguments& arguments) {
    std::string line = PRUNE_PROGRAM;
    for (const std::string& argument : arguments) line += " " + test::quoted(argument);
    return line;
  }

  Outcome run(const Arguments& more = {}) const { return test::run_prune(arguments(more)); }

  /// A run that dies when it reaches the kill point `name` for the n-th time.
  Outcome run_killed(const std::string& name, int n, const Arguments& more = {},
                     int signal = SIGKILL) const {
    return test::run_shell(fmt::format("PRUNE_TEST_KILL_AT='{}:{}' PRUNE_TEST_SIGNAL={} {}", name,
                                       n, signal, command(arguments(more))));
  }

  void leave_unfinished() const {
    ASSERT_EQ(run_killed("after a record", 9).code, kKilled);
    ASSERT_TRUE(fs::exists(partial() / ".prune-state.json"));
  }

  void clear() const {
    fs::remove_all(folder_.path() / "work");
    fs::create_directory(folder_.path() / "work");
  }

  int kill_at(
      const char* point, const Arguments& more = {}, const std::function<void()>& prepare = [] {});

  /// The output of an uninterrupted run, made in the same folder.
  const std::map<std::string, std::string>& uninterrupted() {
    if (reference_.empty()) {
      const fs::path aside = folder_.path() / "aside";
      fs::rename(folder_.path() / "work", aside);
      fs::create_directory(folder_.path() / "work");
      const Outcome outcome = run();
      EXPECT_EQ(outcome.code, 0) << outcome.err;
      reference_ = contents(output());
      fs::remove_all(folder_.path() / "work");
      fs::rename(aside, folder_.path() / "work");
    }
    return reference_;
  }

  void expect_resumes(const Arguments& more = {"--resume"}) {
    const Outcome outcome = run(more);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.err, testing::Not(HasSubstr("not what was written")));
    expect_finished();
  }

  /// The output must equal that of an uninterrupted run, and nothing else may be left.
  void expect_finished() {
    const auto files = contents(output());
    for (const auto& [name, content] : uninterrupted()) {
      ASSERT_TRUE(files.contains(name)) << name;
      EXPECT_TRUE(files.at(name) == content)
          << name << (name.ends_with(".json") ? ":\n" + files.at(name) + "\n" + content : "");
    }
    EXPECT_EQ(files.size(), uninterrupted().size());
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path() / "work"), {}), 1)
        << "something lies beside the output";
  }

  /// Only the weights must equal those of an uninterrupted run: the run's paths differed.
  void expect_weights() {
    EXPECT_TRUE(bytes(output() / "model.safetensors") == uninterrupted().at("model.safetensors"));
  }

  test::TemporaryFolder folder_;
  std::string model_;
  std::string text_;
  Arguments always_;
  std::map<std::string, std::string> reference_;
};

/// Kills runs with these arguments at this point, after ever longer distances, and resumes each of them.
/// @return the number of killed runs.
int Resume::kill_at(const char* point, const Arguments& more,
                    const std::function<void()>& prepare) {
  int kills = 0;
  for (int n = 1;; n += 1 + kills / 2) {
    SCOPED_TRACE(fmt::format("killed at '{}', time {}", point, n));
    clear();
    prepare();
    const Outcome killed = run_killed(point, n, more);
    if (killed.code == 0) {
      EXPECT_GT(n, 1) << "the point was never reached";
      return kills;
    }
    EXPECT_EQ(killed.code, kKilled) << killed.err;
    Arguments again = more;
    again.push_back("--resume");
    expect_resumes(again);
    if (HasFailure()) return kills;
    ++kills;
  }
}

/// The least number of runs that must have been killed at this point.
struct Kills {
  const char* point;
  int at_least;
};

void PrintTo(const Kills& kills, std::ostream* stream) { *stream << kills.at_least; }

class KilledAt : public Resume, public testing::WithParamInterface<Kills> {};

TEST_P(KilledAt, EndsWithTheSameBytes) {
  EXPECT_GE(kill_at(GetParam().point), GetParam().at_least);
}

INSTANTIATE_TEST_SUITE_P(
    Points, KilledAt,
    testing::Values(Kills{"after the layout", 1}, Kills{"before a tensor is written", 11},
                    Kills{"after a tensor was written", 11}, Kills{"before a record", 6},
                    Kills{"before a file is replaced", 7}, Kills{"after a record", 6},
                    Kills{"before the final rename", 1}, Kills{"after the final rename", 1},
                    Kills{"before the state is removed", 1},
                    Kills{"before the lock is removed", 1}),
    [](const auto& instance) {
      std::string name = instance.param.point;
      std::ranges::replace(name, ' ', '_');
      return name;
    });

TEST_F(Resume, OfQuantizedWeightsEndsWithTheSameBytes) {
  always_ = {"--wbits", "4", "--group-size", "-1", "--asym"};
  EXPECT_GE(kill_at("after a tensor was written"), 11);
  EXPECT_GE(kill_at("after a record"), 6);
}

TEST_F(Resume, OfARecoveryEndsWithTheSameBytes) {
  always_ = {"--recover", "8", "--recover-batch", "1"};
  EXPECT_GE(kill_at("after a recovery step"), 3);
  EXPECT_GE(kill_at("before a recovery step is recorded"), 3);
  EXPECT_GE(kill_at("before a tensor file is renamed"), 3);
  EXPECT_GE(kill_at("before a tensor is written"), 11);
  EXPECT_GE(kill_at("after a record"), 9);
}

TEST_F(Resume, OfARecoveryThatIsRoundedEndsWithTheSameBytes) {
  always_ = {"--recover", "2", "--wbits", "4", "--group-size", "-1"};
  EXPECT_GE(kill_at("after a recovery step"), 2);
  EXPECT_GE(kill_at("after a record"), 9);
}

TEST_F(Resume, OfBlocksAndModelRecoveredEndsWithTheSameBytes) {
  always_ = {"--recover", "4", "--recover-batch", "1", "--recover-scope", "both"};
  EXPECT_GE(kill_at("after a block has recovered"), 2);
  EXPECT_GE(kill_at("after a recovery step"), 2);
  EXPECT_GE(kill_at("before a tensor file is renamed"), 3);
}

TEST_F(Resume, InTheOrderOfBlocksEndsWithTheSameBytes) {
  always_ = {"--order", "block"};
  EXPECT_GE(kill_at("after a tensor was written"), 11);
}

TEST_F(Resume, OfExpertsEndsWithTheSameBytes) {
  model_ = test::tiny_model(folder_, "experts", "qwen3_moe").string();
  EXPECT_GE(kill_at("after a record"), 6);
}

TEST_F(Resume, WithFewerExpertsEndsWithTheSameBytes) {
  model_ = test::tiny_model(folder_, "stacks", "gpt_oss").string();
  always_ = {"--experts", "0.4"};
  EXPECT_GE(kill_at("after a record"), 6);
}

TEST_F(Resume, WithFewerUnitsEndsWithTheSameBytes) {
  model_ = test::tiny_model(folder_, "llama", "llama").string();
  always_ = {"--ffn", "0.25", "--heads", "0.5"};
  EXPECT_EQ(kill_at("before the units of a block are recorded"), 2);
  EXPECT_GE(kill_at("after a record"), 6);
}

TEST_F(Resume, WithFewerBlocksEndsWithTheSameBytes) {
  model_ = test::tiny_model(folder_, "smollm3", "smollm3").string();
  always_ = {"--blocks", "0.5", "--ffn", "0.25"};
  EXPECT_EQ(kill_at("after a block is chosen"), 2);
}

TEST_F(Resume, AnOverwriteThatWasKilledInItsRenames) {
  const auto prepare = [&] {
    for (const char* name : {"config.json", "an old file"}) {
      folder_.write((fs::path("work/out") / name).string(), "old");
    }
  };
  for (const char* point :
       {"after a record", "before the final rename", "between the two renames",
        "after the final rename", "before the state is removed", "before the lock is removed"}) {
    EXPECT_GE(kill_at(point, {"--overwrite"}, prepare), 1);
  }
}

TEST_F(Resume, AnOverwriteThatIsGivenUpPutsTheOldOutputBack) {
  folder_.write("work/out/config.json", "old");
  ASSERT_EQ(run_killed("between the two renames", 1, {"--overwrite"}).code, kKilled);
  EXPECT_FALSE(fs::exists(output()));
  ASSERT_EQ(run_killed("after the layout", 1, {"--overwrite"}).code, kKilled);
  EXPECT_EQ(bytes(output() / "config.json"), "old");
  expect_resumes({"--overwrite"});
}

TEST_F(Resume, ARunThatKeepsDyingGetsThere) {
  int deaths = 0;
  while (run_killed("after a record", 2, {"--resume"}).code == kKilled) ++deaths;
  EXPECT_GT(deaths, 5);
  expect_finished();
}

TEST_F(Resume, ScoresOfAutoAreKept) {
  always_ = {"--schedule", "auto", "--nsamples", "16"};
  EXPECT_GE(kill_at("after a record"), 6);
  clear();
  ASSERT_EQ(run_killed("after a record", 5).code,
            kKilled);  // the perplexity, two blocks, two scores
  const json state = json::parse(bytes(partial() / ".prune-state.json"));
  EXPECT_EQ(state.at("schedule_candidates").size(), 2U);
}

TEST_F(Resume, AFinishedRunIsLeftAsItIs) {
  ASSERT_EQ(run().code, 0);
  const fs::path weights = output() / "model.safetensors";
  const auto written = fs::last_write_time(weights);
  const fs::path copy = folder_.path() / "report.json";
  expect_resumes({"--resume", "--report", copy.string()});
  EXPECT_EQ(fs::last_write_time(weights), written);
  EXPECT_EQ(bytes(copy), bytes(output() / "prune_report.json"));
  EXPECT_THAT(run({"--resume", "--target", "0.5"}).err,
              HasSubstr("prune_report.json: 'options/target' was 0.6, now it is 0.5"));
  ASSERT_EQ(run({"--resume", "--overwrite", "--target", "0.5"}).code, 0);
  EXPECT_EQ(test::read_report(output()).at("prune").at("options").at("target"), 0.5);
}

TEST_F(Resume, FinishedWorkIsNotThrownAwayUnasked) {
  leave_unfinished();
  const auto before = contents(partial());
  const Outcome refused = run();
  EXPECT_EQ(refused.code, exit_code(ErrorKind::kOutput));
  EXPECT_THAT(refused.err, AllOf(HasSubstr("out.partial: holds the finished work"),
                                 HasSubstr("--resume"), HasSubstr("--overwrite")));
  EXPECT_EQ(contents(partial()), before);
  expect_resumes({"--overwrite"});
}

TEST_F(Resume, OfAnotherRunIsRefusedByField) {
  leave_unfinished();
  const auto before = contents(partial());
  const auto expect_refused = [&](const Arguments& more, const std::string& says) {
    Arguments all = more;
    all.push_back("--resume");
    const Outcome outcome = run(all);
    EXPECT_EQ(outcome.code, exit_code(ErrorKind::kInput)) << outcome.err;
    EXPECT_THAT(outcome.err, AllOf(StartsWith("prune: input error: "),
                                   HasSubstr("out.partial/.prune-state.json: "), HasSubstr(says),
                                   HasSubstr("; --overwrite starts again")));
    EXPECT_EQ(contents(partial()), before);
  };
  expect_refused({"--target", "0.5"}, "'options/target' was 0.6, now it is 0.5");
  expect_refused({"--seed", "1"}, "'options/seed' was 0, now it is 1");
  expect_refused({"--nsamples", "5"}, "'options/nsamples' was 4, now it is 5");
  expect_refused({"--blocksize", "16"}, "'options/blocksize' was 128, now it is 16");
  expect_refused({"--schedule", "uniform"},
                 R"('options/schedule' was "kmeans", now it is "uniform")");
  expect_refused({"--exclude", "fc1"}, "'options/exclude' was");
  expect_refused({"--pattern", "2:4", "--target", "0.5"}, "'options/");
  expect_refused({"--threads", "2"}, "'threads' was 1, now it is 2");
  expect_refused({"--dtype", "bfloat16"}, R"('dtype' was "float32", now it is "bfloat16")");
  expect_refused({"--add-bos", "off"}, R"('options/add-bos' was "auto", now it is "off")");
  const std::string other = folder_.write("other.txt", test::tiny_text(2)).string();
  expect_refused({"--calibration", other}, "'calibration/sha256' was");
  expect_refused({"--eval", other}, "'evaluation' was");
  const fs::path copy = test::tiny_model(folder_, "copy");
  test::change_tensor(copy, "model.decoder.layers.1.fc1.weight",
                      [](std::vector<c10::Half>& weight) { weight[5] += 1; });
  expect_refused({"--model", copy.string()}, "'model/model.safetensors' was");
  fs::copy_file(fs::path(model_) / "model.safetensors", copy / "model.safetensors",
                fs::copy_options::overwrite_existing);
  // The same files and texts at other paths, and flags that change no output byte, may differ.
  const std::string same_text = folder_.write("same.txt", test::tiny_text()).string();
  const Outcome outcome =
      run({"--resume", "--model", copy.string(), "--calibration", same_text, "--device", "cpu",
           "--stats", "/nowhere", "--log-file", (folder_.path() / "log").string(), "--strict"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  expect_weights();
}

TEST_F(Resume, ReportsEveryFallbackOnce) {
  // With fewer tokens than columns and no damping, every first factorization fails.
  always_ = {"--percdamp", "0", "--nsamples", "1", "--seqlen", "8"};
  EXPECT_GE(kill_at("after a record"), 6);
  const json fallbacks = json::parse(uninterrupted().at("prune_report.json")).at("fallbacks");
  EXPECT_GT(fallbacks.size(), 12U);
  clear();
  leave_unfinished();
  const Outcome strict = run({"--resume", "--strict"});
  EXPECT_EQ(strict.code, exit_code(ErrorKind::kNumeric));
  EXPECT_THAT(strict.err,
              AllOf(HasSubstr(".prune-state.json: "), HasSubstr("refused by --strict")));
}

TEST_F(Resume, AfterMemoryRanOut) {
  const auto stopped_at = [&](const std::string& point) {
    return fmt::format("PRUNE_TEST_KILL_AT='{}:1' PRUNE_TEST_SIGNAL={} {} & pid=$!; ", point,
                       SIGSTOP, command(arguments())) +
           "until grep -q '^State:.T' /proc/$pid/status; do sleep 0.05; done; ";
  };
  const Outcome peak = test::run_shell(
      stopped_at("before the final rename") +
      "sed -n 's/^VmPeak:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$pid/status; kill -9 $pid");
  const int64_t limit_kb = std::stoll(peak.out) + 32 * 1024;
  clear();
  // The hidden states are 256 MB, more than the address space limit leaves.
  always_ = {"--nsamples", "62500", "--schedule", "uniform"};
  const Outcome outcome =
      test::run_shell(fmt::format("ulimit -v {} && {}", limit_kb, command(arguments())));
  EXPECT_EQ(outcome.code, exit_code(ErrorKind::kDevice)) << outcome.err;
  EXPECT_THAT(outcome.err,
              AllOf(StartsWith("prune: device error: out of host memory: cannot allocate 256000000 "
                               "bytes; fewer --nsamples or a shorter --seqlen need less"),
                    HasSubstr("--resume continues from what is finished in")));
  expect_resumes();
}

TEST_F(Resume, OnAnotherDeviceIsRefusedByStrict) {
  leave_unfinished();
  json state = json::parse(bytes(partial() / ".prune-state.json"));
  state.at("device") = "abacus";
  std::ofstream(partial() / ".prune-state.json", std::ios::binary) << state.dump();
  const Outcome outcome = run({"--resume", "--strict"});
  EXPECT_EQ(outcome.code, exit_code(ErrorKind::kDevice));
  EXPECT_THAT(outcome.err, AllOf(HasSubstr(".prune-state.json: begun on abacus by prune "),
                                 HasSubstr(": bytes may differ from those of an uninterrupted run; "
                                           "refused by --strict")));
}

TEST_F(Resume, DamagedStateIsAnInputError) {
  leave_unfinished();
  const json state = json::parse(bytes(partial() / ".prune-state.json"));
  for (const std::string& text : {std::string("{"), std::string("{}"), std::string("[1]")}) {
    std::ofstream(partial() / ".prune-state.json", std::ios::binary) << text;
    const Outcome outcome = run({"--resume"});
    EXPECT_EQ(outcome.code, exit_code(ErrorKind::kInput)) << text << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(".prune-state.json: "));
  }
}

TEST_F(Resume, LayersWhoseBytesWereLostArePrunedAgain) {
  leave_unfinished();
  test::change_tensor(partial(), "model.decoder.layers.0.self_attn.k_proj.weight",
                      [](std::vector<c10::Half>& weight) { weight[5] += 1; });
  const Outcome outcome = run({"--resume"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("k_proj.weight' differs from what was written"));
  expect_finished();
}

TEST_F(Resume, SignalsFinishTheLayerAtHand) {
  for (const int signal : {SIGINT, SIGTERM}) {
    for (const auto& [point, n] :
         std::vector<std::pair<const char*, int>>{{"after a record", 1},
                                                  {"before a record", 3},
                                                  {"before a tensor is written", 2},
                                                  {"after a tensor was written", 6},
                                                  {"after a record", 10}}) {
      SCOPED_TRACE(fmt::format("signal {} at '{}', time {}", signal, point, n));
      clear();
      const Outcome stopped = run_killed(point, n, {}, signal);
      EXPECT_EQ(stopped.code, exit_code(ErrorKind::kInterrupted)) << stopped.err;
      EXPECT_THAT(stopped.err,
                  AllOf(StartsWith(fmt::format("prune: interrupted: stopped by {}",
                                               signal == SIGINT ? "SIGINT" : "SIGTERM")),
                        HasSubstr("--resume continues from what is finished in"),
                        HasSubstr("out.partial\n")));
      expect_resumes();
    }
  }
}

TEST_F(Resume, NothingIsKeptOfARunThatFinishedNothing) {
  const Outcome stopped = run_killed("after the layout", 1, {}, SIGTERM);
  EXPECT_EQ(stopped.code, exit_code(ErrorKind::kInterrupted)) << stopped.err;
  EXPECT_THAT(stopped.err, testing::Not(HasSubstr("--resume")));
  EXPECT_TRUE(fs::is_empty(folder_.path() / "work"));
  expect_resumes();
}

TEST_F(Resume, TheSecondOfTwoRunsIsRefused) {
  // SIGSTOP holds the first run in the middle of its work.
  const std::string first =
      fmt::format("PRUNE_TEST_KILL_AT='after a record:3' PRUNE_TEST_SIGNAL={} ", SIGSTOP) +
      command(arguments());
  const std::string stopped = "grep -q '^State:.T' /proc/$pid/status";
  std::string script = first + " & pid=$!; until " + stopped + "; do sleep 0.05; done; ";
  for (const char* flag : {"", " --resume", " --overwrite"}) {
    script += command(arguments()) + flag + "; echo code $?; ";
  }
  const Outcome outcome = test::run_shell(script + "kill -CONT $pid; wait $pid");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("code 6\ncode 6\ncode 6\n"));
  EXPECT_THAT(outcome.err, HasSubstr("out.partial: another run is writing to this output"));
  expect_finished();
}

TEST_F(Resume, AfterTheDiskWasFull) {
  const std::string disk = (folder_.path() / "work").string();
  const std::string shell = "unshare -m sh -c ";
  const auto mount = [&](int size_kb, const char* how) {
    return fmt::format("mount -t tmpfs -o {}size={}k tmpfs {}", how, size_kb, disk);
  };
  if (test::run_shell(shell + test::quoted(mount(64, ""))).code != 0) {
    GTEST_SKIP() << "cannot mount a small file system here";
  }
  int full = 0;
  for (int size_kb = 44; size_kb <= 160; size_kb += 12) {
    SCOPED_TRACE(size_kb);
    clear();
    const std::string keep = (folder_.path() / "keep").string();
    const std::string script = fmt::format(
        "#!/bin/sh\n{} || exit 99\n{}\ncode=$?\n{} || exit 99\n{} --resume || exit 98\n"
        "rm -rf {} && cp -r {} {}\nexit $code\n",
        mount(size_kb, ""), command(arguments()), mount(4096, "remount,"), command(arguments()),
        keep, disk, keep);
    const Outcome outcome =
        test::run_shell(shell + test::quoted("sh " + folder_.write("script", script).string()));
    if (outcome.code == 0) break;
    ++full;
    EXPECT_EQ(outcome.code, exit_code(ErrorKind::kOutput)) << outcome.err;
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("prune: output error: "), HasSubstr("free")));
    fs::remove_all(disk);
    fs::rename(keep, disk);
    expect_finished();
  }
  EXPECT_GE(full, 3);
}

TEST_F(Resume, WritesNothingOutsideTheOutputFolder) {
  const std::string pristine = folder_.path().string();
  const fs::path model = fs::path(model_);
  for (const auto& file : fs::directory_iterator(model)) {
    fs::permissions(file, fs::perms::owner_read);
  }
  fs::permissions(model, fs::perms::owner_read | fs::perms::owner_exec);
  fs::create_directory_symlink(model, folder_.path() / "link to model");
  fs::create_directory(folder_.path() / "disk ä");
  fs::create_directory_symlink("../disk ä/out", output());
  const Arguments linked = {"--model", (folder_.path() / "link to model").string()};
  const auto elsewhere = [&] {
    auto files = contents(folder_.path());
    std::erase_if(files, [](const auto& file) {
      return file.first.starts_with("disk") || file.first.starts_with("work");
    });
    return files;
  };
  const auto before = elsewhere();
  ASSERT_EQ(run_killed("after a record", 9, linked).code, kKilled);
  EXPECT_TRUE(fs::exists(folder_.path() / "disk ä/out.partial/.prune-state.json"));
  Arguments again = linked;
  again.push_back("--resume");
  ASSERT_EQ(run(again).code, 0);
  EXPECT_EQ(elsewhere(), before);
  EXPECT_TRUE(fs::is_symlink(output()));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path() / "disk ä"), {}), 1);
  expect_weights();
  fs::permissions(model, fs::perms::owner_all);
}

}  // namespace
}  // namespace prune
