// Untrusted model folders: whatever they contain, nothing outside the output folder is written, changed or
// removed.
#include <prune/core/json_file.h>
#include <sys/stat.h>

#include <cstring>
#include <map>

#include "cli/program.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

/// Every path under a folder with its type and content; links are not followed.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    std::string& what = found[fs::relative(entry.path(), folder).string()];
    if (entry.is_symlink()) {
      what = "link to " + fs::read_symlink(entry.path()).string();
    } else if (entry.is_regular_file()) {
      what = read_file(entry.path());
    }
  }
  return found;
}

const std::vector<std::string> kQuick = {"--target", "0.5", "--schedule", "uniform"};

class HostileFolder : public testing::Test {
 protected:
  // Two levels deep, so that a path that climbs out of the model or the output lands inside root().
  fs::path root() const { return folder_.path(); }
  fs::path model() const { return root() / "in/model"; }
  fs::path output() const { return root() / "to/out"; }

  HostileFolder() {
    fs::create_directories(root() / "in");
    fs::create_directories(root() / "to");
    fs::rename(test::copy_model(folder_), model());
  }

  /// Runs and removes the output; everything else must be unchanged.
  test::Outcome run() {
    const auto before = contents(root());
    const test::Outcome outcome =
        test::run_prune(test::small_run(model().string(), output(), kQuick));
    if (fs::exists(output())) {
      for (const auto& entry : fs::recursive_directory_iterator(output())) {
        EXPECT_FALSE(entry.is_symlink()) << entry.path();
        if (entry.is_directory()) continue;
        EXPECT_TRUE(entry.is_regular_file()) << entry.path();
        written_.push_back(entry.path().filename().string());
      }
      outputs_ = contents(output());
      fs::remove_all(output());
    }
    EXPECT_EQ(contents(root()), before);
    return outcome;
  }
  void expect_refused(const std::string& says) {
    const test::Outcome outcome = run();
    EXPECT_EQ(outcome.code, exit_code(ErrorKind::kInput)) << outcome.err;
    EXPECT_THAT(outcome.err, StartsWith("prune: input error: "));
    EXPECT_THAT(outcome.err, HasSubstr(says));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_TRUE(written_.empty());
  }

  json read_header() const {
    const std::string bytes = read_file(model() / "model.safetensors");
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    return json::parse(bytes.substr(8, length));
  }
  /// Replaces the only weight file by an index that names `shard` for every tensor.
  void name_shard(const std::string& shard) {
    const json header = read_header();
    json weight_map = json::object();
    for (const auto& [name, entry] : header.items()) {
      if (name != "__metadata__") weight_map[name] = shard;
    }
    folder_.write("in/model/model.safetensors.index.json",
                  json({{"weight_map", weight_map}}).dump());
    fs::rename(model() / "model.safetensors", root() / "in/shard");
  }

  test::TemporaryFolder folder_;
  std::vector<std::string> written_;
  std::map<std::string, std::string> outputs_;
};

TEST_F(HostileFolder, ShardsOutsideTheFolderAreRefused) {
  for (const std::string& shard :
       {std::string("../shard"), (root() / "in/shard").string(), std::string("x/../../shard")}) {
    name_shard(shard);
    expect_refused("is not a file inside the folder");
    fs::rename(root() / "in/shard", model() / "model.safetensors");
  }
  name_shard(std::string("x\0y", 3));
  expect_refused(R"(shard 'x\x00y' is not a file inside the folder)");
}

TEST_F(HostileFolder, NamesStayNamesAndLinkedFilesAreOnlyRead) {
  // Tensor names that look like paths.
  json header = read_header();
  const std::string bytes = read_file(model() / "model.safetensors");
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  const size_t end = bytes.size() - 8 - length;
  const std::vector<std::string> names = {"../../x", "/x", std::string("x\0y", 3), "a\nb"};
  for (size_t i = 0; i < names.size(); ++i) {
    header[names[i]] = {{"dtype", "U8"}, {"shape", {1}}, {"data_offsets", {end + i, end + i + 1}}};
  }
  const std::string text = header.dump();
  length = text.size();
  std::string head(8, '\0');
  std::memcpy(head.data(), &length, 8);
  folder_.write("in/model/model.safetensors",
                head + text + bytes.substr(bytes.size() - end) + "abcd");
  // A shard and side files that are links out of the folder, as in a hub cache.
  name_shard("sub/shard");
  fs::create_directory(model() / "sub");
  fs::create_symlink("../../shard", model() / "sub/shard");
  fs::create_directory(root() / "in/blobs");
  for (const char* name : {"config.json", "tokenizer.json", "vocab.json"}) {
    fs::rename(model() / name, root() / "in/blobs" / name);
    fs::create_symlink(fs::path("../blobs") / name, model() / name);
  }
  // Side files with the oddest names that a file system allows, and a folder that looks like one. What a link to
  // a folder leads to is not copied.
  for (const char* name : {"..json", "..\\x.json", "a\nb.txt", "folder.json/inner.json"}) {
    folder_.write(std::string("in/model/") + name, "{}");
  }
  fs::create_symlink("..", model() / "parent.txt");

  const test::Outcome outcome = run();
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(written_, testing::UnorderedElementsAre(
                            "model.safetensors", "config.json", "generation_config.json",
                            "merges.txt", "tokenizer.json", "vocab.json", "README.md",
                            "prune_report.json", "..json", "..\\x.json", "a\nb.txt", "inner.json"));
  EXPECT_THAT(outputs_.at("model.safetensors"), HasSubstr(R"(x\u0000y)")) << "it is kept";
}

TEST_F(HostileFolder, PipesAndDevicesAreRefused) {
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"}) {
    fs::rename(model() / name, root() / "away");
    ASSERT_EQ(mkfifo((model() / name).c_str(), 0600), 0);
    const test::Outcome outcome =
        test::run_prune(test::small_run(model().string(), output().string(), kQuick));
    EXPECT_EQ(outcome.code, 3);
    EXPECT_THAT(outcome.err, HasSubstr(std::string(name) + ": not a regular file"));
    fs::remove(model() / name);
    fs::create_symlink("/dev/zero", model() / name);
    expect_refused(std::string(name) + ": not a regular file");
    fs::remove(model() / name);
    fs::rename(root() / "away", model() / name);
  }
}

// Must be refused at the start, not after hours of work.
TEST_F(HostileFolder, ASideFileThatCannotBeCopiedShowsBeforeTheWork) {
  fs::create_symlink("nowhere", model() / "generation.json");
  expect_refused("generation.json: cannot open");
}

TEST_F(HostileFolder, DeepNestingIsAnErrorOfTheFile) {
  const std::string deep = "{\"x\":" + std::string(1'000'000, '[');
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json"}) {
    const fs::path file = model() / name;
    const std::string good = fs::exists(file) ? read_file(file) : "{}";
    folder_.write(std::string("in/model/") + name, deep);
    expect_refused(std::string(name) + ": JSON is nested deeper than 64 levels");
    folder_.write(std::string("in/model/") + name, good);
  }
}

// A write would follow the link.
TEST_F(HostileFolder, ALinkInPlaceOfThePartialFolderIsRefused) {
  fs::create_directories(root() / "elsewhere");
  fs::create_symlink(root() / "elsewhere", output().string() + ".partial");
  const test::Outcome outcome = run();
  EXPECT_EQ(outcome.code, exit_code(ErrorKind::kOutput)) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("out.partial: is a symbolic link"));
}

TEST_F(HostileFolder, PathsNeedNotBeUtf8) {
  const fs::path latin = root() / "in/caf\xE9";
  fs::rename(model(), latin);
  folder_.write("in/caf\xE9/na\xEFve.txt", "text");
  const fs::path out = root() / "to/\xFC";
  std::vector<std::string> flags = kQuick;
  flags.push_back("--json");
  const test::Outcome outcome =
      test::run_prune(test::small_run(latin.string(), out.string(), flags));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(read_file(out / "na\xEFve.txt"), "text");
  EXPECT_THAT(json::parse(outcome.out).at("prune").at("options").at("output").get<std::string>(),
              testing::EndsWith("to/\xEF\xBF\xBD"));
}

}  // namespace
}  // namespace prune
