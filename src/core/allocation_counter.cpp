#include <prune/core/allocation_counter.h>

#include <map>
#include <mutex>

namespace prune {
namespace {

struct Block {
  std::atomic<int64_t>* live;
  int64_t size_bytes;
};

std::mutex& mutex() {
  static std::mutex one;
  return one;
}

// By address: oneDNN's products allocate raw pointers, and may free one here that was made elsewhere.
std::map<void*, Block>& blocks() {
  static auto* all = new std::map<void*, Block>;  // tensors may outlive statics
  return *all;
}

}  // namespace

AllocationCounter::AllocationCounter() : wrapped_(c10::GetCPUAllocator()) {
  c10::SetCPUAllocator(this);
}

AllocationCounter::~AllocationCounter() {
  c10::SetCPUAllocator(wrapped_);
  const std::lock_guard lock(mutex());
  std::erase_if(blocks(), [this](const auto& block) { return block.second.live == &live_; });
}

at::DataPtr AllocationCounter::allocate(size_t size) {
  void* const data = wrapped_->raw_allocate(size);
  live_ += static_cast<int64_t>(size);
  int64_t seen = peak_;
  while (seen < live_ && !peak_.compare_exchange_weak(seen, live_)) {
  }
  const std::lock_guard lock(mutex());
  blocks()[data] = {&live_, static_cast<int64_t>(size)};
  return {data, data, &release, at::kCPU};
}

at::DeleterFnPtr AllocationCounter::raw_deleter() const { return &release; }

void AllocationCounter::release(void* data) {
  {
    const std::lock_guard lock(mutex());
    const auto block = blocks().find(data);
    if (block != blocks().end()) {
      *block->second.live -= block->second.size_bytes;
      blocks().erase(block);
    }
  }
  c10::GetDefaultCPUAllocator()->raw_deallocate(data);
}

}  // namespace prune
