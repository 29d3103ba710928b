#pragma once

namespace prune::cli {

/// configs/models.json as it was when the program was built: short name -> hub id.
const char* models_json();
/// configs/datasets.json likewise: name -> where its texts lie on the hub and how they are read.
const char* datasets_json();

}  // namespace prune::cli
