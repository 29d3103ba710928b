#pragma once

#include <prune/core/tensor.h>
#include <prune/plan/cost_model.h>

#include <filesystem>

namespace prune::plan {

/// Measures this machine on the run's own shapes, in about two seconds: the functions that the passes call,
/// on random numbers. Shapes that would take longer are cut down, and the rate is taken to hold for the
/// whole. The disk is left alone.
Rates measure_rates(const RunShape& run, at::Device device);

/// Bytes a second of SHA-256 on one thread.
double measure_hash_rate();

struct DiskRates {
  double stored_bytes = 0.0;   ///< bytes a second that are written and synced; 0: not writable
  double synced_writes = 0.0;  ///< short synced writes a second
};

/// Of a new file in `folder`, which is gone afterwards.
DiskRates measure_disk(const std::filesystem::path& folder);

/// Bytes a second at which the beginning of `file` is read; fast if it lies in the page cache, as it then
/// will for the run.
double measure_read_rate(const std::filesystem::path& file);

}  // namespace prune::plan
