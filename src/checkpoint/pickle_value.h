#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace prune::checkpoint {

/// Position of a value in a PickleHeap. Values name each other by position, so that a pickle that
/// nests deeply or holds itself costs no recursion and no reference cycle.
using PickleId = uint32_t;

struct PickleNone {};
/// Something we need not look into, such as an integer beyond 64 bits.
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
/// dict or OrderedDict, in the order of insertion.
struct PickleDict {
  std::vector<std::pair<PickleId, PickleId>> items;
};
/// A persistent id: bytes that lie beside the pickle.
struct PickleStorage {
  std::string key;
  std::optional<at::ScalarType> dtype;  ///< nothing: untyped, counted in bytes
  int64_t count = 0;                    ///< elements, or bytes when untyped
};
/// What torch._utils._rebuild_tensor_* would return.
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
  /// @throws Error(input) beyond a number of values that no checkpoint needs.
  PickleId add(PickleValue value);
  size_t size() const { return values_.size(); }
  const PickleValue& at(PickleId id) const { return values_.at(id); }
  PickleValue& at(PickleId id) { return values_.at(id); }
  /// @throws Error(input) when the value is of another kind; `what` says what it was wanted for.
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
