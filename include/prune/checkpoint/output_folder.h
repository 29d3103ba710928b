#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace prune::checkpoint {

/// Resolves symbolic links, including one whose target does not exist yet, so that with
/// `out -> /big/disk/out` everything, DIR.partial included, is written to the big disk.
std::filesystem::path resolve_output(const std::filesystem::path& folder);

/// File in DIR.partial that record() writes.
inline constexpr const char* kStateName = ".prune-state.json";

/// DIR.partial, locked by one process; publish() renames it to DIR. Without publish() the destructor
/// removes it with its contents, unless work was recorded: then it stays until a run resumes or overwrites
/// it. The protocol: src/checkpoint/README.md, "Output folder and resume".
class OutputFolder {
 public:
  /// Creates DIR.partial and missing parents, or takes over what a killed process left there: recorded work
  /// is kept with `resume` and removed with `overwrite`; unrecorded files are removed.
  /// @param folder DIR, resolved.
  /// A DIR that is empty or holds only logs (*.log, *.out, *.err) does not count as existing.
  /// @throws Error(output): DIR exists and !overwrite, DIR does not look like a checkpoint, another process
  ///         holds DIR.partial, DIR.partial contains recorded work and neither `resume` nor `overwrite` is
  ///         set, DIR.partial is not ours, or the parent is not writable.
  OutputFolder(std::filesystem::path folder, bool overwrite, bool resume);
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder();

  const std::filesystem::path& partial() const { return partial_; }

  /// The last state that the killed process recorded; empty if the work starts from the beginning.
  const std::string& recorded() const { return recorded_; }
  /// True if `resume` found DIR and no recorded work: nothing is left to do.
  bool finished() const { return finished_; }

  /// Replaces the recorded state, atomically and durably. All data it refers to must be durable already.
  void record(const std::string& state);

  /// Removes all but `files` from DIR.partial and renames it to DIR, durably. An overwritten DIR is removed
  /// only after the rename. If the process dies at any point, a run with `resume` reaches the same result.
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
  void keep_logs();
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
