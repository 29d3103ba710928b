#pragma once

#include <prune/core/json_file.h>
#include <prune/models/model_shape.h>

#include <map>
#include <string>
#include <vector>

#include "checkpoint/make_safetensors.h"
#include "support.h"

namespace prune::test {

/// A checkpoint folder of random float16 weights with the sizes of `config`; norms are ones.
class RandomModel {
 public:
  explicit RandomModel(const json& config) {
    folder_.write("config.json", config.dump());
    const models::ModelShape shape = models::read_model_shape(folder_.path());
    const models::WeightLoader loader = models::WeightLoader::listing();
    for (int64_t block = 0; block < shape.config.blocks; ++block) {
      make_block(shape, loader, block);
    }
    make_embedding(shape, loader);
    make_head(shape, loader);
    write_weights(loader.asked());
  }

  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  void write_weights(const std::map<std::string, std::vector<int64_t>>& shapes) {
    at::manual_seed(1);
    json header = json::object();
    std::string data;
    for (const auto& [name, shape] : shapes) {
      const bool norm = name.find("norm") != std::string::npos && name.ends_with(".weight");
      const Tensor value = (norm ? at::ones(shape) : at::randn(shape).mul_(0.05)).to(at::kHalf);
      const size_t begin = data.size();
      data.append(static_cast<const char*>(value.const_data_ptr()), value.nbytes());
      header[name] = {{"dtype", "F16"}, {"shape", shape}, {"data_offsets", {begin, data.size()}}};
    }
    folder_.write("model.safetensors", safetensors_bytes(header.dump(), data));
  }

  TemporaryFolder folder_;
};

inline json opt_config(int64_t hidden, int64_t ffn, int64_t blocks) {
  return {{"model_type", "opt"},
          {"vocab_size", 4096},
          {"hidden_size", hidden},
          {"ffn_dim", ffn},
          {"num_hidden_layers", blocks},
          {"num_attention_heads", 4},
          {"word_embed_proj_dim", hidden},
          {"max_position_embeddings", 512},
          {"dtype", "float16"}};
}

inline json bloom_config(int64_t hidden, int64_t blocks) {
  return {{"model_type", "bloom"}, {"vocab_size", 4096}, {"n_embed", hidden},
          {"n_layer", blocks},     {"n_head", 4},        {"dtype", "float16"}};
}

inline json llama_config(int64_t hidden, int64_t ffn, int64_t blocks, int64_t key_heads,
                         const std::string& model_type = "llama") {
  return {
      {"model_type", model_type},         {"vocab_size", 4096},          {"hidden_size", hidden},
      {"intermediate_size", ffn},         {"num_hidden_layers", blocks}, {"num_attention_heads", 4},
      {"num_key_value_heads", key_heads}, {"head_dim", hidden / 4},      {"dtype", "float16"}};
}

}  // namespace prune::test
