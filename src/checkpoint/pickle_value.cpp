#include "pickle_value.h"

#include <fmt/format.h>
#include <prune/core/error.h>

#include <array>

namespace prune::checkpoint {

const char* kind_of(const PickleValue& value) {
  constexpr std::array<const char*, std::variant_size_v<PickleValue>> kKinds = {
      "None",     "an object", "a bool", "an integer", "a float",   "a string",
      "a global", "a tuple",   "a list", "a dict",     "a storage", "a tensor"};
  return kKinds.at(value.index());
}

PickleId PickleHeap::add(PickleValue value) {
  // A tensor takes about 20 values; more than 400,000 tensors in a file are an attack on memory.
  constexpr size_t kMaxValues = size_t{8} << 20;
  if (values_.size() >= kMaxValues) {
    throw Error(ErrorKind::kInput, fmt::format("pickle holds more than {} values", kMaxValues));
  }
  values_.push_back(std::move(value));
  return static_cast<PickleId>(values_.size() - 1);
}

void throw_wrong_kind(const char* what, const PickleValue& found) {
  throw Error(ErrorKind::kInput, fmt::format("pickle has {} as {}", kind_of(found), what));
}

}  // namespace prune::checkpoint
