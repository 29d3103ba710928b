#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/make_safetensors.h"

namespace prune::test {

/// One archived file; a test can set fields to wrong values.
struct ZipFile {
  std::string name;
  std::string content;
  uint16_t method = 0;
  uint16_t flags = 0;
  uint32_t claimed_size = 0;    ///< 0: size of `content`
  uint32_t claimed_offset = 0;  ///< offset of the local header; 0: the true offset
};

/// A hand-made zip archive with uncompressed files.
inline std::string zip_bytes(const std::vector<ZipFile>& files) {
  std::string archive;
  std::string directory;
  for (const ZipFile& file : files) {
    const auto size = static_cast<uint32_t>(file.content.size());
    const uint32_t claimed = file.claimed_size != 0 ? file.claimed_size : size;
    const auto offset = static_cast<uint32_t>(archive.size());
    const auto name_length = static_cast<uint16_t>(file.name.size());
    // torch.save's streaming writer leaves the sizes in the local header 0.
    archive += "PK\3\4" + bytes_of(uint16_t{20}) + bytes_of(file.flags) + bytes_of(file.method) +
               std::string(8, '\0') + std::string(8, '\0') + bytes_of(name_length) +
               bytes_of(uint16_t{4}) + file.name + "FB" + bytes_of(uint16_t{0}) + file.content;
    directory += "PK\1\2" + bytes_of(uint32_t{20}) + bytes_of(file.flags) + bytes_of(file.method) +
                 std::string(8, '\0') + bytes_of(claimed) + bytes_of(claimed) +
                 bytes_of(name_length) + std::string(4, '\0') + std::string(8, '\0') +
                 bytes_of(file.claimed_offset != 0 ? file.claimed_offset : offset) + file.name;
  }
  const auto count = static_cast<uint16_t>(files.size());
  const auto offset = static_cast<uint32_t>(archive.size());
  const auto size = static_cast<uint32_t>(directory.size());
  return archive + directory + "PK\5\6" + std::string(4, '\0') + bytes_of(count) + bytes_of(count) +
         bytes_of(size) + bytes_of(offset) + bytes_of(uint16_t{0});
}

/// A pytorch_model.bin with this pickle and these storages.
inline std::string torch_bin_bytes(
    const std::string& pickle, const std::vector<std::pair<std::string, std::string>>& storages) {
  std::vector<ZipFile> files = {{.name = "m/data.pkl", .content = pickle}};
  for (const auto& [key, content] : storages) {
    files.push_back({.name = "m/data/" + key, .content = content});
  }
  files.push_back({.name = "m/version", .content = "3\n"});
  return zip_bytes(files);
}

/// Pickle opcodes that push the named value.
namespace pickle {

inline std::string text(const std::string& value) {
  return "X" + bytes_of(static_cast<uint32_t>(value.size())) + value;
}
inline std::string integer(int64_t value) { return "\x8a\x08" + bytes_of(value); }
inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string tuple(const std::vector<int64_t>& values) {
  std::string opcodes = "(";
  for (const int64_t value : values) opcodes += integer(value);
  return opcodes + "t";
}

struct TensorCall {
  std::string key = "0";
  std::string type = "FloatStorage";
  int64_t count = 4;
  int64_t offset = 0;
  std::vector<int64_t> sizes = {4};
  std::vector<int64_t> strides = {1};
};
inline std::string tensor(const TensorCall& call) {
  return global("torch._utils", "_rebuild_tensor_v2") + "((" + text("storage") +
         global("torch", call.type) + text(call.key) + text("cpu") + integer(call.count) + "tQ" +
         integer(call.offset) + tuple(call.sizes) + tuple(call.strides) + "\x89" +
         global("collections", "OrderedDict") + ")RtR";
}

/// A complete pickle of a dict with one entry.
inline std::string dict(const std::string& name, const std::string& value) {
  return "\x80\x02}" + text(name) + value + "s.";
}

}  // namespace pickle
}  // namespace prune::test
