#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <map>

#include "cli/tiny_model.h"
#include "dist/port.h"

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
constexpr int kDevice = 5;

/// How one run starts its ranks.
struct Start {
  std::map<int, std::string> variables;  ///< extra environment variables of single ranks
  std::vector<int> absent;               ///< ranks that are not started
  std::string host = "127.0.0.1";
  uint16_t port = test::free_port();
};

class RanksOfARun : public testing::Test {
 protected:
  RanksOfARun() {
    model_ = test::tiny_model(folder_).string();
    text_ = folder_.write("text.txt", test::tiny_text()).string();
  }

  fs::path path(const std::string& name) const { return folder_.path() / name; }

  /// A small run with one thread per rank; flags in `more` replace the defaults.
  Arguments small(const std::string& output, const Arguments& more = {}) const {
    Arguments arguments = more;
    for (const auto& [flag, value] :
         std::map<std::string, std::string>{{"--model", model_},
                                            {"--calibration", text_},
                                            {"--nsamples", "16"},
                                            {"--seqlen", "32"},
                                            {"--target", "0.6"},
                                            {"--groups", "2"},
                                            {"--eval", text_},
                                            {"--eval-segments", "6"},
                                            {"--threads", "1"},
                                            {"--dist-timeout", "20"},
                                            {"--output", path(output).string()}}) {
      if (std::ranges::find(more, flag) == more.end()) {
        arguments.insert(arguments.end(), {flag, value});
      }
    }
    arguments.emplace_back("--quiet");
    return arguments;
  }

  /// Runs the program as `size` ranks and waits for all of them. @return one outcome per rank
  std::vector<Outcome> run(int size, const Arguments& arguments, const Start& start = {}) const {
    std::string command = PRUNE_PROGRAM;
    for (const std::string& argument : arguments) command += " " + test::quoted(argument);
    const fs::path logs = path("logs");
    fs::remove_all(logs);
    fs::create_directory(logs);
    std::string script;
    for (int rank = 0; rank < size; ++rank) {
      if (std::ranges::find(start.absent, rank) != start.absent.end()) continue;
      const auto more = start.variables.find(rank);
      script += fmt::format(
          "( cd {}; RANK={} WORLD_SIZE={} MASTER_ADDR={} MASTER_PORT={} {} timeout -s KILL 100 {} "
          ">{}.out 2>{}.err; echo $? >{}.code ) & ",
          logs.string(), rank, size, start.host, start.port,
          more == start.variables.end() ? "" : more->second, command, rank, rank, rank);
    }
    test::run_shell(script + "wait");
    std::vector<Outcome> outcomes;
    for (int rank = 0; rank < size; ++rank) {
      const std::string name = (logs / std::to_string(rank)).string();
      const std::string code = bytes(name + ".code");
      outcomes.push_back(
          {code.empty() ? -1 : std::stoi(code), bytes(name + ".out"), bytes(name + ".err")});
    }
    return outcomes;
  }

  static void expect_done(const std::vector<Outcome>& outcomes) {
    for (size_t rank = 0; rank < outcomes.size(); ++rank) {
      EXPECT_EQ(outcomes[rank].code, 0) << "rank " << rank << ": " << outcomes[rank].err;
      EXPECT_EQ(outcomes[rank].err, "") << "rank " << rank;
      EXPECT_EQ(outcomes[rank].out.empty(), rank > 0) << "rank " << rank;
    }
  }

  static std::string kill_at(const std::string& point, int n) {
    return fmt::format("PRUNE_TEST_KILL_AT='{}:{}'", point, n);
  }

  test::TemporaryFolder folder_;
  std::string model_;
  std::string text_;
};

/// A report without the keys that depend on time, memory, paths and the number of ranks.
json comparable(json report) {
  for (const char* key : {"elapsed_s", "peak_memory_bytes", "ranks", "world_size", "output"}) {
    report.erase(key);
  }
  for (json& layer : report.at("layers")) layer.erase("elapsed_s");
  report.at("prune").erase("command_line");
  report.at("prune").at("options").erase("output");
  return report;
}

/// Equal keys and strings; numbers may differ as much as another order of summation makes them.
void expect_close(const json& a, const json& b, double tolerance, const std::string& where) {
  if (where.ends_with("sha256")) return;
  if (a.is_number_float() || b.is_number_float()) {
    const double x = a.get<double>();
    EXPECT_NEAR(b.get<double>(), x, tolerance * (std::abs(x) + 0.1)) << where;
    return;
  }
  ASSERT_EQ(a.type(), b.type()) << where;
  if (!a.is_structured()) {
    EXPECT_EQ(a, b) << where;
    return;
  }
  ASSERT_EQ(a.size(), b.size()) << where;
  const json flat_a = a.flatten();
  const json flat_b = b.flatten();
  for (const auto& [key, value] : flat_a.items()) {
    ASSERT_TRUE(flat_b.contains(key)) << where + key;
    if (!value.is_structured()) expect_close(value, flat_b.at(key), tolerance, where + key);
  }
}

TEST_F(RanksOfARun, RecoverWhatOneRecovers) {
  // The same pruned model for all, since more ranks may prune other weights.
  ASSERT_EQ(test::run_prune(small("pruned")).code, 0);
  const auto arguments = [&](const std::string& output) {
    Arguments all = small(output, {"--model", path("pruned").string(), "--teacher", model_,
                                   "--steps", "6", "--batch", "2"});
    all.insert(all.begin(), "recover");
    for (auto flag = all.begin(); flag != all.end();) {
      const bool unknown = *flag == "--target" || *flag == "--groups";
      flag = unknown ? all.erase(flag, flag + 2) : flag + 1;
    }
    return all;
  };
  ASSERT_EQ(test::run_prune(arguments("one")).code, 0);
  expect_done(run(2, arguments("two")));
  // Each rank adds one sample's gradient to the other's: a sum of two does not depend on their sequence.
  EXPECT_TRUE(bytes(path("one") / "model.safetensors") == bytes(path("two") / "model.safetensors"));
  expect_done(run(3, arguments("three")));  // one of them has no sample
  EXPECT_TRUE(bytes(path("one") / "model.safetensors") ==
              bytes(path("three") / "model.safetensors"));
}

// Rounding decides near-ties between scores differently. More damping leaves fewer near-ties, which offsets
// the small number of tokens here.
TEST_F(RanksOfARun, AnyNumberGivesTheSameUpToRounding) {
  const auto arguments = [&](const std::string& output) {
    return small(output,
                 {"--model", test::model_folder(), "--calibration", test::calibration_text(),
                  "--nsamples", "16", "--seqlen", "128", "--percdamp", "0.1", "--eval-segments",
                  "16", "--eval", (test::fixtures() / "books.test.txt").string()});
  };
  ASSERT_EQ(test::run_prune(arguments("one")).code, 0);
  const json one = test::read_report(path("one"));
  for (const int size : {2, 4}) {
    const std::string output = std::to_string(size);
    expect_done(run(size, arguments(output)));
    const json report = test::read_report(path(output));
    EXPECT_EQ(report.at("world_size"), size);
    const json& a = one.at("evaluation");
    const json& b = report.at("evaluation");
    for (const char* which : {"perplexity_dense", "perplexity_pruned"}) {
      const double want = a.at(which).get<double>();
      EXPECT_NEAR(b.at(which).get<double>(), want, 1e-3 * want) << which << " of " << size;
    }
    expect_close(comparable(one), comparable(report), 0.02, "");
    Arguments planned = arguments("planned");
    planned.insert(planned.begin(), "plan");
    planned.insert(planned.end(), {"--world-size", std::to_string(size), "--json"});
    const Outcome plan = test::run_prune(planned);
    ASSERT_EQ(plan.code, 0) << plan.err;
    const json predicted = json::parse(plan.out);
    const json& ranks = report.at("ranks");
    int64_t weight_bytes = 0;
    for (size_t rank = 0; rank < ranks.size(); ++rank) {
      const json& share = predicted.at("ranks").at(rank);
      EXPECT_EQ(ranks.at(rank).at("nsamples"), share.at("nsamples"));
      EXPECT_EQ(ranks.at(rank).at("hessian_flops"), share.at("hessian_flops"));
      EXPECT_EQ(ranks.at(rank).at("sent_bytes").at("hessians"), share.at("sent_hessian_bytes"));
      weight_bytes += ranks.at(rank).at("sent_bytes").at("weights").get<int64_t>();
    }
    const auto of_block = predicted.at("exchange_per_block").at("weight_bytes").get<int64_t>();
    EXPECT_EQ(weight_bytes, (size - 1) * 6 * of_block);
    ASSERT_EQ(ranks.size(), static_cast<size_t>(size));
    const double all = one.at("ranks").at(0).at("hessian_flops").get<double>();
    for (const json& rank : ranks) {
      EXPECT_NEAR(rank.at("hessian_flops").get<double>(), all / size, 1e-9 * all);
    }
  }
}

TEST_F(RanksOfARun, DeterministicBytesDoNotDependOnTheirNumber) {
  const std::vector<Arguments> kinds = {{},
                                        {"--wbits", "4", "--group-size", "-1", "--asym"},
                                        {"--schedule", "auto", "--refine", "3"}};
  for (size_t kind = 0; kind < kinds.size(); ++kind) {
    Arguments more = kinds[kind];
    more.emplace_back("--deterministic");
    const std::string first = fmt::format("{} of 1", kind);
    ASSERT_EQ(test::run_prune(small(first, more)).code, 0);
    for (const int size : {2, 4}) {
      const std::string name = fmt::format("{} of {}", kind, size);
      expect_done(run(size, small(name, more)));
      for (const char* file : {"model.safetensors", "prune_statistics.json", "config.json"}) {
        EXPECT_EQ(bytes(path(first) / file), bytes(path(name) / file)) << name << " " << file;
      }
      EXPECT_EQ(comparable(test::read_report(path(first))).dump(),
                comparable(test::read_report(path(name))).dump());
    }
  }
}

TEST_F(RanksOfARun, ExpertsAreDividedAndOutputsAreTheSame) {
  model_ = test::tiny_model(folder_, "experts", "deepseek_v3").string();
  for (const Arguments& kind : {Arguments{}, Arguments{"--experts", "0.25"}}) {
    Arguments more = kind;
    more.emplace_back("--deterministic");
    const std::string first = fmt::format("{} of 1", kind.size());
    ASSERT_EQ(test::run_prune(small(first, more)).code, 0);
    const std::string name = fmt::format("{} of 3", kind.size());
    const std::vector<Outcome> outcomes = run(3, small(name, more));
    for (const Outcome& outcome : outcomes) ASSERT_EQ(outcome.code, 0) << outcome.err;
    for (const char* file : {"model.safetensors", "prune_statistics.json", "config.json"}) {
      EXPECT_EQ(bytes(path(first) / file), bytes(path(name) / file)) << name << " " << file;
    }
    // Several ranks finish the first layers of as many experts before the last layers of any.
    const auto sorted = [&](const std::string& output) {
      json report = comparable(test::read_report(path(output)));
      json& layers = report.at("layers");
      std::sort(layers.begin(), layers.end(),
                [](const json& a, const json& b) { return a.at("name") < b.at("name"); });
      return report.dump();
    };
    EXPECT_TRUE(sorted(first) == sorted(name));
  }
}

TEST_F(RanksOfARun, UnitsAreChosenTogether) {
  model_ = test::tiny_model(folder_, "units", "smollm3").string();
  const Arguments more = {"--deterministic", "--ffn", "0.25", "--heads", "0.5", "--blocks", "0.5"};
  ASSERT_EQ(test::run_prune(small("units of 1", more)).code, 0);
  for (const Outcome& outcome : run(3, small("units of 3", more))) {
    ASSERT_EQ(outcome.code, 0) << outcome.err;
  }
  for (const char* file : {"model.safetensors", "config.json"}) {
    EXPECT_EQ(bytes(path("units of 1") / file), bytes(path("units of 3") / file)) << file;
  }
  EXPECT_EQ(comparable(test::read_report(path("units of 1"))).at("units"),
            comparable(test::read_report(path("units of 3"))).at("units"));
}

TEST_F(RanksOfARun, EvalIsSharedToo) {
  const Arguments arguments = {"eval", "--model",    model_, "--data",    text_, "--seqlen",
                               "32",   "--segments", "5",    "--threads", "1",   "--json"};
  const Outcome alone = test::run_prune(arguments);
  const std::vector<Outcome> outcomes = run(3, arguments);
  EXPECT_NEAR(json::parse(outcomes[0].out).at("perplexity").get<double>(),
              json::parse(alone.out).at("perplexity").get<double>(), 1e-3);
  EXPECT_EQ(outcomes[1].out + outcomes[2].out, "");
}

struct Death {
  const char* point;
  int n;
  int rank;
  const char* phase;
};
void PrintTo(const Death& death, std::ostream* stream) { *stream << death.point; }

class RankKilled : public RanksOfARun, public testing::WithParamInterface<Death> {};

TEST_P(RankKilled, EndsAllWithOneLineAndIsResumedByAnotherNumber) {
  const auto& [point, n, rank, phase] = GetParam();
  const Arguments more = {"--deterministic", "--eval", text_, "--eval-segments", "6"};
  ASSERT_EQ(test::run_prune(small("whole", more)).code, 0);
  const auto outcomes =
      run(3, small("out", more), {.variables = {{rank, kill_at(point, n)}}, .absent = {}});
  for (int r = 0; r < 3; ++r) {
    const Outcome& outcome = outcomes[static_cast<size_t>(r)];
    if (r == rank) {
      EXPECT_EQ(outcome.code, kKilled);
      continue;
    }
    EXPECT_EQ(outcome.code, kDevice) << outcome.err;
    EXPECT_THAT(outcome.err,
                StartsWith(fmt::format("prune: device error: rank {}: lost rank {} in {}", r, rank,
                                       phase)));
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
  }
  Arguments again = more;
  again.emplace_back("--resume");
  expect_done(run(2, small("out", again)));
  for (const char* file : {"model.safetensors", "prune_statistics.json"}) {
    EXPECT_EQ(bytes(path("whole") / file), bytes(path("out") / file)) << file;
  }
}

// A block has four sites and six layers. Hessians are summed over ranks in two passes of two blocks, and the
// model is evaluated before and after.
INSTANTIATE_TEST_SUITE_P(
    Phases, RankKilled,
    testing::Values(Death{"before the output is opened", 1, 1, "open"},
                    Death{"before the output is opened", 1, 0, "open"},
                    Death{"before a block is evaluated", 2, 1, "evaluate "},
                    Death{"before a block is evaluated", 3, 0, "evaluate "},
                    Death{"before samples are added to a Hessian", 1, 1, "estimate block 1/2"},
                    Death{"before samples are added to a Hessian", 1, 0, "estimate block 1/2"},
                    Death{"before a Hessian is summed over the ranks", 6, 2, "estimate block 2/2"},
                    Death{"before a Hessian is summed over the ranks", 9, 1, "prune block 1/2"},
                    Death{"before a pruned layer is shared", 9, 2, "prune block 2/2"},
                    Death{"before a pruned layer is shared", 9, 0, "prune block 2/2"}));

TEST_F(RanksOfARun, TheErrorOfOneEndsAllWithItsReason) {
  const auto outcomes =
      run(2, small("out"), {.variables = {{1, "OMP_NUM_THREADS=1"}}, .absent = {}});
  expect_done(outcomes);
  // The output exists now: rank 0 refuses it, and the other rank reports why it stops.
  const auto refused = run(2, small("out"));
  EXPECT_EQ(refused[0].code, 6);
  EXPECT_THAT(refused[0].err, StartsWith("prune: output error: rank 0: "));
  EXPECT_EQ(refused[1].code, kDevice);
  EXPECT_THAT(refused[1].err,
              StartsWith("prune: device error: rank 1: rank 0 ended in open: output error: "));
}

TEST_F(RanksOfARun, EachMustReadTheSameCalibrationText) {
  for (const unsigned rank : {0U, 1U}) {
    folder_.write(fmt::format("machine{}/calibration.txt", rank), test::tiny_text(rank + 1));
  }
  const auto outcomes = run(2, small("out", {"--calibration", "calibration.txt"}),
                            {.variables = {{0, "env -C " + path("machine0").string()},
                                           {1, "env -C " + path("machine1").string()}},
                             .absent = {}});
  EXPECT_EQ(outcomes[0].code, kDevice) << outcomes[0].err;
  EXPECT_EQ(outcomes[1].code, exit_code(ErrorKind::kInput)) << outcomes[1].err;
  EXPECT_THAT(outcomes[1].err, AllOf(StartsWith("prune: input error: rank 1: calibration is {"),
                                     HasSubstr("} on rank 0, but {")));
}

TEST_F(RanksOfARun, TheOutputMustLieWhereAllSeeIt) {
  const fs::path disk = path("disk");
  fs::create_directory(disk);
  const std::string mount = "mount -t tmpfs tmpfs " + disk.string();
  if (test::run_shell("unshare -m sh -c '" + mount + "'").code != 0) {
    GTEST_SKIP() << "cannot mount a file system here";
  }
  const std::string on_a_disk_of_its_own = "unshare -m sh -c '" + mount + R"( && exec "$@"' sh)";
  const auto outcomes =
      run(2, small("disk/out"), {.variables = {{1, on_a_disk_of_its_own}}, .absent = {}});
  EXPECT_EQ(outcomes[0].code, kDevice) << outcomes[0].err;
  EXPECT_EQ(outcomes[1].code, exit_code(ErrorKind::kOutput)) << outcomes[1].err;
  EXPECT_THAT(outcomes[1].err,
              AllOf(StartsWith("prune: output error: rank 1: " + (disk / "out.partial").string()),
                    HasSubstr(": rank 0 writes there, but this rank does not see it; --output must "
                              "lie where all ranks see it")));
}

TEST_F(RanksOfARun, ASignalToOneStopsAllResumably) {
  const auto stopped = run(
      2, small("out", {"--deterministic"}),
      {.variables = {{1, kill_at("before a pruned layer is shared", 7) + " PRUNE_TEST_SIGNAL=15"}},
       .absent = {}});
  EXPECT_EQ(stopped[0].code, 130) << stopped[0].err;
  EXPECT_EQ(stopped[1].code, 130) << stopped[1].err;
  EXPECT_THAT(stopped[0].err, HasSubstr("--resume continues from"));
  ASSERT_EQ(test::run_prune(small("out", {"--deterministic", "--resume"})).code, 0);
  ASSERT_EQ(test::run_prune(small("whole", {"--deterministic"})).code, 0);
  EXPECT_EQ(bytes(path("whole") / "model.safetensors"), bytes(path("out") / "model.safetensors"));
}

TEST_F(RanksOfARun, ThatNeverMeetSayWhy) {
  const Arguments arguments = small("out", {"--dist-timeout", "1"});
  const auto only_line = [](const Outcome& outcome, int code) {
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    return outcome.err;
  };
  EXPECT_EQ(only_line(run(3, arguments, {.variables = {}, .absent = {1, 2}})[0], kDevice),
            "prune: device error: rank 0: 2 of 3 ranks did not join within 1 s (--dist-timeout): "
            "rank 1, 2\n");
  EXPECT_THAT(only_line(run(2, arguments, {.variables = {}, .absent = {0}})[1], kDevice),
              AllOf(StartsWith("prune: device error: rank 1: rank 0 was not found at 127.0.0.1:"),
                    HasSubstr("Connection refused; check MASTER_ADDR and MASTER_PORT")));
  EXPECT_THAT(
      only_line(run(2, arguments, {.variables = {}, .absent = {0}, .host = "nowhere.invalid"})[1],
                kDevice),
      HasSubstr("rank 0 was not found at nowhere.invalid:"));
  const test::Port taken;
  EXPECT_EQ(
      only_line(run(2, arguments, {.variables = {}, .absent = {1}, .port = taken.number()})[0],
                kDevice),
      fmt::format("prune: device error: rank 0: port {} of this machine is in use; set another "
                  "MASTER_PORT\n",
                  taken.number()));
  EXPECT_EQ(
      only_line(run(1, arguments, {.variables = {{0, "WORLD_SIZE=2 RANK=2"}}, .absent = {}})[0], 2),
      "prune: usage error: RANK is 2, but WORLD_SIZE is 2: ranks go from 0 to 1\n");
  EXPECT_FALSE(fs::exists(path("out")));
}

TEST_F(RanksOfARun, MoreThanThereIsWorkForAreRefused) {
  for (const Outcome& outcome : run(3, small("out", {"--nsamples", "2"}))) {
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, HasSubstr("3 ranks, but there is work for only 2"));
  }
}

}  // namespace
}  // namespace prune
