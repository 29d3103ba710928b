#include <prune/core/interrupt.h>
#include <prune/kernels/kept.h>
#include <prune/recovery/distiller.h>
#include <prune/recovery/gradients.h>

namespace prune::recovery {

Distiller::Distiller(Student& student, const Ends& ends, std::filesystem::path scratch,
                     SumOverRanks sum)
    : student_(&student), ends_(ends), scratch_(std::move(scratch)), sum_(std::move(sum)) {}

double Distiller::step_(const Tensor& ids, const Tensor& teacher, int64_t tokens,
                        const AdamStep& step) {
  const int64_t samples = ids.size(0);
  const int64_t blocks = student_->blocks();
  const double scale = 1.0 / static_cast<double>(tokens);
  Tensor stream = ends_.embedding.embed(ids);
  const int64_t width = stream.size(2);
  if (samples > border_samples_) {
    const int64_t size_bytes = blocks * stream.numel() * stream.element_size();
    borders_ = std::make_unique<stream::BatchStore>(
        blocks * samples, stream.size(1), width, stream.options(), scratch_,
        stream::choose_place(size_bytes, stream.device()));
    border_samples_ = samples;
  }
  const auto border = [&](int64_t block) {
    return borders_->batch(block * border_samples_, samples, width);
  };
  for (int64_t block = 0; block < blocks; ++block) {
    if (samples == 0) break;
    const Tensor kept = border(block);
    kept.copy_(stream);
    borders_->release(kept);
    forward_(block, stream);
  }
  double loss = 0.0;
  Tensor gradient = at::empty_like(stream);
  for (int64_t i = 0; i < samples; ++i) {
    const LossGradient found =
        distillation_loss(ends_.teacher_head, teacher.narrow(0, i, 1).to(stream.device()),
                          ends_.student_head, stream.narrow(0, i, 1), scale);
    loss += found.loss;
    gradient.narrow(0, i, 1).copy_(found.hidden);
  }
  stream.reset();
  for (int64_t block = blocks - 1; block >= 0; --block) {
    throw_if_interrupted();
    const Tensor inputs = samples == 0 ? Tensor() : border(block);
    const Tensor back = backward_(
        block, inputs, [&](int64_t i, const Tensor&) { return gradient.narrow(0, i, 1); },
        /*with_input=*/block > 0, step);
    if (samples > 0) borders_->release(inputs);
    if (block > 0) gradient = back;
  }
  return loss;
}

double Distiller::block_step_(int64_t block, const Tensor& hidden, const Tensor& wanted,
                              int64_t tokens, const AdamStep& step) {
  double loss = 0.0;
  const auto by_output = [&](int64_t i, const Tensor& output) {
    const Tensor target = wanted.narrow(0, i, 1).to(at::kFloat);
    const Tensor off = output.to(at::kFloat) - target;
    const Tensor energy = target.square().sum(-1, /*keepdim=*/true);
    loss += (off.square().sum(-1, /*keepdim=*/true) / energy).sum(at::kDouble).item<double>();
    return (off / energy).mul_(2.0 / static_cast<double>(tokens)).to(output.scalar_type());
  };
  backward_(block, hidden, by_output, /*with_input=*/false, step);
  return loss;
}

// Takes the stream through a block, sample by sample.
void Distiller::forward_(int64_t block, Tensor& stream) {
  throw_if_interrupted();
  const models::Block& loaded = student_->block(block);
  for (int64_t i = 0; i < stream.size(0); ++i) {
    Tensor sample = stream.narrow(0, i, 1);
    sample.copy_(loaded.forward(sample));
  }
}

// Goes back through a block sample by sample and takes a step. @return the derivative by the block's input
Tensor Distiller::backward_(int64_t block, const Tensor& inputs,
                            const OutputGradient& output_gradient, bool with_input,
                            const AdamStep& step) {
  models::Block& loaded = student_->block(block);
  std::vector<Student::TrainedLayer>& trained = student_->trained(block);
  const int64_t samples = inputs.defined() ? inputs.size(0) : 0;
  std::vector<size_t> readers;
  std::vector<Tensor> sums;
  for (const Student::TrainedLayer& layer : trained) {
    readers.push_back(layer.reader);
    sums.push_back(layer.kept.zeros());
  }
  std::vector<Tensor> by_input;
  for (int64_t i = 0; i < samples; ++i) {
    const Tensor hidden = inputs.narrow(0, i, 1).to(student_->device());
    BlockGradients found = block_gradients(
        loaded, hidden, [&](const Tensor& output) { return output_gradient(i, output); }, readers,
        with_input);
    if (with_input) by_input.push_back(found.input);
    for (size_t layer = 0; layer < trained.size(); ++layer) {
      sums[layer].add_(kernels::gather_kept(trained[layer].kept.bits(), found.weights[layer]));
    }
  }
  for (size_t layer = 0; layer < trained.size(); ++layer) {
    sum_(sums[layer]);
    trained[layer].kept.step_(sums[layer], step);
  }
  student_->collapse();
  return by_input.empty() ? Tensor() : at::cat(by_input);
}

double Distiller::loss(const Tensor& ids, const Tensor& teacher) {
  double sum = 0.0;
  if (ids.size(0) == 0) return sum;
  Tensor stream = ends_.embedding.embed(ids);
  for (int64_t block = 0; block < student_->blocks(); ++block) forward_(block, stream);
  for (int64_t i = 0; i < ids.size(0); ++i) {
    sum += distillation_loss(ends_.teacher_head, teacher.narrow(0, i, 1).to(stream.device()),
                             ends_.student_head, stream.narrow(0, i, 1));
  }
  return sum;
}

}  // namespace prune::recovery
