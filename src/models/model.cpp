#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/memory.h>
#include <prune/models/model.h>

namespace prune::models {
namespace {

/// Packed or scaled weights are not the numbers that their tensors hold.
void reject_quantized(const json& raw) {
  for (const char* key : {"quantization_config", "compression_config"}) {
    const json quantization = value_or(raw, key, json());
    if (quantization.is_null()) continue;
    throw Error(
        ErrorKind::kInput,
        fmt::format("the checkpoint is quantized ({}: quant_method '{}'); pruning starts from "
                    "float weights",
                    key, value_or<std::string>(quantization, "quant_method", "not given")));
  }
}

/// Sizes from a file are hostile until proven otherwise: within these bounds no product of two of them
/// overflows, and no table of ours gets larger than the weights.
void reject_absurd_sizes(const json& raw) {
  constexpr int64_t kLargest = int64_t{1} << 24;  // the longest context today is 10 million tokens
  for (const char* key : {"hidden_size", "n_embed", "num_attention_heads", "n_head",
                          "num_key_value_heads", "head_dim", "intermediate_size", "ffn_dim",
                          "word_embed_proj_dim", "vocab_size", "max_position_embeddings"}) {
    const int64_t size = value_or<int64_t>(raw, key, 0);
    if (size > kLargest || size < -kLargest) {
      throw_json_error(key, fmt::format("is {}; no model has more than {}", size, kLargest));
    }
  }
  constexpr int64_t kMostBlocks = 10'000;
  for (const char* key : {"num_hidden_layers", "n_layer"}) {
    const int64_t blocks = value_or<int64_t>(raw, key, 0);
    if (blocks > kMostBlocks) {
      throw_json_error(key, fmt::format("is {}; no model has more than {}", blocks, kMostBlocks));
    }
  }
}

/// A tensor of a block that the family has no place for means that the block computes something else
/// than we would. Zero biases and unit norm weights, which some converters add, change nothing.
void reject_unused(const checkpoint::Checkpoint& source, const std::set<std::string>& used,
                   const std::string& prefix) {
  for (const std::string& name : source.names()) {
    if (!name.starts_with(prefix) || used.count(name) != 0) continue;
    const Tensor value = source.load(name);
    const double neutral = name.ends_with(".bias") ? 0.0 : 1.0;
    if (value.dim() == 1 && value.eq(neutral).all().item<bool>()) continue;
    throw Error(
        ErrorKind::kInput,
        fmt::format("tensor '{}' has no place in the model that config.json describes", name));
  }
}

ModelConfig read_config(const std::filesystem::path& folder, const FamilySpec*& family) {
  const std::filesystem::path path = folder / "config.json";
  const json raw = read_json(path);
  try {
    family = &find_family(require<std::string>(raw, "model_type"));
    reject_quantized(raw);
    reject_absurd_sizes(raw);
    ModelConfig config = family->read_config(raw);
    if (config.blocks < 1 || config.hidden_size < 1 || config.vocab_size < 1) {
      throw Error(ErrorKind::kInput,
                  fmt::format("{} blocks, hidden size {} and vocabulary {} make no model",
                              config.blocks, config.hidden_size, config.vocab_size));
    }
    return config;
  } catch (Error& error) {
    error.in(path.string());
    throw;
  }
}

}  // namespace

Model Model::open(const std::filesystem::path& folder, const ModelOptions& options) {
  const FamilySpec* family = nullptr;
  ModelConfig config = read_config(folder, family);
  try {
    auto source = std::make_unique<checkpoint::Checkpoint>(checkpoint::Checkpoint::open(folder));
    source->apply(family->names(config));
    Model model(std::move(source), *family, std::move(config), options);
    const WeightLoader checker = WeightLoader::checking(*model.checkpoint_);
    for (int64_t block = 0; block < model.config_.blocks; ++block) {
      family->make_block(model.config_, checker, block, model.block_prefix(block));
    }
    family->make_embedding(model.config_, checker);
    family->make_head(model.config_, checker);
    for (int64_t block = 0; block < model.config_.blocks; ++block) {
      reject_unused(*model.checkpoint_, checker.asked(), model.block_prefix(block));
    }
    return model;
  } catch (Error& error) {
    if (std::string_view(error.what()).find(folder.string()) == std::string_view::npos) {
      error.in(folder.string());
    }
    throw;
  }
}

Model::Model(std::unique_ptr<checkpoint::Checkpoint> checkpoint, const FamilySpec& family,
             ModelConfig config, const ModelOptions& options)
    : checkpoint_(std::move(checkpoint)),
      family_(&family),
      config_(std::move(config)),
      linears_(family.linears(config_)),
      stored_dtype_(checkpoint_->info(block_prefix(0) + linears_.front().name + ".weight").dtype),
      loader_(*checkpoint_, options.device,
              options.dtype.value_or(options.device.is_cuda() ? stored_dtype_ : at::kFloat)),
      block_tensors_(static_cast<size_t>(config_.blocks)) {
  std::set<std::string> in_blocks;
  for (int64_t block = 0; block < config_.blocks; ++block) {
    const std::string prefix = block_prefix(block);
    for (const std::string& name : checkpoint_->names()) {
      if (!name.starts_with(prefix)) continue;
      block_tensors_[static_cast<size_t>(block)].push_back(name);
      in_blocks.insert(name);
    }
  }
  for (const std::string& name : checkpoint_->names()) {
    if (!in_blocks.contains(name)) end_tensors_.push_back(name);
  }
}

std::string Model::block_prefix(int64_t block) const {
  return fmt::format(fmt::runtime(family_->block_prefix), block);
}

std::unique_ptr<Block> Model::load_block(int64_t block) const {
  return family_->make_block(config_, loader_, block, block_prefix(block));
}

void Model::prefetch_block(int64_t block) const {
  if (block >= config_.blocks) return;
  for (const std::string& name : block_tensors_[static_cast<size_t>(block)]) {
    checkpoint_->prefetch(name);
  }
}

void Model::drop_block(int64_t block) const {
  for (const std::string& name : block_tensors_[static_cast<size_t>(block)]) {
    checkpoint_->drop(name);
  }
  return_freed_memory();
}

std::unique_ptr<Embedding> Model::load_embedding() const {
  return family_->make_embedding(config_, loader_);
}

std::unique_ptr<Head> Model::load_head() const { return family_->make_head(config_, loader_); }

void Model::drop_ends() const {
  for (const std::string& name : end_tensors_) checkpoint_->drop(name);
}

}  // namespace prune::models
