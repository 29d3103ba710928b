#include <prune/checkpoint/tensor_file.h>
#include <prune/core/kill_point.h>

#include <cerrno>
#include <cstdio>
#include <map>

#include "output_file.h"
#include "safetensors_header.h"

namespace prune::checkpoint {

void write_tensors(const std::filesystem::path& path,
                   const std::vector<std::pair<std::string, Tensor>>& tensors) {
  std::vector<TensorInfo> infos;
  std::map<std::string, Tensor> by_name;
  for (const auto& [name, value] : tensors) {
    infos.push_back({.name = name,
                     .dtype = value.scalar_type(),
                     .shape = value.sizes().vec(),
                     .size_bytes = static_cast<int64_t>(value.nbytes())});
    by_name[name] = value;
  }
  const SafetensorsLayout layout = layout_safetensors(std::move(infos));
  const std::filesystem::path unfinished = path.native() + ".tmp";
  OutputFile file(unfinished);
  file.reserve(layout.size_bytes);
  file.write_at(0, std::as_bytes(std::span(layout.header)));
  for (const PlacedTensor& placed : layout.tensors) {
    const Tensor value = by_name.at(placed.info.name).to(at::kCPU).contiguous();
    file.write_at(placed.offset,
                  {static_cast<const std::byte*>(value.const_data_ptr()), value.nbytes()});
  }
  file.sync();
  file.close();
  kill_point("before a tensor file is renamed");
  if (std::rename(unfinished.c_str(), path.c_str()) != 0)
    throw output_error("replace", path, errno);
  sync_folder(path.parent_path());
}

}  // namespace prune::checkpoint
