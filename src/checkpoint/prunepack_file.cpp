#include <prune/checkpoint/pack_quantized.h>
#include <prune/checkpoint/packed_checkpoint.h>
#include <prune/core/error.h>
#include <prune/core/printable.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "checked_math.h"
#include "packed_tensor.h"

namespace prune::checkpoint {
namespace {

constexpr std::string_view kCodes = ".weight_packed";
constexpr std::string_view kZeroPoint = ".weight_zero_point";

Error fault(const std::string& tensor, const std::string& what) {
  return {ErrorKind::kInput, fmt::format("tensor '{}': {}", printable(tensor), what)};
}

class PrunepackFile final : public TensorFile {
 public:
  explicit PrunepackFile(std::unique_ptr<TensorFile> container) : container_(std::move(container)) {
    for (size_t i = 0; i < container_->tensors().size(); ++i) {
      at_[container_->tensors()[i].name] = i;
    }
    for (const TensorInfo& info : container_->tensors()) add(info);
  }

  const std::vector<TensorInfo>& tensors() const override { return infos_; }
  const std::map<std::string, std::string>& metadata() const override {
    return container_->metadata();
  }

  Tensor load(size_t position) const override {
    const Source& source = sources_.at(position);
    const std::string& name = infos_[position].name;
    if (!source.packed) return container_->load(at_.at(name));
    const PackedTensor packed{.mask = container_->load(at_.at(name + kPackMask)),
                              .kept = container_->load(at_.at(name + kPackKept)),
                              .shape = source.shape};
    try {
      if (!source.codes) return unpack_elements(packed);
      return pack_codes(unpack_codes_but(zero_of(name, packed.shape), packed), packed.shape[2]);
    } catch (Error& error) {
      throw fault(name, error.what());
    }
  }

  void prefetch(size_t position) const override {
    for (const size_t part : sources_.at(position).parts) container_->prefetch(part);
  }
  void drop(size_t position) const override {
    for (const size_t part : sources_.at(position).parts) container_->drop(part);
  }

 private:
  struct Source {
    std::vector<size_t> parts;  // positions in the container
    bool packed = false;
    bool codes = false;
    std::vector<int64_t> shape;  // content of pack_shape
  };

  void add(const TensorInfo& info) {
    for (const char* part : {kPackKept, kPackShape}) {
      if (!info.name.ends_with(part)) continue;
      const std::string name = info.name.substr(0, info.name.size() - std::strlen(part));
      if (at_.contains(name + kPackMask)) return;  // added with its mask
      throw fault(info.name, fmt::format("'{}' is missing", printable(name + kPackMask)));
    }
    if (info.name.ends_with(kPackMask)) {
      add_packed(info.name.substr(0, info.name.size() - std::strlen(kPackMask)), info);
      return;
    }
    infos_.push_back(info);
    sources_.push_back({.parts = {at_.at(info.name)}});
  }

  const TensorInfo& part(const std::string& name, const char* which) const {
    const auto found = at_.find(name + which);
    if (found == at_.end()) throw fault(name, fmt::format("{} is missing", which + 1));
    return container_->tensors()[found->second];
  }

  void add_packed(const std::string& name, const TensorInfo& mask) {
    const TensorInfo& kept = part(name, kPackKept);
    const TensorInfo& shape = part(name, kPackShape);
    Source source{.parts = {at_.at(mask.name), at_.at(kept.name), at_.at(shape.name)},
                  .packed = true,
                  .codes = name.ends_with(kCodes)};
    if (at_.contains(name) || mask.dtype != at::kByte || mask.shape.size() != 1 ||
        kept.shape.size() != 1 || shape.dtype != at::kLong || shape.shape.size() != 1 ||
        !(source.codes ? kept.dtype == at::kByte && shape.shape[0] == 3 : can_pack(kept.dtype))) {
      throw fault(name, "its parts do not form a packed tensor");
    }
    const Tensor sizes = container_->load(at_.at(shape.name));
    const auto* begin = sizes.const_data_ptr<int64_t>();
    source.shape.assign(begin, begin + sizes.numel());
    constexpr int64_t kLargest = int64_t{1} << 40;
    const auto absurd = [](int64_t size) { return size < 0 || size > kLargest; };
    if (source.shape.size() > kMaxDimensions || std::ranges::any_of(source.shape, absurd)) {
      throw fault(name,
                  fmt::format("{} is not a valid shape", printable(shape_string(source.shape))));
    }

    TensorInfo info = mask;
    info.name = name;
    info.dtype = source.codes ? at::kInt : kept.dtype;
    info.shape = source.shape;
    if (source.codes) info.shape.pop_back();
    // The mask must have one bit per element, so no shape can claim more memory than the file justifies.
    const auto count = checked_element_count(info.shape);
    if (!count || (*count + 7) / 8 != mask.shape[0]) {
      throw fault(name, fmt::format("shape {} does not match a mask of {} bytes",
                                    printable(shape_string(info.shape)), mask.shape[0]));
    }
    if (source.codes) {
      const int64_t wbits = source.shape[2];
      if (wbits < 2 || wbits > 8) {
        throw fault(name, fmt::format("has codes of {} bits, expected 2 to 8", wbits));
      }
      info.shape[1] = (info.shape[1] * wbits + 31) / 32;
    }
    info.size_bytes =
        element_count(info.shape) * static_cast<int64_t>(c10::elementSize(info.dtype));
    infos_.push_back(std::move(info));
    sources_.push_back(std::move(source));
  }

  // Zero points of the quantized weight whose codes tensor is `name`, [rows, groups] int8.
  Tensor zero_of(const std::string& name, const std::vector<int64_t>& shape) const {
    const std::string zero_point = name.substr(0, name.size() - kCodes.size()) + kZeroPoint.data();
    const auto found = at_.find(zero_point);
    if (found == at_.end()) return at::zeros({shape[0], 1}, at::kChar);
    const auto zero =
        unpack_zero_points(container_->load(found->second), shape[0], shape[1], shape[2]);
    if (!zero) throw fault(zero_point, "does not match its codes");
    return *zero;
  }

  std::unique_ptr<TensorFile> container_;
  std::map<std::string, size_t> at_;  // position in the container by name
  std::vector<TensorInfo> infos_;
  std::vector<Source> sources_;
};

}  // namespace

std::unique_ptr<TensorFile> open_prunepack(const std::filesystem::path& path) {
  auto container = open_safetensors(path);
  try {
    return std::make_unique<PrunepackFile>(std::move(container));
  } catch (Error& error) {
    throw error.in(path.string());
  }
}

}  // namespace prune::checkpoint
