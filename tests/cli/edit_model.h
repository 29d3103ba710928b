#pragma once

#include <fmt/format.h>
#include <prune/checkpoint/checkpoint.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>

#include "checkpoint/make_safetensors.h"

namespace prune::test {

using Tensors = std::map<std::string, Tensor>;

/// All tensors of a folder, in memory of their own.
inline Tensors tensors_of(const std::filesystem::path& folder) {
  const auto source = checkpoint::Checkpoint::open(folder);
  Tensors tensors;
  for (const std::string& name : source.names()) tensors[name] = source.load(name).clone();
  return tensors;
}

/// Replaces the folder's model.safetensors by changed tensors.
inline void edit_tensors(const std::filesystem::path& folder,
                         const std::function<void(Tensors&)>& change) {
  static const std::map<at::ScalarType, std::string> kNames = {{at::kFloat, "F32"},
                                                               {at::kHalf, "F16"},
                                                               {at::kBFloat16, "BF16"},
                                                               {at::kFloat8_e4m3fn, "F8_E4M3"},
                                                               {at::kLong, "I64"}};
  Tensors tensors = tensors_of(folder);
  change(tensors);
  std::string header;
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const size_t begin = data.size();
    const Tensor dense = tensor.contiguous();
    data.append(static_cast<const char*>(dense.const_data_ptr()), dense.nbytes());
    header += fmt::format(R"({}"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                          header.empty() ? "{" : ",", name, kNames.at(tensor.scalar_type()),
                          fmt::join(tensor.sizes(), ","), begin, data.size());
  }
  std::filesystem::remove(folder / "model.safetensors");
  std::ofstream(folder / "model.safetensors", std::ios::binary)
      << safetensors_bytes(header + "}", data);
}

}  // namespace prune::test
