#include "output_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "output_file.h"

namespace prune::checkpoint {
namespace {

namespace fs = std::filesystem;

// Lies in the partial folder while its owner lives. A lock on the folder itself would do without a
// file, but NFS refuses exclusive locks on what is not open for writing.
constexpr const char* kLockName = ".prune-lock";

Error refused(const fs::path& path, const std::string& reason) {
  return {ErrorKind::kOutput, fmt::format("{}: {}", path.string(), reason)};
}

bool is_there(const fs::path& path) {
  std::error_code failure;
  return fs::exists(fs::symlink_status(path, failure));
}

/// --overwrite on a mistyped path must not cost somebody's home folder.
bool may_be_overwritten(const fs::path& folder) {
  std::error_code failure;
  if (!fs::is_directory(folder, failure)) return false;
  if (fs::is_empty(folder, failure)) return true;
  for (const char* name :
       {"config.json", "prune_report.json", "model.safetensors", "model.safetensors.index.json"}) {
    if (is_there(folder / name)) return true;
  }
  return false;
}

bool same_file(int fd, const fs::path& path) {
  struct stat open_file {};
  struct stat named_file {};
  return fstat(fd, &open_file) == 0 && stat(path.c_str(), &named_file) == 0 &&
         open_file.st_dev == named_file.st_dev && open_file.st_ino == named_file.st_ino;
}

/// Renames without replacing a folder that appeared meanwhile.
void rename_new(const fs::path& from, const fs::path& to) {
  int result = renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE);
  // Without support in the file system the plain call must do: it never replaces a folder that
  // holds anything.
  if (result != 0 && (errno == EINVAL || errno == ENOSYS)) {
    result = ::rename(from.c_str(), to.c_str());
  }
  if (result != 0) {
    throw output_error(fmt::format("rename to '{}'", to.filename().string()), from, errno);
  }
}

}  // namespace

fs::path resolve_output(const fs::path& folder) {
  std::error_code failure;
  fs::path path = fs::absolute(folder, failure).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  // Longer chains are loops; the first use of the path will say so.
  constexpr int kMaxLinks = 40;
  for (int i = 0; i < kMaxLinks && fs::is_symlink(fs::symlink_status(path, failure)); ++i) {
    path = (path.parent_path() / fs::read_symlink(path, failure)).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
  }
  const fs::path resolved = fs::weakly_canonical(path, failure);
  return failure ? path : resolved;
}

OutputFolder::OutputFolder(fs::path folder, bool overwrite)
    : folder_(std::move(folder)), partial_(folder_.native() + ".partial"), overwrite_(overwrite) {
  check_target();
  try {
    make_parents();
    acquire_lock();
    // Between the first look and the lock another run may have finished.
    check_target();
    empty_partial();
  } catch (...) {
    if (lock_fd_ >= 0) {
      discard();
    } else {
      remove_made_parents();
    }
    throw;
  }
}

OutputFolder::~OutputFolder() {
  if (!published_) discard();
}

void OutputFolder::check_target() const {
  if (!is_there(folder_)) return;
  if (!overwrite_) {
    throw refused(folder_, "output exists already; give another folder or --overwrite");
  }
  if (!may_be_overwritten(folder_)) {
    throw refused(folder_, "is not a checkpoint folder, so it is not overwritten");
  }
}

void OutputFolder::make_parents() {
  std::vector<fs::path> missing;
  for (fs::path parent = folder_.parent_path(); !is_there(parent); parent = parent.parent_path()) {
    missing.push_back(parent);
  }
  for (; !missing.empty(); missing.pop_back()) {
    if (mkdir(missing.back().c_str(), 0777) != 0) {
      if (errno == EEXIST) continue;
      throw output_error("create the folder", missing.back(), errno);
    }
    made_parents_.push_back(missing.back());
  }
}

void OutputFolder::acquire_lock() {
  // Each lap lost means that another run finished or gave up between two of our calls.
  constexpr int kLaps = 100;
  for (int i = 0; i < kLaps; ++i) {
    if (try_acquire_lock()) return;
  }
  throw refused(partial_, "other runs keep writing here");
}

bool OutputFolder::try_acquire_lock() {
  const fs::path lock_path = partial_ / kLockName;
  const bool created = mkdir(partial_.c_str(), 0777) == 0;
  if (!created && errno != EEXIST) throw output_error("create the folder", partial_, errno);
  std::error_code failure;
  if (!created && !is_there(lock_path) && !fs::is_empty(partial_, failure)) {
    // Nobody deletes a folder of the user's that only happens to have this name.
    if (is_there(lock_path)) return false;
    throw refused(partial_, "is in the way and was not left by an earlier run; move it away");
  }
  const int fd = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0 && errno == ENOENT) return false;
  if (fd < 0) {
    const Error error = output_error("create", lock_path, errno);
    if (created) ::rmdir(partial_.c_str());
    throw error;
  }
  if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(fd);
    throw refused(partial_, "another run is writing to this output");
  }
  // File systems without flock (some Lustre mounts) cannot tell; there the user must.
  if (!same_file(fd, lock_path)) {
    ::close(fd);
    return false;
  }
  lock_fd_ = fd;
  return true;
}

void OutputFolder::empty_partial() {
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(partial_, failure)) {
    if (entry.path().filename() == kLockName) continue;
    fs::remove_all(entry.path(), failure);
    if (failure) throw output_error("remove", entry.path(), failure.value());
  }
  if (failure) throw output_error("read the folder", partial_, failure.value());
}

void OutputFolder::publish() {
  sync_folder(partial_);
  if (overwrite_ && is_there(folder_)) {
    replace_target();
  } else {
    rename_new(partial_, folder_);
    published_ = true;
  }
  // Only now: without its lock file the partial folder would look abandoned.
  ::unlink((folder_ / kLockName).c_str());
  ::close(std::exchange(lock_fd_, -1));
  sync_folder(folder_);
  sync_folder(folder_.parent_path());
}

void OutputFolder::replace_target() {
  const fs::path aside = folder_.native() + fmt::format(".replaced-{}", getpid());
  rename_new(folder_, aside);
  try {
    rename_new(partial_, folder_);
  } catch (...) {
    ::rename(aside.c_str(), folder_.c_str());
    throw;
  }
  published_ = true;
  std::error_code failure;
  fs::remove_all(aside, failure);
  if (failure) throw output_error("remove the replaced folder", aside, failure.value());
}

void OutputFolder::discard() noexcept {
  try {
    empty_partial();
  } catch (const std::exception&) {
    // What cannot be removed stays; the error that led here is the one to report.
  }
  ::unlink((partial_ / kLockName).c_str());
  ::rmdir(partial_.c_str());
  ::close(std::exchange(lock_fd_, -1));
  remove_made_parents();
}

void OutputFolder::remove_made_parents() noexcept {
  for (; !made_parents_.empty(); made_parents_.pop_back()) ::rmdir(made_parents_.back().c_str());
}

}  // namespace prune::checkpoint
