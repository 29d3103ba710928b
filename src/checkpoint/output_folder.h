#pragma once

#include <filesystem>
#include <vector>

namespace prune::checkpoint {

/// Follows symbolic links, also one that points to nothing yet, so that `out -> /big/disk/out` puts
/// everything, DIR.partial included, onto the big disk.
std::filesystem::path resolve_output(const std::filesystem::path& folder);

/// DIR.partial, held by one process: work happens in it until publish() makes it DIR. Dropped
/// without publish() it is removed with all that is in it.
class OutputFolder {
 public:
  /// Takes over what a dead process left in DIR.partial and empties it. Makes missing parents.
  /// @param folder DIR, resolved.
  /// @throws Error(output): DIR is there and !overwrite, is no checkpoint that may be overwritten,
  ///         DIR.partial is held by another process or was not made by us, the parent is not writable.
  OutputFolder(std::filesystem::path folder, bool overwrite);
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder();

  const std::filesystem::path& partial() const { return partial_; }

  /// Renames DIR.partial to DIR, durably. Only an overwritten DIR is removed, after the rename.
  void publish();

 private:
  void check_target() const;
  void make_parents();
  void acquire_lock();
  bool try_acquire_lock();
  void empty_partial();
  void replace_target();
  void discard() noexcept;
  void remove_made_parents() noexcept;

  std::filesystem::path folder_;
  std::filesystem::path partial_;
  bool overwrite_;
  bool published_ = false;
  int lock_fd_ = -1;
  std::vector<std::filesystem::path> made_parents_;
};

}  // namespace prune::checkpoint
