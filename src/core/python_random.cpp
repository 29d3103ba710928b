#include <prune/core/python_random.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <numeric>
#include <utility>

namespace prune {

PythonRandom::PythonRandom(uint64_t seed) {
  state_[0] = 19650218U;
  for (uint32_t i = 1; i < kWords; ++i) {
    state_[i] = 1812433253U * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
  }
  // init_by_array: the key is the seed in 32-bit limbs, least significant first.
  const std::array<uint32_t, 2> key = {static_cast<uint32_t>(seed),
                                       static_cast<uint32_t>(seed >> 32)};
  const uint32_t length = key[1] != 0 ? 2 : 1;
  uint32_t i = 1;
  uint32_t j = 0;
  const auto step = [&] {
    if (++i >= kWords) {
      state_[0] = state_[kWords - 1];
      i = 1;
    }
  };
  for (uint32_t k = std::max<uint32_t>(kWords, length); k > 0; --k) {
    state_[i] = (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1664525U)) + key[j] + j;
    step();
    j = (j + 1) % length;
  }
  for (uint32_t k = kWords - 1; k > 0; --k) {
    state_[i] = (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1566083941U)) - i;
    step();
  }
  state_[0] = 0x80000000U;
}

uint32_t PythonRandom::next_u32() {
  if (index_ >= kWords) {
    for (size_t i = 0; i < kWords; ++i) {
      const uint32_t y = (state_[i] & 0x80000000U) | (state_[(i + 1) % kWords] & 0x7fffffffU);
      state_[i] = state_[(i + 397) % kWords] ^ (y >> 1) ^ ((y & 1U) != 0 ? 0x9908b0dfU : 0U);
    }
    index_ = 0;
  }
  uint32_t y = state_[static_cast<size_t>(index_++)];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680U;
  y ^= (y << 15) & 0xefc60000U;
  return y ^ (y >> 18);
}

int64_t PythonRandom::randint(int64_t first, int64_t last) {
  assert(first <= last && last - first < 0xffffffffLL);
  const uint32_t count = static_cast<uint32_t>(last - first + 1);
  const int bits = std::bit_width(count);
  uint32_t draw = next_u32() >> (32 - bits);
  while (draw >= count) draw = next_u32() >> (32 - bits);
  return first + draw;
}

std::vector<int64_t> PythonRandom::shuffled_range(int64_t n) {
  std::vector<int64_t> range(static_cast<size_t>(n));
  std::iota(range.begin(), range.end(), int64_t{0});
  for (int64_t i = n - 1; i > 0; --i) {
    std::swap(range[static_cast<size_t>(i)], range[static_cast<size_t>(randint(0, i))]);
  }
  return range;
}

}  // namespace prune
