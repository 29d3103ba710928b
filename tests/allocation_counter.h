#pragma once

#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>

namespace prune::test {

/// Counts the current and peak bytes of the CPU tensors allocated during its lifetime. It does not see
/// tensors allocated earlier, nor memory that LAPACK or a tokenizer allocates itself.
class AllocationCounter : public at::Allocator {
 public:
  AllocationCounter() : wrapped_(c10::GetCPUAllocator()) { c10::SetCPUAllocator(this); }
  AllocationCounter(const AllocationCounter&) = delete;
  AllocationCounter& operator=(const AllocationCounter&) = delete;
  ~AllocationCounter() override { c10::SetCPUAllocator(wrapped_); }

  int64_t live() const { return live_; }
  int64_t peak() const { return peak_; }
  void restart_peak() { peak_ = live_.load(); }

  at::DataPtr allocate(size_t size) override {
    void* const data = wrapped_->raw_allocate(size);
    live_ += static_cast<int64_t>(size);
    int64_t seen = peak_;
    while (seen < live_ && !peak_.compare_exchange_weak(seen, live_)) {
    }
    const std::lock_guard lock(mutex());
    blocks()[data] = {this, static_cast<int64_t>(size)};
    return {data, data, &release, at::kCPU};
  }
  at::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t size) const override {
    default_copy_data(to, from, size);
  }

 private:
  struct Block {
    AllocationCounter* counter;
    int64_t size_bytes;
  };

  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  // Keyed by address: oneDNN allocates raw pointers and may free one here that came from elsewhere.
  static std::map<void*, Block>& blocks() {
    static auto* all = new std::map<void*, Block>;  // tensors may outlive statics
    return *all;
  }

  // A tensor may outlive the counter's installation as allocator, but not the counter.
  static void release(void* data) {
    {
      const std::lock_guard lock(mutex());
      const auto block = blocks().find(data);
      if (block != blocks().end()) {
        block->second.counter->live_ -= block->second.size_bytes;
        blocks().erase(block);
      }
    }
    c10::GetDefaultCPUAllocator()->raw_deallocate(data);
  }

  at::Allocator* wrapped_;
  std::atomic<int64_t> live_ = 0;
  std::atomic<int64_t> peak_ = 0;
};

}  // namespace prune::test
