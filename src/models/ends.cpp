#include <fmt/format.h>
#include <prune/kernels/product.h>
#include <prune/models/ends.h>

#include "decoder_block.h"
#include "norm.h"
#include "softcap.h"

namespace prune::models {
namespace {

std::optional<Norm> load_end_norm(const WeightLoader& loader, const std::optional<NormSpec>& spec,
                                  const std::string& name, int64_t size) {
  if (!spec) return std::nullopt;
  return load_norm(loader, *spec, name, size);
}

class DecoderEmbedding : public Embedding {
 public:
  DecoderEmbedding(const DecoderSpec& model, const WeightLoader& loader)
      : spec_(model.embedding),
        loader_(loader),
        tokens_(loader.load_table(spec_.tokens, {model.config.vocab_size, spec_.width})),
        norm_(load_end_norm(loader, spec_.norm, spec_.norm_name, model.config.hidden_size)) {
    const int64_t hidden_size = model.config.hidden_size;
    if (!spec_.positions.empty()) {
      positions_ = loader.load(spec_.positions,
                               {model.config.max_positions + spec_.first_position, hidden_size});
    }
    if (!spec_.project_in.empty()) {
      project_in_ = loader.load(spec_.project_in, {hidden_size, spec_.width});
    }
  }

  Tensor embed(const Tensor& ids, int64_t first) const override {
    Tensor x = loader_.looked_up(tokens_, ids);
    if (spec_.scale != 1.0) x = x.mul(scale_in(x.scalar_type()));
    if (project_in_.defined()) x = kernels::affine(x, project_in_);
    if (positions_.defined()) {
      x = x + positions_.narrow(0, spec_.first_position + first, ids.size(1));
    }
    return norm_ ? (*norm_)(x) : x;
  }

 private:
  double scale_in(at::ScalarType dtype) const {
    if (!spec_.scale_is_rounded) return spec_.scale;
    return at::scalar_tensor(spec_.scale, at::kDouble).to(dtype).item<double>();
  }

  EmbeddingSpec spec_;
  WeightLoader loader_;
  Tensor tokens_;
  Tensor positions_;
  Tensor project_in_;
  std::optional<Norm> norm_;
};

class DecoderHead : public Head {
 public:
  DecoderHead(const DecoderSpec& model, const WeightLoader& loader)
      : spec_(model.head),
        vocab_size_(model.config.vocab_size),
        norm_(load_end_norm(loader, spec_.norm, spec_.norm_name, model.config.hidden_size)) {
    if (!spec_.project_out.empty()) {
      project_out_ = loader.load(spec_.project_out, {spec_.width, model.config.hidden_size});
    }
    matrix_ = loader.load_matrix(spec_.weight, {model.config.vocab_size, spec_.width}, spec_.bias);
  }

  Tensor logits(const Tensor& hidden) const override {
    Tensor h = norm_ ? (*norm_)(hidden) : hidden;
    if (project_out_.defined()) h = kernels::affine(h, project_out_);
    Tensor logits = matrix_(h);
    if (spec_.multiplier != 1.0) logits.mul_(spec_.multiplier);
    return spec_.softcap == 0.0 ? logits : capped_(logits, spec_.softcap);
  }
  int64_t vocab_size() const override { return vocab_size_; }
  const Linear& matrix() const override { return matrix_; }

 private:
  HeadSpec spec_;
  int64_t vocab_size_;
  std::optional<Norm> norm_;
  Tensor project_out_;
  Linear matrix_;
};

}  // namespace

checkpoint::TensorRef LinearSpec::weight_in(const std::string& prefix) const {
  checkpoint::TensorRef weight = stored;
  weight.name = prefix + (stored.name.empty() ? name + ".weight" : stored.name);
  return weight;
}

std::string DecoderSpec::block_prefix(int64_t number) const {
  return fmt::format(fmt::runtime(block_pattern), number);
}

std::unique_ptr<Block> make_block(const DecoderSpec& spec, const WeightLoader& loader,
                                  int64_t block, ExpertWeights experts) {
  return std::make_unique<DecoderBlock>(spec.block(block), loader, spec.block_prefix(block),
                                        spec.config.hidden_size, experts);
}

std::unique_ptr<Embedding> make_embedding(const DecoderSpec& spec, const WeightLoader& loader) {
  return std::make_unique<DecoderEmbedding>(spec, loader);
}

std::unique_ptr<Head> make_head(const DecoderSpec& spec, const WeightLoader& loader) {
  return std::make_unique<DecoderHead>(spec, loader);
}

}  // namespace prune::models
