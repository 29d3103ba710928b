// Models and data sets from the hub cache, and downloads by the real `hf` from the hub that local_hub.py
// serves on this machine.
#include <sys/wait.h>
#include <zlib.h>

#include <chrono>
#include <cstring>
#include <set>
#include <thread>

#include "checkpoint/make_safetensors.h"
#include "cli/program.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string read(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// Clears the machine's hub settings, so that they do not change a test.
class HubCache : public testing::Test {
 protected:
  HubCache() {
    for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE",
                             "TRANSFORMERS_OFFLINE", "HF_TOKEN"}) {
      unsetenv(name);
    }
    setenv("HF_HOME", (folder_.path() / "home").c_str(), 1);
    setenv("HF_HUB_DISABLE_UPDATE_CHECK", "1", 1);
    setenv("NO_PROXY", "127.0.0.1,127.0.0.2", 1);
  }

  fs::path cache() const { return folder_.path() / "home/hub"; }

  static test::Outcome inspect(const std::string& model, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"inspect", "--quiet", "--json", "--model", model};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return test::run_prune(arguments);
  }

  static void expect_error(const test::Outcome& outcome, const std::string& says) {
    EXPECT_EQ(outcome.code, exit_code(ErrorKind::kInput));
    EXPECT_THAT(outcome.err, AllOf(StartsWith("prune: input error: "), HasSubstr(says)));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  }

  /// A cached repository with huggingface_hub's layout: a reference, and links to blobs.
  void put_into_cache(const std::string& repository, const std::string& revision,
                      const std::string& commit, const fs::path& source) {
    const fs::path root = cache() / repository;
    folder_.write("home/hub/" + repository + "/refs/" + revision, commit);
    fs::create_directories(root / "blobs");
    fs::create_directories(root / "snapshots" / commit);
    for (const auto& file : fs::directory_iterator(source)) {
      const fs::path name = file.path().filename();
      fs::copy(file.path(), root / "blobs" / name);
      fs::create_symlink("../../blobs" / name, root / "snapshots" / commit / name);
    }
  }

  test::TemporaryFolder folder_;
};

const std::string kCommit = "0123456789abcdef0123456789abcdef01234567";
const std::string kOtherCommit = "76543210fedcba9876543210fedcba9876543210";

TEST_F(HubCache, FindsBranchesTagsAndCommits) {
  put_into_cache("models--facebook--opt-125m", "main", kCommit, test::model_folder());
  put_into_cache("models--some--model.x", "refs/pr/1", kOtherCommit, test::model_folder());
  for (const std::string model :
       {"opt-125m", "facebook/opt-125m", "facebook/opt-125m@main", "some/model.x@refs/pr/1"}) {
    EXPECT_EQ(inspect(model).code, 0) << model;
  }
  EXPECT_EQ(inspect("facebook/opt-125m@" + kCommit).code, 0);
  expect_error(inspect("some/model.x"), "hf download some/model.x\n");
  expect_error(inspect("some/model.x@v2"), "hf download some/model.x --revision v2\n");
  expect_error(inspect("some/model.x@" + kCommit), "--revision " + kCommit);
}

TEST_F(HubCache, AReferenceThatHoldsNoCommit) {
  put_into_cache("models--some--model", "main", kCommit, test::model_folder());
  const fs::path reference = folder_.write("home/hub/models--some--model/refs/main", "newest");
  expect_error(inspect("some/model"), reference.string() + ": does not contain a commit hash");
}

TEST_F(HubCache, AllVariablesThatSayWhereItIs) {
  put_into_cache("models--some--model", "main", kCommit, test::model_folder());
  const fs::path home = folder_.path() / "home";
  unsetenv("HF_HOME");
  setenv("XDG_CACHE_HOME", (folder_.path() / "xdg").c_str(), 1);
  fs::create_directories(folder_.path() / "xdg");
  fs::create_directory_symlink(home, folder_.path() / "xdg/huggingface");
  EXPECT_EQ(inspect("some/model").code, 0);
  setenv("HF_HOME", "/nowhere", 1);
  EXPECT_EQ(inspect("some/model").code, 3);
  setenv("HUGGINGFACE_HUB_CACHE", (home / "hub").c_str(), 1);
  EXPECT_EQ(inspect("some/model").code, 0);
  setenv("HF_HUB_CACHE", "/nowhere", 1);
  expect_error(inspect("some/model"), "nor in the hub cache /nowhere ");
  const std::string user_home = std::getenv("HOME");
  setenv("HOME", home.c_str(), 1);
  setenv("HF_HUB_CACHE", "~/hub", 1);
  EXPECT_EQ(inspect("some/model").code, 0);
  setenv("HOME", user_home.c_str(), 1);
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"}) {
    unsetenv(name);
  }
}

TEST_F(HubCache, NamesWhatASnapshotLacks) {
  put_into_cache("models--some--model", "main", kCommit, test::model_folder());
  const fs::path snapshot = cache() / "models--some--model/snapshots" / kCommit;
  fs::remove(cache() / "models--some--model/blobs/model.safetensors");  // leaves a dangling link
  expect_error(inspect("some/model"), "(pytorch_model.bin is missing)");
  std::ofstream(snapshot / "model.safetensors.index.json")
      << R"({"weight_map": {"a": "one.safetensors", "b": "vocab.json"}})";
  expect_error(inspect("some/model"), "(one.safetensors is missing)");
}

TEST_F(HubCache, ThePrunedCopyHoldsFilesNotLinks) {
  put_into_cache("models--some--model", "main", kCommit, test::model_folder());
  const fs::path output = folder_.path() / "out";
  const test::Outcome outcome = test::run_prune(test::small_run("some/model", output.string()));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const auto& file : fs::directory_iterator(output)) {
    EXPECT_FALSE(file.is_symlink()) << file.path();
  }
  EXPECT_EQ(read(output / "tokenizer.json"),
            read(fs::path(test::model_folder()) / "tokenizer.json"));
}

TEST_F(HubCache, NamesThatAreNone) {
  expect_error(inspect("-x/y"), "'-x/y' is not a folder, a hub id org/name[@revision]");
  expect_error(inspect("x/y@-z"), "is not a folder, a hub id");
  expect_error(inspect("x/y@a/../b"), "is not a folder, a hub id");
  expect_error(inspect("x/y/z"), "is not a folder, a hub id");
  expect_error(inspect("smolm2-135m"), "did you mean 'smollm2-135m'?");
}

TEST_F(HubCache, DataSetsTellHowToFetchThem) {
  auto arguments = test::small_run(test::model_folder(), (folder_.path() / "out").string());
  arguments[3] = "c4";
  expect_error(
      test::run_prune(arguments),
      "with: hf download allenai/c4 en/c4-train.00000-of-01024.json.gz --repo-type dataset");
  arguments.erase(arguments.begin() + 2, arguments.begin() + 4);
  expect_error(test::run_prune(arguments), "data set 'c4' is not in the hub cache");
  arguments.insert(arguments.end(), {"--calibration", test::calibration_text(), "--eval", "ptb"});
  expect_error(test::run_prune(arguments),
               "with: hf download ptb-text-only/ptb_text_only penn_treebank/test/0000.parquet "
               "--repo-type dataset --revision refs/convert/parquet");
  arguments.back() = "wikitext-2";
  expect_error(test::run_prune(arguments), "did you mean 'wikitext2'?");
  expect_error(
      test::run_prune({"eval", "--model", test::model_folder(), "--data", "wikitext2", "--quiet"}),
      "hf download Salesforce/wikitext wikitext-2-raw-v1/test-00000-of-00001.parquet");
}

TEST_F(HubCache, DownloadWithoutTheCliOrOffline) {
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nowhere", 1);
  expect_error(test::run_shell(std::string(PRUNE_PROGRAM) +
                               " inspect --model some/model@v1 --download --quiet"),
               "'hf' is not on PATH; install it (pip install huggingface_hub), or run on another "
               "machine: hf "
               "download some/model --revision v1");
  setenv("PATH", path.c_str(), 1);
  setenv("HF_HUB_OFFLINE", "true", 1);
  expect_error(inspect("some/model", {"--download"}), "HF_HUB_OFFLINE is set");
  unsetenv("HF_HUB_OFFLINE");
}

TEST_F(HubCache, DownloadWhoseEndNobodyTells) {
  const fs::path cli = folder_.write("bin/hf", "#!/bin/sh\n");
  fs::permissions(cli, fs::perms::owner_all);
  // With SIGCHLD ignored, the system discards a child's exit status.
  const test::Outcome outcome = test::run_shell(
      fmt::format("env --ignore-signal=CHLD PATH={}:$PATH {} inspect --model some/model --download "
                  "--quiet",
                  cli.parent_path().string(), PRUNE_PROGRAM));
  EXPECT_EQ(outcome.code, exit_code(ErrorKind::kDevice));
  EXPECT_EQ(outcome.err, "prune: device error: cannot start 'waitpid': No child processes\n");
}

/// Tests with a local hub and `hf`.
class HubDownload : public HubCache {
 protected:
  void SetUp() override {
    if (*PRUNE_HF == '\0') {
      GTEST_SKIP()
          << "the Hugging Face CLI `hf` is not installed (scripts/setup --tests brings it)";
    }
    path_ = std::getenv("PATH");
    setenv("PATH", (fs::path(PRUNE_HF).parent_path().string() + ":" + path_).c_str(), 1);
    fs::create_directories(hub());
    const std::string command = std::string("exec python3 ") + PRUNE_TESTS_DIR +
                                "/cli/local_hub.py " + hub().string() + " " +
                                (folder_.path() / "port").string() + " " + log().string();
    server_ = popen(command.c_str(), "w");
    ASSERT_NE(server_, nullptr);
    for (int i = 0; i < 600 && !fs::exists(folder_.path() / "port"); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    ASSERT_TRUE(fs::exists(folder_.path() / "port")) << "the local hub did not start";
    setenv("HF_ENDPOINT", ("http://127.0.0.1:" + read(folder_.path() / "port")).c_str(), 1);
  }

  void TearDown() override {
    if (server_ == nullptr) return;
    pclose(server_);
    unsetenv("HF_ENDPOINT");
    setenv("PATH", path_.c_str(), 1);
  }

  fs::path hub() const { return folder_.path() / "hub"; }
  fs::path log() const { return folder_.path() / "requests"; }

  /// The bundled model on the hub, with the other files that such repositories contain.
  fs::path publish(const std::string& id) const {
    const fs::path repository = hub() / "models" / id;
    fs::create_directories(repository.parent_path());
    fs::copy(test::model_folder(), repository);
    for (const char* other :
         {"README.md", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"}) {
      std::ofstream(repository / other) << "not needed";
    }
    return repository;
  }

 private:
  std::string path_;
  FILE* server_ = nullptr;
};

TEST_F(HubDownload, FetchesWhatAModelNeedsAndNoMore) {
  publish("some/model");
  const test::Outcome first = inspect("some/model", {"--download"});
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.err, "");
  std::set<std::string> cached;
  for (const auto& file :
       fs::recursive_directory_iterator(cache() / "models--some--model/snapshots")) {
    if (!file.is_directory()) cached.insert(file.path().filename().string());
  }
  EXPECT_THAT(cached, testing::ElementsAre("config.json", "generation_config.json", "merges.txt",
                                           "model.safetensors", "tokenizer.json", "vocab.json"));

  // It is cached now and needs no network.
  setenv("HF_ENDPOINT", "http://127.0.0.1:9", 1);
  for (const std::vector<std::string>& more :
       std::vector<std::vector<std::string>>{{}, {"--download"}}) {
    const test::Outcome again = inspect("some/model", more);
    EXPECT_EQ(again.code, 0) << again.err;
    EXPECT_EQ(again.out, first.out);
  }
}

TEST_F(HubDownload, ShardsComeFromTheIndex) {
  const fs::path repository = publish("some/sharded");
  fs::rename(repository / "model.safetensors", repository / "model_1-of-2.safetensors");
  std::ofstream(repository / "model_2-of-2.safetensors", std::ios::binary)
      << test::vectors_bytes(std::vector<std::string>{"model.decoder.more"});
  std::ofstream(repository / "model_3-of-2.safetensors") << "not of the index";
  const std::string one = read(repository / "model_1-of-2.safetensors");
  uint64_t length = 0;
  std::memcpy(&length, one.data(), sizeof(length));
  nlohmann::json map = {{"model.decoder.more", "model_2-of-2.safetensors"}};
  const nlohmann::json header = nlohmann::json::parse(one.substr(8, length));
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") map[name] = "model_1-of-2.safetensors";
  }
  std::ofstream(repository / "model.safetensors.index.json") << nlohmann::json{{"weight_map", map}};
  const test::Outcome outcome = inspect("some/sharded@v1", {"--download"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const std::string requests = read(log());
  EXPECT_THAT(requests, HasSubstr("GET /models/some/sharded/model_1-of-2.safetensors"));
  EXPECT_THAT(requests, HasSubstr("GET /models/some/sharded/model_2-of-2.safetensors"));
  EXPECT_THAT(requests, Not(HasSubstr("model_3-of-2")));
  EXPECT_THAT(requests, Not(HasSubstr("pytorch_model.bin\n")));

  // An interrupted download: the reference exists, one shard does not.
  for (const auto& file : fs::recursive_directory_iterator(cache())) {
    if (file.path().filename() != "model_2-of-2.safetensors") continue;
    fs::remove(fs::canonical(file.path()));
    fs::remove(file.path());
    break;
  }
  expect_error(inspect("some/sharded@v1"), "(model_2-of-2.safetensors is missing)");
  EXPECT_EQ(inspect("some/sharded@v1", {"--download"}).out, outcome.out);
}

TEST_F(HubDownload, WeightsFromBeforeSafetensors) {
  const fs::path repository = publish("some/old");
  fs::remove(repository / "model.safetensors");
  fs::remove(repository / "pytorch_model.bin");
  expect_error(inspect("some/old", {"--download"}),
               "'hf download some/old --revision ");  // the commit that it found
  fs::copy(test::golden() / "checkpoint/plain_dict.bin", repository / "pytorch_model.bin");
  const test::Outcome outcome = inspect("some/old", {"--download"});
  EXPECT_THAT(read(log()), HasSubstr("GET /models/some/old/pytorch_model.bin\n"));
  EXPECT_THAT(outcome.err, HasSubstr("/models--some--old/snapshots/")) << "read from the cache";
}

TEST_F(HubDownload, SaysWhatTheCliSaid) {
  publish("some/model");
  expect_error(
      inspect("some/absent", {"--download"}),
      "'hf download some/absent' ended with exit code 1: Error: Model 'some/absent' not found");
  expect_error(inspect("gated/model", {"--download"}), "Model 'gated/model' requires approval");
  expect_error(
      inspect("some/model@v9", {"--download"}),
      "'hf download some/model --revision v9' ended with exit code 1: Error: Revision not");
}

TEST_F(HubDownload, DataSetsForCalibrationAndEvaluation) {
  const fs::path c4 = hub() / "datasets/allenai/c4/en";
  fs::create_directories(c4);
  const std::string text = read(test::calibration_text());
  gzFile file = gzopen((c4 / "c4-train.00000-of-01024.json.gz").c_str(), "wb");
  for (size_t at = 0; at + 4000 < text.size() && at < 400'000; at += 4000) {
    // A character cut in two is replaced.
    const std::string line = nlohmann::json{{"text", text.substr(at, 4000)}}.dump(
                                 -1, ' ', false, nlohmann::json::error_handler_t::replace) +
                             "\n";
    gzwrite(file, line.data(), static_cast<unsigned>(line.size()));
  }
  gzclose(file);
  fs::copy(c4 / "c4-train.00000-of-01024.json.gz", c4 / "c4-validation.00000-of-00008.json.gz");
  const test::Outcome evaluated =
      test::run_prune({"eval", "--json", "--quiet", "--download", "--model", test::model_folder(),
                       "--data", "c4", "--seqlen", "16"});
  ASSERT_EQ(evaluated.code, 0) << evaluated.err;
  const auto c4_result = nlohmann::json::parse(evaluated.out);
  EXPECT_EQ(c4_result.at("segments"), 256) << "SparseGPT's rule for C4";
  EXPECT_EQ(c4_result.at("texts").at(0).at("joined_by"), " ");
  auto arguments = test::small_run(test::model_folder(), (folder_.path() / "out").string());
  arguments.erase(arguments.begin() + 2, arguments.begin() + 4);
  arguments[5] = "16";  // --seqlen
  arguments.emplace_back("--download");
#if PRUNE_HAS_PARQUET
  const fs::path wikitext = hub() / "datasets/Salesforce/wikitext/wikitext-2-raw-v1";
  fs::create_directories(wikitext);
  fs::copy(test::golden() / "calibration/rows.parquet", wikitext / "test-00000-of-00001.parquet");
  arguments.insert(arguments.end(), {"--eval", "wikitext2"});
#endif
  const test::Outcome outcome = test::run_prune(arguments);
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const nlohmann::json report = test::read_report(folder_.path() / "out");
  EXPECT_EQ(report.at("calibration").at("source"), "c4");
  EXPECT_EQ(report.at("prune").at("options").at("calibration"), "c4");
#if PRUNE_HAS_PARQUET
  EXPECT_EQ(report.at("evaluation").at("data"), "wikitext2");
  const fs::path same = folder_.write("same.txt",
                                      "\n\n = Title = \n\n\n Été , naïve 😀 日本 \n\n\n\n\none\n\n"
                                      "one\n\n two \n\n\n\nend");
  const test::Outcome eval =
      test::run_prune({"eval", "--json", "--quiet", "--model", test::model_folder(), "--data",
                       same.string(), "--seqlen", "16"});
  ASSERT_EQ(eval.code, 0) << eval.err;
  EXPECT_EQ(nlohmann::json::parse(eval.out).at("sha256"), report.at("evaluation").at("sha256"));
#endif
}

}  // namespace
}  // namespace prune
