#pragma once

#include <string>
#include <vector>

#include "cli/tiny_model.h"

namespace prune::test {

/// A wish that cannot be granted.
struct Refusal {
  const char* what;
  const char* golden_case;
  std::vector<std::string> arguments;
  const char* message;
};

/// Runs that remove whole units of tiny models.
class SmallerModels : public testing::Test {
 protected:
  /// @param seqlen  of the calibration samples
  explicit SmallerModels(int seqlen)
      : seqlen_(std::to_string(seqlen)), text_(folder_.write("text.txt", tiny_text()).string()) {}

  std::string model(const std::string& golden_case) const {
    return tiny_model(folder_, golden_case, golden_case).string();
  }
  std::filesystem::path output() const { return folder_.path() / "out"; }

  std::vector<std::string> arguments(const std::string& model, std::vector<std::string> more,
                                     int nsamples) const {
    more.insert(more.end(),
                {"--model", model, "--calibration", text_, "--nsamples", std::to_string(nsamples),
                 "--seqlen", seqlen_, "--output", output().string(), "--threads", "1", "--quiet"});
    return more;
  }
  Outcome evaluate() const {
    return run_prune({"eval", "--quiet", "--model", output().string(), "--data", text_, "--seqlen",
                      seqlen_, "--segments", "2"});
  }
  void expect_refused(const std::vector<Refusal>& refusals, int nsamples) const {
    for (const Refusal& refusal : refusals) {
      SCOPED_TRACE(refusal.what);
      const Outcome outcome =
          run_prune(arguments(model(refusal.golden_case), refusal.arguments, nsamples));
      EXPECT_EQ(outcome.code, 2) << outcome.err;
      EXPECT_THAT(outcome.err, testing::HasSubstr(refusal.message));
      EXPECT_FALSE(std::filesystem::exists(output()));
      std::filesystem::remove_all(folder_.path() / refusal.golden_case);
    }
  }

  TemporaryFolder folder_;
  std::string seqlen_;
  std::string text_;
};

}  // namespace prune::test
