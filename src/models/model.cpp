#include <prune/checkpoint/packed_checkpoint.h>
#include <prune/core/error.h>
#include <prune/core/memory.h>
#include <prune/core/printable.h>
#include <prune/models/model.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "kept_units.h"
#include "norm.h"

namespace prune::models {
namespace {

/// Buffers that files carry beside the weights: constants of rotary and causal attention, and scales of
/// quantized key-value caches. No model computes with them where the family does not use them.
bool is_buffer(const std::string& name, const Tensor& value) {
  constexpr std::string_view kNames[] = {
      "inv_freq", "cos_cached", "sin_cached", "masked_bias",       "position_ids", "k_scale",
      "v_scale",  "q_scale",    "kv_scale",   "prob_output_scale", "k_zero_point", "v_zero_point"};
  const std::string last = name.substr(name.rfind('.') + 1);
  return !value.is_floating_point() || std::ranges::find(kNames, last) != std::end(kNames) ||
         (last == "bias" && value.dim() > 2);  // an old causal mask
}

/// Zero biases and unit norm weights, which some converters add, change nothing.
bool is_neutral(const std::string& name, const Tensor& value) {
  const double neutral = name.ends_with(".bias") ? 0.0 : 1.0;
  return value.dim() == 1 && is_plain_float(value.scalar_type()) &&
         value.eq(neutral).all().item<bool>();
}

/// A weight that the family does not use means that the block computes something that we would not.
/// @return true if `name` is a buffer
bool passes_over(const checkpoint::Checkpoint& source, const std::string& name) {
  const Tensor value = source.load(name);
  if (is_buffer(name, value)) return true;
  if (is_neutral(name, value)) return false;
  throw Error(
      ErrorKind::kInput,
      fmt::format("tensor '{}' does not belong to the model that config.json describes", name));
}

/// @param used names of the tensors that blocks and ends load
void check_unused(const checkpoint::Checkpoint& source, const std::set<std::string>& used,
                  const ModelShape& shape) {
  std::vector<std::string> buffers;
  for (int64_t block = 0; block < shape.config.blocks; ++block) {
    const std::string prefix = shape.block_prefix(block);
    for (const std::string& name : source.names()) {
      if (!name.starts_with(prefix) || used.contains(name)) continue;
      const auto is_unread = [&](const std::string& beginning) {
        return name.starts_with(prefix + beginning);
      };
      if (std::ranges::any_of(shape.unread, is_unread)) continue;
      if (passes_over(source, name)) buffers.push_back(name);
    }
  }
  if (buffers.empty()) return;
  spdlog::info("{}: {} buffers, such as '{}', are not used; they are copied as they are",
               source.folder().string(), buffers.size(), printable(buffers.front()));
}

/// True if the file has a tensor of the first block under the spec's names.
bool stores_any(const checkpoint::Checkpoint& source, const ModelShape& shape) {
  const std::string prefix = shape.block_prefix(0);
  return std::ranges::any_of(source.names(),
                             [&](const std::string& name) { return name.starts_with(prefix); });
}

bool packs(const checkpoint::Checkpoint& source, const ModelOptions& options,
           at::ScalarType dtype) {
  const bool on_cpu = options.device.is_cpu();
  const bool has_kernels = on_cpu ? dtype != at::kHalf : c10::elementSize(dtype) == 2;
  switch (options.linears) {
    case ModelOptions::Linears::kPacked:
      return has_kernels;
    case ModelOptions::Linears::kPackedIfStoredSo:
      // Blocks pass a GPU's memory one after the other and would be packed anew each time.
      return has_kernels && on_cpu && checkpoint::is_packed(source);
    case ModelOptions::Linears::kDense:
      break;
  }
  return false;
}

}  // namespace

Model Model::open(const std::filesystem::path& folder, const ModelOptions& options) {
  return open(folder, read_model_shape(folder), options);
}

Model Model::open(const std::filesystem::path& folder, ModelShape shape,
                  const ModelOptions& options) {
  try {
    auto source = std::make_unique<checkpoint::Checkpoint>(checkpoint::Checkpoint::open(folder));
    if (!stores_any(*source, shape)) {
      for (ModelShape& other : with_other_names(shape)) {
        if (stores_any(*source, other)) shape = std::move(other);
      }
    }
    const bool unties = shape.config.tied && source->stores_own_head(shape.names);
    if (unties) shape = with_own_head(shape);
    const checkpoint::NameRule names = shape.names;
    source->apply(names);
    if (shape.weight_format && source->dequantize(*shape.weight_format) == 0) {
      shape.stale_keys.insert(shape.stale_keys.end(), shape.format_keys.begin(),
                              shape.format_keys.end());
      shape.format_keys.clear();
      shape.weight_format.reset();
    }
    if (!options.kept.all()) shape = keep_units(*source, shape, options.kept);
    Model model(std::move(source), std::move(shape), options);
    model.unties_head_ = unties;
    model.has_head_ = names.tied || model.checkpoint_->contains(names.head);
    const WeightLoader checker = WeightLoader::checking(*model.checkpoint_);
    for (int64_t block = 0; block < model.config().blocks; ++block) {
      make_block(model.shape(), checker, block);
    }
    make_embedding(model.shape(), checker);
    // Without a head its norm is still part of the model, if it is there.
    const WeightLoader head = model.has_head_ ? checker : WeightLoader::listing();
    make_head(model.shape(), head);
    std::set<std::string> used;
    for (const WeightLoader& loader : {checker, head}) {
      for (const auto& [name, shape_of_name] : loader.asked()) used.insert(name);
    }
    check_unused(*model.checkpoint_, used, model.shape());
    model.checkpoint_->restore_names([&](const std::string& name) { return used.contains(name); });
    model.list_tensors(used);
    return model;
  } catch (Error& error) {
    if (std::string_view(error.what()).find(folder.string()) == std::string_view::npos) {
      error.in(folder.string());
    }
    throw;
  }
}

Model::Model(std::unique_ptr<checkpoint::Checkpoint> checkpoint, ModelShape shape,
             const ModelOptions& options)
    : checkpoint_(std::move(checkpoint)),
      shape_(std::move(shape)),
      stored_dtype_(checkpoint_->info(linears(0).front().weight_in(block_prefix(0)).name).dtype),
      loader_(*checkpoint_, options.device,
              options.dtype.value_or(default_dtype(options.device, stored_dtype_))) {
  if (packs(*checkpoint_, options, dtype())) {
    loader_ = WeightLoader::packing(*checkpoint_, device(), dtype(), options.head_bits);
  } else if (options.head_bits != 16) {
    throw Error(ErrorKind::kUsage, fmt::format("--head-bits {} needs --dtype float32 or bfloat16 "
                                               "on a CPU, bfloat16 or float16 on a GPU",
                                               options.head_bits));
  }
  for (int64_t block = 0; block < config().blocks; ++block) {
    const std::string prefix = block_prefix(block);
    for (const LinearSpec& spec : linears(block)) {
      stored_.emplace(prefix + spec.name, spec.weight_in(prefix));
    }
  }
}

void Model::list_tensors(const std::set<std::string>& used) {
  for (const std::string& name : checkpoint_->names()) {
    if (used.contains(name)) used_tensors_.push_back(name);
  }
  block_tensors_.resize(static_cast<size_t>(config().blocks));
  std::set<std::string> in_blocks;
  for (int64_t block = 0; block < config().blocks; ++block) {
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

std::unique_ptr<Block> Model::load_block(int64_t block, ExpertWeights experts) const {
  return make_block(shape_, loader_, block, experts);
}

double Model::energy_after_norm(int64_t block, const LinearSpec& layer) const {
  const BlockSpec& spec = shape_.block(block);
  // After the sum it is the stream that is normed.
  if (spec.topology == Topology::kPostSum) return 0.0;
  std::string name;
  if (layer.role == Role::kOut) name = spec.names.after_attention;
  if (layer.role == Role::kDown) {
    if (spec.moe) name = layer.expert < 0 ? spec.moe->norm_shared : spec.moe->norm_after;
    if (name.empty()) name = spec.names.after_ffn;
  }
  if (name.empty()) return 0.0;
  const WeightLoader loader(*checkpoint_, at::kCPU, at::kFloat);
  const Norm norm = load_norm(loader, spec.norm, block_prefix(block) + name, config().hidden_size);
  return norm.gain(config().hidden_size).square().sum().item<double>();
}

Tensor Model::load_weight(int64_t block, const LinearSpec& layer, at::ScalarType dtype) const {
  const WeightLoader loader(*checkpoint_, device(), dtype);
  return loader.load_linear(block_prefix(block), layer).weight;
}

void Model::check_values() const {
  // One after the other: a packed or quantized tensor is expanded to be checked.
  for (const std::string& name : used_tensors_) {
    try {
      for (const checkpoint::TensorRef& piece : checkpoint_->pieces(name)) {
        check_finite(checkpoint_->load(piece), name);
      }
    } catch (Error& error) {
      throw error.in(checkpoint_->folder().string());
    }
    checkpoint_->drop(name);
  }
}

void Model::prefetch_block(int64_t block) const {
  if (block >= config().blocks) return;
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

std::unique_ptr<Embedding> Model::load_embedding() const { return make_embedding(shape_, loader_); }

void Model::check_head() const {
  if (has_head_) return;
  throw Error(
      ErrorKind::kInput,
      fmt::format(
          "{}: has no head (lm_head.weight), so neither perplexity nor accuracy can be measured; "
          "pruning needs none",
          checkpoint_->folder().string()));
}

void Model::check_vocabulary(int64_t largest_id) const {
  if (largest_id < config().vocab_size) return;
  throw Error(
      ErrorKind::kInput,
      fmt::format("{}: the tokenizer gives id {}, but the model's vocabulary has {} entries; do "
                  "they belong together?",
                  checkpoint_->folder().string(), largest_id, config().vocab_size));
}

std::unique_ptr<Head> Model::load_head() const {
  check_head();
  return make_head(shape_, loader_);
}

void Model::drop_ends() const {
  for (const std::string& name : end_tensors_) checkpoint_->drop(name);
}

}  // namespace prune::models
