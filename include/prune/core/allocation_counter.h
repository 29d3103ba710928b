#pragma once

#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <cstdint>

namespace prune {

/// Counts the bytes of the CPU tensors that are alive, and their peak, during its own lifetime. Tensors made
/// earlier count for nothing, and neither does what LAPACK or a tokenizer allocates for itself. One counter exists at a
/// time; tensors may outlive it, uncounted.
class AllocationCounter : public at::Allocator {
 public:
  AllocationCounter();
  AllocationCounter(const AllocationCounter&) = delete;
  AllocationCounter& operator=(const AllocationCounter&) = delete;
  ~AllocationCounter() override;

  int64_t live() const { return live_; }
  int64_t peak() const { return peak_; }
  void restart_peak() { peak_ = live_.load(); }

  at::DataPtr allocate(size_t size) override;
  at::DeleterFnPtr raw_deleter() const override;
  void copy_data(void* to, const void* from, size_t size) const override {
    default_copy_data(to, from, size);
  }

 private:
  static void release(void* data);

  at::Allocator* wrapped_;
  std::atomic<int64_t> live_ = 0;
  std::atomic<int64_t> peak_ = 0;
};

}  // namespace prune
