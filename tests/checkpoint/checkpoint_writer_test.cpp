#include <prune/checkpoint/checkpoint_writer.h>
#include <prune/core/json_file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "checkpoint/make_torch_bin.h"
#include "support.h"

namespace prune::checkpoint {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::vectors_bytes;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;
using testing::UnorderedElementsAre;
using Names = std::vector<std::string>;

Names names_in(const fs::path& folder) {
  Names names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

/// Paths relative to `folder`.
Names files_below(const fs::path& folder) {
  Names names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_directory()) names.push_back(entry.path().lexically_relative(folder).string());
  }
  return names;
}

class CheckpointWriterTest : public testing::Test {
 protected:
  CheckpointWriterTest() {
    write_source("model.safetensors", vectors_bytes(Names{"a", "b"}));
    write_source("config.json", R"({"model_type":"opt"})");
  }
  void write_source(const std::string& name, const std::string& content) {
    folder.write("source/" + name, content);
  }
  Checkpoint source() const { return Checkpoint::open(folder.path() / "source"); }
  /// Names of what a run left beside the source.
  Names left() const {
    Names names = names_in(folder.path());
    std::erase(names, "source");
    return names;
  }
  std::string fault(const fs::path& target, WriterOptions options = {}) const {
    const Checkpoint checkpoint = source();
    return error_of(ErrorKind::kOutput, [&] { CheckpointWriter(checkpoint, target, options); });
  }
  void leave_recorded(const std::string& state) const;
  void write_all(const fs::path& target, WriterOptions options = {}) const {
    const Checkpoint checkpoint = source();
    CheckpointWriter writer(checkpoint, target, options);
    writer.write("a", at::tensor({1.0F, 2.0F}));
    writer.copy_rest();
    writer.commit();
  }
  test::TemporaryFolder folder;
  fs::path out = folder.path() / "out put é";
};

TEST_F(CheckpointWriterTest, ReplacesTensorsAndCopiesTheRest) {
  const Checkpoint checkpoint = source();
  {
    CheckpointWriter writer(checkpoint, out);
    EXPECT_EQ(writer.partial_folder(), out.native() + ".partial");
    writer.write("b", at::tensor({5.0F, 0.0F, 6.0F, 0.0F}).view({2, 2}).t().select(0, 0));
    writer.copy_rest();
    writer.write_text("prune_report.json", "{}");
    EXPECT_FALSE(fs::exists(out)) << "nothing is there before commit";
    writer.commit();
    EXPECT_EQ(writer.folder(), fs::canonical(out));
    EXPECT_EQ(writer.files().size(), 3U);
    for (const WrittenFile& file : writer.files()) {
      EXPECT_EQ(fs::file_size(out / file.name), static_cast<uintmax_t>(file.size_bytes))
          << file.name;
    }
  }
  EXPECT_THAT(left(), ElementsAre("out put é"));
  EXPECT_THAT(names_in(out), ElementsAre("config.json", "model.safetensors", "prune_report.json"));
  const Checkpoint written = Checkpoint::open(out);
  EXPECT_TRUE(at::equal(written.load("a"), at::zeros(2)));
  EXPECT_TRUE(at::equal(written.load("b"), at::tensor({5.0F, 6.0F})));
}

TEST_F(CheckpointWriterTest, SameBytesAsTheSafetensorsLibrary) {
  fs::remove_all(folder.path() / "source");
  fs::create_directories(folder.path() / "source");
  const fs::path golden = test::golden() / "checkpoint" / "all.safetensors";
  fs::copy_file(golden, folder.path() / "source" / "model.safetensors");
  const Checkpoint checkpoint = source();
  CheckpointWriter writer(checkpoint, out);
  writer.copy_rest();
  writer.commit();
  EXPECT_EQ(read_file(out / "model.safetensors"), read_file(golden));
}

TEST_F(CheckpointWriterTest, OneShardForEachWeightFile) {
  fs::remove(folder.path() / "source" / "model.safetensors");
  write_source("weights_2.st", vectors_bytes(Names{"lm_head.weight"}));
  write_source("weights_1.st", vectors_bytes(Names{"w", "embed"}));
  write_source("weights_3.st", vectors_bytes(Names{"z"}));
  write_source("model.safetensors.index.json",
               R"({"weight_map":{"w":"weights_1.st","embed":"weights_1.st",)"
               R"("lm_head.weight":"weights_2.st","z":"weights_3.st"}})");
  Checkpoint checkpoint = source();
  // The tied head was the only tensor in its file, so that file has no output shard.
  checkpoint.apply({.base_prefix = "model.",
                    .head = "lm_head.weight",
                    .embedding = "model.embed",
                    .tied = true});
  CheckpointWriter writer(checkpoint, out);
  writer.copy_rest();
  EXPECT_EQ(writer.files().size(), 4U) << "the index is there";
  EXPECT_EQ(Checkpoint::open(writer.partial_folder()).names().size(), 3U) << "and can be opened";
  writer.commit();
  EXPECT_THAT(names_in(out),
              ElementsAre("config.json", "model-00001-of-00002.safetensors",
                          "model-00002-of-00002.safetensors", "model.safetensors.index.json"));
  EXPECT_EQ(read_file(out / "model.safetensors.index.json"), R"({
  "metadata": {
    "total_parameters": 6,
    "total_size": 24
  },
  "weight_map": {
    "model.embed": "model-00001-of-00002.safetensors",
    "model.w": "model-00001-of-00002.safetensors",
    "model.z": "model-00002-of-00002.safetensors"
  }
}
)");
  EXPECT_THAT(Checkpoint::open(out).names(), ElementsAre("model.embed", "model.w", "model.z"));
}

TEST_F(CheckpointWriterTest, BinBecomesSafetensors) {
  fs::remove(folder.path() / "source" / "model.safetensors");
  fs::copy_file(test::golden() / "checkpoint" / "views.bin",
                folder.path() / "source" / "pytorch_model.bin");
  const Checkpoint checkpoint = source();
  CheckpointWriter writer(checkpoint, out);
  writer.copy_rest();
  writer.commit();
  const Checkpoint written = Checkpoint::open(out);
  ASSERT_EQ(written.names().size(), checkpoint.names().size());
  for (const std::string& name : checkpoint.names()) {
    EXPECT_TRUE(at::equal(written.load(name), checkpoint.load(name))) << name;
  }
}

TEST_F(CheckpointWriterTest, KeepsTheFilesOwnMetadata) {
  const std::string entry = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  const auto header_written = [&](const std::string& metadata) {
    write_source("model.safetensors", test::safetensors_bytes("{" + metadata + entry, "x"));
    const Checkpoint checkpoint = source();
    CheckpointWriter writer(checkpoint, out, {.overwrite = true});
    writer.copy_rest();
    writer.commit();
    return read_file(out / "model.safetensors").substr(8);
  };
  EXPECT_THAT(header_written(R"("__metadata__":{"step":"7","format":"mlx"},)"),
              StartsWith(R"({"__metadata__":{"format":"mlx","step":"7"},)"));
  EXPECT_THAT(header_written(R"("__metadata__":null,)"),
              StartsWith(R"({"__metadata__":{"format":"pt"},)"));
}

TEST_F(CheckpointWriterTest, CopiesSideFilesAndNothingElse) {
  const Names copied = {"LICENSE",
                        "NOTICE",
                        "added_tokens.json",
                        "chat_template.jinja",
                        "merges.txt",
                        "modeling_x.py",
                        "tokenizer.model.v3",
                        "vocab.json",
                        "additional_chat_templates/rag.jinja",
                        "1_Pooling/config.json",
                        "2_Dense/config.json",
                        "2_Dense/model.safetensors"};
  for (const std::string& name : copied) write_source(name, "content of " + name);
  for (const char* name :
       {"README.md", "README.txt", "prune_report.json", "prune_statistics.json",
        "pytorch_model.bin.index.json", "consolidated.safetensors", "consolidated.params.json",
        "model-00001-of-00009.safetensors", "flax_model.msgpack", "adapter_config.json",
        "adapter_model.safetensors", ".git/config", ".cache/x", "onnx/model.onnx",
        "onnx/config.json", "checkpoint-5/pytorch_model.bin", "checkpoint-5/state.json"}) {
    write_source(name, "x");
  }
  const test::TemporaryFolder blobs;
  fs::create_symlink(blobs.write("blob", "linked"), folder.path() / "source" / "tokenizer.json");
  write_source("modules.json", R"([{"path": ""}, {"path": "2_Dense"}])");
  write_all(out);
  Names expected = copied;
  expected.insert(expected.end(),
                  {"config.json", "model.safetensors", "modules.json", "tokenizer.json"});
  EXPECT_THAT(files_below(out), testing::UnorderedElementsAreArray(expected));
  EXPECT_EQ(read_file(out / "merges.txt"), "content of merges.txt");
  EXPECT_FALSE(fs::is_symlink(out / "tokenizer.json"));
  EXPECT_EQ(read_file(out / "tokenizer.json"), "linked");
}

TEST_F(CheckpointWriterTest, ADanglingSideFileIsAnError) {
  fs::create_symlink("nowhere", folder.path() / "source" / "tokenizer.json");
  const Checkpoint checkpoint = source();
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { CheckpointWriter(checkpoint, out); }),
              HasSubstr("tokenizer.json: cannot open"));
  EXPECT_THAT(left(), ElementsAre());
}

TEST_F(CheckpointWriterTest, OwnTextWinsOverTheSourcesFile) {
  const Checkpoint checkpoint = source();
  CheckpointWriter writer(checkpoint, out);
  writer.write_text("config.json", "ours, and longer than what comes after it");
  writer.write_text("config.json", "ours");
  writer.copy_rest();
  writer.commit();
  EXPECT_EQ(read_file(out / "config.json"), "ours");
}

/// A stack of two matrices [4, 6] with the numbers 0 to 47. The second one is made of two layers [3, 4], turned and
/// interleaved.
class StackedTensorTest : public CheckpointWriterTest {
 protected:
  StackedTensorTest() {
    write_source(
        "model.safetensors",
        test::safetensors_bytes(R"({"s":{"dtype":"F32","shape":[2,4,6],"data_offsets":[0,192]}})",
                                {static_cast<const char*>(stack.const_data_ptr()), 192}));
  }
  const Tensor stack = at::arange(48, at::kFloat).view({2, 4, 6});
  const TensorRef even{.name = "s", .index = 1, .transposed = true, .row_step = 2};
  const TensorRef odd{
      .name = "s", .index = 1, .transposed = true, .first_row = 1, .row_step = 2, .rows = 3};
};

TEST_F(StackedTensorTest, PartsThatNobodyWroteComeFromTheSource) {
  const Checkpoint checkpoint = source();
  CheckpointWriter writer(checkpoint, out);
  const Tensor value = at::arange(12, at::kFloat).view({3, 4}).neg();
  writer.write(odd, value);
  EXPECT_TRUE(at::equal(writer.read(odd), value));
  writer.copy_rest();
  writer.commit();
  Tensor want = stack.clone();
  odd.in(want).copy_(value);
  EXPECT_TRUE(at::equal(Checkpoint::open(out).load("s"), want));
}

TEST_F(StackedTensorTest, PartsAreKeptByAResumedRun) {
  const Checkpoint checkpoint = source();
  {
    CheckpointWriter writer(checkpoint, out);
    writer.write(even, at::full({3, 4}, -1.0F));
    writer.record("state");
    writer.write(odd, at::full({3, 4}, -3.0F));  // not recorded
  }
  CheckpointWriter writer(checkpoint, out, {.resume = true, .check_recorded = [](const auto&) {}});
  EXPECT_TRUE(at::equal(writer.read(even), at::full({3, 4}, -1.0F)));
  writer.keep(even);
  writer.write(odd, at::full({3, 4}, -2.0F));
  EXPECT_THAT(error_of(ErrorKind::kInternal, [&] { writer.commit(); }),
              HasSubstr("1 of 1 tensors were not written"));
  writer.write(TensorRef{.name = "s", .index = 0}, stack[0]);
  writer.commit();  // the parts fill the tensor
  Tensor want = stack.clone();
  even.in(want).fill_(-1.0);
  odd.in(want).fill_(-2.0);
  EXPECT_TRUE(at::equal(Checkpoint::open(out).load("s"), want));
}

TEST_F(StackedTensorTest, APartHasItsShapeAndDtype) {
  const Checkpoint checkpoint = source();
  CheckpointWriter writer(checkpoint, out);
  EXPECT_THAT(error_of(ErrorKind::kInternal,
                       [&] {
                         writer.write(even, at::zeros({4, 3}));
                       }),
              HasSubstr("a part of tensor 's': float32 [4, 3] written, expected float32 [3, 4]"));
}

TEST_F(CheckpointWriterTest, MistakesOfTheCaller) {
  const Checkpoint checkpoint = source();
  CheckpointWriter writer(checkpoint, out);
  const auto defect = [](auto action) { return error_of(ErrorKind::kInternal, action); };
  EXPECT_THAT(defect([&] { writer.write("c", at::zeros(2)); }),
              HasSubstr("'c' is not in the output"));
  EXPECT_THAT(defect([&] { writer.write("a", at::zeros(3)); }), HasSubstr("[3] written"));
  EXPECT_THAT(defect([&] { writer.write("a", at::zeros({2}, at::kHalf)); }), HasSubstr("float16"));
  for (const char* name : {"model.safetensors", "", "../x", "a/b", ".prune-lock"}) {
    EXPECT_THAT(defect([&] { writer.write_text(name, ""); }), HasSubstr("beside the shards"));
  }
  writer.write("a", at::zeros(2));
  EXPECT_THAT(defect([&] { writer.commit(); }),
              HasSubstr("1 of 2 tensors were not written, including 'b'"));
  writer.write("b", at::zeros(2));
  writer.commit();
  EXPECT_THAT(defect([&] { writer.write("a", at::zeros(2)); }), HasSubstr("closed"));
  EXPECT_THAT(defect([&] { writer.commit(); }), HasSubstr("closed"));
}

TEST_F(CheckpointWriterTest, WithoutCommitNothingIsLeft) {
  const Checkpoint checkpoint = source();
  {
    CheckpointWriter writer(checkpoint, folder.path() / "made" / "parents" / "out");
    writer.write("a", at::zeros(2));
    writer.write_text("report.json", "{}");
    EXPECT_THAT(left(), ElementsAre("made"));
  }
  EXPECT_THAT(left(), ElementsAre());
}

TEST_F(CheckpointWriterTest, ParentsAreMade) {
  write_all(folder.path() / "made" / "parents" / "out");
  EXPECT_EQ(Checkpoint::open(folder.path() / "made" / "parents" / "out").names().size(), 2U);
}

TEST_F(CheckpointWriterTest, AnExistingFolderIsKept) {
  folder.write("out put é/config.json", "old");
  EXPECT_THAT(fault(out), AllOf(HasSubstr("out put é"), HasSubstr("exists already")));
  EXPECT_EQ(read_file(out / "config.json"), "old");
  EXPECT_THAT(left(), ElementsAre("out put é"));
}

TEST_F(CheckpointWriterTest, AFolderThatAppearsMeanwhileIsKept) {
  const Checkpoint checkpoint = source();
  {
    CheckpointWriter writer(checkpoint, out);
    writer.copy_rest();
    folder.write("out put é/x", "theirs");
    EXPECT_THAT(error_of(ErrorKind::kOutput, [&] { writer.commit(); }), HasSubstr("cannot rename"));
  }
  EXPECT_THAT(left(), ElementsAre("out put é"));
  EXPECT_THAT(names_in(out), ElementsAre("x"));
}

TEST_F(CheckpointWriterTest, AFolderWithNothingButLogsIsTakenAndKeepsThem) {
  folder.write("out put é/run.log", "before, ");
  std::ofstream log(out / "run.log", std::ios::app);
  write_all(out);
  log << "after";
  log.close();
  EXPECT_THAT(names_in(out), ElementsAre("config.json", "model.safetensors", "run.log"));
  EXPECT_EQ(read_file(out / "run.log"), "before, after");
  EXPECT_THAT(fault(out), HasSubstr("exists already"));
  write_all(out, {.overwrite = true});
  EXPECT_EQ(read_file(out / "run.log"), "before, after");
}

TEST_F(CheckpointWriterTest, OverwriteReplacesTheWholeFolder) {
  folder.write("out put é/config.json", "old");
  folder.write("out put é/stale.safetensors", "old");
  const Checkpoint checkpoint = source();
  {
    CheckpointWriter writer(checkpoint, out, {.overwrite = true});
    EXPECT_EQ(read_file(out / "config.json"), "old") << "kept until the new one is complete";
  }
  EXPECT_EQ(read_file(out / "config.json"), "old") << "kept when the run fails";
  write_all(out, {.overwrite = true});
  EXPECT_THAT(names_in(out), ElementsAre("config.json", "model.safetensors"));
  EXPECT_NE(read_file(out / "config.json"), "old");
  EXPECT_THAT(left(), ElementsAre("out put é"));
}

TEST_F(CheckpointWriterTest, OverwriteSparesWhatIsNoCheckpoint) {
  folder.write("out put é/thesis.tex", "years of work");
  EXPECT_THAT(fault(out, {.overwrite = true}), HasSubstr("is not a checkpoint folder"));
  EXPECT_THAT(fault(folder.path() / "source", {.overwrite = true}),
              HasSubstr("is or contains the source"));
  EXPECT_THAT(fault(folder.path(), {.overwrite = true}), HasSubstr("is or contains the source"));
  EXPECT_TRUE(fs::exists(out / "thesis.tex"));
  const fs::path file = folder.write("file", "text");
  EXPECT_THAT(fault(file, {.overwrite = true}), HasSubstr("is not a checkpoint folder"));
  EXPECT_THAT(fault(file / "out"), HasSubstr("Not a directory"));
}

TEST_F(CheckpointWriterTest, LinksLeadWhereTheyPoint) {
  fs::create_directories(folder.path() / "disk");
  fs::create_directory_symlink("disk", folder.path() / "parent");
  write_all(folder.path() / "parent" / "out" / "");
  EXPECT_EQ(Checkpoint::open(folder.path() / "disk" / "out").names().size(), 2U);
  fs::create_directory_symlink("disk/later", folder.path() / "dangling");
  write_all(folder.path() / "dangling");
  EXPECT_TRUE(fs::is_symlink(folder.path() / "dangling"));
  EXPECT_EQ(Checkpoint::open(folder.path() / "disk" / "later").names().size(), 2U);
  fs::create_directory_symlink("loop", folder.path() / "loop");
  EXPECT_THAT(fault(folder.path() / "loop"), HasSubstr("loop"));
}

TEST_F(CheckpointWriterTest, OneWriterAtATime) {
  const Checkpoint checkpoint = source();
  {
    CheckpointWriter writer(checkpoint, out);
    EXPECT_THAT(fault(out), HasSubstr("another run is writing to this output"));
    writer.copy_rest();
    writer.commit();
  }
  EXPECT_TRUE(fs::exists(out / "model.safetensors"));
}

TEST_F(CheckpointWriterTest, LeftoversOfADeadProcessAreReplaced) {
  const pid_t child = fork();
  if (child == 0) {
    // The child dies without running destructors.
    const Checkpoint checkpoint = source();
    const auto* writer = new CheckpointWriter(checkpoint, out);  // NOLINT: leaked on purpose
    _exit(writer->files().size() == 1 ? 0 : 1);
  }
  int status = 1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  ASSERT_TRUE(fs::exists(out.native() + ".partial/model.safetensors"));
  folder.write("out put é.partial/old/stale.txt", "");
  write_all(out);
  EXPECT_THAT(names_in(out), ElementsAre("config.json", "model.safetensors"));
  EXPECT_THAT(left(), ElementsAre("out put é"));
}

/// Simulates a run that died after it wrote "a" and recorded that.
void CheckpointWriterTest::leave_recorded(const std::string& state) const {
  const Checkpoint checkpoint = source();
  CheckpointWriter writer(checkpoint, out);
  writer.write("a", at::tensor({1.0F, 2.0F}));
  writer.write_text("notes.json", "{}");
  writer.record("earlier");
  writer.record(state);
}

TEST_F(CheckpointWriterTest, RecordedWorkStaysAndCanBeResumed) {
  leave_recorded("a is written");
  folder.write("out put é.partial/.prune-state.json.tmp", "cut sho");
  folder.write("out put é.partial/of an earlier version.json", "");
  const Checkpoint checkpoint = source();
  std::string recorded;
  CheckpointWriter writer(
      checkpoint, out,
      {.resume = true, .check_recorded = [&](const std::string& state) { recorded = state; }});
  EXPECT_EQ(recorded, "a is written");
  EXPECT_FALSE(writer.finished());
  EXPECT_TRUE(at::equal(writer.read("a"), at::tensor({1.0F, 2.0F})));
  writer.keep("a");
  writer.copy_rest();
  writer.write_text("notes.json", "{}");
  writer.commit();
  EXPECT_TRUE(at::equal(Checkpoint::open(out).load("a"), at::tensor({1.0F, 2.0F})));
  EXPECT_THAT(names_in(out), ElementsAre("config.json", "model.safetensors", "notes.json"));
  EXPECT_THAT(left(), ElementsAre("out put é"));
}

TEST_F(CheckpointWriterTest, RecordedWorkOfAnotherRunIsNotTouched) {
  leave_recorded("of another model");
  const std::string shard = read_file(out.native() + ".partial/model.safetensors");
  write_source("model.safetensors", vectors_bytes(Names{"a", "b", "c"}));
  const Checkpoint checkpoint = source();
  const auto refuse = [](const std::string&) {
    throw Error(ErrorKind::kInput, "is of another model");
  };
  EXPECT_THAT(
      error_of(
          ErrorKind::kInput,
          [&] { CheckpointWriter(checkpoint, out, {.resume = true, .check_recorded = refuse}); }),
      HasSubstr(".prune-state.json: is of another model"));
  EXPECT_THAT(fault(out), HasSubstr("holds the finished work of an interrupted run; --resume"));
  EXPECT_EQ(read_file(out.native() + ".partial/model.safetensors"), shard);
  EXPECT_EQ(read_file(out.native() + ".partial/.prune-state.json"), "of another model");
  write_all(out, {.overwrite = true});
  EXPECT_EQ(Checkpoint::open(out).names().size(), 3U);
  EXPECT_THAT(left(), ElementsAre("out put é"));
}

TEST_F(CheckpointWriterTest, ResumingWhatIsFinishedWritesNothing) {
  write_all(out);
  const Checkpoint checkpoint = source();
  CheckpointWriter writer(checkpoint, out, {.resume = true});
  EXPECT_TRUE(writer.finished());
  EXPECT_THAT(error_of(ErrorKind::kInternal, [&] { writer.write("a", at::zeros(2)); }),
              HasSubstr("closed"));
}

TEST_F(CheckpointWriterTest, AFolderInThePlaceOfAFileIsKept) {
  const Checkpoint checkpoint = source();
  CheckpointWriter writer(checkpoint, out);
  fs::create_directories(out.native() + ".partial/notes.json");
  EXPECT_THAT(error_of(ErrorKind::kOutput, [&] { writer.write_text("notes.json", "{}"); }),
              HasSubstr("notes.json.tmp: cannot rename to 'notes.json': Is a directory"));
}

TEST_F(CheckpointWriterTest, AShardThatLostItsEndCannotBeRead) {
  const Checkpoint checkpoint = source();
  CheckpointWriter writer(checkpoint, out);
  fs::resize_file(out.native() + ".partial/model.safetensors", 20);
  EXPECT_THAT(error_of(ErrorKind::kOutput, [&] { writer.read("a"); }),
              AllOf(HasSubstr("model.safetensors: cannot read 8 bytes at "),
                    HasSubstr(": Input/output error")));
}

/// Simulates a full disk: no file can grow while it exists.
class FullDisk {
 public:
  FullDisk() {
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before_), 0);
    rlimit none = before_;
    none.rlim_cur = 0;
    handler_ = signal(SIGXFSZ, SIG_IGN);
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST_F(CheckpointWriterTest, AFolderThatCannotBeSetAsideSafelyIsKept) {
  folder.write("out put é/config.json", "old");
  const Checkpoint checkpoint = source();
  CheckpointWriter writer(checkpoint, out, {.overwrite = true});
  writer.copy_rest();
  const std::string message = [&] {
    const FullDisk full;
    return error_of(ErrorKind::kOutput, [&] { writer.commit(); });
  }();
  EXPECT_THAT(message, HasSubstr(".prune-lock: cannot write: File too large"));
  EXPECT_EQ(read_file(out / "config.json"), "old");
}

TEST_F(CheckpointWriterTest, ASourceThatIsGone) {
  const Checkpoint checkpoint = source();
  fs::remove_all(folder.path() / "source");
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { CheckpointWriter(checkpoint, out); }),
              HasSubstr("source: cannot read the folder: No such file or directory"));
  EXPECT_THAT(left(), ElementsAre());
}

TEST_F(CheckpointWriterTest, ADtypeThatSafetensorsLacks) {
  namespace pickle = test::pickle;
  fs::remove(folder.path() / "source" / "model.safetensors");
  write_source(
      "pytorch_model.bin",
      test::torch_bin_bytes(
          pickle::dict("w",
                       pickle::tensor({.type = "ComplexDoubleStorage", .count = 1, .sizes = {1}})),
          {{"0", std::string(16, '\0')}}));
  EXPECT_THAT(fault(out),
              HasSubstr("tensor 'w' of complex128 cannot be stored in a safetensors file"));
  EXPECT_THAT(left(), ElementsAre());
}

TEST_F(CheckpointWriterTest, ALinkInThePartialFolderIsNotFollowed) {
  leave_recorded("a is written");
  const fs::path precious = folder.write("precious", "years of work");
  const fs::path shard = out.native() + ".partial/model.safetensors";
  fs::remove(shard);
  fs::create_symlink(precious, shard);
  EXPECT_THAT(fault(out, {.resume = true, .check_recorded = [](const std::string&) {}}),
              HasSubstr("model.safetensors: cannot create"));
  EXPECT_EQ(read_file(precious), "years of work");
}

TEST_F(CheckpointWriterTest, APartialFolderThatIsNotOursIsKept) {
  const fs::path file = folder.write("out put é.partial/thesis.tex", "years of work");
  EXPECT_THAT(fault(out), HasSubstr("was not left by an earlier run"));
  EXPECT_EQ(read_file(file), "years of work");
}

TEST_F(CheckpointWriterTest, ManyWritersOneWins) {
  const Checkpoint checkpoint = source();
  std::atomic<int> committed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      try {
        CheckpointWriter writer(checkpoint, out);
        writer.copy_rest();
        writer.commit();
        ++committed;
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kOutput) << e.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(committed, 1);
  EXPECT_THAT(left(), ElementsAre("out put é"));
  EXPECT_THAT(names_in(out), ElementsAre("config.json", "model.safetensors"));
}

TEST_F(CheckpointWriterTest, ADiskThatIsTooSmallShowsAtOnce) {
  // 2^41 float32 zeros that occupy no disk space: a file with a hole.
  const int64_t elements = int64_t{1} << 41;
  const std::string header = fmt::format(
      R"({{"w":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{}]}}}})", elements, 4 * elements);
  write_source("model.safetensors", test::safetensors_bytes(header, ""));
  const fs::path weights = folder.path() / "source" / "model.safetensors";
  std::error_code failure;
  fs::resize_file(weights, fs::file_size(weights) + 4 * elements, failure);
  if (failure) GTEST_SKIP() << "no file of 8 TiB here: " << failure.message();
  EXPECT_THAT(fault(out), AllOf(HasSubstr("not enough space: 8796093022"), HasSubstr(" free (")));
  EXPECT_THAT(left(), ElementsAre());
}

/// root may write everywhere, so the process runs as nobody while this exists.
class WithoutPrivileges {
 public:
  WithoutPrivileges() : user_(geteuid()) {
    constexpr uid_t kNobody = 65534;
    if (user_ == 0) {
      EXPECT_EQ(seteuid(kNobody), 0);
    }
  }
  WithoutPrivileges(const WithoutPrivileges&) = delete;
  WithoutPrivileges& operator=(const WithoutPrivileges&) = delete;
  ~WithoutPrivileges() { EXPECT_EQ(seteuid(user_), 0); }

 private:
  uid_t user_;
};

TEST_F(CheckpointWriterTest, AFolderThatMayNotBeWritten) {
  const fs::path parent = folder.path() / "closed";
  fs::create_directories(parent);
  constexpr auto kReadOnly = static_cast<fs::perms>(0555);
  fs::permissions(folder.path(), kReadOnly);
  fs::permissions(parent, kReadOnly);
  {
    const Checkpoint checkpoint = source();
    const WithoutPrivileges nobody;
    for (const fs::path& target : {parent / "out", parent / "made" / "out"}) {
      EXPECT_THAT(error_of(ErrorKind::kOutput, [&] { CheckpointWriter(checkpoint, target); }),
                  AllOf(HasSubstr("closed"), HasSubstr("Permission denied")));
    }
  }
  fs::permissions(folder.path(), fs::perms::owner_all);
}

TEST_F(CheckpointWriterTest, AFileSystemThatTakesNoFolders) {
  EXPECT_THAT(fault("/proc/self/out"), HasSubstr("/out.partial: cannot create the folder"));
}

}  // namespace
}  // namespace prune::checkpoint
