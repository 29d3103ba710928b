#include <prune/core/memory.h>
#include <prune/stream/batch_store.h>

namespace prune::stream {
namespace {

// The stream may take one third. The rest is for a block's weights, Hessians and activations, and
// for the page cache, without which every weight would be read from disk twice.
constexpr int64_t kShareOfMemory = 3;

}  // namespace

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

BatchStore::BatchStore(int64_t samples, int64_t seqlen, int64_t width,
                       const at::TensorOptions& like, const std::filesystem::path& scratch,
                       StatesPlace place)
    : place_(place), seqlen_(seqlen), width_(width) {
  const int64_t count = samples * seqlen * width;
  const auto dtype = at::TensorOptions(at::kCPU).dtype(like.dtype());
  if (place == StatesPlace::kFile) {
    const auto element_size = static_cast<int64_t>(like.dtype().itemsize());
    file_ = std::make_unique<ScratchFile>(scratch, count * element_size);
    elements_ = at::from_blob(file_->data(), {count}, dtype);
  } else {
    elements_ = at::empty({count}, place == StatesPlace::kHost ? dtype : like);
  }
}

Tensor BatchStore::batch(int64_t first, int64_t count, int64_t cols) const {
  TORCH_INTERNAL_ASSERT(cols <= width_);
  return elements_.narrow(0, first * seqlen_ * width_, count * seqlen_ * cols)
      .view({count, seqlen_, cols});
}

void BatchStore::put(int64_t first, const Tensor& x) const {
  const Tensor stored = batch(first, x.size(0), x.size(2));
  if (!stored.is_alias_of(x)) stored.copy_(x);
  release(stored);
}

void BatchStore::release(const Tensor& batch) const {
  if (file_ == nullptr) return;
  file_->drop(batch.storage_offset() * batch.element_size(), batch.numel() * batch.element_size());
}

}  // namespace prune::stream
