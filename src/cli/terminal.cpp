#include "terminal.h"

#include <prune/core/error.h>
#include <prune/core/memory.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace prune::cli {
namespace {

using Clock = std::chrono::steady_clock;

std::mutex live_mutex;
std::string live_line;

// Cuts text to one row of the terminal: a wrapped line could not be erased.
std::string fit_to_terminal(const std::string& text) {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return text;
  return text.substr(0, size.ws_col - 1U);
}

// What stderr cannot take is lost: there is no other place to say so.
void write_stderr(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

void show_live_line(const std::string& text) {
  const std::lock_guard lock(live_mutex);
  live_line = fit_to_terminal(text);
  write_stderr("\r\033[K" + live_line);
}

std::string short_duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

class RunProgress : public Progress {
 public:
  explicit RunProgress(bool live) : live_(live) {}

  void begin(const std::string& phase, int64_t steps) override {
    phase_ = phase;
    steps_ = steps;
    done_ = 0;
    start_ = Clock::now();
    detail("");
  }

  void detail(const std::string& text) override {
    if (live_ && spdlog::default_logger()->should_log(spdlog::level::info)) {
      show_live_line(status() + (text.empty() ? "" : "  " + text));
    }
  }

  void advance() override {
    ++done_;
    if (live_) {
      detail("");
      if (done_ == steps_) clear_live_line();
    } else {
      spdlog::info(status());
    }
  }

 private:
  std::string status() const {
    const double elapsed_s = std::chrono::duration<double>(Clock::now() - start_).count();
    std::string text = fmt::format("{} block {}/{}", phase_, done_, steps_);
    if (done_ > 0) {
      const double per_step_s = elapsed_s / static_cast<double>(done_);
      text += fmt::format("  {:.2f} s/block  ETA {}", per_step_s,
                          short_duration(per_step_s * static_cast<double>(steps_ - done_)));
    }
    return text + "  memory " + human_bytes(peak_host_bytes());
  }

  bool live_;
  std::string phase_;
  int64_t steps_ = 0;
  int64_t done_ = 0;
  Clock::time_point start_;
};

}  // namespace

std::unique_ptr<Progress> make_progress() {
  return std::make_unique<RunProgress>(stderr_is_terminal());
}

bool stderr_is_terminal() {
  const char* kind = std::getenv("TERM");
  const bool dumb = kind != nullptr && std::string_view(kind) == "dumb";  // no escape sequences
  return isatty(STDERR_FILENO) != 0 && !dumb;
}

bool colours_stderr(Color color) {
  if (color != Color::kAuto) return color == Color::kAlways;
  const char* refused = std::getenv("NO_COLOR");
  return stderr_is_terminal() && (refused == nullptr || *refused == '\0');
}

void print_above_live_line(const std::string& text) {
  const std::lock_guard lock(live_mutex);
  write_stderr(live_line.empty() ? text : "\r\033[K" + text + live_line);
}

void write_stdout(const std::string& text) {
  clear_live_line();
  errno = 0;
  const bool written =
      std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (written && std::ferror(stdout) == 0) return;
  const int reason = errno != 0 ? errno : EIO;  // an earlier write has failed
  throw Error(ErrorKind::kOutput,
              fmt::format("standard output: cannot write: {}", std::strerror(reason)));
}

void clear_live_line() {
  const std::lock_guard lock(live_mutex);
  if (!live_line.empty()) write_stderr("\r\033[K");
  live_line.clear();
}

}  // namespace prune::cli
