#include <prune/core/cpu_count.h>
#include <sched.h>

#include <limits>

#include "support.h"

namespace prune {
namespace {

namespace fs = std::filesystem;

class CpuQuota : public testing::Test {
 protected:
  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((folder_.path() / file).parent_path());
    folder_.write(file, text);
  }
  int64_t cpus() const {
    return cpus_of_quota(folder_.path() / "membership", folder_.path() / "mounted");
  }

  test::TemporaryFolder folder_;
};

constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

TEST_F(CpuQuota, TheTightestGroupCountsRoundedUp) {
  write("membership", "0::/job/step\n");
  write("mounted/job/step/cpu.max", "max 100000\n");
  EXPECT_EQ(cpus(), kNone);
  write("mounted/job/cpu.max", "350000 100000\n");
  EXPECT_EQ(cpus(), 4);
  write("mounted/job/step/cpu.max", "50000 100000\n");
  EXPECT_EQ(cpus(), 1);
}

TEST_F(CpuQuota, AContainerSeesItsLimitAtTheRoot) {
  write("membership", "0::/../../other\n");
  write("mounted/cpu.max", "200000 100000\n");
  EXPECT_EQ(cpus(), 2);
}

TEST_F(CpuQuota, ControlGroupsOfVersion1) {
  write("membership", "5:memory:/job\n4:cpu,cpuacct:/job\n");
  write("mounted/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
  write("mounted/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cpus(), kNone);
  write("mounted/cpu,cpuacct/job/cpu.cfs_quota_us", "300000\n");
  EXPECT_EQ(cpus(), 3);
}

TEST_F(CpuQuota, WithoutControlGroupsThereIsNone) { EXPECT_EQ(cpus(), kNone); }

TEST(UsableCpus, FollowsTheCpuSet) {
  cpu_set_t all;
  ASSERT_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(usable_cpus(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof(all), &all), 0);
  EXPECT_GE(usable_cpus(), 1);
}

}  // namespace
}  // namespace prune
