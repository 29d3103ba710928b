#pragma once

#include "run.h"

namespace prune::pipeline {

/// Distils the dense model into the kept weights of the written one, and writes them again
/// (src/recovery/README.md). The output folder must be a complete checkpoint.
void recover_pass(const Run& run);

}  // namespace prune::pipeline
