#include <fmt/format.h>
#include <prune/core/tensor.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace prune {

std::string shape_string(at::IntArrayRef shape) {
  return fmt::format("[{}]", fmt::join(shape.begin(), shape.end(), ", "));
}

std::string dtype_name(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return "float32";
    case at::kDouble:
      return "float64";
    case at::kHalf:
      return "float16";
    case at::kBFloat16:
      return "bfloat16";
    case at::kLong:
      return "int64";
    case at::kInt:
      return "int32";
    case at::kShort:
      return "int16";
    case at::kChar:
      return "int8";
    case at::kByte:
      return "uint8";
    case at::kBool:
      return "bool";
    case at::kComplexFloat:
      return "complex64";
    case at::kComplexDouble:
      return "complex128";
    default: {
      std::string name = c10::toString(dtype);  // "Float8_e4m3fn", "UInt16"
      std::ranges::transform(name, name.begin(),
                             [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      return name;
    }
  }
}

int64_t element_count(at::IntArrayRef shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

Tensor to_host(const Tensor& value) {
  if (value.is_cpu()) return value;
  Tensor host = at::empty(value.sizes(), value.options().device(at::kCPU).pinned_memory(true));
  host.copy_(value);
  return host;
}

std::string human_bytes(int64_t size_bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(size_bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", size_bytes)
                   : fmt::format("{:.2f} {}", value, kUnits[unit]);
}

}  // namespace prune
