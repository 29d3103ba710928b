#include <fmt/format.h>
#include <prune/kernels/product.h>
#include <prune/models/ends.h>

#include <cmath>

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
    carried_ = model.config.carried;
    if (const auto& inputs = spec_.layer_inputs) {
      const int64_t columns = model.config.blocks * inputs->width;
      input_table_ = loader.load_table(inputs->table, {inputs->rows, columns});
      input_projection_ = loader.load(inputs->projection, {columns, hidden_size});
      input_norm_ = load_norm(loader, model.kinds.front().norm, inputs->norm, inputs->width);
    }
  }

  Tensor embed(const Tensor& ids, int64_t first) const override {
    Tensor x = loader_.looked_up(tokens_, ids);
    if (spec_.scale != 1.0) x = x.mul(scale_in(x.scalar_type()));
    if (project_in_.defined()) x = kernels::affine(x, project_in_);
    if (positions_.defined()) {
      x = x + positions_.narrow(0, spec_.first_position + first, ids.size(1));
    }
    if (norm_) x = (*norm_)(x);
    return carried_ == 0 ? x : with_carried(x, ids);
  }

 private:
  /// The stream before the first block, which has the inputs of the blocks but no keys and values yet.
  Tensor with_carried(const Tensor& x, const Tensor& ids) const {
    Tensor inputs;
    if (const auto& spec = spec_.layer_inputs) {
      const double scale = rounded(spec->scale, x.scalar_type());
      const double root = std::sqrt(static_cast<double>(x.size(-1)));
      const Tensor of_hidden = kernels::affine(x, input_projection_).mul(1.0 / root);
      const Tensor normed = (*input_norm_)(of_hidden.unflatten(-1, {-1, spec->width})).flatten(-2);
      inputs = (normed + loader_.looked_up(input_table_, ids).mul(scale)).mul(std::sqrt(0.5));
    }
    const int64_t left = carried_ - (inputs.defined() ? inputs.size(-1) : 0);
    const Tensor keys = at::zeros({x.size(0), x.size(1), left}, x.options());
    return inputs.defined() ? at::cat({x, inputs, keys}, -1) : at::cat({x, keys}, -1);
  }

  static double rounded(double scale, at::ScalarType dtype) {
    return at::scalar_tensor(scale, at::kDouble).to(dtype).item<double>();
  }

  double scale_in(at::ScalarType dtype) const {
    return spec_.scale_is_rounded ? rounded(spec_.scale, dtype) : spec_.scale;
  }

  EmbeddingSpec spec_;
  WeightLoader loader_;
  Tensor tokens_;
  Tensor positions_;
  Tensor project_in_;
  int64_t carried_ = 0;
  Tensor input_table_;
  Tensor input_projection_;
  std::optional<Norm> input_norm_;
  std::optional<Norm> norm_;
};

class DecoderHead : public Head {
 public:
  DecoderHead(const DecoderSpec& model, const WeightLoader& loader)
      : spec_(model.head),
        hidden_size_(model.config.hidden_size),
        vocab_size_(model.config.vocab_size),
        norm_(load_end_norm(loader, spec_.norm, spec_.norm_name, model.config.hidden_size)) {
    if (!spec_.project_out.empty()) {
      project_out_ = loader.load(spec_.project_out, {spec_.width, model.config.hidden_size});
    }
    matrix_ = loader.load_matrix(spec_.weight, {model.config.vocab_size, spec_.width}, spec_.bias);
  }

  Tensor logits(const Tensor& stream) const override {
    const Tensor hidden = stream.slice(-1, 0, hidden_size_);
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
  int64_t hidden_size_;
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
