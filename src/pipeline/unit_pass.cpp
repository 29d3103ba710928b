#include "unit_pass.h"

#include <prune/checkpoint/tensor_file.h>
#include <prune/core/error.h>
#include <prune/core/kill_point.h>
#include <prune/dist/calibrated_steps.h>
#include <prune/solver/keep_columns.h>
#include <prune/solver/prune_weight.h>
#include <prune/stream/walk.h>

#include <algorithm>
#include <map>

namespace prune::pipeline {
namespace {

std::vector<int64_t> numbers_in(const Tensor& units) {
  const Tensor list = units.contiguous();
  return {list.const_data_ptr<int64_t>(), list.const_data_ptr<int64_t>() + list.numel()};
}

/// True if these are `count` of `all` units, ascending.
bool are_of(const std::vector<int64_t>& units, int64_t count, int64_t all) {
  if (std::ssize(units) != count) return false;
  const bool ascend = std::ranges::adjacent_find(units, std::greater_equal<>()) == units.end();
  return units.empty() || (ascend && units.front() >= 0 && units.back() < all);
}

/// Columns that a unit has in a layer; 0 for a layer that none of the units to remove lead into.
int64_t columns_of_unit(const models::BlockSpec& block, const models::LinearSpec& layer,
                        const UnitCounts& counts) {
  if (layer.expert >= 0) return 0;
  if (layer.role == models::Role::kDown && counts.channels > 0) return 1;
  const bool of_attention = layer.role == models::Role::kOut && block.has_attention();
  return of_attention && counts.key_heads > 0 ? layer.cols / block.attention.kv_heads : 0;
}

/// A layer without some of its columns.
struct SmallerLayer {
  std::vector<int64_t> units;
  Tensor weight;  // [rows, columns that stay] as stored, on the layer's device
  double error = 0.0;
};

/// Gives the layer its new weight, with zeros where columns are gone: that is what the stream passes through.
void fill_(models::Linear& layer, const SmallerLayer& smaller, int64_t columns_of_unit) {
  const Tensor columns =
      solver::columns_of_units(at::tensor(smaller.units, at::kLong), columns_of_unit)
          .to(layer.weight.device());
  Tensor whole = at::zeros_like(layer.weight);
  whole.index_copy_(1, columns, smaller.weight.to(whole.device(), whole.scalar_type()));
  layer.weight = whole;
}

/// Chooses the units of one block.
class UnitSteps : public dist::CalibratedSteps {
 public:
  UnitSteps(const dist::BlockRoute& route, models::Block& block, const models::BlockSpec& spec,
            stream::CalibrationStream& calibration, const dist::SampleSplit& split,
            const models::Model& model, const UnitCounts& counts, double percdamp,
            dist::Communicator& comm, Progress& progress)
      : CalibratedSteps(route, block, calibration, split, {.percdamp = percdamp}, comm, progress),
        spec_(spec),
        model_(model),
        counts_(counts),
        comm_(comm) {}

  void solve(const dist::SiteRoute&, size_t reader) override {
    const models::Linear& layer = begin(reader);
    const bool of_channels = spec_.linears[reader].role == models::Role::kDown;
    const solver::KeptColumns kept =
        solver::keep_columns(layer.weight, factor(), unit_of(reader),
                             of_channels ? counts_.channels : counts_.key_heads);
    SmallerLayer& done = done_[reader];
    done.units = numbers_in(kept.units);
    done.error = kept.energy > 0.0 ? kept.loss / kept.energy : 0.0;
    try {
      done.weight = solver::round_to(model_.stored_dtype(layer.name), kept.weight);
    } catch (Error& error) {
      throw error.in(layer.name);
    }
    if (comm_.size() == 1) settle(reader);
  }

  void share(const dist::SiteRoute& site, size_t reader) override {
    if (comm_.size() == 1) return;
    const models::Linear& layer = block().linears()[reader];
    SmallerLayer& done = done_[reader];
    std::vector<double> numbers = {done.error};
    numbers.insert(numbers.end(), done.units.begin(), done.units.end());
    numbers = comm_.broadcast(numbers, site.owner);
    done.error = numbers.front();
    done.units.assign(numbers.begin() + 1, numbers.end());
    const int64_t columns = std::ssize(done.units) * unit_of(reader);
    done.weight =
        shared_weight(done.weight, {layer.weight.size(0), columns}, model_.stored_dtype(layer.name),
                      site.owner, layer.weight.device(), comm_);
    settle(reader);
  }

  UnitsOfBlock take() { return std::move(units_); }

 private:
  int64_t unit_of(size_t reader) const {
    return columns_of_unit(spec_, spec_.linears[reader], counts_);
  }

  void settle(size_t reader) {
    const SmallerLayer done = std::move(done_.extract(reader).mapped());
    models::Linear& layer = block().linears()[reader];
    fill_(layer, done, unit_of(reader));
    if (spec_.linears[reader].role == models::Role::kDown) {
      units_.channels = done.units;
      units_.channels_error = done.error;
    } else {
      units_.key_heads = done.units;
      units_.key_heads_error = done.error;
    }
    const checkpoint::TensorRef& stored = model_.stored(layer.name);
    const Tensor weight = done.weight.cpu();
    units_.weights.emplace_back(stored.name,
                                (stored.transposed ? weight.t() : weight).contiguous());
  }

  const models::BlockSpec& spec_;
  const models::Model& model_;
  UnitCounts counts_;
  dist::Communicator& comm_;
  std::map<size_t, SmallerLayer> done_;  // solved here or shared, not yet settled
  UnitsOfBlock units_;
};

/// Gives a block the weights that an earlier process found.
void restore_(models::Block& block, const models::BlockSpec& spec, const models::Model& model,
              const UnitCounts& counts, const UnitsOfBlock& units) {
  for (size_t reader = 0; reader < block.linears().size(); ++reader) {
    models::Linear& layer = block.linears()[reader];
    const int64_t of_unit = columns_of_unit(spec, spec.linears[reader], counts);
    if (of_unit == 0) continue;
    const checkpoint::TensorRef& stored = model.stored(layer.name);
    const bool of_channels = spec.linears[reader].role == models::Role::kDown;
    for (const auto& [name, weight] : units.weights) {
      if (name != stored.name) continue;
      fill_(layer,
            {.units = of_channels ? units.channels : units.key_heads,
             .weight = stored.transposed ? weight.t() : weight},
            of_unit);
    }
  }
}

}  // namespace

std::filesystem::path UnitFiles::of(int64_t block) const {
  return folder_ / fmt::format(".prune-units-{}.safetensors", block);
}

void UnitFiles::write(int64_t block, const UnitsOfBlock& units) const {
  std::vector<std::pair<std::string, Tensor>> tensors = units.weights;
  tensors.emplace_back("kept channels", at::tensor(units.channels, at::kLong));
  tensors.emplace_back("kept heads", at::tensor(units.key_heads, at::kLong));
  checkpoint::write_tensors(of(block), tensors);
}

UnitsOfBlock UnitFiles::read(int64_t block, const models::BlockSpec& spec,
                             const UnitCounts& counts) const {
  const auto file = checkpoint::open_safetensors(of(block));
  UnitsOfBlock units;
  for (size_t i = 0; i < file->tensors().size(); ++i) {
    const std::string& name = file->tensors()[i].name;
    if (name == "kept channels") {
      units.channels = numbers_in(file->load(i));
    } else if (name == "kept heads") {
      units.key_heads = numbers_in(file->load(i));
    } else {
      units.weights.emplace_back(name, file->load(i));
    }
  }
  const int64_t channels = spec.ffn.width > 0 ? counts.channels : 0;
  const int64_t key_heads = spec.has_attention() ? counts.key_heads : 0;
  if (!are_of(units.channels, channels, spec.ffn.width) ||
      !are_of(units.key_heads, key_heads, spec.attention.kv_heads)) {
    throw Error(ErrorKind::kInput,
                fmt::format("{}: does not hold {} channels and {} key heads of its block; "
                            "--overwrite starts again",
                            of(block).string(), channels, key_heads));
  }
  return units;
}

void choose_units(const journal::RunInputs& inputs, const PruneOptions& options,
                  const UnitCounts& counts, const UnitFiles& files, int64_t finished,
                  const std::function<void(const UnitsOfBlock&)>& record, dist::Communicator& comm,
                  Progress& progress) {
  const models::Model& model = inputs.model;
  const dist::SampleSplit split(inputs.calibration.samples(), comm.size(), options.deterministic);
  const stream::Walk blocks(model, "choose units", progress);
  stream::CalibrationStream calibration(
      embed_share(inputs, options, split, comm.rank(), files.of(0).parent_path()), model.shape(),
      stream::Order::kSequential, options.expert_tokens);
  for (stream::LoadedBlock& block : blocks) {
    const models::BlockSpec& spec = model.shape().block(block.number);
    if (block.number < finished) {
      restore_(*block, spec, model, counts, files.read(block.number, spec, counts));
    } else {
      std::vector<bool> chosen;
      for (const models::LinearSpec& layer : spec.linears) {
        chosen.push_back(columns_of_unit(spec, layer, counts) > 0);
      }
      const dist::BlockRoute route =
          dist::route_through(*block, chosen, stream::Order::kSequential, comm.size());
      UnitSteps steps(route, *block, spec, calibration, split, model, counts, options.percdamp,
                      comm, progress);
      dist::follow(route, comm.rank(), steps);
      const UnitsOfBlock units = steps.take();
      if (comm.rank() == 0) files.write(block.number, units);
      kill_point("before the units of a block are recorded");
      record(units);
    }
    if (!block.last) calibration.advance(*block);
  }
}

}  // namespace prune::pipeline
