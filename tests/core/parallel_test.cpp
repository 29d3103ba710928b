#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <prune/core/parallel.h>

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace prune {
namespace {

class Parallel : public testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(3); }
  void TearDown() override { at::set_num_threads(before_); }

 private:
  int before_ = at::get_num_threads();
};

TEST_F(Parallel, VisitsEveryNumberOnceOnSeveralThreads) {
  std::vector<std::atomic<int>> visits(1000);
  std::set<std::thread::id> threads;
  std::mutex mutex;
  parallel_for(0, 1000, 10, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) ++visits[static_cast<size_t>(i)];
    const std::lock_guard lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  for (const auto& count : visits) EXPECT_EQ(count, 1);
  EXPECT_EQ(threads.size(), 3u);
}

TEST_F(Parallel, PartsAreNotSmallerThanTheGrain) {
  std::atomic<int> parts = 0;
  parallel_for(5, 25, 10, [&](int64_t first, int64_t last) {
    EXPECT_EQ(last - first, 10);
    ++parts;
  });
  EXPECT_EQ(parts, 2);
  parallel_for(5, 5, 1, [&](int64_t, int64_t) { ++parts; });
  EXPECT_EQ(parts, 2);
}

TEST_F(Parallel, WithinAnotherItStaysOnItsThread) {
  parallel_for(0, 3, 1, [](int64_t, int64_t) {
    const std::thread::id outer = std::this_thread::get_id();
    parallel_for(0, 100, 1, [&](int64_t first, int64_t last) {
      EXPECT_EQ(std::this_thread::get_id(), outer);
      EXPECT_EQ(last - first, 100);
    });
  });
}

TEST_F(Parallel, ThrowsTheErrorOfTheLowestPart) {
  try {
    parallel_for(0, 3, 1, [](int64_t first, int64_t) {
      if (first > 0) throw std::runtime_error(std::to_string(first));
    });
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "1");
  }
}

}  // namespace
}  // namespace prune
