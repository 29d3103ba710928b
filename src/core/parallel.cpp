#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <prune/core/parallel.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <vector>

namespace prune {
namespace {

/// The functions of libgomp that g++ calls for `#pragma omp parallel`. LibTorch has loaded it.
struct OpenMp {
  void (*parallel)(void (*body)(void*), void* data, unsigned threads, unsigned flags);
  int (*thread_num)();
  int (*num_threads)();
};

template <class Function>
Function find(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}

const OpenMp* open_mp() {
  static const OpenMp kFound = [] {
    const OpenMp found = {find<decltype(OpenMp::parallel)>("GOMP_parallel"),
                          find<decltype(OpenMp::thread_num)>("omp_get_thread_num"),
                          find<decltype(OpenMp::num_threads)>("omp_get_num_threads")};
    if (found.parallel == nullptr) {
      spdlog::warn("this LibTorch has no OpenMP: some loops run on one thread");
    }
    return found;
  }();
  return kFound.parallel != nullptr ? &kFound : nullptr;
}

struct Job {
  int64_t begin, end, grain;
  const std::function<void(int64_t, int64_t)>& body;
  const OpenMp& open_mp;
  std::vector<std::exception_ptr> errors;  // by part

  void run_part() {
    // A team of another size than LibTorch's would make libgomp start threads anew.
    const int64_t size = end - begin;
    const int64_t parts = std::min<int64_t>(open_mp.num_threads(), (size + grain - 1) / grain);
    const int64_t each = (size + parts - 1) / parts;
    const int64_t part = open_mp.thread_num();
    const int64_t first = begin + part * each;
    if (first >= end) return;
    try {
      body(first, std::min(end, first + each));
    } catch (...) {
      errors[static_cast<size_t>(part)] = std::current_exception();
    }
  }
};

}  // namespace

void parallel_for(int64_t begin, int64_t end, int64_t grain,
                  const std::function<void(int64_t, int64_t)>& body) {
  if (begin >= end) return;
  grain = std::max<int64_t>(grain, 1);
  const int threads = at::get_num_threads();
  const bool alone = end - begin <= grain || threads == 1 || at::in_parallel_region();
  const OpenMp* const open_mp = alone ? nullptr : prune::open_mp();
  if (open_mp == nullptr) return body(begin, end);
  Job job{begin, end,      grain,
          body,  *open_mp, std::vector<std::exception_ptr>(static_cast<size_t>(threads))};
  open_mp->parallel([](void* data) { static_cast<Job*>(data)->run_part(); }, &job, 0, 0);
  for (const std::exception_ptr& error : job.errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace prune
