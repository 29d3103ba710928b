#include <prune/core/error.h>
#include <prune/core/memory.h>
#include <prune/models/model.h>

namespace prune::models {
namespace {

/// A tensor that the family does not use means that the block computes something that we would not.
/// Zero biases and unit norm weights, which some converters add, change nothing and are allowed.
void reject_unused(const checkpoint::Checkpoint& source,
                   const std::map<std::string, std::vector<int64_t>>& used,
                   const std::string& prefix) {
  for (const std::string& name : source.names()) {
    if (!name.starts_with(prefix) || used.contains(name)) continue;
    const Tensor value = source.load(name);
    const double neutral = name.ends_with(".bias") ? 0.0 : 1.0;
    if (value.dim() == 1 && value.eq(neutral).all().item<bool>()) continue;
    throw Error(
        ErrorKind::kInput,
        fmt::format("tensor '{}' does not belong to the model that config.json describes", name));
  }
}

}  // namespace

Model Model::open(const std::filesystem::path& folder, const ModelOptions& options) {
  ModelShape shape = read_model_shape(folder);
  try {
    auto source = std::make_unique<checkpoint::Checkpoint>(checkpoint::Checkpoint::open(folder));
    source->apply(shape.family->names(shape.config));
    if (shape.quantization) source->dequantize(*shape.quantization);
    Model model(std::move(source), std::move(shape), options);
    const WeightLoader checker = WeightLoader::checking(*model.checkpoint_);
    for (int64_t block = 0; block < model.config().blocks; ++block) {
      model.family().make_block(model.config(), checker, block, model.block_prefix(block));
    }
    model.family().make_embedding(model.config(), checker);
    model.family().make_head(model.config(), checker);
    for (int64_t block = 0; block < model.config().blocks; ++block) {
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

Model::Model(std::unique_ptr<checkpoint::Checkpoint> checkpoint, ModelShape shape,
             const ModelOptions& options)
    : checkpoint_(std::move(checkpoint)),
      shape_(std::move(shape)),
      stored_dtype_(checkpoint_->info(block_prefix(0) + linears().front().name + ".weight").dtype),
      loader_(*checkpoint_, options.device,
              options.dtype.value_or(default_dtype(options.device, stored_dtype_))),
      block_tensors_(static_cast<size_t>(config().blocks)) {
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

std::unique_ptr<Block> Model::load_block(int64_t block) const {
  return family().make_block(config(), loader_, block, block_prefix(block));
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

std::unique_ptr<Embedding> Model::load_embedding() const {
  return family().make_embedding(config(), loader_);
}

std::unique_ptr<Head> Model::load_head() const { return family().make_head(config(), loader_); }

void Model::drop_ends() const {
  for (const std::string& name : end_tensors_) checkpoint_->drop(name);
}

}  // namespace prune::models
