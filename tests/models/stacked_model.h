#pragma once

#include <map>
#include <string>
#include <vector>

#include "checkpoint/make_safetensors.h"
#include "models/golden_model.h"

namespace prune::test {

/// The golden model llama_biases with its feed-forward stored as gpt-oss stores an expert: the second of two in
/// gate_up_proj [2, hidden, 2 * width], gate and up interleaved, and down_proj [2, width, hidden].
class StackedModel {
 public:
  StackedModel() : plain_("llama_biases") {
    const models::Model model = plain_.open();
    for (const std::string& name : model.checkpoint().names()) {
      if (name.find(".mlp.") == std::string::npos) {
        tensors_[name] = model.checkpoint().load(name).to(at::kFloat);
      }
    }
    for (int64_t block = 0; block < model.config().blocks; ++block) stack(model, block);
    std::filesystem::copy(plain_.path() / "config.json", path() / "config.json");
    write_weights();
  }

  const std::filesystem::path& path() const { return folder_.path(); }
  models::Model open() const {
    using models::Role;
    models::ModelShape shape = models::read_model_shape(path());
    for (models::BlockSpec& kind : shape.kinds) {
      const auto use = [&](Role role, const std::string& tensor, int64_t first, int64_t step) {
        models::LinearSpec& layer =
            *std::ranges::find(kind.linears, role, &models::LinearSpec::role);
        layer.stored = {.name = "mlp.experts." + tensor,
                        .index = 1,
                        .transposed = true,
                        .first_row = first,
                        .row_step = step};
        layer.stored_shape = {2, layer.cols, step * layer.rows};
        layer.stored_bias = layer.stored.name + "_bias";
      };
      use(Role::kGate, "gate_up_proj", 0, 2);
      use(Role::kUp, "gate_up_proj", 1, 2);
      use(Role::kDown, "down_proj", 0, 1);
    }
    return models::Model::open(path(), std::move(shape), {.dtype = at::kFloat});
  }
  /// The same weights, each in a tensor of its own.
  models::Model open_plain() const { return plain_.open(); }

 private:
  void stack(const models::Model& model, int64_t block) {
    const std::string mlp = model.block_prefix(block) + "mlp.";
    const auto load = [&](const std::string& name) {
      return model.checkpoint().load(mlp + name).to(at::kFloat);
    };
    const auto put = [&](const std::string& name, const Tensor& second) {
      tensors_[mlp + "experts." + name] = at::stack({at::full_like(second, 0.5), second});
    };
    const auto interleaved = [&](const std::string& part) {
      return at::stack({load("gate_proj." + part), load("up_proj." + part)}, 1).flatten(0, 1);
    };
    put("gate_up_proj", interleaved("weight").t());
    put("gate_up_proj_bias", interleaved("bias"));
    put("down_proj", load("down_proj.weight").t());
    put("down_proj_bias", load("down_proj.bias"));
  }

  void write_weights() const {
    json header = json::object();
    std::string data;
    for (const auto& [name, tensor] : tensors_) {
      const Tensor value = tensor.contiguous();
      const size_t begin = data.size();
      data.append(static_cast<const char*>(value.const_data_ptr()), value.nbytes());
      header[name] = {
          {"dtype", "F32"}, {"shape", value.sizes()}, {"data_offsets", {begin, data.size()}}};
    }
    folder_.write("model.safetensors", safetensors_bytes(header.dump(), data));
  }

  GoldenModel plain_;
  TemporaryFolder folder_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace prune::test
