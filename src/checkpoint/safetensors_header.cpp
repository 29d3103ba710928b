#include "safetensors_header.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/printable.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <tuple>

#include "checked_math.h"
#include "safetensors_dtype.h"

namespace prune::checkpoint {
namespace {

constexpr int64_t kLengthBytes = 8;
constexpr const char* kMetadata = "__metadata__";

template <class... Arguments>
Error fault(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  return {ErrorKind::kInput, fmt::format(format, std::forward<Arguments>(arguments)...)};
}

int64_t header_length(std::span<const std::byte> file) {
  if (file.size() < kLengthBytes) {
    throw fault("has {} bytes, a safetensors file has at least {}", file.size(), kLengthBytes);
  }
  uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > static_cast<uint64_t>(kMaxHeaderBytes)) {
    throw fault("header of {} bytes is over the limit of {}; is this a safetensors file?", length,
                kMaxHeaderBytes);
  }
  if (length > file.size() - kLengthBytes) {
    throw fault("header ends at byte {}, file has {}: truncated?", kLengthBytes + length,
                file.size());
  }
  return static_cast<int64_t>(length);
}

std::map<std::string, std::string> read_metadata(const json& metadata) {
  std::map<std::string, std::string> result;
  if (metadata.is_null()) return result;
  if (!metadata.is_object()) throw fault("{} is not a JSON object", kMetadata);
  for (const auto& [key, value] : metadata.items()) {
    if (!value.is_string()) throw fault("{}: '{}' is not a string", kMetadata, printable(key));
    result.emplace(key, value.get<std::string>());
  }
  return result;
}

int64_t read_size(const json& value, const char* what) {
  if (!value.is_number_unsigned() ||
      value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    throw fault("{} holds {}, which is not a valid size", what, printable(value.dump()));
  }
  return value.get<int64_t>();
}

const json& member(const json& entry, const char* key) {
  const auto found = entry.find(key);
  if (found == entry.end()) throw fault("has no {}", key);
  return *found;
}

at::ScalarType read_dtype(const json& value) {
  if (!value.is_string()) throw fault("dtype is not a string");
  const auto& name = value.get_ref<const std::string&>();
  const auto dtype = dtype_of_safetensors(name);
  if (!dtype) throw fault("dtype '{}' is not supported", printable(name));
  return *dtype;
}

std::vector<int64_t> read_shape(const json& value) {
  if (!value.is_array()) throw fault("shape is not a list");
  if (value.size() > kMaxDimensions) {
    throw fault("has {} dimensions, the limit is {}", value.size(), kMaxDimensions);
  }
  std::vector<int64_t> shape;
  for (const json& size : value) shape.push_back(read_size(size, "shape"));
  return shape;
}

/// Reads one header entry. The returned offset is relative to the data section of `data_bytes` bytes.
PlacedTensor read_entry(const json& entry, int64_t data_bytes) {
  if (!entry.is_object()) throw fault("its entry is not a JSON object");
  PlacedTensor tensor;
  tensor.info.dtype = read_dtype(member(entry, "dtype"));
  tensor.info.shape = read_shape(member(entry, "shape"));
  const json& offsets = member(entry, "data_offsets");
  if (!offsets.is_array() || offsets.size() != 2) throw fault("data_offsets is not a pair");
  const int64_t begin = read_size(offsets[0], "data_offsets");
  const int64_t end = read_size(offsets[1], "data_offsets");
  if (begin > end) throw fault("begins at byte {}, after its end at {}", begin, end);
  if (end > data_bytes)
    throw fault("ends at byte {}, file has {} after its header", end, data_bytes);
  const auto count = checked_element_count(tensor.info.shape);
  const auto size =
      count ? checked_multiply(*count, static_cast<int64_t>(c10::elementSize(tensor.info.dtype)))
            : std::nullopt;
  const std::string shape = printable(shape_string(tensor.info.shape));
  if (!size) throw fault("shape {} overflows", shape);
  if (*size != end - begin) {
    throw fault("shape {} of {} takes {} bytes, its data_offsets span {}", shape,
                dtype_name(tensor.info.dtype), *size, end - begin);
  }
  tensor.info.size_bytes = *size;
  tensor.offset = begin;
  return tensor;
}

/// Every byte of the data must belong to exactly one tensor, so that a file cannot hide other content.
void check_no_gaps(const std::vector<PlacedTensor>& sorted, int64_t data_bytes) {
  int64_t end = 0;
  for (const PlacedTensor& tensor : sorted) {
    if (tensor.offset != end) {
      throw fault("'{}' begins at byte {} of the data, the tensor before it ends at {}: {}",
                  printable(tensor.info.name), tensor.offset, end,
                  tensor.offset < end ? "they overlap" : "a hole");
    }
    end += tensor.info.size_bytes;
  }
  if (end != data_bytes) {
    throw fault("{} bytes follow the last tensor, which ends at byte {} of the data",
                data_bytes - end, end);
  }
}

std::string entry_text(const PlacedTensor& tensor) {
  const auto dtype = safetensors_name(tensor.info.dtype);
  return fmt::format(R"({}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                     json(tensor.info.name).dump(), dtype.value(),
                     fmt::join(tensor.info.shape, ","), tensor.offset,
                     tensor.offset + tensor.info.size_bytes);
}

std::string header_text(const std::vector<PlacedTensor>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  std::string text = fmt::format(R"({{"{}":{})", kMetadata, json(metadata).dump());
  for (const PlacedTensor& tensor : tensors) {
    text += ',';
    text += entry_text(tensor);
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file) {
  const int64_t length = header_length(file);
  const int64_t data_begin = kLengthBytes + length;
  const int64_t data_bytes = static_cast<int64_t>(file.size()) - data_begin;
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes,
                              static_cast<size_t>(length));
  json header;
  try {
    header = parse_json(text, /*unique_names=*/true);
  } catch (Error& e) {
    throw e.in("header");
  }
  if (!header.is_object()) throw fault("header is not a JSON object");
  SafetensorsHeader result;
  std::vector<PlacedTensor>& tensors = result.tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == kMetadata) {
      result.metadata = read_metadata(entry);
      continue;
    }
    try {
      tensors.push_back(read_entry(entry, data_bytes));
    } catch (Error& e) {
      throw e.in(fmt::format("tensor '{}'", printable(name)));
    }
    tensors.back().info.name = name;
  }
  std::ranges::stable_sort(tensors, {}, [](const PlacedTensor& tensor) {
    return std::tuple(tensor.offset, tensor.info.size_bytes);
  });
  check_no_gaps(tensors, data_bytes);
  for (PlacedTensor& tensor : tensors) tensor.offset += data_begin;
  return result;
}

SafetensorsLayout layout_safetensors(std::vector<TensorInfo> tensors,
                                     std::map<std::string, std::string> metadata) {
  for (const TensorInfo& tensor : tensors) {
    if (!safetensors_name(tensor.dtype) || tensor.name == kMetadata) {
      throw Error(ErrorKind::kOutput,
                  fmt::format("tensor '{}' of {} cannot be stored in a safetensors file",
                              printable(tensor.name), dtype_name(tensor.dtype)));
    }
  }
  std::ranges::sort(tensors, {}, [](const TensorInfo& tensor) {
    return std::tuple(safetensors_rank(tensor.dtype), tensor.name);
  });
  SafetensorsLayout layout;
  int64_t data_bytes = 0;
  for (TensorInfo& tensor : tensors) {
    const int64_t begin = data_bytes;
    data_bytes += tensor.size_bytes;
    layout.tensors.push_back({.info = std::move(tensor), .offset = begin});
  }
  metadata.emplace("format", "pt");
  const std::string text = header_text(layout.tensors, metadata);
  if (static_cast<int64_t>(text.size()) > kMaxHeaderBytes) {
    throw Error(ErrorKind::kOutput,
                fmt::format("a header of {} bytes is over safetensors' limit {}", text.size(),
                            kMaxHeaderBytes));
  }
  const uint64_t length = text.size();
  layout.header.resize(kLengthBytes);
  std::memcpy(layout.header.data(), &length, kLengthBytes);
  layout.header += text;
  const auto data_begin = static_cast<int64_t>(layout.header.size());
  for (PlacedTensor& tensor : layout.tensors) tensor.offset += data_begin;
  layout.size_bytes = data_begin + data_bytes;
  return layout;
}

}  // namespace prune::checkpoint
