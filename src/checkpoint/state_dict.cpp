#include "state_dict.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/printable.h>

#include <nlohmann/json.hpp>
#include <set>

namespace prune::checkpoint {
namespace {

using NamedTensors = std::vector<std::pair<std::string, PickleTensor>>;

template <class... Arguments>
Error fault(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  return {ErrorKind::kInput, fmt::format(format, std::forward<Arguments>(arguments)...)};
}

/// Names are later written to a JSON header, which must be UTF-8.
bool is_utf8(const std::string& name) {
  try {
    (void)nlohmann::json(name).dump();
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

/// More than the largest mixture-of-experts models have in all files together.
constexpr size_t kMaxTensors = size_t{1} << 19;

NamedTensors tensors_in(const PickleHeap& heap, const PickleDict& dict) {
  NamedTensors tensors;
  std::set<std::string> names;
  for (const auto& [key, value] : dict.items) {
    const auto* name = std::get_if<std::string>(&heap.at(key));
    const auto* tensor = std::get_if<PickleTensor>(&heap.at(value));
    if (name == nullptr || tensor == nullptr) continue;
    if (!is_utf8(*name)) throw fault("the name of tensor {} is not UTF-8", tensors.size());
    if (!names.insert(*name).second) throw fault("tensor '{}' occurs twice", printable(*name));
    if (tensors.size() >= kMaxTensors) throw fault("holds more than {} tensors", kMaxTensors);
    tensors.emplace_back(*name, *tensor);
  }
  return tensors;
}

}  // namespace

NamedTensors tensors_of_state_dict(const Unpickled& pickle) {
  const PickleValue& root = pickle.heap.at(pickle.root);
  const auto* dict = std::get_if<PickleDict>(&root);
  if (dict == nullptr) throw fault("holds {}, not a state dict", kind_of(root));
  if (NamedTensors tensors = tensors_in(pickle.heap, *dict); !tensors.empty()) return tensors;

  NamedTensors found;
  std::string found_under;
  for (const auto& [key, value] : dict->items) {
    const auto* inner = std::get_if<PickleDict>(&pickle.heap.at(value));
    if (inner == nullptr || inner == dict) continue;
    NamedTensors tensors = tensors_in(pickle.heap, *inner);
    if (tensors.empty()) continue;
    const auto* name = std::get_if<std::string>(&pickle.heap.at(key));
    const std::string under = name == nullptr ? "?" : printable(*name);
    if (!found.empty()) {
      throw fault("holds tensors under '{}' and '{}'; cannot tell which of them is the model",
                  found_under, under);
    }
    found = std::move(tensors);
    found_under = under;
  }
  if (found.empty()) throw fault("holds no tensors");
  return found;
}

}  // namespace prune::checkpoint
