#include "smaller_model.h"

#include <prune/checkpoint/output_folder.h>
#include <prune/core/as_error.h>
#include <prune/core/json_file.h>
#include <prune/core/printable.h>
#include <prune/core/stopwatch.h>
#include <prune/journal/fingerprint.h>
#include <prune/journal/journal.h>
#include <spdlog/spdlog.h>

#include <cmath>
#include <numeric>
#include <optional>

#include "block_pass.h"
#include "expert_pass.h"
#include "inputs.h"
#include "unit_pass.h"

namespace prune::pipeline {
namespace {

// Matrix kernels work in tiles of up to 128; in a narrow model that would be too coarse.
int64_t multiple_for(int64_t channels) {
  int64_t multiple = 128;
  while (multiple > 1 && channels < 8 * multiple) multiple /= 2;
  return multiple;
}

/// How many of `count` units stay: a multiple of `multiple`.
int64_t units_left(const char* flag, const char* units, double removed, int64_t count,
                   int64_t multiple = 1) {
  const auto of_multiple = static_cast<double>(count) / static_cast<double>(multiple);
  const auto left = static_cast<int64_t>(std::round(of_multiple * (1.0 - removed))) * multiple;
  if (left > 0 && left < count) return left;
  throw Error(ErrorKind::kUsage, fmt::format("{} {:g} removes {} of {} {}", flag, removed,
                                             left > 0 ? "none" : "all", count, units));
}

int64_t blocks_left(const models::ModelShape& shape, const PruneOptions& options) {
  return units_left("--blocks", "blocks", options.blocks, shape.config.blocks);
}

UnitCounts count_units(const models::ModelShape& shape, const PruneOptions& options) {
  UnitCounts counts;
  if (options.ffn > 0.0) {
    const int64_t channels = models::channels_of(shape);
    counts.channels =
        units_left("--ffn", "channels", options.ffn, channels, multiple_for(channels));
  }
  if (options.heads > 0.0) {
    counts.key_heads =
        units_left("--heads", "key heads", options.heads, models::key_heads_of(shape));
  }
  return counts;
}

/// Shape without units inside blocks.
models::ModelShape with_counts(models::ModelShape shape, const PruneOptions& options) {
  if (options.experts > 0.0) shape = with_fewer_experts(shape, options.experts);
  const UnitCounts counts = count_units(shape, options);
  if (counts.channels > 0) shape = models::with_channels(shape, counts.channels);
  if (counts.key_heads > 0) shape = models::with_key_heads(shape, counts.key_heads);
  return shape;
}

/// True if these are blocks of this model, at most as many as shall go.
bool can_go_on(const report::BlocksReport& chosen, int64_t blocks, int64_t removed) {
  return chosen.before == blocks && std::ssize(chosen.measured) == blocks &&
         std::ssize(chosen.removed) <= removed &&
         std::ssize(chosen.kept()) == blocks - std::ssize(chosen.removed);
}

/// What becomes of multi-token prediction, which no pass runs.
std::optional<report::Fallback> fallback_of_prediction(const models::Model& model,
                                                       const PruneOptions& options) {
  const std::string beyond = model.block_prefix(model.config().blocks);
  for (const std::string& name : model.checkpoint().names()) {
    const bool is_block = name.starts_with(beyond);
    if (!is_block && !name.starts_with("mtp.") && !name.starts_with("model.mtp.")) continue;
    const bool is_gone = is_block && options.blocks > 0.0;
    return report::Fallback{.where = printable(name),
                            .what = is_gone ? "multi-token prediction is removed"
                                            : "multi-token prediction stays as large as it is; run "
                                              "the output without it"};
  }
  return std::nullopt;
}

/// Records what is chosen in the unfinished output, as the journal of the run that follows does.
class Choice {
 public:
  Choice(const PruneOptions& options, report::RunReport& header, dist::Communicator& comm)
      : header_(header) {
    if (comm.rank() == 0) open(options);
    nlohmann::json known = {{"finished", finished_},
                            {"folder", folder_ ? folder_->partial().string() : ""},
                            {"report", report::to_json(header)}};
    known = parse_json(comm.broadcast(json_text(known, -1), 0));
    finished_ = known.at("finished").get<bool>();
    scratch_ = known.at("folder").get<std::string>();
    if (comm.rank() == 0) return;
    const report::RunReport told = report::read_report(known.at("report"));
    header.units = told.units;
    header.experts = told.experts;
  }

  /// True if the output is there: there is nothing to choose.
  bool finished() const { return finished_; }
  const std::filesystem::path& scratch() const { return scratch_; }

  /// @param since  the last record
  void record(Stopwatch& since) {
    header_.elapsed_s["choose"] += since.lap_s();
    if (folder_) folder_->record(json_text(report::to_json(header_), -1) + "\n");
    recorded_ = true;
  }

  Error explain(const std::exception& exception) const {
    Error error = as_error(exception);
    if (!recorded_ || error.kind() == ErrorKind::kUsage) return error;
    return {error.kind(), fmt::format("{}; --resume continues from what is chosen in {}",
                                      error.what(), scratch_.string())};
  }

 private:
  void open(const PruneOptions& options) {
    const std::filesystem::path output = checkpoint::resolve_output(options.output);
    folder_.emplace(output, options.overwrite, options.resume);
    if (folder_->finished()) {
      finished_ = true;
      if (options.overwrite && fingerprint_of(output) != header_.fingerprint) {
        finished_ = false;
        folder_.reset();
        folder_.emplace(output, options.overwrite, /*resume=*/false);
      }
      return;
    }
    if (folder_->recorded().empty()) return;
    try {
      report::RunReport earlier = report::read_report(parse_json(folder_->recorded()));
      journal::check_fingerprint(earlier.fingerprint, header_.fingerprint);
      header_.units = std::move(earlier.units);
      header_.experts = std::move(earlier.experts);
      header_.elapsed_s = std::move(earlier.elapsed_s);
      recorded_ = true;
    } catch (const Error& error) {
      throw Error(error.kind(), fmt::format("{}; --overwrite starts again", error.what()));
    }
  }

  static nlohmann::json fingerprint_of(const std::filesystem::path& output) {
    try {
      return value_or<nlohmann::json>(read_json(output / journal::kReportName), "fingerprint",
                                      nullptr);
    } catch (const Error&) {
      return nullptr;
    }
  }

  report::RunReport& header_;
  std::optional<checkpoint::OutputFolder> folder_;  // rank 0 only
  std::filesystem::path scratch_;
  bool finished_ = false;
  bool recorded_ = false;
};

/// The stages of the removal. Each one skips what is recorded.
class Removal {
 public:
  Removal(journal::RunInputs inputs, const PruneOptions& options, report::RunReport& header,
          Choice& choice, dist::Communicator& comm, Progress& progress)
      : inputs_(std::move(inputs)),
        options_(options),
        header_(header),
        choice_(choice),
        comm_(comm),
        progress_(progress) {}

  journal::RunInputs finish() {
    if (options_.blocks > 0.0) remove_blocks();
    if (options_.experts > 0.0) remove_experts();
    const UnitCounts counts = count_units(inputs_.model.shape(), options_);
    if (!counts.all()) remove_in_blocks(counts);
    if (header_.units) spdlog::info("{}", report::units_line(*header_.units));
    return std::move(inputs_);
  }

 private:
  report::UnitsReport& units() {
    if (!header_.units) header_.units.emplace();
    return *header_.units;
  }

  void open_smaller() { inputs_ = with_units(std::move(inputs_), options_, kept_); }

  void remove_blocks() {
    const int64_t blocks = inputs_.model.config().blocks;
    const int64_t removed = blocks - blocks_left(inputs_.model.shape(), options_);
    if (!units().blocks || !can_go_on(*units().blocks, blocks, removed)) {
      units().blocks = report::BlocksReport{};
    }
    choose_blocks_(
        inputs_, options_, removed, choice_.scratch(), *units().blocks,
        [this] { choice_.record(clock_); }, comm_, progress_);
    kept_.blocks = units().blocks->kept();
    open_smaller();
  }

  void remove_experts() {
    const bool known =
        header_.experts && fits(*header_.experts, inputs_.model.shape(), options_.experts);
    if (!known) {
      header_.experts = choose_experts(inputs_, options_, choice_.scratch(), comm_, progress_);
    }
    kept_.experts = header_.experts->kept();
    open_smaller();
    if (known) {
      spdlog::info("{}; chosen before", report::experts_line(*header_.experts));
      return;
    }
    measure_experts_(*header_.experts, inputs_, options_, choice_.scratch(), comm_, progress_);
    spdlog::info("{}", report::experts_line(*header_.experts));
    choice_.record(clock_);
  }

  void remove_in_blocks(const UnitCounts& counts) {
    const models::ModelShape& shape = inputs_.model.shape();
    std::optional<report::UnitsInBlocksReport>& heads = units().key_heads;
    std::optional<report::UnitsInBlocksReport>& channels = units().channels;
    if (counts.key_heads > 0 && !heads) {
      heads = report::UnitsInBlocksReport{.before = models::key_heads_of(shape),
                                          .after = counts.key_heads};
    }
    if (counts.channels > 0 && !channels) {
      channels = report::UnitsInBlocksReport{.before = models::channels_of(shape),
                                             .after = counts.channels};
    }
    const UnitFiles files(choice_.scratch());
    const int64_t finished = std::ssize((heads ? heads : channels)->errors);
    const auto record = [&](const UnitsOfBlock& block) {
      if (heads) heads->errors.push_back(block.key_heads_error);
      if (channels) channels->errors.push_back(block.channels_error);
      choice_.record(clock_);
    };
    choose_units(inputs_, options_, counts, files, finished, record, comm_, progress_);
    comm_.barrier();
    for (int64_t block = 0; block < shape.config.blocks; ++block) {
      UnitsOfBlock chosen = files.read(block, shape.block(block), counts);
      if (channels) kept_.channels.push_back(std::move(chosen.channels));
      if (heads) kept_.key_heads.push_back(std::move(chosen.key_heads));
      kept_.weights.push_back(files.of(block));
    }
    open_smaller();
  }

  journal::RunInputs inputs_;
  const PruneOptions& options_;
  report::RunReport& header_;
  Choice& choice_;
  dist::Communicator& comm_;
  Progress& progress_;
  models::KeptUnits kept_;
  Stopwatch clock_;
};

}  // namespace

models::ModelShape with_fewer_units(const models::ModelShape& shape, const PruneOptions& options) {
  if (options.blocks == 0.0) return with_counts(shape, options);
  const int64_t left = blocks_left(shape, options);
  std::vector<int64_t> first(static_cast<size_t>(left));
  std::iota(first.begin(), first.end(), 0);
  std::vector<int64_t> last(static_cast<size_t>(left));
  std::iota(last.begin(), last.end(), shape.config.blocks - left);
  models::with_blocks(shape, last);
  return with_counts(models::with_blocks(shape, first), options);
}

journal::RunInputs remove_units(journal::RunInputs inputs, const PruneOptions& options,
                                report::RunReport& header, dist::Communicator& comm,
                                Progress& progress) {
  with_fewer_units(inputs.model.shape(), options);  // refuses before any work
  if (auto fallback = fallback_of_prediction(inputs.model, options)) {
    warn_or_refuse(*fallback, options.strict);
    report::add_fallback_(header.fallbacks, std::move(*fallback));
  }
  Choice choice(options, header, comm);
  if (choice.finished()) return inputs;
  try {
    inputs = Removal(std::move(inputs), options, header, choice, comm, progress).finish();
  } catch (const std::exception& exception) {
    throw choice.explain(exception);
  }
  // The journal adds what is recorded.
  header.elapsed_s.clear();
  return inputs;
}

}  // namespace prune::pipeline
