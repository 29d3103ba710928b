#include <prune/core/cuda_launch.cuh>

#include "column_kernels.cuh"

namespace prune::solver::detail {
int64_t threshold_workspace_bytes() { return sizeof(ThresholdWorkspace); }

const char* launch_choose_threshold(const ThresholdJob& job, void* stream) {
  prune::detail::CudaLaunch launch(stream);
  choose_threshold(launch, job);
  return launch.error();
}

const char* launch_prune_panel(const PanelJob& job, void* stream) {
  prune::detail::CudaLaunch launch(stream);
  run_panel_as_asked(launch, job, choose_lanes(job));
  return launch.error();
}

}  // namespace prune::solver::detail
