#include <gtest/gtest.h>

// A ctest entry is a suite. It counts as skipped (SKIP_RETURN_CODE) only if none of its tests ran.
int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const int failed = RUN_ALL_TESTS();
  const testing::UnitTest& tests = *testing::UnitTest::GetInstance();
  const bool only_skipped = tests.skipped_test_count() > 0 && tests.successful_test_count() == 0;
  return failed != 0 ? failed : only_skipped ? 77 : 0;
}
