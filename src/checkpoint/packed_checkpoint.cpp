#include <prune/checkpoint/pack_quantized.h>
#include <prune/checkpoint/packed_checkpoint.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>

#include <optional>

#include "packed_tensor.h"

namespace prune::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr const char* kExtension = ".prunepack";

// Estimate of the header bytes that three entries take over one.
constexpr int64_t kLeastSaved = 512;

/// Quantization of the checkpoint; nullopt if it is dense or its codes cannot be packed.
std::optional<Quantization> quantization_of(const fs::path& folder) {
  std::error_code failure;
  if (!fs::exists(folder / "config.json", failure)) return std::nullopt;
  const json config = value_or(read_json(folder / "config.json"), "quantization_config", json());
  try {
    if (!config.is_null()) return read_quantization(config);
  } catch (const Error&) {
    // Another format: its integer tensors are stored unchanged.
  }
  return std::nullopt;
}

/// Packs the tensors of one checkpoint.
class Packer {
 public:
  explicit Packer(const Checkpoint& source)
      : source_(&source), quantization_(quantization_of(source.folder())) {}

  /// The packed tensor; nullopt if packing does not make it smaller.
  std::optional<PackedTensor> pack(const std::string& name) const {
    const Tensor value = source_->load(name);
    std::optional<PackedTensor> packed;
    if (can_pack(value.scalar_type())) packed = pack_elements(value);
    if (quantization_ && name.ends_with(kCodes)) packed = pack_codes_of(name, value);
    source_->drop(name);
    if (packed && size_of(*packed) + kLeastSaved > source_->info(name).size_bytes) return {};
    return packed;
  }

 private:
  static constexpr std::string_view kCodes = ".weight_packed";

  static int64_t size_of(const PackedTensor& packed) {
    return static_cast<int64_t>(packed.mask.nbytes() + packed.kept.nbytes() +
                                packed.shape.size() * sizeof(int64_t));
  }

  std::optional<PackedTensor> pack_codes_of(const std::string& name, const Tensor& words) const {
    const std::string layer = name.substr(0, name.size() - kCodes.size());
    const int64_t wbits = quantization_->wbits;
    if (!source_->contains(layer + ".weight_shape")) return {};
    const Tensor shape = source_->load(layer + ".weight_shape");
    if (shape.scalar_type() != at::kLong || shape.numel() != 2) return {};
    const auto rows = shape.view({-1})[0].item<int64_t>();
    const auto cols = shape.view({-1})[1].item<int64_t>();
    const bool fits = words.scalar_type() == at::kInt && words.dim() == 2 &&
                      words.size(0) == rows && cols > 0 && cols <= words.size(1) * 32 &&
                      words.size(1) == (cols * wbits + 31) / 32;
    if (!fits) return {};
    const Tensor codes = unpack_codes(words, wbits, cols);
    // Non-zero bits after a row's last code would be lost.
    if (!pack_codes(codes, wbits).equal(words)) return {};
    const std::string zero_point = layer + ".weight_zero_point";
    if (!source_->contains(zero_point)) {
      return pack_codes_but(at::zeros({rows, 1}, at::kChar), codes, wbits);
    }
    if (source_->info(zero_point).file != source_->info(name).file) return {};
    const auto zero = unpack_zero_points(source_->load(zero_point), rows, cols, wbits);
    if (!zero) return {};
    return pack_codes_but(*zero, codes, wbits);
  }

  const Checkpoint* source_;
  std::optional<Quantization> quantization_;
};

std::vector<TensorInfo> infos_of(const std::string& name, const PackedTensor& packed) {
  std::vector<TensorInfo> infos;
  const auto add = [&](const char* part, at::ScalarType dtype, int64_t count) {
    TensorInfo& info = infos.emplace_back();
    info.name = name + part;
    info.dtype = dtype;
    info.shape = {count};
    info.size_bytes = count * static_cast<int64_t>(c10::elementSize(dtype));
  };
  add(kPackMask, at::kByte, packed.mask.numel());
  add(kPackKept, packed.kept.scalar_type(), packed.kept.numel());
  add(kPackShape, at::kLong, static_cast<int64_t>(packed.shape.size()));
  return infos;
}

Repacked finish(const Checkpoint& source, CheckpointWriter& writer) {
  for (const char* name : {"prune_report.json", "prune_statistics.json", "README.md"}) {
    std::error_code failure;
    if (fs::exists(source.folder() / name, failure)) {
      writer.write_text(name, read_file(source.folder() / name));
    }
  }
  writer.copy_rest();
  writer.commit();
  Repacked result;
  result.files = writer.files();
  for (const std::string& file : source.files()) {
    result.source_bytes += static_cast<int64_t>(fs::file_size(source.folder() / file));
  }
  for (const WrittenFile& file : result.files) {
    const bool weights = file.name.ends_with(kExtension) || file.name.ends_with(".safetensors");
    if (weights) result.output_bytes += file.size_bytes;
  }
  return result;
}

Error refused(const fs::path& folder, const char* what) {
  return {ErrorKind::kInput, fmt::format("{}: {}", folder.string(), what)};
}

}  // namespace

bool is_packed(const Checkpoint& source) { return source.files().front().ends_with(kExtension); }

Repacked pack_checkpoint(const fs::path& source_folder, const fs::path& output, bool overwrite) {
  const Checkpoint source = Checkpoint::open(source_folder);
  if (is_packed(source)) throw refused(source_folder, "is already packed");
  const Packer packer(source);
  WriterOptions options{.overwrite = overwrite, .extension = kExtension};
  // Every tensor is packed twice, for its size and to write it, so that only one is in memory at a time.
  for (const std::string& name : source.names()) {
    if (const auto packed = packer.pack(name)) options.replaced[name] = infos_of(name, *packed);
  }
  CheckpointWriter writer(source, output, options);
  for (const auto& [name, infos] : options.replaced) {
    const PackedTensor packed = packer.pack(name).value();
    writer.write(name + kPackMask, packed.mask);
    writer.write(name + kPackKept, packed.kept);
    writer.write(name + kPackShape, at::tensor(packed.shape, at::kLong));
  }
  return finish(source, writer);
}

Repacked unpack_checkpoint(const fs::path& source_folder, const fs::path& output, bool overwrite) {
  const Checkpoint source = Checkpoint::open(source_folder);
  if (!is_packed(source)) throw refused(source_folder, "is not packed");
  CheckpointWriter writer(source, output, {.overwrite = overwrite});
  return finish(source, writer);
}

}  // namespace prune::checkpoint
