#include <prune/checkpoint/pack_quantized.h>
#include <prune/core/error.h>
#include <prune/core/json_file.h>
#include <prune/core/sha256.h>
#include <prune/journal/weight_form.h>

namespace prune::journal {
namespace {

std::string sha256_as_stored(const checkpoint::TensorRef& stored, const Tensor& weight) {
  return sha256_hex((stored.transposed ? weight.t() : weight).contiguous());
}

// Includes layers outside the blocks, such as OPT's project_in, but not embeddings.
bool is_linear_weight(const checkpoint::TensorInfo& info) {
  return info.name.ends_with(".weight") && info.shape.size() == 2 &&
         info.name.find("embed") == std::string::npos;
}

// Adds the members whose texts differ (a NaN differs from itself); those of text_config as "text_config/KEY".
void add_changes(const json& before, const json& after, const std::string& prefix, json& members) {
  for (const auto& [key, value] : after.items()) {
    const json old = value_or(before, key.c_str(), json());
    if (prefix.empty() && key == "text_config" && old.is_object()) {
      add_changes(old, value, key + "/", members);
    } else if (!before.contains(key) || json_text(old, -1) != json_text(value, -1)) {
      members[prefix + key] = value;
    }
  }
}

}  // namespace

WeightForm::WeightForm(const models::Model& model, const Quantization& quantization, bool packed)
    : model_(&model), quantization_(quantization), packed_(packed) {}

std::map<std::string, std::vector<checkpoint::TensorInfo>> WeightForm::replaced(
    const std::set<std::string>& chosen) const {
  std::map<std::string, std::vector<checkpoint::TensorInfo>> result;
  if (!packed_) return result;
  for (const std::string& layer : chosen) {
    const checkpoint::TensorInfo& dense = model_->checkpoint().info(layer + ".weight");
    result[dense.name] =
        checkpoint::packed_infos(layer, dense.shape[0], dense.shape[1], dense.dtype, quantization_);
  }
  return result;
}

std::string WeightForm::write(checkpoint::CheckpointWriter& writer, const std::string& layer,
                              const solver::StoredResult& pruned) const {
  if (!packed_) {
    const checkpoint::TensorRef& stored = model_->stored(layer);
    writer.write(stored, pruned.stored);
    return sha256_as_stored(stored, pruned.stored);
  }
  const auto tensors = checkpoint::packed_tensors(layer, pruned.codes, quantization_);
  std::vector<Tensor> values;
  for (const auto& [name, value] : tensors) {
    writer.write(name, value);
    values.push_back(value);
  }
  return sha256_hex(values);
}

std::vector<std::string> WeightForm::parts(const std::string& layer) const {
  std::vector<std::string> names;
  const auto infos = checkpoint::packed_infos(layer, 1, 1, model_->stored_dtype(),
                                              {quantization_.wbits, -1, quantization_.symmetric});
  for (const checkpoint::TensorInfo& info : infos) names.push_back(info.name);
  return names;
}

WeightForm::Written WeightForm::read(const checkpoint::CheckpointWriter& writer,
                                     const std::string& layer) const {
  if (!packed_) {
    const checkpoint::TensorRef& stored = model_->stored(layer);
    Tensor weight = writer.read(stored);
    std::string sha256 = sha256_as_stored(stored, weight);
    return {.weight = std::move(weight), .sha256 = std::move(sha256)};
  }
  std::vector<Tensor> tensors;
  for (const std::string& name : parts(layer)) tensors.push_back(writer.read(name));
  const std::vector<int64_t>& shape = model_->checkpoint().info(layer + ".weight").shape;
  return {.weight = dequantize(checkpoint::unpacked(tensors, shape, quantization_)),
          .sha256 = sha256_hex(tensors)};
}

void WeightForm::keep(checkpoint::CheckpointWriter& writer, const std::string& layer) const {
  if (!packed_) return writer.keep(model_->stored(layer));
  for (const std::string& name : parts(layer)) writer.keep(name);
}

std::string WeightForm::config(const std::set<std::string>& chosen) const {
  json members = json::object();
  if (packed_) members["quantization_config"] = quantization_config(chosen);
  std::vector<std::string> removed = model_->shape().stale_keys;
  const std::vector<std::string>& of_input = model_->shape().format_keys;
  removed.insert(removed.end(), of_input.begin(), of_input.end());
  const std::string source = read_file(model_->checkpoint().folder() / "config.json");
  const json raw = parse_json(source);
  // A head of its own, or fewer units.
  add_changes(raw, model_->shape().raw, "", members);
  if (members.empty() && removed.empty()) return "";
  return edited_json(source, members, removed);
}

json WeightForm::quantization_config(const std::set<std::string>& chosen) const {
  // A head tied to the embedding is in no file but is still a linear layer.
  std::set<std::string> ignored = {"lm_head"};
  for (const std::string& name : model_->checkpoint().names()) {
    const checkpoint::TensorInfo& info = model_->checkpoint().info(name);
    const std::string layer = name.substr(0, name.rfind('.'));
    if (is_linear_weight(info) && !chosen.contains(layer)) ignored.insert(layer);
  }
  return checkpoint::quantization_config(quantization_, {ignored.begin(), ignored.end()});
}

}  // namespace prune::journal
