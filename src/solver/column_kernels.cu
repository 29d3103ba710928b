#include <cuda_runtime.h>

#include "column_kernels.cuh"

namespace prune::solver::detail {
namespace {

// Launches on one stream and keeps the first error.
class CudaLaunch {
 public:
  explicit CudaLaunch(void* stream) : stream_(static_cast<cudaStream_t>(stream)) {}

  bool zero(void* begin, size_t bytes) { return ok(cudaMemsetAsync(begin, 0, bytes, stream_)); }

  template <class... Parameters, class... Arguments>
  bool operator()(void (*kernel)(Parameters...), int ctas, int threads, int shared_bytes,
                  const Arguments&... arguments) {
    // Only errors of our own calls count, not one left behind by other code.
    if (error_ != cudaSuccess) return false;
    kernel<<<static_cast<unsigned>(ctas), static_cast<unsigned>(threads),
             static_cast<size_t>(shared_bytes), stream_>>>(arguments...);
    return ok(cudaGetLastError());
  }

  template <class... Parameters>
  int resident_ctas(void (*kernel)(Parameters...), int threads, int shared_bytes) {
    int device = 0;
    int multiprocessors = 1;
    int each = 1;
    const bool known =
        ok(cudaGetDevice(&device)) &&
        ok(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device)) &&
        ok(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, kernel, threads,
                                                         static_cast<size_t>(shared_bytes)));
    return known && each > 0 ? multiprocessors * each : 1;
  }

  const char* error() const { return error_ == cudaSuccess ? nullptr : cudaGetErrorString(error_); }

 private:
  bool ok(cudaError_t error) {
    if (error_ == cudaSuccess) error_ = error;
    return error_ == cudaSuccess;
  }

  cudaStream_t stream_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace

int64_t threshold_workspace_bytes() { return sizeof(ThresholdWorkspace); }

const char* launch_choose_threshold(const ThresholdJob& job, void* stream) {
  CudaLaunch launch(stream);
  choose_threshold(launch, job);
  return launch.error();
}

const char* launch_prune_panel(const PanelJob& job, void* stream) {
  CudaLaunch launch(stream);
  run_panel_as_asked(launch, job, choose_lanes(job));
  return launch.error();
}

}  // namespace prune::solver::detail
