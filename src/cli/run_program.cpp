#include "run_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <prune/core/error.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace prune::cli {
namespace {

Error cannot_start(const std::string& program, int code) {
  return {ErrorKind::kDevice, fmt::format("cannot start '{}': {}", program, strerror(code))};
}

class Pipe {
 public:
  Pipe() {
    if (pipe2(ends_, O_CLOEXEC) != 0) throw cannot_start("pipe", errno);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close(ends_[0]);
    close_writing();
  }
  int writing() const { return ends_[1]; }
  void close_writing() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }
  std::string read_all() const {
    std::string content;
    char buffer[4096];
    while (true) {
      const ssize_t count = read(ends_[0], buffer, sizeof(buffer));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return content;
      content.append(buffer, static_cast<size_t>(count));
    }
  }

 private:
  int ends_[2] = {-1, -1};
};

int wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw cannot_start("waitpid", errno);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

std::optional<ProgramResult> run_program(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  Pipe err;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  if (isatty(STDERR_FILENO) == 0) {
    posix_spawn_file_actions_adddup2(&actions, err.writing(), STDERR_FILENO);
  }
  pid_t child = 0;
  const int code = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (code == ENOENT) return std::nullopt;
  if (code != 0) throw cannot_start(arguments[0], code);
  err.close_writing();
  ProgramResult result;
  result.err = err.read_all();
  result.exit_code = wait_for(child);
  return result;
}

}  // namespace prune::cli
