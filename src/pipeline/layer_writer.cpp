#include "layer_writer.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "stopwatch.h"

namespace prune::pipeline {

LayerWriter::~LayerWriter() {
  try {
    finish();
  } catch (const std::exception& error) {
    // Another error is on its way to the user; this layer is pruned again after --resume.
    spdlog::warn("the layer at hand is lost: {}", error.what());
  }
}

void LayerWriter::add(Outcome outcome) {
  finish();
  writing_ = std::async(std::launch::async, [journal = journal_, outcome = std::move(outcome)] {
    const Stopwatch watch;
    report::LayerReport done = outcome.report;
    done.sha256 = journal->form().write(journal->writer(), done.name, outcome.pruned);
    journal->writer().sync();
    done.elapsed_s += watch.elapsed_s();
    return done;
  });
}

void LayerWriter::finish() {
  if (!writing_.valid()) return;
  report_->layers.push_back(writing_.get());
  journal_->record();
}

}  // namespace prune::pipeline
