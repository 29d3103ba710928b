#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prune/core/error.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

namespace prune::test {

/// A new folder for one test; removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "prune-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, const std::string& content) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << content;
    return file;
  }

 private:
  std::filesystem::path path_;
};

/// Folder of the models and texts that come with the tests.
inline std::filesystem::path fixtures() {
  return std::filesystem::path(PRUNE_TESTS_DIR) / "fixtures";
}

/// Folder of results from the reference implementations (scripts/golden).
inline std::filesystem::path golden() { return std::filesystem::path(PRUNE_TESTS_DIR) / "golden"; }

/// Runs `action`, expects an Error of this kind, and returns its message.
template <class Action>
std::string error_of(ErrorKind kind, Action&& action) {
  try {
    std::forward<Action>(action)();
  } catch (const Error& error) {
    EXPECT_EQ(kind_name(error.kind()), std::string(kind_name(kind))) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "not one line";
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return "";
}

}  // namespace prune::test
