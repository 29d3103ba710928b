#include "safetensors_dtype.h"

#include <algorithm>
#include <array>
#include <utility>

namespace prune::checkpoint {
namespace {

// Undefined before LibTorch 2.7.
template <class Dtype = at::ScalarType>
constexpr Dtype e8m0() {
  if constexpr (requires { Dtype::Float8_e8m0fnu; }) {
    return Dtype::Float8_e8m0fnu;
  } else {
    return Dtype::Undefined;
  }
}

// The `Dtype` enum of safetensors 0.8 in reverse, without F4, which LibTorch 2.5 lacks, and F6_*.
constexpr std::array<std::pair<std::string_view, at::ScalarType>, 19> kDtypes = {{
    {"U64", at::kUInt64},
    {"I64", at::kLong},
    {"F64", at::kDouble},
    {"C64", at::kComplexFloat},
    {"F32", at::kFloat},
    {"U32", at::kUInt32},
    {"I32", at::kInt},
    {"BF16", at::kBFloat16},
    {"F16", at::kHalf},
    {"U16", at::kUInt16},
    {"I16", at::kShort},
    {"F8_E5M2FNUZ", at::kFloat8_e5m2fnuz},
    {"F8_E4M3FNUZ", at::kFloat8_e4m3fnuz},
    {"F8_E8M0", e8m0()},
    {"F8_E4M3", at::kFloat8_e4m3fn},
    {"F8_E5M2", at::kFloat8_e5m2},
    {"I8", at::kChar},
    {"U8", at::kByte},
    {"BOOL", at::kBool},
}};

const auto* find_dtype(at::ScalarType dtype) {
  return std::ranges::find(kDtypes, dtype, &std::pair<std::string_view, at::ScalarType>::second);
}

}  // namespace

std::optional<at::ScalarType> dtype_of_safetensors(std::string_view name) {
  const auto* found =
      std::ranges::find(kDtypes, name, &std::pair<std::string_view, at::ScalarType>::first);
  return found == kDtypes.end() || found->second == at::ScalarType::Undefined
             ? std::nullopt
             : std::optional(found->second);
}

std::optional<std::string_view> safetensors_name(at::ScalarType dtype) {
  const auto* found = find_dtype(dtype);
  return found == kDtypes.end() ? std::nullopt : std::optional(found->first);
}

bool is_e8m0(at::ScalarType dtype) { return dtype == e8m0() && dtype != at::ScalarType::Undefined; }

size_t safetensors_rank(at::ScalarType dtype) {
  return static_cast<size_t>(find_dtype(dtype) - kDtypes.begin());
}

}  // namespace prune::checkpoint
