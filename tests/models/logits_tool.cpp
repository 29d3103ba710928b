// logits_tool FOLDER DTYPE IDS LOGITS
//
// Runs the token ids of IDS through the checkpoint in FOLDER, computing in DTYPE (float32, float16,
// bfloat16), and writes the logits to LOGITS as float32 [samples, seqlen, vocabulary]. IDS holds
// the number of samples, the number of tokens in each, then the ids, all as little-endian int64.
#include <prune/core/error.h>
#include <prune/core/json_file.h>

#include <fstream>
#include <iostream>
#include <map>

#include "logits.h"

namespace {

at::Tensor read_ids(const char* path) {
  const std::string bytes = prune::read_file(path);
  const at::Tensor values =
      at::from_blob(const_cast<char*>(bytes.data()), {static_cast<int64_t>(bytes.size() / 8)},
                    at::TensorOptions(at::kLong));
  return values.slice(0, 2).view({values[0].item<int64_t>(), values[1].item<int64_t>()}).clone();
}

int run(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: logits_tool FOLDER DTYPE IDS LOGITS\n";
    return 2;
  }
  const std::map<std::string, at::ScalarType> dtypes = {
      {"float32", at::kFloat}, {"float16", at::kHalf}, {"bfloat16", at::kBFloat16}};
  const auto model =
      prune::models::Model::open(argv[1], {.device = at::kCPU, .dtype = dtypes.at(argv[2])});
  const at::Tensor logits =
      prune::test::logits_of(model, read_ids(argv[3])).to(at::kFloat).contiguous();
  std::ofstream(argv[4], std::ios::binary)
      .write(static_cast<const char*>(logits.const_data_ptr()),
             static_cast<std::streamsize>(logits.nbytes()));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::cerr << "logits_tool: " << e.what() << "\n";
    return 3;
  }
}
