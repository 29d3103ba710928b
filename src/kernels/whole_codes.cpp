#include "whole_codes.h"

namespace prune::kernels {

std::optional<WholeCodes> whole_codes(const QuantizedWeight& weight, int64_t smallest_group) {
  const int64_t rows = weight.codes.size(0);
  const int64_t cols = weight.codes.size(1);
  const int64_t given_group = cols / weight.scale.size(1);
  if (weight.scale.element_size() != 2) return {};
  // A scale for the whole row is stored several times: activations are rounded in groups of at most 128 columns.
  const bool by_row = weight.scale.size(1) == 1;
  WholeCodes result{.group = 128};
  while (!by_row && given_group % result.group != 0) result.group /= 2;
  if (result.group < smallest_group) return {};
  result.codes = weight.codes;
  if (weight.zero.ne(0).any().item<bool>()) {
    result.codes = weight.codes.to(at::kShort).sub_(weight.zero.repeat_interleave(given_group, 1));
  }
  const auto [low, high] = at::aminmax(result.codes);
  const auto least = low.item<int64_t>();
  const auto largest = high.item<int64_t>();
  if (least < -128 || largest > 127) return {};
  result.bits = least < -8 || largest > 7 ? 8 : 4;
  result.codes = result.codes.to(at::kChar).contiguous();
  const int64_t groups = (cols + result.group - 1) / result.group;
  result.scales = by_row ? weight.scale.expand({rows, groups})
                         : weight.scale.repeat_interleave(given_group / result.group, 1);
  return result;
}

}  // namespace prune::kernels
