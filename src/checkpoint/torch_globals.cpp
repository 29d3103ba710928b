#include "torch_globals.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/printable.h>

#include <algorithm>
#include <array>

#include "checked_math.h"

namespace prune::checkpoint {
namespace {

template <class... Arguments>
Error fault(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  return {ErrorKind::kInput, fmt::format(format, std::forward<Arguments>(arguments)...)};
}

struct NamedDtype {
  std::string_view name;
  at::ScalarType dtype;
};

constexpr std::array<NamedDtype, 12> kStorages = {{
    {"FloatStorage", at::kFloat},
    {"DoubleStorage", at::kDouble},
    {"HalfStorage", at::kHalf},
    {"BFloat16Storage", at::kBFloat16},
    {"LongStorage", at::kLong},
    {"IntStorage", at::kInt},
    {"ShortStorage", at::kShort},
    {"CharStorage", at::kChar},
    {"ByteStorage", at::kByte},
    {"BoolStorage", at::kBool},
    {"ComplexFloatStorage", at::kComplexFloat},
    {"ComplexDoubleStorage", at::kComplexDouble},
}};

constexpr std::array<NamedDtype, 19> kDtypes = {{
    {"float32", at::kFloat},
    {"float64", at::kDouble},
    {"float16", at::kHalf},
    {"bfloat16", at::kBFloat16},
    {"int64", at::kLong},
    {"int32", at::kInt},
    {"int16", at::kShort},
    {"int8", at::kChar},
    {"uint8", at::kByte},
    {"bool", at::kBool},
    {"uint16", at::kUInt16},
    {"uint32", at::kUInt32},
    {"uint64", at::kUInt64},
    {"complex64", at::kComplexFloat},
    {"complex128", at::kComplexDouble},
    {"float8_e4m3fn", at::kFloat8_e4m3fn},
    {"float8_e5m2", at::kFloat8_e5m2},
    {"float8_e4m3fnuz", at::kFloat8_e4m3fnuz},
    {"float8_e5m2fnuz", at::kFloat8_e5m2fnuz},
}};

template <size_t N>
std::optional<at::ScalarType> find_dtype(const std::array<NamedDtype, N>& names,
                                         std::string_view name) {
  const auto found = std::ranges::find(names, name, &NamedDtype::name);
  return found == names.end() ? std::nullopt : std::optional(found->dtype);
}

bool is(const PickleGlobal& global, std::string_view module, std::string_view name) {
  return global.module == module && global.name == name;
}

/// The limit matters because a pickle can pass one long tuple to a thousand calls, and each tensor copies
/// it.
std::vector<int64_t> integers(const PickleHeap& heap, PickleId id, const char* what) {
  const auto& items = heap.get<PickleTuple>(id, what).items;
  if (items.size() > kMaxDimensions) {
    throw fault("pickle has {} numbers as {}, the limit is {}", items.size(), what, kMaxDimensions);
  }
  std::vector<int64_t> numbers;
  for (const PickleId item : items) {
    numbers.push_back(heap.get<int64_t>(item, what));
  }
  return numbers;
}

void check_count(const PickleGlobal& global, size_t count, size_t least, size_t most) {
  if (count >= least && count <= most) return;
  throw fault("pickle calls {} with {} arguments, expected {} to {}", global.name, count, least,
              most);
}

/// Reads the arguments common to _rebuild_tensor_v2 and _v3: storage, offset, size, stride.
PickleTensor read_tensor(const PickleHeap& heap, std::span<const PickleId> arguments) {
  PickleTensor tensor;
  heap.get<PickleStorage>(arguments[0], "the storage of a tensor");
  tensor.storage = arguments[0];
  tensor.storage_offset = heap.get<int64_t>(arguments[1], "the storage offset of a tensor");
  tensor.sizes = integers(heap, arguments[2], "the size of a tensor");
  tensor.strides = integers(heap, arguments[3], "the stride of a tensor");
  return tensor;
}

/// (storage, offset, size, stride, requires_grad, backward_hooks[, metadata])
PickleTensor rebuild_tensor_v2(const PickleHeap& heap, const PickleGlobal& global,
                               std::span<const PickleId> arguments) {
  check_count(global, arguments.size(), 6, 7);
  PickleTensor tensor = read_tensor(heap, arguments);
  const auto dtype = heap.get<PickleStorage>(arguments[0], "a storage").dtype;
  if (!dtype) throw fault("pickle calls {} with an untyped storage", global.name);
  tensor.dtype = *dtype;
  return tensor;
}

/// (storage, offset, size, stride, requires_grad, backward_hooks, dtype[, metadata])
PickleTensor rebuild_tensor_v3(const PickleHeap& heap, const PickleGlobal& global,
                               std::span<const PickleId> arguments) {
  check_count(global, arguments.size(), 7, 8);
  PickleTensor tensor = read_tensor(heap, arguments);
  const auto& name = heap.get<PickleGlobal>(arguments[6], "the dtype of a tensor");
  const auto dtype = name.module == "torch" ? find_dtype(kDtypes, name.name) : std::nullopt;
  if (!dtype) throw fault("pickle has '{}' as the dtype of a tensor", name.name);
  tensor.dtype = *dtype;
  return tensor;
}

}  // namespace

void check_global(const PickleGlobal& global) {
  if (is(global, "collections", "OrderedDict") || is(global, "torch.storage", "UntypedStorage") ||
      is(global, "torch._utils", "_rebuild_tensor_v2") ||
      is(global, "torch._utils", "_rebuild_tensor_v3") ||
      is(global, "torch._utils", "_rebuild_parameter")) {
    return;
  }
  if (global.module == "torch" &&
      (find_dtype(kStorages, global.name) || find_dtype(kDtypes, global.name))) {
    return;
  }
  throw fault("refuses to load '{} {}': only tensors are read, other objects are never created",
              printable(global.module), printable(global.name));
}

PickleValue call_global(const PickleHeap& heap, const PickleGlobal& global,
                        std::span<const PickleId> arguments) {
  if (is(global, "collections", "OrderedDict")) {
    check_count(global, arguments.size(), 0, 0);
    return PickleDict{};
  }
  if (global.name == "_rebuild_tensor_v2") return rebuild_tensor_v2(heap, global, arguments);
  if (global.name == "_rebuild_tensor_v3") return rebuild_tensor_v3(heap, global, arguments);
  if (global.name == "_rebuild_parameter") {
    check_count(global, arguments.size(), 3, 3);
    return heap.get<PickleTensor>(arguments[0], "the data of a parameter");
  }
  throw fault("pickle calls '{} {}', which a state dict never does", global.module, global.name);
}

PickleStorage storage_of_persistent_id(const PickleHeap& heap, PickleId id) {
  const auto& items = heap.get<PickleTuple>(id, "a persistent id").items;
  if (items.size() != 5 || heap.get<std::string>(items[0], "a persistent id") != "storage") {
    throw fault("pickle has a persistent id of {} items that does not refer to a storage",
                items.size());
  }
  const auto& type = heap.get<PickleGlobal>(items[1], "the type of a storage");
  PickleStorage storage;
  storage.dtype = find_dtype(kStorages, type.module == "torch" ? type.name : "");
  if (!storage.dtype && type.name != "UntypedStorage") {
    throw fault("pickle has '{} {}' as the type of a storage", type.module, type.name);
  }
  // torch.save numbers its storages, so keys are short. Every use copies the key, as with integers().
  constexpr size_t kMaxKeyBytes = 256;
  storage.key = heap.get<std::string>(items[2], "the key of a storage");
  if (storage.key.size() > kMaxKeyBytes) {
    throw fault("pickle has a storage key of {} bytes, the limit is {}", storage.key.size(),
                kMaxKeyBytes);
  }
  storage.count = heap.get<int64_t>(items[4], "the number of elements of a storage");
  return storage;
}

}  // namespace prune::checkpoint
