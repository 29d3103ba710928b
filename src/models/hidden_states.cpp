#include <prune/core/memory.h>
#include <prune/models/hidden_states.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace prune::models {
namespace {

// Enough tokens to keep the GEMMs busy, on a GPU in spite of the time that a launch takes; the widest
// activation (the FFN's) of one batch is what a block needs beside its weights.
constexpr int64_t kBatchTokensCpu = 2048;
constexpr int64_t kBatchTokensCuda = 16384;

// The rest is for weights, Hessians and activations of a block, and for the page cache, without which
// every weight is read from the disk once more.
constexpr int64_t kShareOfMemory = 3;

}  // namespace

int64_t batch_samples(int64_t seqlen, bool on_cuda) {
  return std::max<int64_t>(1, (on_cuda ? kBatchTokensCuda : kBatchTokensCpu) / seqlen);
}

const char* place_name(StatesPlace place) {
  switch (place) {
    case StatesPlace::kDevice:
      return "device";
    case StatesPlace::kHost:
      return "host memory";
    case StatesPlace::kFile:
      return "a file";
  }
  return "";
}

StatesPlace choose_place(int64_t size_bytes, at::Device device) {
  if (device.is_cuda() && size_bytes <= available_device_bytes(device) / kShareOfMemory) {
    return StatesPlace::kDevice;
  }
  if (size_bytes > available_host_bytes() / kShareOfMemory) return StatesPlace::kFile;
  return device.is_cpu() ? StatesPlace::kDevice : StatesPlace::kHost;
}

HiddenStates::HiddenStates(at::IntArrayRef shape, const Tensor& like,
                           const std::filesystem::path& scratch, StatesPlace place, int64_t batch)
    : place_(place), batch_(batch), device_(like.device()) {
  const auto options = like.options();
  if (place == StatesPlace::kFile) {
    const int64_t size_bytes = element_count(shape) * like.element_size();
    file_ = std::make_unique<ScratchFile>(scratch, size_bytes);
    states_ = at::from_blob(file_->data(), shape, options.device(at::kCPU));
  } else {
    states_ = at::empty(shape, place == StatesPlace::kHost ? options.device(at::kCPU) : options);
  }
}

HiddenStates HiddenStates::embed(const Embedding& embedding, const Tensor& ids,
                                 const std::filesystem::path& scratch, int64_t batch) {
  const Tensor one = embedding.embed(ids.slice(0, 0, 1));
  const int64_t size_bytes = ids.size(0) * one.numel() * one.element_size();
  const StatesPlace place = choose_place(size_bytes, one.device());
  if (place != StatesPlace::kDevice) {
    spdlog::info("hidden states: {} in {}", human_bytes(size_bytes), place_name(place));
  }
  return embed(embedding, ids, scratch, place, batch);
}

HiddenStates HiddenStates::embed(const Embedding& embedding, const Tensor& ids,
                                 const std::filesystem::path& scratch, StatesPlace place,
                                 int64_t batch) {
  if (batch == 0) {
    const bool on_cuda = embedding.embed(ids.slice(0, 0, 1)).is_cuda();
    batch = batch_samples(ids.size(1), on_cuda);
  }
  std::optional<HiddenStates> hidden;
  for (int64_t first = 0; first < ids.size(0); first += batch) {
    const Tensor part = embedding.embed(ids.slice(0, first, std::min(first + batch, ids.size(0))));
    if (!hidden) {
      hidden.emplace(
          HiddenStates({ids.size(0), ids.size(1), part.size(2)}, part, scratch, place, batch));
    }
    const Tensor stored = hidden->stored_batch(first);
    stored.copy_(part);
    hidden->release(stored);
  }
  return std::move(*hidden);
}

Tensor HiddenStates::stored_batch(int64_t first) const {
  const int64_t end = std::min(first + batch_, samples());
  return states_.slice(0, first, end);
}

void HiddenStates::release(const Tensor& stored) const {
  if (file_ == nullptr) return;
  file_->drop(stored.storage_offset() * stored.element_size(),
              stored.numel() * stored.element_size());
}

void HiddenStates::for_each_batch(
    const std::function<void(int64_t first, const Tensor& batch)>& visit) const {
  for (int64_t first = 0; first < samples(); first += batch_) {
    const Tensor stored = stored_batch(first);
    visit(first, stored.to(device_));
    release(stored);
  }
}

void HiddenStates::advance(const Block& block, BlockObserver* observer) {
  for_each_batch([&](int64_t first, const Tensor& batch) {
    stored_batch(first).copy_(block.forward(batch, observer));
  });
}

void HiddenStates::observe(const Block& block, BlockObserver& observer) const {
  for_each_batch([&](int64_t, const Tensor& batch) { block.forward(batch, &observer); });
}

Tensor HiddenStates::energies() const {
  std::vector<Tensor> energies;
  for_each_batch([&](int64_t, const Tensor& batch) {
    energies.push_back(batch.to(at::kFloat).square().sum(-1).flatten());
  });
  return at::cat(energies);
}

}  // namespace prune::models
