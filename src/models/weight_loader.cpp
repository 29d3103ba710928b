#include <prune/core/error.h>
#include <prune/kernels/packed_weight.h>
#include <prune/models/weight_loader.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace prune::models {
namespace {

// Each group of columns rounded to the nearest of 255 numbers.
QuantizedWeight rounded_to_8_bits(const Tensor& weight) {
  const int64_t rows = weight.size(0);
  const int64_t cols = weight.size(1);
  int64_t group = 128;
  while (cols % group != 0 && group > 1) group /= 2;
  QuantizedWeight rounded{.codes = at::empty({rows, cols}, at::kChar),
                          .scale = at::empty({rows, cols / group}, weight.options()),
                          .zero = at::zeros({rows, cols / group}, at::kChar)};
  constexpr int64_t kRowsAtOnce = 1024;  // a head in float32 may be a gigabyte
  for (int64_t first = 0; first < rows; first += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, rows - first);
    const Tensor groups =
        weight.narrow(0, first, count).view({count, cols / group, group}).to(at::kFloat);
    const Tensor scale = rounded.scale.narrow(0, first, count);
    scale.copy_(groups.abs().amax(-1).div(127));
    const Tensor steps = scale.to(at::kFloat).clamp_min(1e-30).unsqueeze(-1);
    rounded.codes.narrow(0, first, count)
        .copy_(groups.div(steps).round_().clamp_(-127, 127).view({count, cols}));
  }
  return rounded;
}

}  // namespace

bool is_plain_float(at::ScalarType dtype) {
  return dtype == at::kHalf || dtype == at::kBFloat16 || dtype == at::kFloat ||
         dtype == at::kDouble;
}

void check_finite(const Tensor& value, const std::string& name) {
  if (!value.is_floating_point() || value.numel() == 0) return;
  const auto [low, high] = at::aminmax(value);
  if (at::isfinite(low).logical_and(at::isfinite(high)).item<bool>()) return;
  const Tensor where = at::isfinite(value).logical_not().nonzero()[0].cpu().contiguous();
  Tensor element = value;
  for (int64_t i = 0; i < where.numel(); ++i) element = element[where[i].item<int64_t>()];
  throw Error(
      ErrorKind::kInput,
      fmt::format(
          "tensor '{}' holds {} at {}; the checkpoint is damaged", name, element.item<double>(),
          shape_string({where.const_data_ptr<int64_t>(), static_cast<size_t>(where.numel())})));
}

WeightLoader WeightLoader::checking(const checkpoint::Checkpoint& source) {
  WeightLoader loader(source, at::kCPU, at::kFloat);
  loader.asked_ = std::make_shared<std::map<std::string, std::vector<int64_t>>>();
  return loader;
}

WeightLoader WeightLoader::listing() {
  WeightLoader loader(nullptr, at::kCPU, at::kFloat);
  loader.asked_ = std::make_shared<std::map<std::string, std::vector<int64_t>>>();
  return loader;
}

WeightLoader WeightLoader::random(at::ScalarType stored, at::Device device, at::ScalarType dtype) {
  WeightLoader loader(nullptr, device, dtype);
  loader.random_ = std::make_shared<RandomWeights>(RandomWeights{.stored = stored});
  return loader;
}

WeightLoader WeightLoader::packing(const checkpoint::Checkpoint& source, at::Device device,
                                   at::ScalarType dtype, int64_t bits_of_ends) {
  WeightLoader loader(source, device, dtype);
  loader.packs_ = true;
  loader.bits_of_ends_ = bits_of_ends;
  return loader;
}

Tensor WeightLoader::load(const std::string& name, at::IntArrayRef shape) const {
  return load_part({.name = name}, shape);
}

Tensor WeightLoader::load_part(const checkpoint::TensorRef& part,
                               at::IntArrayRef stored_shape) const {
  Tensor value = load_stored(part, stored_shape);
  if (!value.defined()) return value;
  // Checked on the device, where it is fastest.
  value = value.to(device_);
  check_finite(value, part.name);
  return value.to(dtype_).contiguous();
}

Tensor WeightLoader::load_table(const std::string& name, at::IntArrayRef shape) const {
  Tensor stored = load_stored({.name = name}, shape);
  if (!stored.defined()) return stored;
  check_finite(stored, name);
  // Only the rows that are looked up return to memory.
  if (source_ != nullptr) source_->drop(name);
  return stored;
}

Tensor WeightLoader::looked_up(const Tensor& table, const Tensor& ids) const {
  return at::embedding(table, ids).to(device_, dtype_);
}

Tensor WeightLoader::load_stored(const checkpoint::TensorRef& part, at::IntArrayRef shape) const {
  const std::string& name = part.name;
  if (random_ != nullptr) {
    Tensor& drawn = random_->drawn[name];
    // Norms around 1, products of unit variance: activations stay in range.
    if (!drawn.defined()) {
      drawn = shape.size() == 1
                  ? at::rand(shape).mul_(0.1).add_(1.0)
                  : at::randn(shape).div_(std::sqrt(static_cast<double>(shape.back())));
      drawn = drawn.to(random_->stored);
    }
    return part.is_whole() ? drawn : part.in(drawn);
  }
  if (source_ == nullptr) {
    asked_->emplace(name, shape.vec());
    return {};
  }
  const at::IntArrayRef stored_shape = source_->info(name).shape;
  const at::ScalarType stored_dtype = source_->info(name).dtype;
  if (stored_shape != shape) {
    throw Error(ErrorKind::kInput,
                fmt::format("tensor '{}' has shape {}, but config.json implies {}", name,
                            shape_string(stored_shape), shape_string(shape)));
  }
  if (!is_plain_float(stored_dtype)) {
    throw Error(
        ErrorKind::kInput,
        fmt::format("tensor '{}' is stored as {}; weights must be float16, bfloat16, float32 "
                    "or float64",
                    name, dtype_name(stored_dtype)));
  }
  if (asked_ != nullptr) {
    asked_->emplace(name, shape.vec());
    return {};
  }
  return source_->load(part);
}

void WeightLoader::load_weight_(Linear& linear, const checkpoint::TensorRef& stored,
                                at::IntArrayRef stored_shape, int64_t bits) const {
  if (!packs_) {
    linear.weight = load_part(stored, stored_shape);
    return;
  }
  // A GPU multiplies numbers of one dtype.
  const auto fits = [&](const Tensor& elements) {
    return elements.element_size() == 2 && (device_.is_cpu() || elements.scalar_type() == dtype_);
  };
  if (source_->has_codes(stored.name) && stored.is_whole()) {
    const QuantizedWeight codes = source_->load_quantized(stored.name);
    check_finite(codes.scale, stored.name);
    if (fits(codes.scale)) linear.packed = kernels::pack_weight(codes, device_);
  }
  if (!linear.packed) {
    const Tensor value = load_stored(stored, stored_shape);
    check_finite(value, stored.name);
    if (fits(value)) {
      if (bits == 8) linear.packed = kernels::pack_weight(rounded_to_8_bits(value), device_);
      if (!linear.packed) linear.packed = kernels::pack_weight(value, device_);
    }
    if (!linear.packed) linear.weight = value.to(device_, dtype_).contiguous();
  }
  if (linear.packed) source_->drop(stored.name);
}

Linear WeightLoader::load_matrix(const std::string& name, at::IntArrayRef shape,
                                 const std::string& bias) const {
  Linear linear{.name = name, .weight = {}, .bias = {}};
  load_weight_(linear, {.name = name}, shape, bits_of_ends_);
  if (!bias.empty()) linear.bias = load(bias, {shape[0]});
  return linear;
}

Linear LinearSpec::without_weight(const std::string& prefix) const {
  return {.name = prefix + name,
          .weight = {},
          .bias = {},
          .site = site,
          .writes_stream = writes_stream,
          .expert = expert};
}

void WeightLoader::drop(const std::string& name) const {
  if (source_ != nullptr) source_->drop(name);
}

Linear WeightLoader::load_linear(const std::string& prefix, const LinearSpec& spec) const {
  const std::string name = prefix + spec.name;
  const checkpoint::TensorRef stored = spec.weight_in(prefix);
  std::vector<int64_t> shape = spec.stored_shape;
  if (shape.empty()) shape = {spec.rows, spec.cols};
  if (spec.stored_shape.empty() && stored.transposed) std::swap(shape[0], shape[1]);
  Linear linear = spec.without_weight(prefix);
  load_weight_(linear, stored, shape);
  if (!spec.bias) return linear;
  if (spec.stored_bias.empty()) {
    linear.bias = load(name + ".bias", {spec.rows});
  } else {
    checkpoint::TensorRef bias = stored;
    bias.name = prefix + spec.stored_bias;
    bias.transposed = false;
    shape.erase(shape.end() - (stored.transposed ? 2 : 1));
    linear.bias = load_part(bias, shape);
  }
  return linear;
}

}  // namespace prune::models
