#pragma once

#include <prune/models/model.h>

#include <set>
#include <string>

// A model that is pruned already: `--schedule kept` and `prune recover`.
namespace prune::pipeline {

/// Number of zeros in a layer's weight. Reads it.
int64_t zeros_of(const models::Model& model, const std::string& layer);

/// Those of `layers` that somebody has pruned: at least one weight in twenty is zero. A dense layer has a few zeros, too.
/// @throws Error(input) naming the folder if there is none
std::set<std::string> pruned_layers(const models::Model& model,
                                    const std::set<std::string>& layers);

/// Throws unless `teacher` can teach `student`: both have a head over the same vocabulary, and as many blocks of the
/// same width where each learns by itself.
/// @throws Error(input) naming both folders and sizes
void check_teacher(const models::Model& teacher, const models::Model& student, bool by_block);

}  // namespace prune::pipeline
