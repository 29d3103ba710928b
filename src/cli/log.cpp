#include "log.h"

#include <prune/core/error.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

#include <mutex>

namespace prune::cli {
namespace {

class StderrSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit StderrSink(bool coloured) : coloured_(coloured) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t buffer;
    formatter_->format(message, buffer);
    std::string text(buffer.data(), buffer.size());
    if (coloured_ && message.level >= spdlog::level::warn) text = "\033[33m" + text + "\033[0m";
    print_above_live_line(text);
  }
  void flush_() override {}

 private:
  bool coloured_;
};

std::mutex fault_mutex;
std::string log_fault;  // the first one

}  // namespace

void check_log() {
  const std::lock_guard lock(fault_mutex);
  if (!log_fault.empty()) throw Error(ErrorKind::kOutput, "--log-file: " + log_fault);
}

void start_log(const LogOptions& options) {
  auto console = std::make_shared<StderrSink>(colours_stderr(options.color));
  // On a terminal the user sees when a line appears; a redirected log needs the time in it.
  const std::string rank = options.rank > 0 ? fmt::format("rank {}: ", options.rank) : "";
  console->set_pattern((stderr_is_terminal() ? "" : "%Y-%m-%d %H:%M:%S %l ") + rank + "%v");
  const bool quiet = options.quiet || options.rank > 0;
  console->set_level(quiet             ? spdlog::level::warn
                     : options.verbose ? spdlog::level::debug
                                       : spdlog::level::info);
  std::vector<spdlog::sink_ptr> sinks = {console};
  if (!options.file.empty()) {
    try {
      auto file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
      file->set_pattern("%Y-%m-%d %H:%M:%S %l %v");
      sinks.push_back(file);
    } catch (const spdlog::spdlog_ex& e) {
      throw Error(ErrorKind::kOutput, fmt::format("--log-file: {}", e.what()));
    }
  }
  auto logger = std::make_shared<spdlog::logger>("prune", sinks.begin(), sinks.end());
  logger->set_level(options.verbose ? spdlog::level::debug : spdlog::level::info);
  logger->flush_on(spdlog::level::info);
  logger->set_error_handler([](const std::string& message) {
    const std::lock_guard lock(fault_mutex);
    if (log_fault.empty()) log_fault = message;
  });
  spdlog::set_default_logger(logger);
}

}  // namespace prune::cli
