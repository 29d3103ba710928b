#pragma once

#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace prune::test {

/// Counts the bytes of CPU tensors that live, and the most there were, as long as it lives itself. Tensors
/// that were made before count for nothing; what LAPACK or a tokenizer takes for itself is not seen.
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
    auto* block = new Block{wrapped_->allocate(size), this, static_cast<int64_t>(size)};
    live_ += block->size_bytes;
    int64_t seen = peak_;
    while (seen < live_ && !peak_.compare_exchange_weak(seen, live_)) {
    }
    void* const data = block->data.get();
    const at::Device device = block->data.device();
    return {data, block, &release, device};
  }
  at::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, size_t size) const override {
    default_copy_data(to, from, size);
  }

 private:
  struct Block {
    at::DataPtr data;
    AllocationCounter* counter;
    int64_t size_bytes;
  };

  // A tensor may outlive the counter's turn, but not the counter.
  static void release(void* context) {
    auto* block = static_cast<Block*>(context);
    block->counter->live_ -= block->size_bytes;
    delete block;
  }

  at::Allocator* wrapped_;
  std::atomic<int64_t> live_ = 0;
  std::atomic<int64_t> peak_ = 0;
};

}  // namespace prune::test
