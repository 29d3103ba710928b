#include "device_cuda.h"

namespace prune::detail {

bool built_with_cuda() { return false; }
int64_t cuda_device_count() { return 0; }
std::string cuda_device_name(int64_t) { return "none"; }
std::string cuda_device_uuid(int64_t) { return ""; }
int64_t cuda_peak_bytes(int64_t) { return 0; }
int64_t cuda_available_bytes(int64_t) { return 0; }
int64_t cuda_allocated_bytes(int64_t) { return 0; }
int64_t cuda_peak_allocated_bytes(int64_t) { return 0; }
void cuda_restart_peak(int64_t) {}
void cuda_synchronize(int64_t) {}

}  // namespace prune::detail
