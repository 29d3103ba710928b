#include <prune/core/stopwatch.h>
#include <prune/journal/layer_writer.h>
#include <spdlog/spdlog.h>

#include <utility>

namespace prune::journal {

LayerWriter::~LayerWriter() {
  try {
    finish();
  } catch (const std::exception& error) {
    // Another error is already on its way to the user; --resume prunes this layer again.
    spdlog::warn("the layer being written is lost: {}", error.what());
  }
}

void LayerWriter::add(solver::StoredResult pruned, report::LayerReport report) {
  finish();
  writing_ = std::async(std::launch::async, [journal = journal_, pruned = std::move(pruned),
                                             report = std::move(report)]() mutable {
    const Stopwatch watch;
    report.sha256 = journal->form().write(journal->writer(), report.name, pruned);
    journal->writer().sync();
    report.elapsed_s += watch.elapsed_s();
    return report;
  });
}

void LayerWriter::finish() {
  if (writing_.valid()) journal_->record_layer(writing_.get());
}

}  // namespace prune::journal
