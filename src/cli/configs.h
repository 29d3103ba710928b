#pragma once

namespace prune::cli {

/// configs/models.json at build time: short name -> hub id.
const char* models_json();
/// configs/datasets.json at build time: name -> where its texts are on the hub and how to read them.
const char* datasets_json();

}  // namespace prune::cli
