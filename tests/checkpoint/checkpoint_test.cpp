#include <prune/checkpoint/checkpoint.h>

#include "checkpoint/make_safetensors.h"
#include "memory_limit.h"
#include "support.h"

namespace prune::checkpoint {
namespace {

using test::error_of;
using test::vectors_bytes;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using Names = std::vector<std::string>;

std::string index_of(const std::vector<std::pair<std::string, std::string>>& weight_map) {
  std::string text;
  for (const auto& [tensor, file] : weight_map) {
    text += (text.empty() ? "\"" : ",\"") + tensor + "\":\"" + file + "\"";
  }
  return R"({"metadata":{"total_size":1},"weight_map":{)" + text + "}}";
}

class CheckpointFolder : public testing::Test {
 protected:
  Checkpoint open() { return Checkpoint::open(folder.path()); }
  std::string fault() {
    return error_of(ErrorKind::kInput, [&] { open(); });
  }
  void write_index(const std::vector<std::pair<std::string, std::string>>& weight_map) {
    folder.write("model.safetensors.index.json", index_of(weight_map));
  }
  test::TemporaryFolder folder;
};

TEST_F(CheckpointFolder, FoldersWithoutWeights) {
  EXPECT_THAT(fault(), HasSubstr("holds none of model.safetensors"));
  folder.write("consolidated.safetensors", "");
  EXPECT_THAT(fault(), HasSubstr("'consolidated.safetensors' is there"));
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { Checkpoint::open(folder.path() / "no"); }),
              HasSubstr("no such folder"));
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { Checkpoint::open(folder.write("file", "")); }),
              HasSubstr("is not a folder"));
}

TEST_F(CheckpointFolder, LooksForFilesInTransformersOrder) {
  folder.write("pytorch_model.bin.index.json", "{}");
  EXPECT_THAT(fault(), HasSubstr("pytorch_model.bin.index.json: has no object 'weight_map'"));
  folder.write("pytorch_model.bin", "");
  EXPECT_THAT(fault(), HasSubstr("pytorch_model.bin: is empty"));
  folder.write("model.safetensors.index.json", "{}");
  EXPECT_THAT(fault(), HasSubstr("model.safetensors.index.json: has no object"));
  folder.write("model.safetensors", vectors_bytes(Names{"a"}));
  EXPECT_THAT(open().files(), ElementsAre("model.safetensors"));
}

TEST_F(CheckpointFolder, ShardsAreNamedByTheIndexOnly) {
  write_index({{"b", "x/second.st"}, {"a", "first.st"}, {"c", "x/second.st"}});
  folder.write("first.st", vectors_bytes(Names{"a"}));
  folder.write("x/second.st", vectors_bytes(Names{"c", "b"}));
  folder.write("model-00001-of-00001.safetensors", "stale");
  const Checkpoint checkpoint = open();
  EXPECT_THAT(checkpoint.files(), ElementsAre("first.st", "x/second.st"));
  EXPECT_THAT(checkpoint.names(), ElementsAre("a", "c", "b"));
  EXPECT_EQ(checkpoint.info("b").file, 1U);
  EXPECT_EQ(checkpoint.load("b").numel(), 2);
}

TEST_F(CheckpointFolder, FaultsOfTheIndex) {
  const auto fault_of = [&](const std::string& text) {
    folder.write("model.safetensors.index.json", text);
    return fault();
  };
  EXPECT_THAT(fault_of("{"), AllOf(HasSubstr("index.json"), HasSubstr("not valid JSON")));
  EXPECT_THAT(fault_of("[]"), HasSubstr("has no object 'weight_map'"));
  EXPECT_THAT(fault_of(R"({"weight_map":[]})"), HasSubstr("has no object 'weight_map'"));
  EXPECT_THAT(fault_of(R"({"weight_map":{}})"), HasSubstr("weight_map is empty"));
  EXPECT_THAT(fault_of(R"({"weight_map":{"a":1}})"), HasSubstr("file of 'a' is not a string"));
  EXPECT_THAT(fault_of(R"({"weight_map":{"a":"x","a":"y"}})"), HasSubstr("'a' is given twice"));
  for (const char* name : {"/etc/passwd", "../x", "a/../../x", "", "x\\u0000y"}) {
    EXPECT_THAT(fault_of(index_of({{"a", name}})), HasSubstr("is not a file inside the folder"));
  }
}

TEST_F(CheckpointFolder, ShardsAndTensorsThatAreMissing) {
  write_index({{"a", "1.st"}, {"b", "2.st"}, {"c", "3.st"}});
  folder.write("1.st", vectors_bytes(Names{"a"}));
  EXPECT_THAT(fault(), HasSubstr("shard '2.st' is missing (2 of 3 shards missing)"));
  folder.write("2.st", vectors_bytes(Names{"x"}));
  folder.write("3.st", vectors_bytes(Names{"c"}));
  const Checkpoint checkpoint = open();
  EXPECT_EQ(checkpoint.load("a").numel(), 2);
  EXPECT_THAT(
      error_of(ErrorKind::kInput, [&] { checkpoint.load("b"); }),
      AllOf(HasSubstr("2.st: tensor 'b'"),
            HasSubstr("is not in this file, though model.safetensors.index.json lists it")));
}

TEST_F(CheckpointFolder, TheIndexDecidesBetweenTwoShardsWithATensor) {
  write_index({{"a", "1.st"}, {"b", "2.st"}, {"c", "1.st"}});
  folder.write("1.st", vectors_bytes(Names{"a", "b", "c"}));
  folder.write("2.st", vectors_bytes(Names{"b", "c"}));
  const Checkpoint checkpoint = open();
  EXPECT_THAT(checkpoint.names(), ElementsAre("a", "c", "b"));
  EXPECT_EQ(checkpoint.info("b").file, 1U);
  EXPECT_EQ(checkpoint.info("c").file, 0U);
  write_index({{"a", "1.st"}, {"c", "2.st"}});
  EXPECT_THAT(fault(), HasSubstr("tensor 'b' is also in '1.st'"));
}

TEST_F(CheckpointFolder, TensorInAnotherShardThanTheIndexSaysIsFound) {
  write_index({{"a", "1.st"}, {"b", "1.st"}, {"c", "2.st"}});
  folder.write("1.st", vectors_bytes(Names{"a"}));
  folder.write("2.st", vectors_bytes(Names{"b", "c"}));
  EXPECT_EQ(open().info("b").file, 1U);
}

TEST_F(CheckpointFolder, LinksOfAHubCacheAreFollowed) {
  const test::TemporaryFolder blobs;
  const auto blob = blobs.write("0123", vectors_bytes(Names{"a"}));
  std::filesystem::create_symlink(blob, folder.path() / "model.safetensors");
  EXPECT_EQ(open().load("a").numel(), 2);
  std::filesystem::remove(blob);
  EXPECT_THAT(fault(), AllOf(HasSubstr("model.safetensors: cannot open: it is a link to '"),
                             HasSubstr("/0123', which does not exist; fetch the file again")));
}

TEST_F(CheckpointFolder, ATensorThatDoesNotFitIntoMemoryIsNamed) {
  if (!test::MemoryLimit::works()) GTEST_SKIP() << "not with this allocator";
  // 64 MiB that occupy no disk space: a hole in the file, at an offset unaligned for float.
  const int64_t size_bytes = int64_t{64} << 20;
  std::string header =
      fmt::format(R"({{"w":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{}]}}}})", size_bytes / 4,
                  size_bytes);
  header.resize(header.size() / 4 * 4 + 5, ' ');
  const auto path = folder.write("model.safetensors", test::safetensors_bytes(header, ""));
  std::filesystem::resize_file(path, std::filesystem::file_size(path) + size_bytes);
  const Checkpoint checkpoint = open();
  const test::MemoryLimit limit(int64_t{48} << 20);
  EXPECT_EQ(error_of(ErrorKind::kDevice, [&] { checkpoint.load("w"); }),
            "tensor 'w': out of host memory: cannot allocate 67108864 bytes");
}

TEST_F(CheckpointFolder, MissingTensorAndWrongShape) {
  folder.write("model.safetensors", vectors_bytes(Names{"fc1.weight", "fc2.weight"}));
  const Checkpoint checkpoint = open();
  EXPECT_THAT(error_of(ErrorKind::kInput, [&] { checkpoint.load("fc1.wieght"); }),
              HasSubstr("'fc1.wieght' is missing; the nearest name is 'fc1.weight'"));
  EXPECT_THAT(error_of(ErrorKind::kInput,
                       [&] {
                         checkpoint.load("fc1.weight", {2, 1});
                       }),
              HasSubstr("tensor 'fc1.weight' has shape [2], expected [2, 1]"));
  EXPECT_EQ(checkpoint.load("fc1.weight", {2}).numel(), 2);
  checkpoint.prefetch("fc1.weight");
  checkpoint.drop("fc1.weight");
}

class NameRuleTest : public CheckpointFolder {
 protected:
  Names renamed(const Names& stored, bool tied = true) { return opened(stored, tied).names(); }
  Checkpoint opened(const Names& stored, bool tied = true) {
    folder.write("model.safetensors", vectors_bytes(stored));
    Checkpoint checkpoint = open();
    const NameRule rule = {.base_prefix = "model.",
                           .head = "lm_head.weight",
                           .embedding = "model.decoder.embed_tokens.weight",
                           .tied = tied};
    checkpoint.apply(rule);
    checkpoint.apply(rule);  // leaves canonical names unchanged
    return checkpoint;
  }
};

TEST_F(NameRuleTest, PrefixIsPutWhereItIsMissing) {
  EXPECT_THAT(renamed({"decoder.fc1", "model.decoder.fc2"}),
              ElementsAre("model.decoder.fc1", "model.decoder.fc2"));
}

TEST_F(NameRuleTest, TensorsThatTheModelDoesNotUseKeepTheirNames) {
  Checkpoint checkpoint = opened({"decoder.fc1", "mtp.fc", "model.x"});
  checkpoint.restore_names([](const std::string& name) { return name == "model.decoder.fc1"; });
  EXPECT_THAT(checkpoint.names(), ElementsAre("model.decoder.fc1", "mtp.fc", "model.x"));
  EXPECT_EQ(checkpoint.info("mtp.fc").name, "mtp.fc");
  EXPECT_FALSE(checkpoint.contains("model.mtp.fc"));
}

TEST_F(NameRuleTest, AHeadThatDiffersFromTheEmbeddingIsItsOwn) {
  const NameRule rule = {.base_prefix = "model.",
                         .head = "lm_head.weight",
                         .embedding = "model.embed.weight",
                         .tied = true};
  const auto with = [&](const std::string& head, const std::string& embedding) {
    const std::string header =
        R"({"embed.weight":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
        R"("lm_head.weight":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})";
    folder.write("model.safetensors", test::safetensors_bytes(header, embedding + head));
    return open();
  };
  EXPECT_FALSE(with("ab", "ab").stores_own_head(rule));
  EXPECT_TRUE(with("ax", "ab").stores_own_head(rule));
  EXPECT_FALSE(opened({"lm_head.weight"}).stores_own_head(rule));
  folder.write("model.safetensors",
               test::safetensors_bytes(
                   R"({"embed.weight":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                   R"("lm_head.weight":{"dtype":"F16","shape":[1],"data_offsets":[2,4]}})",
                   "abab"));
  EXPECT_TRUE(open().stores_own_head(rule));
}

TEST_F(NameRuleTest, TiedHeadIsTheEmbedding) {
  const std::string embedding = "model.decoder.embed_tokens.weight";
  EXPECT_THAT(renamed({"lm_head.weight"}), ElementsAre(embedding));
  EXPECT_THAT(renamed({"lm_head.weight", "decoder.embed_tokens.weight"}), ElementsAre(embedding));
  EXPECT_THAT(renamed({embedding}), ElementsAre(embedding));
  EXPECT_THAT(renamed({"lm_head.weight", embedding}, false),
              ElementsAre("lm_head.weight", embedding));
  EXPECT_EQ(opened({"lm_head.weight"}).info(embedding).name, embedding);
}

TEST_F(NameRuleTest, TwoNamesThatBecomeOne) {
  EXPECT_THAT(error_of(ErrorKind::kInput,
                       [&] {
                         renamed({"decoder.w", "model.decoder.w"});
                       }),
              HasSubstr("'decoder.w' and 'model.decoder.w' both map to 'model.decoder.w'"));
}

TEST_F(NameRuleTest, WithoutARuleNamesStay) {
  folder.write("model.safetensors", vectors_bytes(Names{"b", "a"}));
  Checkpoint checkpoint = open();
  checkpoint.apply({});
  EXPECT_THAT(checkpoint.names(), ElementsAre("b", "a"));
}

}  // namespace
}  // namespace prune::checkpoint
