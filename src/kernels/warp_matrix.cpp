#include "warp_matrix.h"

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <prune/core/error.h>

namespace prune::kernels {
namespace {

using detail::Arrangement;

constexpr uintptr_t kAlignment = 16;  // of the activations, which lanes read in vectors

uint16_t* bits_of(const Tensor& tensor) {
  return tensor.defined() ? static_cast<uint16_t*>(tensor.data_ptr()) : nullptr;
}

void check(const char* error) {
  if (error != nullptr) throw Error(ErrorKind::kDevice, error);
}

class WarpMatrix : public PackedWeight {
 public:
  WarpMatrix(const WarpRecords& packed, at::Device device) : weight_(packed) {
    weight_.records = packed.records.to(device);
    if (packed.starts.defined()) weight_.starts = packed.starts.to(device);
  }

  Tensor affine(const Tensor& x, const Tensor& bias) const override {
    const c10::cuda::CUDAGuard on_device(x.device());
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = rows();
    const Tensor flat = x.reshape({-1, cols()}).contiguous();
    const Tensor y = flat.size(0) <= detail::kMostTokens
                         ? multiply_few(flat, bias)
                         : at::linear(flat, expand(flat.scalar_type()), bias);
    return y.view(shape);
  }

  int64_t rows() const override { return weight_.shape.rows; }
  int64_t cols() const override { return weight_.shape.cols; }

  int64_t size_bytes() const override {
    const size_t starts = weight_.starts.defined() ? weight_.starts.nbytes() : 0;
    return static_cast<int64_t>(weight_.records.nbytes() + starts);
  }

  std::string form() const override {
    const char* left_out = "";
    if (weight_.shape.arrangement == Arrangement::kMasked) left_out = "mask + ";
    if (weight_.shape.arrangement == Arrangement::kBalanced) left_out = "balanced mask + ";
    return fmt::format("{}{} bits", left_out, detail::bits_of(weight_.shape.element));
  }

 private:
  static void* stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

  // x [tokens, cols], contiguous
  Tensor multiply_few(const Tensor& x, const Tensor& bias) const {
    const detail::WarpTiles tiles = weight_.view();
    const int64_t tokens = x.size(0);
    const Tensor y = at::empty({tokens, rows()}, x.options());
    detail::WarpProduct job{
        .weight = tiles, .tokens = tokens, .bias = bits_of(bias), .y = bits_of(y)};
    if (!detail::is_code(tiles.element)) {
      Tensor padded = x;
      if (tiles.padded_cols() != cols()) {
        padded = at::constant_pad_nd(x, {0, tiles.padded_cols() - cols()});
      } else if (reinterpret_cast<uintptr_t>(x.data_ptr()) % kAlignment != 0) {
        padded = x.clone();
      }
      job.x = bits_of(padded);
      check(detail::launch_multiply(job, stream()));
      return y;
    }
    const auto bytes = x.options().dtype(at::kChar);
    const Tensor high = at::empty({tokens, tiles.padded_cols()}, bytes);
    const Tensor low = at::empty({tokens, tiles.padded_cols()}, bytes);
    const Tensor group = at::empty(
        {tiles.groups() * detail::kMostTokens * int64_t{sizeof(detail::GroupOfToken)}}, bytes);
    auto* group_of_token = static_cast<detail::GroupOfToken*>(group.data_ptr());
    check(detail::launch_round({.weight = tiles,
                                .tokens = tokens,
                                .x = bits_of(x),
                                .high = high.mutable_data_ptr<int8_t>(),
                                .low = low.mutable_data_ptr<int8_t>(),
                                .group = group_of_token},
                               stream()));
    job.high = high.const_data_ptr<int8_t>();
    job.low = low.const_data_ptr<int8_t>();
    job.group = group_of_token;
    check(detail::launch_multiply(job, stream()));
    return y;
  }

  // [rows, cols], a view of a padded matrix
  Tensor expand(at::ScalarType dtype) const {
    const detail::WarpTiles tiles = weight_.view();
    const Tensor to = at::empty({tiles.blocks() * detail::kBlockRows, tiles.padded_cols()},
                                weight_.records.options().dtype(dtype));
    check(detail::launch_expand(tiles, bits_of(to), stream()));
    return to.narrow(0, 0, rows()).narrow(1, 0, cols());
  }

  WarpRecords weight_;
};

}  // namespace

std::shared_ptr<const PackedWeight> make_warp_matrix(const WarpRecords& packed, at::Device device) {
  return std::make_shared<WarpMatrix>(packed, device);
}

}  // namespace prune::kernels
