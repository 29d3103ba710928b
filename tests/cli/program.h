#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support.h"

namespace prune::test {

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

inline std::string bytes(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// Runs a shell command line and waits for it.
inline Outcome run_shell(const std::string& command) {
  const TemporaryFolder folder;
  const std::string out = (folder.path() / "out").string();
  const std::string err = (folder.path() / "err").string();
  const int status = std::system(("{ " + command + "; } >" + out + " 2>" + err).c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), bytes(out), bytes(err)};
}

inline std::string quoted(const std::string& word) { return "'" + word + "'"; }

/// Runs the program `prune`.
inline Outcome run_prune(const std::vector<std::string>& arguments) {
  std::string command = PRUNE_PROGRAM;
  for (const std::string& argument : arguments) command += " " + quoted(argument);
  return run_shell(command);
}

inline std::string model_folder() { return (fixtures() / "opt-books-6m").string(); }
inline std::string calibration_text() { return (fixtures() / "books.calibration.txt").string(); }

/// A run small enough for a test: a few short samples of the bundled model.
inline std::vector<std::string> small_run(const std::string& model, const std::string& output,
                                          std::vector<std::string> more = {"--target", "0.7"}) {
  std::vector<std::string> arguments = {"--model",    model,  "--calibration", calibration_text(),
                                        "--nsamples", "4",    "--seqlen",      "64",
                                        "--output",   output, "--quiet"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

inline nlohmann::json read_report(const std::filesystem::path& output) {
  std::ifstream stream(output / "prune_report.json");
  return nlohmann::json::parse(stream);
}

/// A copy of the bundled model that a test may damage.
inline std::filesystem::path copy_model(const TemporaryFolder& folder,
                                        const std::string& name = "model") {
  const std::filesystem::path copy = folder.path() / name;
  std::filesystem::copy(model_folder(), copy, std::filesystem::copy_options::recursive);
  for (const auto& file : std::filesystem::directory_iterator(copy)) {
    std::filesystem::permissions(file, std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
  }
  return copy;
}

}  // namespace prune::test
