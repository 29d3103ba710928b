#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace prune::checkpoint {

/// Follows symbolic links, also one that points to nothing yet, so that `out -> /big/disk/out` puts
/// everything, DIR.partial included, onto the big disk.
std::filesystem::path resolve_output(const std::filesystem::path& folder);

/// Where record() notes how far the work is, inside DIR.partial.
inline constexpr const char* kStateName = "state.json";

/// DIR.partial, held by one process: work happens in it until publish() makes it DIR. Dropped
/// without publish() it is removed with all that is in it, unless work was recorded: then it stays, and
/// only a run that resumes or overwrites gets past it.
class OutputFolder {
 public:
  /// Makes DIR.partial, or takes over what a dead process left there: recorded work is kept to go on
  /// with (`resume`) or thrown away (`overwrite`), anything else is. Makes missing parents.
  /// @param folder DIR, resolved.
  /// @throws Error(output): DIR is there and !overwrite, is no checkpoint that may be overwritten,
  ///         DIR.partial is held by another process, holds recorded work that is neither to be resumed
  ///         nor overwritten, or was not made by us, the parent is not writable.
  OutputFolder(std::filesystem::path folder, bool overwrite, bool resume);
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder();

  const std::filesystem::path& partial() const { return partial_; }

  /// What the dead process recorded last; empty: the work begins from nothing.
  const std::string& recorded() const { return recorded_; }
  /// True when `resume` found DIR in place and no recorded work: nothing is left to do.
  bool finished() const { return finished_; }

  /// Notes how far the work is, durably. What it speaks of must be durable already.
  void record(const std::string& state);

  /// Renames DIR.partial to DIR, durably, with nothing in it but these files. Only an overwritten DIR is removed, after the rename. A
  /// process that dies in between leaves what a run that resumes can bring to the same end.
  void publish(const std::set<std::string>& files);

 private:
  void check_target() const;
  void make_parents();
  void acquire_lock();
  bool try_acquire_lock();
  bool lock(const std::filesystem::path& path, int flags);
  void take_over(bool resume);
  void empty_partial();
  void remove_all_but(const std::set<std::string>& files);
  std::filesystem::path replaced() const;
  void set_target_aside();
  void tidy();
  void drop() noexcept;
  void discard() noexcept;
  void remove_made_parents() noexcept;

  std::filesystem::path folder_;
  std::filesystem::path partial_;
  bool overwrite_;
  bool finished_ = false;
  bool published_ = false;
  bool kept_ = false;
  std::string recorded_;
  int lock_fd_ = -1;
  std::vector<std::filesystem::path> made_parents_;
};

}  // namespace prune::checkpoint
