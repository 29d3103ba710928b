#pragma once

#include <ucontext.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

// Runs CUDA kernel source on the host: include this header, then the .cuh. Every CUDA thread is a
// fibre (a ucontext). CTAs run in turn, and a fibre runs until it meets a barrier.
//
// It finds wrong indices (with ASan also one past the end of shared or device memory), errors at
// ragged edges, wrong shuffle sources, shared memory read before it is written (it starts as NaN in
// each CTA), barriers that not all threads reach, threads of a warp that wait at different
// barriers, and most missing barriers, because tests run the threads in both sequences. It does not
// find races between CTAs, errors of memory ordering, or limits of registers and launches.

namespace prune::test::fibre {

struct Dim3 {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;
};

constexpr int kWarpLanes = 32;

/// Threads and CTAs run first to last or last to first. If one thread reads what another writes
/// without a barrier, at least one of the two sequences shows it. (Not if a shuffle lies between:
/// the emulator treats it as a barrier of the warp, but on the device it does not order memory.)
enum class Order { kForward, kBackward };

class Barrier {
 public:
  explicit Barrier(int size) : size_(size) {}

 private:
  friend class Cta;
  int size_;
  int arrived_ = 0;
  uint64_t generation_ = 0;
  const char* kind_ = "";
};

struct Fibre {
  ucontext_t context{};
  std::byte* stack = nullptr;
  int thread = 0;
  bool done = false;
  const Barrier* waits_for = nullptr;
  uint64_t generation = 0;
  bool exchange_parity = false;
};

/// Runs one CTA at a time. All state is static, because kernels find threadIdx in a global too.
class Cta {
 public:
  /// Runs `kernel` in `threads` fibres. @throws std::logic_error if they cannot all finish
  static void run(int threads, size_t dynamic_bytes, Order order,
                  const std::function<void()>& kernel) {
    if (threads % kWarpLanes != 0) throw std::logic_error("a warp is not full");
    Cta cta(threads, dynamic_bytes, kernel);
    current_ = &cta;
    cta.schedule(order);
    current_ = nullptr;
  }
  static Cta& current() { return *current_; }

  void sync_threads() { wait(cta_barrier_, "__syncthreads"); }
  void sync_warp() { wait(warp().barrier, "__syncwarp"); }

  /// What the lanes of a warp give to each other in one instruction.
  using Slots = std::array<std::array<std::byte, 32>, kWarpLanes>;

  /// Gives a value to the other lanes. Returns those of all lanes, to be read before the next exchange: there are two
  /// halves, used in turn, so that a lane already at its next exchange does not overwrite what another has yet to read.
  template <class T>
  const Slots& exchange(const T& value) {
    static_assert(sizeof(T) <= sizeof(Slots::value_type) && std::is_trivially_copyable_v<T>);
    Fibre& self = *running_;
    Slots& slots = warp().slots[self.exchange_parity ? 1 : 0];
    self.exchange_parity = !self.exchange_parity;
    std::memcpy(&slots[static_cast<size_t>(lane())], &value, sizeof(T));
    wait(warp().barrier, "__shfl_sync");
    return slots;
  }
  template <class T>
  static T read(const Slots& slots, int lane) {
    T value;
    std::memcpy(&value, &slots[static_cast<size_t>(lane)], sizeof(T));
    return value;
  }
  int lane() const { return running_->thread % kWarpLanes; }
  int thread() const { return running_->thread; }

  /// The shared array `name` of this CTA. All its bits are set at first (NaN, or an index far out
  /// of range).
  template <class T>
  T* shared(const char* name, size_t count) {
    return static_cast<T*>(shared_bytes(name, count * sizeof(T)));
  }
  template <class T>
  T* dynamic_shared() {
    return static_cast<T*>(shared_bytes("", dynamic_bytes_));
  }

 private:
  struct Warp {
    Barrier barrier{kWarpLanes};
    std::array<Slots, 2> slots{};
  };
  struct Free {
    void operator()(void* memory) const { ::operator delete (memory, std::align_val_t{16}); }
  };
#if defined(__SANITIZE_ADDRESS__)
  static constexpr size_t kStackBytes = 64 * 1024;
#else
  static constexpr size_t kStackBytes = 32 * 1024;
#endif

  Cta(int threads, size_t dynamic_bytes, const std::function<void()>& kernel)
      : kernel_(kernel),
        cta_barrier_(threads),
        warps_(static_cast<size_t>(threads / kWarpLanes)),
        dynamic_bytes_(dynamic_bytes) {
    for (int thread = 0; thread < threads; ++thread) {
      Fibre& fibre = fibres_.emplace_back();
      fibre.thread = thread;
      fibre.stack = stack_of(static_cast<size_t>(thread));
      getcontext(&fibre.context);
      fibre.context.uc_stack.ss_sp = fibre.stack;
      fibre.context.uc_stack.ss_size = kStackBytes;
      fibre.context.uc_link = nullptr;
      makecontext(&fibre.context, &Cta::fibre_main, 0);
    }
  }

  // Stacks are reused by later CTAs: allocating them would take most of the time.
  static std::byte* stack_of(size_t thread) {
    static std::vector<std::unique_ptr<std::byte[]>> stacks;
    while (stacks.size() <= thread) stacks.emplace_back(new std::byte[kStackBytes]);
    return stacks[thread].get();
  }

  Warp& warp() { return warps_[static_cast<size_t>(running_->thread / kWarpLanes)]; }

  void schedule(Order order);
  void enter(Fibre& fibre);
  void leave(bool for_good);
  static void fibre_main();

  void wait(Barrier& barrier, const char* kind) {
    if (barrier.arrived_ == 0) barrier.kind_ = kind;
    if (std::strcmp(barrier.kind_, kind) != 0 && failure_.empty()) {
      failure_ = std::string("threads meet in ") + barrier.kind_ + " and " + kind;
    }
    if (++barrier.arrived_ == barrier.size_) {
      barrier.arrived_ = 0;
      ++barrier.generation_;
      return;
    }
    running_->waits_for = &barrier;
    running_->generation = barrier.generation_;
    leave(/*for_good=*/false);
    running_->waits_for = nullptr;
  }

  void* shared_bytes(const char* name, size_t bytes) {
    auto& memory = shared_[name];
    if (memory == nullptr) {
      memory.reset(::operator new (bytes, std::align_val_t{16}));
      std::memset(memory.get(), 0xff, bytes);
    }
    return memory.get();
  }

  static inline Cta* current_ = nullptr;
  const std::function<void()>& kernel_;
  Barrier cta_barrier_;
  std::deque<Warp> warps_;
  std::deque<Fibre> fibres_;
  size_t dynamic_bytes_;
  std::map<std::string, std::unique_ptr<void, Free>> shared_;
  ucontext_t scheduler_{};
  Fibre* running_ = nullptr;
  std::string failure_;
#if defined(__SANITIZE_ADDRESS__)
  // ASan must be told which stack is in use.
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_stack_bytes_ = 0;
#endif
};

}  // namespace prune::test::fibre

// CUDA's globals, for one-dimensional launches.
inline prune::test::fibre::Dim3 threadIdx;
inline prune::test::fibre::Dim3 blockIdx;
inline prune::test::fibre::Dim3 blockDim;
inline prune::test::fibre::Dim3 gridDim;

namespace prune::test::fibre {

// A warp runs until all its threads are done or wait for other warps; then the next one runs. That
// drives the warps as far apart as the barriers allow.
inline void Cta::schedule(Order order) {
  const int threads = static_cast<int>(fibres_.size());
  int unfinished = threads;
  while (unfinished > 0) {
    bool any_ran = false;
    for (int first = 0; first < threads; first += kWarpLanes) {
      for (bool warp_ran = true; warp_ran;) {
        warp_ran = false;
        for (int i = first; i < first + kWarpLanes; ++i) {
          const int thread = order == Order::kForward ? i : threads - 1 - i;
          Fibre& fibre = fibres_[static_cast<size_t>(thread)];
          const bool waits =
              fibre.waits_for != nullptr && fibre.waits_for->generation_ == fibre.generation;
          if (fibre.done || waits) continue;
          warp_ran = true;
          enter(fibre);
          if (!failure_.empty()) throw std::logic_error(failure_);
          if (fibre.done) --unfinished;
        }
        any_ran |= warp_ran;
      }
    }
    if (!any_ran) throw std::logic_error("some threads wait in a barrier that others do not reach");
  }
}

inline void Cta::enter(Fibre& fibre) {
  running_ = &fibre;
  threadIdx = {static_cast<unsigned>(fibre.thread), 0, 0};
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, fibre.stack, kStackBytes);
#endif
  swapcontext(&scheduler_, &fibre.context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

inline void Cta::leave([[maybe_unused]] bool for_good) {
  Fibre& self = *running_;
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack, scheduler_stack_,
                                 scheduler_stack_bytes_);
#endif
  swapcontext(&self.context, &scheduler_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack, &scheduler_stack_, &scheduler_stack_bytes_);
#endif
}

inline void Cta::fibre_main() {
  Cta& cta = current();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &cta.scheduler_stack_, &cta.scheduler_stack_bytes_);
#endif
  cta.kernel_();
  cta.running_->done = true;
  cta.leave(/*for_good=*/true);
}

/// A host launcher for the templates at the end of a .cuh. `resident` is the number of CTAs that it claims the device
/// runs at a time, `shared` the bytes of shared memory that a CTA may have.
struct Launch {
  Order order = Order::kForward;
  int resident = 2;
  int64_t shared = 227 * 1024;

  bool zero(void* begin, size_t bytes) const {
    std::memset(begin, 0, bytes);
    return true;
  }

  template <class... Parameters, class... Arguments>
  bool operator()(void (*kernel)(Parameters...), int64_t ctas, int threads, int64_t shared_bytes,
                  const Arguments&... arguments) const {
    if (shared_bytes > shared) throw std::logic_error("too much shared memory");
    gridDim = {static_cast<unsigned>(ctas), 1, 1};
    blockDim = {static_cast<unsigned>(threads), 1, 1};
    for (int64_t i = 0; i < ctas; ++i) {
      blockIdx = {static_cast<unsigned>(order == Order::kForward ? i : ctas - 1 - i), 0, 0};
      Cta::run(threads, static_cast<size_t>(shared_bytes), order, [&] { kernel(arguments...); });
    }
    return true;
  }

  int64_t shared_limit() const { return shared; }

  template <class Kernel>
  int resident_ctas(Kernel* /*kernel*/, int /*threads*/, int /*shared_bytes*/) const {
    return resident;
  }
};

}  // namespace prune::test::fibre

// The CUDA keywords and functions that the kernels use.
#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define PRUNE_SHARED_ARRAY(type, name, size) \
  type* const name = prune::test::fibre::Cta::current().shared<type>(#name, size)
#define PRUNE_SHARED_DYNAMIC(type, name) \
  type* const name = prune::test::fibre::Cta::current().dynamic_shared<type>()

inline void __syncthreads() { prune::test::fibre::Cta::current().sync_threads(); }
inline void __syncwarp() { prune::test::fibre::Cta::current().sync_warp(); }

namespace prune::test::fibre {

/// The value of another lane. Full warps only; the kernels use no other mask.
template <class T>
T shuffle(unsigned mask, T value, int source) {
  if (mask != 0xffffffffU) throw std::logic_error("not a whole warp");
  return Cta::read<T>(Cta::current().exchange(value), source);
}

inline int lane() { return Cta::current().lane(); }

}  // namespace prune::test::fibre

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width) {
  const int lane = prune::test::fibre::lane();
  return prune::test::fibre::shuffle(mask, value, lane / width * width + source % width);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, int step) {
  const int lane = prune::test::fibre::lane();
  return prune::test::fibre::shuffle(mask, value, lane < step ? lane : lane - step);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return prune::test::fibre::shuffle(mask, value, prune::test::fibre::lane() ^ bits);
}

inline uint32_t __float_as_uint(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline uint32_t atomicAdd(uint32_t* address, uint32_t value) {
  const uint32_t before = *address;
  *address += value;
  return before;
}

template <class T>
constexpr T min(T a, T b) {
  return b < a ? b : a;
}
