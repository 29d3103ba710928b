#include "group_grids.h"

namespace prune::solver::detail {
namespace {

double epsilon(at::ScalarType dtype) {
  return dtype == at::kHalf       ? std::ldexp(1.0, -10)
         : dtype == at::kBFloat16 ? std::ldexp(1.0, -7)
                                  : std::ldexp(1.0, -23);
}

}  // namespace

GroupGrids::GroupGrids(const Tensor& weight, const SolverOptions& options,
                       const Tensor& permutation)
    : quantization_(options.quantization),
      scale_dtype_(options.scale_dtype),
      group_size_(quantization_.columns_of_group(weight.size(1))),
      scale_(at::empty({quantization_.groups(weight.size(1)), weight.size(0)}, weight.options())),
      low_(at::empty_like(scale_)),
      high_(at::empty_like(scale_)) {
  if (quantization_.group_size < 0) {
    choose(weight.unsqueeze(1), 0);
  } else if (permutation.defined()) {
    const Tensor original = at::empty_like(weight).index_copy_(1, permutation, weight);
    choose(original.unflatten(1, {-1, group_size_}), 0);
    const Tensor group_of_column = permutation.floor_divide(group_size_);
    for (Tensor* values : {&scale_, &low_, &high_}) {
      *values = values->index_select(0, group_of_column);
    }
    first_columns_ = permutation.argsort().slice(0, 0, permutation.size(0), group_size_);
    group_size_ = 1;
  }
}

void GroupGrids::enter_block(const Tensor& entry, int64_t begin) {
  if (quantization_.group_size < 0 || first_columns_.defined()) return;
  choose(entry.unflatten(1, {entry.size(1) / group_size_, group_size_}), begin / group_size_);
}

void GroupGrids::choose(const Tensor& groups, int64_t first) {
  const auto [smallest, largest] = at::aminmax(groups, /*dim=*/2);  // [rows, groups]
  const Tensor least = smallest.clamp_max(0);
  const Tensor most = largest.clamp_min(0);
  const auto lowest = static_cast<double>(quantization_.smallest_code());
  const auto highest = static_cast<double>(quantization_.largest_code());
  const double steps = highest - lowest;
  Tensor scale =
      quantization_.symmetric ? at::maximum(most, -least) * (2 / steps) : (most - least) / steps;
  // Rounded to the stored dtype first, so that the loss is that of the stored weights.
  scale = scale.to(scale_dtype_).to(at::kFloat);
  scale = scale.masked_fill(scale.eq(0), epsilon(scale_dtype_));
  const Tensor zero = quantization_.symmetric
                          ? at::zeros_like(scale)
                          : (lowest - least / scale).clamp(lowest, highest).round();
  const int64_t end = first + groups.size(1);
  scale_.slice(0, first, end).copy_(scale.t());
  low_.slice(0, first, end).copy_((lowest - zero).t());
  high_.slice(0, first, end).copy_((highest - zero).t());
}

Tensor GroupGrids::group_scale() const {
  const Tensor scale = first_columns_.defined() ? scale_.index_select(0, first_columns_) : scale_;
  return scale.t().contiguous();
}

Tensor GroupGrids::group_zero() const {
  const Tensor low = first_columns_.defined() ? low_.index_select(0, first_columns_) : low_;
  return (static_cast<double>(quantization_.smallest_code()) - low).t().contiguous();
}

}  // namespace prune::solver::detail
