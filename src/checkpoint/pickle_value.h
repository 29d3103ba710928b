#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace prune::checkpoint {

/// Index of a value in a PickleHeap. Values refer to each other by index, so deep nesting and self-reference
/// in a pickle cause neither recursion nor reference cycles.
using PickleId = uint32_t;

struct PickleNone {};
/// A value that we never need, such as an integer of more than 64 bits.
struct PickleOpaque {};
struct PickleGlobal {
  std::string module;
  std::string name;
};
struct PickleTuple {
  std::vector<PickleId> items;
};
struct PickleList {
  std::vector<PickleId> items;
};
/// dict or OrderedDict; items in insertion order.
struct PickleDict {
  std::vector<std::pair<PickleId, PickleId>> items;
};
/// A persistent id: refers to bytes stored beside the pickle.
struct PickleStorage {
  std::string key;
  std::optional<at::ScalarType> dtype;  ///< nullopt: untyped, `count` is in bytes
  int64_t count = 0;                    ///< elements, or bytes when untyped
};
/// The tensor that torch._utils._rebuild_tensor_* would return.
struct PickleTensor {
  PickleId storage = 0;
  at::ScalarType dtype = at::kFloat;
  int64_t storage_offset = 0;  ///< in elements
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;
};

using PickleValue =
    std::variant<PickleNone, PickleOpaque, bool, int64_t, double, std::string, PickleGlobal,
                 PickleTuple, PickleList, PickleDict, PickleStorage, PickleTensor>;

/// "a tensor", "a dict", ... for error messages.
const char* kind_of(const PickleValue& value);

/// All values of one pickle.
class PickleHeap {
 public:
  /// @throws Error(input) if the pickle holds more values than any checkpoint needs.
  PickleId add(PickleValue value);
  size_t size() const { return values_.size(); }
  const PickleValue& at(PickleId id) const { return values_.at(id); }
  PickleValue& at(PickleId id) { return values_.at(id); }
  /// @param what role of the value in error messages, e.g. "the size of a tensor".
  /// @throws Error(input) if the value is of another kind.
  template <class Kind>
  const Kind& get(PickleId id, const char* what) const;

 private:
  std::vector<PickleValue> values_;
};

[[noreturn]] void throw_wrong_kind(const char* what, const PickleValue& found);

template <class Kind>
const Kind& PickleHeap::get(PickleId id, const char* what) const {
  const Kind* found = std::get_if<Kind>(&at(id));
  if (found == nullptr) throw_wrong_kind(what, at(id));
  return *found;
}

}  // namespace prune::checkpoint
