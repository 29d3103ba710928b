#include <prune/dist/communicator.h>

#include <latch>
#include <thread>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "dist/ranks.h"

namespace prune::dist {
namespace {

using std::chrono::milliseconds;
using test::environment_of;
using test::error_of;
using test::run_ranks;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;

// Threads must not fail expectations concurrently, so each rank counts what it got right.
class Ranks : public testing::TestWithParam<int64_t> {};

TEST_P(Ranks, BroadcastFromEveryRoot) {
  const int64_t size = GetParam();
  std::vector<int> right(static_cast<size_t>(size));
  const auto errors = run_ranks(size, [&](Communicator& comm) {
    for (int64_t root = 0; root < size; ++root) {
      for (const at::ScalarType dtype : {at::kFloat, at::kHalf, at::kChar, at::kLong}) {
        const Tensor want = at::arange(1000).add(root).remainder(100).to(dtype);
        Tensor got = comm.rank() == root ? want.clone() : at::zeros({1000}, dtype);
        comm.broadcast_(got, root, Traffic::kWeights);
        right[static_cast<size_t>(comm.rank())] += got.equal(want);
      }
      const std::string text = comm.rank() == root ? "from " + std::to_string(root) : "";
      right[static_cast<size_t>(comm.rank())] +=
          comm.broadcast(text, root) == "from " + std::to_string(root);
    }
  });
  EXPECT_THAT(errors, Each(IsEmpty()));
  EXPECT_THAT(right, Each(5 * size));
}

TEST_P(Ranks, GatherConcatenatesByRank) {
  const int64_t size = GetParam();
  std::vector<int> right(static_cast<size_t>(size));
  const auto errors = run_ranks(size, [&](Communicator& comm) {
    // Rank r has r rows.
    const Tensor part = at::full({comm.rank(), 3}, static_cast<double>(comm.rank()), at::kDouble);
    const Tensor all = comm.gather(part);
    const Tensor rows = at::arange(size, at::kLong);
    const Tensor want = at::repeat_interleave(rows, rows).to(at::kDouble).unsqueeze(1);
    right[static_cast<size_t>(comm.rank())] = all.equal(want.expand({want.size(0), 3}));
  });
  EXPECT_THAT(errors, Each(IsEmpty()));
  EXPECT_THAT(right, Each(1));
}

INSTANTIATE_TEST_SUITE_P(Sizes, Ranks, testing::Values(1, 2, 3, 4, 5));

TEST(Communicator, CountsSentBytes) {
  std::vector<int64_t> sent(4);
  const auto errors = run_ranks(4, [&](Communicator& comm) {
    Tensor weight = at::zeros({100}, at::kHalf);
    comm.broadcast_(weight, 1, Traffic::kWeights);
    sent[static_cast<size_t>(comm.rank())] =
        comm.counters().sent_bytes[static_cast<size_t>(Traffic::kWeights)];
  });
  EXPECT_THAT(errors, Each(IsEmpty()));
  // Rank 1 sends to 2 and 3, rank 2 sends to 0.
  EXPECT_THAT(sent, testing::ElementsAre(0, 400, 200, 0));
}

TEST(Communicator, AnErrorOfOneRankEndsAllRanksWithItsMessage) {
  for (int64_t culprit = 0; culprit < 3; ++culprit) {
    const auto errors = run_ranks(3, [&](Communicator& comm) {
      comm.enter("prune block 2/3");
      comm.barrier();
      if (comm.rank() == culprit) throw Error(ErrorKind::kNumeric, "fc1: not finite");
      comm.barrier();
    });
    for (int64_t rank = 0; rank < 3; ++rank) {
      const std::string& error = errors[static_cast<size_t>(rank)];
      if (rank == culprit) {
        EXPECT_EQ(error, "fc1: not finite");
      } else {
        EXPECT_EQ(error, fmt::format("rank {} ended in prune block 2/3: numeric error: fc1: not "
                                     "finite",
                                     culprit));
      }
    }
  }
}

TEST(Communicator, NamesARankThatDoesNotAnswer) {
  const auto errors = run_ranks(
      2,
      [&](Communicator& comm) {
        comm.enter("estimate block 1/2");
        if (comm.rank() == 1) {
          std::this_thread::sleep_for(milliseconds(1500));
          throw Error(ErrorKind::kInternal, "awake");
        }
        comm.barrier();
      },
      milliseconds(500));
  EXPECT_EQ(errors[0], "rank 1 did not answer for 0.5 s (--dist-timeout) in estimate block 1/2");
}

TEST(Connect, NamesTheMissingRanks) {
  const uint16_t port = test::free_port();
  std::string other;
  std::thread rank2([&] {
    other = error_of(ErrorKind::kDevice,
                     [&] { connect(environment_of(2, 4, port), milliseconds(600)); });
  });
  const std::string error =
      error_of(ErrorKind::kDevice, [&] { connect(environment_of(0, 4, port), milliseconds(500)); });
  rank2.join();
  EXPECT_EQ(error, "2 of 4 ranks did not join within 0.5 s (--dist-timeout): rank 1, 3");
  EXPECT_EQ(other, error);
}

TEST(Connect, NamesAnAddressWhereNothingListens) {
  const uint16_t port = test::free_port();
  EXPECT_EQ(
      error_of(ErrorKind::kDevice, [&] { connect(environment_of(1, 2, port), milliseconds(300)); }),
      fmt::format("rank 0 was not found at 127.0.0.1:{} within 0.3 s (--dist-timeout): "
                  "Connection refused; check MASTER_ADDR and MASTER_PORT",
                  port));
  Environment nowhere = environment_of(1, 2, port);
  nowhere.host = "no-such-host.invalid";
  EXPECT_THAT(error_of(ErrorKind::kDevice, [&] { connect(nowhere, milliseconds(300)); }),
              HasSubstr("no-such-host.invalid:"));
}

TEST(Connect, NamesAPortInUse) {
  const test::Port taken;
  EXPECT_EQ(
      error_of(ErrorKind::kDevice,
               [&] { connect(environment_of(0, 2, taken.number()), milliseconds(500)); }),
      fmt::format("port {} of this machine is in use; set another MASTER_PORT", taken.number()));
  // Another program listens there and never answers.
  EXPECT_EQ(
      error_of(ErrorKind::kDevice,
               [&] { connect(environment_of(1, 2, taken.number()), milliseconds(500)); }),
      fmt::format("the server at 127.0.0.1:{} is not rank 0: it does not answer", taken.number()));
}

TEST(Connect, Rank0LeavesBeforeAllHaveJoined) {
  c10d::TCPStoreOptions options;
  options.port = test::free_port();
  options.isServer = true;
  options.waitWorkers = false;
  auto store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  std::string error;
  std::thread rank1([&] {
    error = error_of(ErrorKind::kDevice,
                     [&] { connect(environment_of(1, 3, options.port), milliseconds(20'000)); });
  });
  store->wait({"prune//rank 1"}, milliseconds(20'000));
  store.reset();
  rank1.join();
  EXPECT_EQ(error, "lost rank 0 before all ranks had joined");
}

TEST(Connect, TwoProcessesWithTheSameRank) {
  const uint16_t port = test::free_port();
  std::vector<std::string> errors(2);
  std::latch answered(2);
  const auto join = [&](size_t which) {
    try {
      connect(environment_of(1, 2, port), milliseconds(20'000));
    } catch (const Error& error) {
      errors[which] = error.what();
    }
    answered.count_down();
  };
  std::thread first(join, 0);
  std::thread second(join, 1);
  std::thread server([&] {
    try {
      const Communicator comm = connect(environment_of(0, 2, port), milliseconds(20'000));
      answered.wait();
    } catch (const Error&) {
    }
  });
  first.join();
  second.join();
  server.join();
  EXPECT_THAT(errors, testing::Contains("two processes have RANK 1"));
}

}  // namespace
}  // namespace prune::dist
