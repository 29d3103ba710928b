#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <functional>

#include "cli/program.h"

namespace prune {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

class BadInput : public testing::Test {
 protected:
  fs::path output() const { return folder_.path() / "out"; }

  /// The program must exit with the kind's code, print one line that starts with the kind and contains `says`,
  /// and leave nothing.
  void expect_error(const std::vector<std::string>& arguments, ErrorKind kind,
                    const std::string& says) {
    const test::Outcome outcome = test::run_prune(arguments);
    EXPECT_EQ(outcome.code, exit_code(kind)) << outcome.err;
    EXPECT_THAT(outcome.err, StartsWith(std::string("prune: ") + kind_name(kind) + ": "));
    EXPECT_THAT(outcome.err, HasSubstr(says));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_FALSE(fs::exists(output()));
    EXPECT_FALSE(fs::exists(output().string() + ".partial"));
  }

  void expect_run_error(const std::string& model, ErrorKind kind, const std::string& says) {
    expect_error(test::small_run(model, output().string()), kind, says);
  }

  /// A copy of the model whose only shard has a changed header.
  fs::path damage_header(const std::function<void(nlohmann::json&)>& change) {
    const fs::path model = test::copy_model(folder_);
    const fs::path file = model / "model.safetensors";
    std::ifstream in(file, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    nlohmann::json header = nlohmann::json::parse(bytes.substr(8, length));
    change(header);
    const std::string text = header.dump();
    const uint64_t new_length = text.size();
    std::string head(8, '\0');
    std::memcpy(head.data(), &new_length, 8);
    std::ofstream(file, std::ios::binary) << head << text << bytes.substr(8 + length);
    return model;
  }

  test::TemporaryFolder folder_;
};

constexpr const char* kFc1 = "model.decoder.layers.2.fc1.weight";

TEST_F(BadInput, NoSuchModel) {
  expect_run_error("/nowhere/at all", ErrorKind::kInput, "'/nowhere/at all' is not a folder");
  expect_run_error("", ErrorKind::kUsage, "--model");
}

TEST_F(BadInput, UnknownNameSuggestsTheNearest) {
  expect_run_error("otp-66b", ErrorKind::kInput, "did you mean 'opt-66b'?");
}

TEST_F(BadInput, AFolderThatIsNotThereSuggestsTheOneBesideIt) {
  const std::string model = test::copy_model(folder_, "opt-books-6m").string();
  fs::create_directory(folder_.path() / "opt-books-7n");  // no model
  for (const std::string asked : {"opt-books-7m", "opt-books-7m/"}) {
    expect_run_error((folder_.path() / asked).string(), ErrorKind::kInput,
                     "; did you mean '" + model + "'?");
  }
  const auto in_folder = [&](const std::string& folder, const std::string& asked) {
    return test::run_shell("cd " + folder +
                           "; HF_HUB_CACHE=/nowhere " PRUNE_PROGRAM " inspect --model " + asked)
        .err;
  };
  EXPECT_THAT(in_folder(folder_.path().string(), "opt-book-6m"),
              HasSubstr("; did you mean 'opt-books-6m'?"));
  // This could be a hub id.
  const std::string name = folder_.path().filename().string();
  EXPECT_THAT(in_folder(folder_.path().parent_path().string(), name + "/opt-book-6m"),
              HasSubstr("is neither a folder (did you mean '" + name +
                        "/opt-books-6m'?) nor in the hub cache"));
  EXPECT_THAT(in_folder(folder_.path().parent_path().string(), name + "/bloom"),
              HasSubstr("is neither a folder nor in the hub cache"));
}

TEST_F(BadInput, UnknownCommandSuggestsTheNearest) {
  expect_error({"evla"}, ErrorKind::kUsage, "unknown command 'evla'; did you mean 'eval'?");
  expect_error({"reocver", "--help"}, ErrorKind::kUsage, "did you mean 'recover'?");
  expect_error({"smollm2"}, ErrorKind::kUsage, "did you mean '--model smollm2'?");
  folder_.write("evla/config.json", "{}");
  const test::Outcome outcome =
      test::run_shell("cd " + folder_.path().string() + "; " PRUNE_PROGRAM " evla");
  EXPECT_THAT(outcome.err, HasSubstr("did you mean '--model evla'?"));
}

TEST_F(BadInput, UnknownChoiceSuggestsTheNearest) {
  const auto refused = [&](const std::string& flag, const std::string& value,
                           const std::string& says) {
    expect_error({"--model", "m", "--target", "0.5", flag, value}, ErrorKind::kUsage, says);
  };
  refused("--schedule", "kmean", "file:PATH; did you mean 'kmeans'?");
  refused("--solver", "sparsegtp", "alps, sparsegpt; did you mean 'sparsegpt'?");
  expect_error({"completion", "bsh"}, ErrorKind::kUsage, "did you mean 'bash'?");
  expect_error({"inspect", "--model", "m", "--color", "alway"}, ErrorKind::kUsage,
               "--color 'alway' is not one of always, auto, never; did you mean 'always'?");
}

TEST_F(BadInput, KnownNameThatIsNotInTheCacheTellsHowToFetchIt) {
  setenv("HF_HUB_CACHE", folder_.path().c_str(), 1);
  expect_run_error("opt-66b", ErrorKind::kInput, "hf download facebook/opt-66b");
  unsetenv("HF_HUB_CACHE");
}

TEST_F(BadInput, FolderWithoutConfig) {
  fs::create_directory(folder_.path() / "empty");
  expect_run_error((folder_.path() / "empty").string(), ErrorKind::kInput, "config.json");
}

TEST_F(BadInput, UnknownModelType) {
  const fs::path model = test::copy_model(folder_);
  std::ofstream(model / "config.json") << R"({"model_type": "mpt"})";
  expect_run_error(model.string(), ErrorKind::kInput, "model_type 'mpt' is not supported");
}

TEST_F(BadInput, TruncatedShard) {
  const fs::path model = test::copy_model(folder_);
  fs::resize_file(model / "model.safetensors", 5'000'000);
  expect_run_error(model.string(), ErrorKind::kInput, "model.safetensors");
}

TEST_F(BadInput, OverlappingOffsets) {
  const fs::path model = damage_header([](nlohmann::json& header) {
    auto& offsets = header.at(kFc1).at("data_offsets");
    offsets = {offsets[0].get<int64_t>() - 2, offsets[1].get<int64_t>() - 2};
  });
  expect_run_error(model.string(), ErrorKind::kInput, "model.safetensors");
}

TEST_F(BadInput, OffsetsOutOfRange) {
  const fs::path model = damage_header([](nlohmann::json& header) {
    header.at(kFc1).at("data_offsets") = {int64_t{1} << 40, (int64_t{1} << 40) + 524288};
  });
  expect_run_error(model.string(), ErrorKind::kInput, "model.safetensors");
}

TEST_F(BadInput, MissingShard) {
  const fs::path model = test::copy_model(folder_);
  fs::remove(model / "model.safetensors");
  std::ofstream(model / "model.safetensors.index.json")
      << R"({"weight_map": {"model.decoder.embed_tokens.weight": "model-00001-of-00002.safetensors"}})";
  expect_run_error(model.string(), ErrorKind::kInput, "model-00001-of-00002.safetensors");
}

TEST_F(BadInput, MissingTensor) {
  const fs::path model = damage_header([](nlohmann::json& header) {
    header["model.decoder.layers.2.fc9.weight"] = header.at(kFc1);
    header.erase(kFc1);
  });
  expect_run_error(model.string(), ErrorKind::kInput, kFc1);
}

TEST_F(BadInput, WrongShape) {
  const fs::path model = damage_header([](nlohmann::json& header) {
    header.at(kFc1).at("shape") = {256, 1024};
  });
  expect_run_error(
      model.string(), ErrorKind::kInput,
      std::string("'") + kFc1 + "' has shape [256, 1024], but config.json implies [1024, 256]");
}

TEST_F(BadInput, NanWeight) {
  const fs::path model = test::copy_model(folder_);
  const fs::path file = model / "model.safetensors";
  uint64_t length = 0;
  int64_t begin = 0;
  {
    std::ifstream in(file, std::ios::binary);
    in.read(reinterpret_cast<char*>(&length), 8);
    std::string text(length, '\0');
    in.read(text.data(), static_cast<std::streamsize>(length));
    begin = nlohmann::json::parse(text).at(kFc1).at("data_offsets")[0].get<int64_t>();
  }
  std::fstream io(file, std::ios::binary | std::ios::in | std::ios::out);
  io.seekp(static_cast<std::streamoff>(8 + length) + begin + 2 * (256 * 7 + 3));
  const uint16_t nan = 0x7e00;
  io.write(reinterpret_cast<const char*>(&nan), 2);
  io.close();
  expect_error(test::small_run(model.string(), output().string()), ErrorKind::kInput,
               std::string("'") + kFc1 + "' holds nan at [7, 3]");
}

TEST_F(BadInput, PickleWithAForeignGlobal) {
  const fs::path model = test::copy_model(folder_);
  fs::remove(model / "model.safetensors");
  fs::copy(test::golden() / "checkpoint/foreign.bin", model / "pytorch_model.bin");
  expect_run_error(model.string(), ErrorKind::kInput, "posix system");
}

TEST_F(BadInput, NoTokenizer) {
  const fs::path model = test::copy_model(folder_);
  for (const char* file : {"tokenizer.json", "vocab.json", "merges.txt"}) fs::remove(model / file);
  expect_run_error(model.string(), ErrorKind::kInput, "tokenizer.json");
}

TEST_F(BadInput, CalibrationTextTooShort) {
  auto arguments = test::small_run(test::model_folder(), output().string());
  arguments[3] = folder_.write("short.txt", "Too short for one sample of 64 tokens.").string();
  expect_error(arguments, ErrorKind::kInput, "short.txt");
  arguments[3] = "/nowhere/text.txt";
  expect_error(arguments, ErrorKind::kInput, "/nowhere/text.txt");
}

TEST_F(BadInput, TargetsOutOfRange) {
  for (const char* target : {"1.0", "-0.1", "nan", "70"}) {
    expect_error(test::small_run(test::model_folder(), output().string(), {"--target", target}),
                 ErrorKind::kUsage, "--target");
  }
  expect_error(test::small_run(test::model_folder(), output().string(), {}), ErrorKind::kUsage,
               "--target is missing");
  expect_error(test::small_run(test::model_folder(), output().string(), {"--target", "much"}),
               ErrorKind::kUsage, "--target");
}

TEST_F(BadInput, PatternsAndOtherValues) {
  const auto with = [&](std::vector<std::string> more) {
    return test::small_run(test::model_folder(), output().string(), std::move(more));
  };
  expect_error(with({"--pattern", "2of4"}), ErrorKind::kUsage, "--pattern '2of4'");
  expect_error(with({"--pattern", "2:4", "--target", "0.7"}), ErrorKind::kUsage,
               "fixes the sparsity");
  expect_error(with({"--pattern", "2:5"}), ErrorKind::kUsage, "5 does not divide the 256 columns");
  expect_error(with({"--target", "0.5", "--refine", "-1"}), ErrorKind::kUsage, "--refine -1");
  expect_error(with({"--target", "0.5", "--solver", "admm"}), ErrorKind::kUsage,
               "--solver 'admm' is not one of alps");
  expect_error(with({"--target", "0.5", "--order", "layer"}), ErrorKind::kUsage,
               "--order 'layer' is not one of block, sequential");
  expect_error(with({"--target", "0.5", "--estimate-nsamples", "1000"}), ErrorKind::kUsage,
               "--estimate-nsamples 1000 is not between 0 and --nsamples");
  expect_error(with({"--pattern", "2:4", "--wbits", "4", "--act-order", "on"}), ErrorKind::kUsage,
               "--act-order on cannot be combined with --pattern");
  expect_error(with({"--target", "0.5", "--schedule", "random"}), ErrorKind::kUsage, "'random'");
  expect_error(with({"--target", "0.5", "--include", "("}), ErrorKind::kUsage, "--include");
  expect_error(with({"--target", "0.5", "--include", "lm_head"}), ErrorKind::kUsage,
               "leave no layer");
  auto too_long = with({"--target", "0.5"});
  too_long[7] = "4096";
  expect_error(too_long, ErrorKind::kUsage, "512 positions");
  auto no_samples = with({"--target", "0.5"});
  no_samples[5] = "0";
  expect_error(no_samples, ErrorKind::kUsage, "--nsamples");
  expect_error(with({"--target", "0.5", "--device", "tpu"}), ErrorKind::kUsage, "device 'tpu'");
  expect_error(with({"--target", "0.5", "--nsample", "4"}), ErrorKind::kUsage,
               "did you mean '--nsamples'?");
  expect_error({"inspect", "folder"}, ErrorKind::kUsage, "did you mean '--model folder'?");
}

TEST_F(BadInput, ValuesOutOfRangeOrUnknown) {
  const auto refused = [&](const std::string& flag, const std::string& value,
                           const std::string& says, ErrorKind kind = ErrorKind::kUsage) {
    expect_error(
        test::small_run(test::model_folder(), output().string(), {"--target", "0.5", flag, value}),
        kind, says);
  };
  refused("--threads", "-1", "--threads -1 is negative");
  refused("--spread", "1.5", "--spread 1.5 is not between 0 and 1");
  refused("--percdamp", "-0.1", "--percdamp -0.1 is negative");
  refused("--eval-segments", "-1", "--eval-segments cannot be negative");
  refused("--dtype", "int8", "dtype 'int8' is not one of auto, float32, float16, bfloat16");
  refused("--log-file", folder_.path().string(), "--log-file: ", ErrorKind::kOutput);
  expect_error({"eval", "--model", test::model_folder()}, ErrorKind::kUsage, "--data is missing");
  const std::string text = (test::fixtures() / "books.test.txt").string();
  expect_error({"eval", "--model", test::model_folder(), "--data", text, "--loss-dtype", "int8",
                "--seqlen", "64", "--segments", "1", "--quiet"},
               ErrorKind::kUsage, "loss dtype 'int8' is not float32 or model");
  expect_error({"eval", "--model", test::model_folder(), "--data", text, "--baseline", "x.json",
                "--tolerance", "-1"},
               ErrorKind::kUsage, "--tolerance -1 is negative");
}

TEST_F(BadInput, ATokenizerOfAnotherModel) {
  const fs::path model = test::copy_model(folder_);
  auto tokenizer = nlohmann::json::parse(test::bytes(model / "tokenizer.json"));
  for (auto& [token, id] : tokenizer.at("model").at("vocab").items()) {
    if (id.get<int>() > 1000) id = id.get<int>() + 5000;
  }
  std::ofstream(model / "tokenizer.json") << tokenizer.dump();
  expect_run_error(model.string(), ErrorKind::kInput, "do they belong together?");
}

TEST_F(BadInput, OutputExists) {
  const auto existing = folder_.path() / "existing";
  folder_.write("existing/config.json", "{}");
  const test::Outcome outcome =
      test::run_prune(test::small_run(test::model_folder(), existing.string()));
  EXPECT_EQ(outcome.code, 6);
  EXPECT_THAT(outcome.err, HasSubstr("exists"));
  EXPECT_EQ(std::distance(fs::directory_iterator(existing), fs::directory_iterator()), 1)
      << "what was there must stay";
}

TEST_F(BadInput, OutputNotWritable) {
  const test::Outcome outcome =
      test::run_prune(test::small_run(test::model_folder(), "/proc/prune-output"));
  EXPECT_EQ(outcome.code, 6) << outcome.err;
  EXPECT_THAT(outcome.err, StartsWith("prune: output error: "));
}

TEST_F(BadInput, DiskFull) {
  const fs::path disk = folder_.path() / "disk";
  fs::create_directory(disk);
  std::string command = PRUNE_PROGRAM;
  for (const std::string& word : test::small_run(test::model_folder(), (disk / "out").string())) {
    command += " " + word;
  }
  // A file system of 2 MiB in its own mount namespace.
  const std::string mount = "mount -t tmpfs -o size=2m tmpfs " + disk.string();
  if (test::run_shell("unshare -m sh -c '" + mount + "'").code != 0) {
    GTEST_SKIP() << "cannot mount a small file system here";
  }
  const test::Outcome outcome =
      test::run_shell("unshare -m sh -c '" + mount + " && " + command + "; code=$?; ls -A " +
                      disk.string() + "; exit $code'");
  EXPECT_EQ(outcome.code, 6) << outcome.err;
  EXPECT_THAT(outcome.err, StartsWith("prune: output error: "));
  EXPECT_THAT(outcome.err, HasSubstr("free"));
  EXPECT_EQ(outcome.out, "") << "something was left on the disk";
}

TEST_F(BadInput, AGpuThatIsPassedOverIsRefusedByStrict) {
  const auto with = [&](std::vector<std::string> more) {
    return test::small_run(test::model_folder(), output().string(), std::move(more));
  };
  const test::Outcome gpu = test::run_prune(with({"--target", "0.5", "--device", "cuda:99"}));
  EXPECT_EQ(gpu.code, exit_code(ErrorKind::kDevice)) << gpu.err;
  if (gpu.err.find("built without CUDA") == std::string::npos) GTEST_SKIP() << "built with CUDA";
  std::string command = PRUNE_PROGRAM;
  for (const std::string& word : with({"--target", "0.5", "--strict"})) command += " " + word;
  // Fakes a machine with a GPU.
  const std::string mount = "mount -t tmpfs tmpfs /dev && touch /dev/null /dev/nvidia0";
  if (test::run_shell("unshare -m sh -c '" + mount + "'").code != 0) {
    GTEST_SKIP() << "cannot mount a file system here";
  }
  const test::Outcome outcome =
      test::run_shell("unshare -m sh -c '" + mount + " && exec " + command + "'");
  EXPECT_EQ(outcome.code, exit_code(ErrorKind::kDevice));
  EXPECT_EQ(outcome.err,
            "prune: device error: device: a GPU is present but not used: this program was built "
            "without CUDA; refused by --strict\n");
  EXPECT_FALSE(fs::exists(output()));
}

TEST_F(BadInput, InterruptLeavesNothingHalfWritten) {
  std::string command = fmt::format(
      "PRUNE_TEST_KILL_AT='before samples are added to a Hessian:3' PRUNE_TEST_SIGNAL={} {}",
      SIGTERM, PRUNE_PROGRAM);
  for (const std::string& word : test::small_run(test::model_folder(), output().string())) {
    command += " " + word;
  }
  const test::Outcome outcome = test::run_shell(command);
  EXPECT_EQ(outcome.code, exit_code(ErrorKind::kInterrupted));
  EXPECT_THAT(outcome.err, HasSubstr("prune: interrupted: stopped by SIGTERM"));
  EXPECT_FALSE(fs::exists(output()));
}

}  // namespace
}  // namespace prune
