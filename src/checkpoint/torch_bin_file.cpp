#include <fmt/format.h>
#include <prune/checkpoint/checkpoint.h>
#include <prune/core/error.h>
#include <prune/core/printable.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "checked_math.h"
#include "mapped_tensor.h"
#include "mapped_tensor_file.h"
#include "not_weights.h"
#include "state_dict.h"
#include "zip_directory.h"

namespace prune::checkpoint {
namespace {

template <class... Arguments>
Error fault(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  return {ErrorKind::kInput, fmt::format(format, std::forward<Arguments>(arguments)...)};
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// torch.save's format before 1.6 begins with a pickled magic number, in any protocol.
bool is_legacy(std::string_view file) {
  constexpr std::string_view kMagic = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
  return file.size() > 2 && file[0] == '\x80' && file.substr(2).starts_with(kMagic);
}

/// The format of 0.1.x, or any other tar file.
bool is_tar(std::string_view file) {
  constexpr size_t kMagicPosition = 257;
  return file.size() > kMagicPosition && file.substr(kMagicPosition).starts_with("ustar");
}

void check_is_zip(std::span<const std::byte> bytes) {
  reject_placeholder(bytes);
  const std::string_view file = text_of(bytes);
  if (file.starts_with("PK\x03\x04")) return;
  if (is_legacy(file)) {
    throw fault(
        "is in PyTorch's format from before 1.6; rewrite it once with python3 -c \"import torch; "
        "f = 'pytorch_model.bin'; torch.save(torch.load(f, weights_only=True), f)\"");
  }
  if (is_tar(file)) {
    throw fault(
        "is a tar file, PyTorch's format from before 0.2; load it with an old PyTorch and "
        "save it again");
  }
  throw fault("is not a PyTorch file: it begins with {:02x}",
              fmt::join(bytes.first(std::min<size_t>(4, bytes.size())), " "));
}

/// The archive's root folder, with its slash. torch.save names it after the file; it does not change when
/// the file is renamed.
std::string find_root(const ZipDirectory& records) {
  constexpr std::string_view kPickle = "data.pkl";
  std::string root;
  size_t found = 0;
  for (const auto& [name, record] : records) {
    const bool is_pickle = name == kPickle || name.ends_with("/data.pkl");
    if (!is_pickle) continue;
    root = name.substr(0, name.size() - kPickle.size());
    ++found;
  }
  if (found != 1) {
    throw fault("holds {} records named data.pkl, a PyTorch file has one", found);
  }
  if (records.contains(root + "constants.pkl")) {
    throw fault("is a TorchScript program, not a state dict");
  }
  return root;
}

std::span<const std::byte> bytes_of(const MappedFile& file, const ZipRecord& record) {
  return file.bytes().subspan(static_cast<size_t>(record.offset),
                              static_cast<size_t>(record.size_bytes));
}

void check_byte_order(const MappedFile& file, const ZipDirectory& records,
                      const std::string& root) {
  const auto found = records.find(root + "byteorder");
  // PyTorch before 2.1 does not store the byte order; such files are assumed to be little-endian.
  if (found == records.end()) return;
  const std::string_view order = text_of(bytes_of(file, found->second));
  if (order != "little") throw fault("byte order is '{}', not little", printable(order));
}

std::span<const std::byte> pickle_bytes(const MappedFile& file, const ZipDirectory& records,
                                        const std::string& root) {
  constexpr int64_t kMaxPickleBytes = int64_t{128} << 20;  // a tensor takes about 200 bytes
  const ZipRecord& record = records.at(root + "data.pkl");
  if (record.size_bytes > kMaxPickleBytes) {
    throw fault("pickle of {} bytes is over the limit of {}", record.size_bytes, kMaxPickleBytes);
  }
  return bytes_of(file, record);
}

/// Location of the storage's bytes. @throws Error(input) if the record is shorter than the storage.
ZipRecord find_storage(const ZipDirectory& records, const std::string& root,
                       const PickleStorage& storage) {
  const auto found = records.find(root + "data/" + storage.key);
  if (found == records.end()) throw fault("storage '{}' is missing", printable(storage.key));
  const auto element = static_cast<int64_t>(storage.dtype ? c10::elementSize(*storage.dtype) : 1);
  const auto size = checked_multiply(storage.count, element);
  if (storage.count < 0 || !size || *size > found->second.size_bytes) {
    throw fault("storage '{}' of {} elements of {} bytes has only {} bytes", printable(storage.key),
                storage.count, element, found->second.size_bytes);
  }
  return {.offset = found->second.offset, .size_bytes = *size};
}

void check_geometry(const PickleTensor& tensor) {
  const auto negative = [](int64_t number) { return number < 0; };
  if (tensor.sizes.size() != tensor.strides.size() || tensor.sizes.size() > kMaxDimensions ||
      std::ranges::any_of(tensor.sizes, negative) ||
      std::ranges::any_of(tensor.strides, negative) || tensor.storage_offset < 0) {
    throw fault("size {}, stride {}, storage offset {} do not describe a tensor",
                printable(shape_string(tensor.sizes)), printable(shape_string(tensor.strides)),
                tensor.storage_offset);
  }
}

/// A stride of 0 repeats elements that are stored once. Small tables saved this way exist; a few bytes that
/// expand to terabytes are an attack.
void check_repetition(int64_t size_bytes, const ZipRecord& storage) {
  constexpr int64_t kMaxRepeatedBytes = int64_t{256} << 20;
  if (size_bytes > storage.size_bytes && size_bytes > kMaxRepeatedBytes) {
    throw fault("repeats {} bytes of storage to fill {} bytes", storage.size_bytes, size_bytes);
  }
}

MappedTensor place(const PickleTensor& tensor, const ZipRecord& storage) {
  check_geometry(tensor);
  const auto element = static_cast<int64_t>(c10::elementSize(tensor.dtype));
  const auto count = checked_element_count(tensor.sizes);
  const auto size = count ? checked_multiply(*count, element) : std::nullopt;
  const auto extent = strided_extent(tensor.sizes, tensor.strides);
  const auto end = extent ? checked_add(tensor.storage_offset, *extent) : std::nullopt;
  const auto end_bytes = end ? checked_multiply(*end, element) : std::nullopt;
  if (!size || !end_bytes || *end_bytes > storage.size_bytes) {
    throw fault("size {}, stride {}, storage offset {} of {} exceed its storage of {} bytes",
                printable(shape_string(tensor.sizes)), printable(shape_string(tensor.strides)),
                tensor.storage_offset, dtype_name(tensor.dtype), storage.size_bytes);
  }
  check_repetition(*size, storage);
  MappedTensor mapped;
  mapped.info.dtype = tensor.dtype;
  mapped.info.shape = tensor.sizes;
  mapped.info.size_bytes = *size;
  mapped.offset = storage.offset + tensor.storage_offset * element;
  mapped.extent_bytes = *extent * element;
  mapped.strides = tensor.strides;
  return mapped;
}

std::vector<MappedTensor> read_tensors(const MappedFile& file) {
  check_is_zip(file.bytes());
  const ZipDirectory records = read_zip_directory(file.bytes());
  const std::string root = find_root(records);
  check_byte_order(file, records, root);
  const Unpickled pickle = unpickle(pickle_bytes(file, records, root));
  std::vector<MappedTensor> tensors;
  for (const auto& [name, tensor] : tensors_of_state_dict(pickle)) {
    try {
      const auto& storage = pickle.heap.get<PickleStorage>(tensor.storage, "a storage");
      tensors.push_back(place(tensor, find_storage(records, root, storage)));
    } catch (Error& e) {
      throw e.in(fmt::format("tensor '{}'", printable(name)));
    }
    tensors.back().info.name = name;
  }
  return tensors;
}

}  // namespace

std::unique_ptr<TensorFile> open_torch_bin(const std::filesystem::path& path) {
  auto file = MappedFile::open(path);
  std::vector<MappedTensor> tensors;
  try {
    tensors = read_tensors(*file);
  } catch (Error& e) {
    throw e.in(path.string());
  }
  return std::make_unique<MappedTensorFile>(std::move(file), std::move(tensors));
}

}  // namespace prune::checkpoint
