#include "weight_parts.h"

#include <fmt/format.h>
#include <prune/checkpoint/pack_quantized.h>
#include <prune/core/error.h>
#include <prune/core/printable.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "safetensors_dtype.h"
#include "scaled_blocks.h"

namespace prune::checkpoint {
namespace {

using Kind = WeightFormat::Kind;

std::string without_suffix(const std::string& name, std::string_view suffix) {
  return name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name;
}

Error fault(const Checkpoint& source, const TensorInfo& part, const std::string& expected) {
  return {ErrorKind::kInput,
          fmt::format("{}: tensor '{}' is {} {}, expected {}",
                      (source.folder() / source.files()[part.file]).string(), printable(part.name),
                      dtype_name(part.dtype), shape_string(part.shape), expected)};
}

TensorInfo dense_info(std::string name, at::ScalarType dtype, std::vector<int64_t> shape,
                      size_t file) {
  const int64_t size_bytes = element_count(shape) * static_cast<int64_t>(c10::elementSize(dtype));
  return {.name = std::move(name),
          .dtype = dtype,
          .shape = std::move(shape),
          .size_bytes = size_bytes,
          .file = file};
}

// layer.weight in integers (pack_quantized.h).
WeightParts pack_quantized(const Checkpoint& source, const std::string& layer,
                           const Quantization& quantization) {
  const TensorInfo& packed = source.info(layer + ".weight_packed");
  const TensorInfo& shape = source.info(layer + ".weight_shape");
  const bool is_integer = shape.dtype == at::kLong || shape.dtype == at::kInt;
  if (!is_integer || shape.shape != std::vector<int64_t>{2}) {
    throw fault(source, shape, "int64 [2]");
  }
  const Tensor sizes = source.load(shape.name);
  const auto rows = sizes[0].item<int64_t>();
  const auto cols = sizes[1].item<int64_t>();
  constexpr int64_t kLargest = int64_t{1} << 31;  // no product of sizes below overflows
  if (rows < 1 || cols < 1 || rows > kLargest || cols > kLargest) {
    throw fault(source, shape,
                fmt::format("sizes between 1 and {}, not {} x {}", kLargest, rows, cols));
  }
  if (cols % quantization.columns_of_group(cols) != 0) {
    throw fault(source, packed,
                fmt::format("a number of columns that is a multiple of the group size {}, not {}",
                            quantization.group_size, cols));
  }
  const at::ScalarType dtype = source.info(layer + ".weight_scale").dtype;
  WeightParts weight{.dense = {},
                     .names = {},
                     .obsolete = {shape.name},
                     .form = fmt::format("int{}", quantization.wbits),
                     .decode = {}};
  for (const TensorInfo& expected : packed_infos(layer, rows, cols, dtype, quantization)) {
    if (expected.name == shape.name) continue;
    const TensorInfo& part = source.info(expected.name);
    if (part.dtype != expected.dtype || part.shape != expected.shape) {
      throw fault(
          source, part,
          fmt::format("{} {} for a weight of {} x {} in {} bits", dtype_name(expected.dtype),
                      shape_string(expected.shape), rows, cols, quantization.wbits));
    }
    weight.names.push_back(part.name);
  }
  weight.dense = dense_info(layer + ".weight", dtype, {rows, cols}, packed.file);
  weight.decode = [quantization, rows, cols](const std::vector<Tensor>& parts, int64_t) {
    return prune::dequantize(unpacked(parts, {rows, cols}, quantization));
  };
  return weight;
}

struct BlockSize {
  int64_t rows;
  int64_t cols;
};
constexpr BlockSize kMxBlock = {1, 32};
constexpr BlockSize kNvBlock = {1, 16};

// The tensors of a weight in floating-point blocks, and what they must be.
struct BlockParts {
  std::string dense;     // name of the weight
  std::string elements;  // name of its elements
  std::string scale;
  std::string global_scale = {};  // divides all scales; empty: there is none
  bool is_fp4 = false;
  bool transposed = false;
  BlockSize size = {0, 0};    // 0: only one block for each matrix
  bool may_be_whole = false;  // a matrix may be one block, whatever `size` says
};

bool is_exponent(at::ScalarType dtype) { return dtype == at::kByte || is_e8m0(dtype); }

bool is_scale(at::ScalarType dtype) {
  return is_exponent(dtype) || dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf;
}

int64_t blocks_for(int64_t size, int64_t block) { return (size + block - 1) / block; }

// A matrix, or a stack of them.
struct BlockShape {
  int64_t count = -1;  // -1: a matrix
  int64_t rows = 0;
  int64_t cols = 0;

  std::vector<int64_t> with(int64_t last_rows, int64_t last_cols) const {
    return count < 0 ? std::vector<int64_t>{last_rows, last_cols}
                     : std::vector<int64_t>{count, last_rows, last_cols};
  }
  std::vector<int64_t> weight() const { return with(rows, cols); }
  std::vector<int64_t> transposed() const { return with(cols, rows); }
  std::vector<int64_t> scales(const BlockSize& size) const {
    return with(blocks_for(rows, size.rows), blocks_for(cols, size.cols));
  }
};

BlockShape block_shape(const Checkpoint& source, const TensorInfo& elements, bool is_fp4) {
  const std::vector<int64_t>& stored = elements.shape;
  if (stored.size() != 2 && stored.size() != 3) {
    throw fault(source, elements, "a matrix or a stack of matrices");
  }
  return {.count = stored.size() == 3 ? stored[0] : -1,
          .rows = stored[stored.size() - 2],
          .cols = stored.back() * (is_fp4 ? 2 : 1)};
}

// One scale for each matrix: a single number, or one for each of a stack.
bool is_per_matrix(const std::vector<int64_t>& scale, int64_t count) {
  if (element_count(scale) == 1) return true;
  return count >= 0 && !scale.empty() && scale[0] == count && element_count(scale) == count;
}

// Size of the blocks, from the scale's shape. Exponents may always be those of 32 columns each: DeepSeek-V4's experts
// are MXFP4 beside FP8 in larger blocks.
BlockSize block_size(const Checkpoint& source, const BlockParts& parts, const TensorInfo& scale,
                     const BlockShape& shape) {
  std::vector<BlockSize> sizes;
  if (parts.size.rows > 0) sizes.push_back(parts.size);
  if (is_exponent(scale.dtype)) sizes.push_back(kMxBlock);
  for (const BlockSize& size : sizes) {
    if (scale.shape == shape.scales(size)) return size;
  }
  if (parts.may_be_whole && is_per_matrix(scale.shape, shape.count)) {
    return {shape.rows, shape.cols};
  }
  if (sizes.empty()) throw fault(source, scale, "one number for each matrix");
  throw fault(
      source, scale,
      fmt::format("{} for a weight {} in blocks of {} x {}", shape_string(shape.scales(sizes[0])),
                  shape_string(shape.weight()), sizes[0].rows, sizes[0].cols));
}

WeightParts in_blocks(const Checkpoint& source, const BlockParts& parts, const BlockShape& shape) {
  const TensorInfo& elements = source.info(parts.elements);
  const TensorInfo& scale = source.info(parts.scale);
  if (element_count(elements.shape) == 0)
    throw fault(source, elements, "a matrix that is not empty");
  WeightParts weight{
      .dense = dense_info(parts.dense, at::kBFloat16,
                          parts.transposed ? shape.transposed() : shape.weight(), elements.file),
      .names = {parts.elements, parts.scale},
      .obsolete = {},
      .form = parts.is_fp4 ? "fp4" : "fp8",
      .decode = {}};
  if (!parts.global_scale.empty()) {
    const TensorInfo& global = source.info(parts.global_scale);
    if (global.dtype != at::kFloat || element_count(global.shape) != 1) {
      throw fault(source, global, "one float32 number");
    }
    weight.names.push_back(parts.global_scale);
  }
  const BlockSize size = block_size(source, parts, scale, shape);
  weight.decode = [shape, size, is_fp4 = parts.is_fp4, transposed = parts.transposed](
                      const std::vector<Tensor>& stored, int64_t index) {
    const int64_t count = std::max<int64_t>(1, shape.count);
    Tensor elements = stored[0].view(at::kByte).reshape({count, shape.rows, -1});
    Tensor scales =
        stored[1]
            .reshape({-1, blocks_for(shape.rows, size.rows), blocks_for(shape.cols, size.cols)})
            .expand({count, -1, -1});
    if (index >= 0) {
      elements = elements.narrow(0, index, 1);
      scales = scales.narrow(0, index, 1);
    }
    scales = scales_of(scales);
    if (stored.size() > 2) scales = scales / stored[2].reshape({1});
    const Tensor dense = dequantize({.is_fp4 = is_fp4,
                                     .elements = elements,
                                     .scale = scales,
                                     .block_rows = size.rows,
                                     .block_cols = size.cols},
                                    transposed);
    return shape.count < 0 || index >= 0 ? dense.select(0, 0) : dense;
  };
  return weight;
}

// "fp8", "mxfp8": X in FP8, or pairs of FP4 in int8, with X_scale_inv; X.weight also with X.scale.
std::optional<WeightParts> fp8(const Checkpoint& source, const std::string& name,
                               const WeightFormat& format) {
  const std::string scaled = without_suffix(name, "_scale_inv");
  if (scaled != name) {
    // Found with its weight; a scale of something else would change what the file means.
    const TensorInfo& weight = source.info(scaled);
    if (weight.dtype == at::kFloat8_e4m3fn || weight.dtype == at::kChar) return std::nullopt;
    throw fault(source, weight, fmt::format("float8_e4m3fn, for '{}' scales it", printable(name)));
  }
  const std::string layer = without_suffix(name, ".weight");
  const TensorInfo& elements = source.info(name);
  const bool is_fp4 = elements.dtype == at::kChar;
  std::string scale = name + "_scale_inv";
  if (!source.contains(scale) && layer != name && source.contains(layer + ".scale")) {
    scale = layer + ".scale";
  }
  if (is_fp4 && !source.contains(scale)) return std::nullopt;
  if (!is_fp4 && elements.dtype != at::kFloat8_e4m3fn) return std::nullopt;
  if (!is_scale(source.info(scale).dtype)) {
    throw fault(source, source.info(scale), "float32, bfloat16, float16 or E8M0 exponents");
  }
  WeightParts weight = in_blocks(source,
                                 {.dense = name,
                                  .elements = name,
                                  .scale = scale,
                                  .is_fp4 = is_fp4,
                                  .size = {format.block_rows, format.block_cols},
                                  .may_be_whole = true},
                                 block_shape(source, elements, is_fp4));
  // Of activations, which nobody quantizes any more.
  for (const char* suffix : {"activation_scale", "input_scale"}) {
    const std::string obsolete = layer + (layer == name ? "_" : ".") + suffix;
    if (source.contains(obsolete)) weight.obsolete.push_back(obsolete);
  }
  return weight;
}

// gpt-oss: X_blocks uint8 [count, rows, groups, 16] with X_scales uint8 [count, rows, groups] is X transposed.
std::optional<WeightParts> mxfp4(const Checkpoint& source, const std::string& name) {
  const std::string weight = without_suffix(name, "_blocks");
  const std::string of_scale = without_suffix(name, "_scales");
  if (of_scale != name) source.info(of_scale + "_blocks");
  if (weight == name) return std::nullopt;
  const TensorInfo& blocks = source.info(name);
  const TensorInfo& scales = source.info(weight + "_scales");
  if (blocks.dtype != at::kByte || blocks.shape.size() != 4 || blocks.shape[3] != 16) {
    throw fault(source, blocks, "uint8 [experts, rows, groups, 16]");
  }
  const std::vector<int64_t> groups(blocks.shape.begin(), blocks.shape.end() - 1);
  if (scales.dtype != at::kByte || scales.shape != groups) {
    throw fault(source, scales, fmt::format("uint8 {}", shape_string(groups)));
  }
  return in_blocks(source,
                   {.dense = weight,
                    .elements = name,
                    .scale = scales.name,
                    .is_fp4 = true,
                    .transposed = true,
                    .size = kMxBlock},
                   {.count = groups[0], .rows = groups[1], .cols = groups[2] * 32});
}

// compressed-tensors: layer.weight_packed, or layer.weight in FP8, with layer.weight_scale for groups of columns.
std::optional<WeightParts> compressed(const Checkpoint& source, const std::string& name,
                                      Kind kind) {
  const bool is_fp4 = kind != Kind::kMxfp8Quantized;
  const std::string layer = without_suffix(name, is_fp4 ? ".weight_packed" : ".weight");
  const at::ScalarType dtype = is_fp4 ? at::kByte : at::kFloat8_e4m3fn;
  if (layer == name || (!is_fp4 && source.info(name).dtype != dtype)) return std::nullopt;
  const TensorInfo& elements = source.info(name);
  const TensorInfo& scale = source.info(layer + ".weight_scale");
  if (elements.dtype != dtype) throw fault(source, elements, dtype_name(dtype));
  if (kind == Kind::kNvfp4Packed && scale.dtype != at::kFloat8_e4m3fn) {
    throw fault(source, scale, "float8_e4m3fn");
  }
  if (kind != Kind::kNvfp4Packed && !is_exponent(scale.dtype)) {
    throw fault(source, scale, "E8M0 exponents in uint8");
  }
  if (source.contains(layer + ".weight_zero_point")) {
    throw fault(source, source.info(layer + ".weight_zero_point"), "symmetric weights without it");
  }
  const bool is_nvfp4 = kind == Kind::kNvfp4Packed;
  WeightParts result = in_blocks(source,
                                 {.dense = layer + ".weight",
                                  .elements = name,
                                  .scale = scale.name,
                                  .global_scale = is_nvfp4 ? layer + ".weight_global_scale" : "",
                                  .is_fp4 = is_fp4,
                                  .size = is_nvfp4 ? kNvBlock : kMxBlock},
                                 block_shape(source, elements, is_fp4));
  for (const char* of_input : {".input_global_scale", ".input_scale"}) {
    if (source.contains(layer + of_input)) result.obsolete.push_back(layer + of_input);
  }
  return result;
}

std::optional<WeightParts> find(const Checkpoint& source, const std::string& name,
                                const WeightFormat& format) {
  switch (format.kind) {
    case Kind::kPackQuantized: {
      const std::string layer = without_suffix(name, ".weight_packed");
      if (layer == name) return std::nullopt;
      return pack_quantized(source, layer, format.quantization);
    }
    case Kind::kFp8:
      return fp8(source, name, format);
    case Kind::kMxfp4:
      return mxfp4(source, name);
    case Kind::kNvfp4Packed:
    case Kind::kMxfp4Packed:
    case Kind::kMxfp8Quantized:
      return compressed(source, name, format.kind);
  }
  return std::nullopt;
}

}  // namespace

std::vector<WeightParts> find_weight_parts(const Checkpoint& source, const WeightFormat& format) {
  std::vector<WeightParts> weights;
  for (const std::string& name : source.names()) {
    if (auto weight = find(source, name, format)) weights.push_back(std::move(*weight));
  }
  return weights;
}

}  // namespace prune::checkpoint
