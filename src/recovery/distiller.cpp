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
    throw_if_interrupted();
    const models::Block& loaded = student_->block(block);
    if (samples == 0) continue;
    const Tensor kept = border(block);
    kept.copy_(stream);
    borders_->release(kept);
    for (int64_t i = 0; i < samples; ++i) {
      stream.narrow(0, i, 1).copy_(loaded.forward(stream.narrow(0, i, 1)));
    }
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
    models::Block& loaded = student_->block(block);
    std::vector<Student::TrainedLayer>& trained = student_->trained(block);
    std::vector<size_t> readers;
    std::vector<Tensor> sums;
    for (const Student::TrainedLayer& layer : trained) {
      readers.push_back(layer.reader);
      sums.push_back(at::zeros({layer.kept.kept()}, gradient.options().dtype(at::kFloat)));
    }
    const Tensor inputs = samples == 0 ? Tensor() : border(block);
    for (int64_t i = 0; i < samples; ++i) {
      Tensor back = gradient.narrow(0, i, 1);
      BlockGradients found =
          block_gradients(loaded, inputs.narrow(0, i, 1).to(gradient.device()), back, readers,
                          /*with_input=*/block > 0);
      if (block > 0) back.copy_(found.input);
      for (size_t layer = 0; layer < trained.size(); ++layer) {
        sums[layer].add_(kernels::gather_kept(trained[layer].kept.bits(), found.weights[layer]));
      }
    }
    if (samples > 0) borders_->release(inputs);
    update_(block, sums, step);
  }
  return loss;
}

void Distiller::update_(int64_t block, std::vector<Tensor>& gradients, const AdamStep& step) {
  std::vector<Student::TrainedLayer>& trained = student_->trained(block);
  for (size_t layer = 0; layer < trained.size(); ++layer) {
    sum_(gradients[layer]);
    trained[layer].kept.step_(gradients[layer], step);
  }
  student_->collapse();
}

double Distiller::loss(const Tensor& ids, const Tensor& teacher) {
  double sum = 0.0;
  Tensor stream = ids.size(0) == 0 ? Tensor() : ends_.embedding.embed(ids);
  for (int64_t block = 0; block < student_->blocks(); ++block) {
    throw_if_interrupted();
    const models::Block& loaded = student_->block(block);
    for (int64_t i = 0; i < ids.size(0); ++i) {
      stream.narrow(0, i, 1).copy_(loaded.forward(stream.narrow(0, i, 1)));
    }
  }
  for (int64_t i = 0; i < ids.size(0); ++i) {
    sum += distillation_loss(ends_.teacher_head, teacher.narrow(0, i, 1).to(stream.device()),
                             ends_.student_head, stream.narrow(0, i, 1));
  }
  return sum;
}

}  // namespace prune::recovery
