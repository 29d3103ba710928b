#include <fcntl.h>
#include <fmt/format.h>
#include <prune/checkpoint/output_folder.h>
#include <prune/core/json_file.h>
#include <prune/core/kill_point.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <utility>

#include "output_file.h"

namespace prune::checkpoint {
namespace {

namespace fs = std::filesystem;

// Exists in DIR.partial from its creation until publish() is done. A lock on the folder itself would need
// no file, but NFS refuses exclusive locks on a descriptor that is not open for writing. If DIR is being
// overwritten, the file contains the number N of DIR.replaced-N, the old DIR's name between the renames.
constexpr const char* kLockName = ".prune-lock";

Error refused(const fs::path& path, const std::string& reason) {
  return {ErrorKind::kOutput, fmt::format("{}: {}", path.string(), reason)};
}

bool is_there(const fs::path& path) {
  std::error_code failure;
  return fs::exists(fs::symlink_status(path, failure));
}

bool is_log(const fs::path& file) {
  const std::string ending = file.extension().string();
  return ending == ".log" || ending == ".out" || ending == ".err";
}

/// True for an empty folder, and for one that only a job's logs have been put into so far.
bool holds_only_logs(const fs::path& folder) {
  std::error_code failure;
  if (!fs::is_directory(fs::symlink_status(folder, failure))) return false;
  for (const auto& entry : fs::directory_iterator(folder, failure)) {
    if (!entry.is_regular_file(failure) || !is_log(entry.path())) return false;
  }
  return !failure;
}

/// True if `folder` is there and is more than a place for logs.
bool is_taken(const fs::path& folder) { return is_there(folder) && !holds_only_logs(folder); }

/// A mistyped path with --overwrite must not cost somebody's home folder.
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

/// Renames, but never replaces a folder that appeared in the meantime.
void rename_new(const fs::path& from, const fs::path& to) {
  int result = renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE);
  // The file system may lack RENAME_NOREPLACE. rename() is good enough: it never replaces a folder that is
  // not empty.
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
  // A longer chain is a loop; the first use of the path reports it.
  constexpr int kMaxLinks = 40;
  for (int i = 0; i < kMaxLinks && fs::is_symlink(fs::symlink_status(path, failure)); ++i) {
    path = (path.parent_path() / fs::read_symlink(path, failure)).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();
  }
  const fs::path resolved = fs::weakly_canonical(path, failure);
  return failure ? path : resolved;
}

OutputFolder::OutputFolder(fs::path folder, bool overwrite, bool resume)
    : folder_(std::move(folder)), partial_(folder_.native() + ".partial"), overwrite_(overwrite) {
  try {
    // An earlier run may have died just after it renamed DIR.partial.
    if ((overwrite || resume) && lock(folder_ / kLockName, 0)) tidy();
    finished_ = resume && is_taken(folder_) && !is_there(partial_ / kStateName);
    if (finished_) return;
    check_target();
    make_parents();
    acquire_lock();
    // Another run may have finished between the first check and the lock.
    check_target();
    take_over(resume);
  } catch (...) {
    drop();
    throw;
  }
}

OutputFolder::~OutputFolder() { drop(); }

void OutputFolder::check_target() const {
  if (!is_taken(folder_)) return;
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
  // Each failed attempt means that another run finished or gave up between two of our calls.
  constexpr int kAttempts = 100;
  for (int i = 0; i < kAttempts; ++i) {
    if (try_acquire_lock()) return;
  }
  throw refused(partial_, "other runs keep writing to this output");
}

bool OutputFolder::try_acquire_lock() {
  const fs::path lock_path = partial_ / kLockName;
  const bool created = mkdir(partial_.c_str(), 0777) == 0;
  if (!created && errno != EEXIST) throw output_error("create the folder", partial_, errno);
  std::error_code failure;
  // Through a link we would write, and remove, files in the folder it points to.
  if (fs::is_symlink(fs::symlink_status(partial_, failure))) {
    throw refused(partial_, "is a symbolic link; move it away");
  }
  if (!created && !is_there(lock_path) && !fs::is_empty(partial_, failure)) {
    // A folder of the user's that merely has this name must not be deleted.
    if (is_there(lock_path)) return false;
    throw refused(partial_, "exists and was not left by an earlier run; move it away");
  }
  try {
    return lock(lock_path, O_CREAT);
  } catch (const Error&) {
    if (created) ::rmdir(partial_.c_str());
    throw;
  }
}

/// False if the lock file does not exist, or was removed or replaced before we locked it.
bool OutputFolder::lock(const fs::path& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return false;
  if (fd < 0) throw output_error("create", path, errno);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(fd);
    throw refused(path.parent_path(), "another run is writing to this output");
  }
  // Other errors are ignored: without flock (some Lustre mounts) the user must not start two runs.
  if (!same_file(fd, path)) {
    ::close(fd);
    return false;
  }
  lock_fd_ = fd;
  return true;
}

void OutputFolder::take_over(bool resume) {
  if (is_there(partial_ / kStateName)) {
    kept_ = resume || !overwrite_;
    if (resume) {
      recorded_ = read_file(partial_ / kStateName);
      return;
    }
    if (!overwrite_) {
      throw refused(partial_,
                    "holds the finished work of an interrupted run; --resume continues it, "
                    "--overwrite discards it");
    }
  }
  // The discarded run may have died between its two renames.
  const fs::path old = replaced();
  if (!old.empty() && !is_there(folder_)) rename_new(old, folder_);
  empty_partial();
}

/// Removes the state first: a folder that is only partly emptied must not pass for recorded work.
void OutputFolder::empty_partial() {
  ::unlink((partial_ / kStateName).c_str());
  remove_all_but({});
}

/// Keeps the state and the lock as well.
void OutputFolder::remove_all_but(const std::set<std::string>& files) {
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(partial_, failure)) {
    const std::string name = entry.path().filename();
    if (name == kLockName || name == kStateName || files.contains(name) || is_log(name)) continue;
    fs::remove_all(entry.path(), failure);
    if (failure) throw output_error("remove", entry.path(), failure.value());
  }
  if (failure) throw output_error("read the folder", partial_, failure.value());
}

void OutputFolder::record(const std::string& state) {
  replace_file(partial_ / kStateName, std::as_bytes(std::span(state)));
  kept_ = true;
}

void OutputFolder::publish(const std::set<std::string>& files) {
  remove_all_but(files);
  sync_folder(partial_);
  kill_point("before the final rename");
  keep_logs();
  if (overwrite_ && is_there(folder_)) {
    set_target_aside();
    kill_point("between the two renames");
  }
  try {
    rename_new(partial_, folder_);
  } catch (...) {
    if (const fs::path old = replaced(); !old.empty()) ::rename(old.c_str(), folder_.c_str());
    throw;
  }
  published_ = true;
  kill_point("after the final rename");
  sync_folder(folder_.parent_path());
  tidy();
}

/// Moves the logs of DIR, one of which may be this run's own, into DIR.partial, and removes a DIR that held nothing
/// else. An open file follows its name.
void OutputFolder::keep_logs() {
  const bool only_logs = holds_only_logs(folder_);
  std::error_code failure;
  std::vector<fs::path> logs;
  for (const auto& entry : fs::directory_iterator(folder_, failure)) {
    if (entry.is_regular_file(failure) && is_log(entry.path())) logs.push_back(entry.path());
  }
  for (const fs::path& log : logs) rename_new(log, partial_ / log.filename());
  if (only_logs && ::rmdir(folder_.c_str()) != 0) throw output_error("replace", folder_, errno);
}

/// Path of the overwritten folder between the two renames; empty if none was set aside.
fs::path OutputFolder::replaced() const {
  char text[24] = {};
  const ssize_t count = pread(lock_fd_, text, sizeof(text), 0);
  int64_t number = 0;
  if (count > 0) std::from_chars(text, text + count, number);
  const fs::path path = folder_.native() + fmt::format(".replaced-{}", number);
  return number > 0 && may_be_overwritten(path) ? path : fs::path();
}

void OutputFolder::set_target_aside() {
  const std::string number = std::to_string(getpid());
  if (ftruncate(lock_fd_, 0) != 0 ||
      pwrite(lock_fd_, number.data(), number.size(), 0) != static_cast<ssize_t>(number.size()) ||
      fsync(lock_fd_) != 0) {
    throw output_error("write", partial_ / kLockName, errno);
  }
  rename_new(folder_, folder_.native() + ".replaced-" + number);
}

/// After DIR is in place: removes the folder it replaced, the state and the lock. The lock goes last,
/// because a later run finishes an interrupted tidy() only if the lock exists.
void OutputFolder::tidy() {
  if (const fs::path old = replaced(); !old.empty()) {
    std::error_code failure;
    fs::remove_all(old, failure);
    if (failure) throw output_error("remove the replaced folder", old, failure.value());
  }
  kill_point("before the state is removed");
  ::unlink((folder_ / kStateName).c_str());
  kill_point("before the lock is removed");
  ::unlink((folder_ / kLockName).c_str());
  ::close(std::exchange(lock_fd_, -1));
  sync_folder(folder_);
  sync_folder(folder_.parent_path());
}

void OutputFolder::drop() noexcept {
  if (published_ || finished_ || kept_) {
    if (lock_fd_ >= 0) ::close(std::exchange(lock_fd_, -1));
  } else if (lock_fd_ >= 0) {
    discard();
  } else {
    remove_made_parents();
  }
}

void OutputFolder::discard() noexcept {
  try {
    empty_partial();
  } catch (const std::exception&) {
    // Leave the rest; the error that led here is the one to report.
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
