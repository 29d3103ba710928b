#include <prune/kernels/instruction_set.h>
#include <prune/kernels/kept.h>
#include <prune/recovery/student.h>

namespace prune::recovery {

at::ScalarType training_dtype(at::Device device) {
  return device.is_cuda() || kernels::multiplies_bfloat16() ? at::kBFloat16 : at::kFloat;
}

Student::Student(const models::Model& model, const std::set<std::string>& layers,
                 const std::filesystem::path& scratch)
    : dtype_(model.dtype()), device_(model.device()) {
  struct Found {
    int64_t block;
    size_t reader;
    std::string name;
    Tensor bits;
    int64_t kept;
  };
  std::vector<Found> found;
  int64_t all_kept = 0;
  const auto weight_of = [&](int64_t block, size_t reader) {
    return model.load_weight(block, model.linears(block)[reader], at::kFloat);
  };
  for (int64_t number = 0; number < model.config().blocks; ++number) {
    blocks_.push_back(model.load_block(number));
    std::vector<models::Linear>& linears = blocks_.back()->linears();
    for (size_t reader = 0; reader < linears.size(); ++reader) {
      if (!layers.contains(linears[reader].name)) continue;
      linears[reader].weight.reset();
      Tensor bits = kernels::kept_bits(weight_of(number, reader));
      const int64_t kept = kernels::count_kept(bits);
      found.push_back({number, reader, linears[reader].name, std::move(bits), kept});
      all_kept += kept;
    }
    model.drop_block(number);
  }
  const int64_t elements = 3 * all_kept;
  states_ = std::make_unique<stream::BatchStore>(
      1, 1, elements, at::TensorOptions(device_).dtype(at::kFloat), scratch,
      stream::choose_place(elements * static_cast<int64_t>(sizeof(float)), device_));
  const Tensor all = states_->batch(0, 1, elements).flatten();
  trained_.resize(blocks_.size());
  int64_t offset = 0;
  for (Found& layer : found) {
    const models::LinearSpec& spec = model.linears(layer.block)[layer.reader];
    Tensor states = all.narrow(0, offset, 3 * layer.kept).view({3, layer.kept});
    offset += states.numel();
    KeptLayer kept(std::move(layer.bits), {spec.rows, spec.cols}, std::move(states));
    kept.set(weight_of(layer.block, layer.reader));
    model.drop_block(layer.block);
    states_->release(kept.states());
    trained_[static_cast<size_t>(layer.block)].push_back(
        {layer.reader, std::move(layer.name), std::move(kept)});
  }
}

models::Block& Student::block(int64_t number) {
  models::Block& block = *blocks_[static_cast<size_t>(number)];
  if (expanded_ == number) return block;
  collapse();
  for (const TrainedLayer& layer : trained(number)) {
    block.linears()[layer.reader].weight = layer.kept.weight(dtype_);
  }
  expanded_ = number;
  return block;
}

void Student::restart() {
  for (std::vector<TrainedLayer>& block : trained_) {
    for (TrainedLayer& layer : block) layer.kept.restart();
  }
}

void Student::collapse() {
  if (expanded_ < 0) return;
  for (const TrainedLayer& layer : trained(expanded_)) {
    blocks_[static_cast<size_t>(expanded_)]->linears()[layer.reader].weight.reset();
    states_->release(layer.kept.states());
  }
  expanded_ = -1;
}

double Student::kept_share() const {
  double kept = 0.0;
  double weights = 0.0;
  for (const std::vector<TrainedLayer>& block : trained_) {
    for (const TrainedLayer& layer : block) {
      kept += static_cast<double>(layer.kept.kept());
      weights += static_cast<double>(layer.kept.weights());
    }
  }
  return kept / weights;
}

}  // namespace prune::recovery
