#pragma once

#include <cstdint>
#include <vector>

namespace prune::recovery {

/// What learns from what.
enum class Scope {
  kModel,  ///< the whole model from the dense model's predictions
  kBlock,  ///< each block from the dense model's stream after it
  kBoth,   ///< the blocks, then the model
};

/// "model", "block", "both".
const char* scope_name(Scope scope);

struct RecoveryOptions {
  int64_t steps = 0;  ///< 0: no recovery
  double rate = 0.0;  ///< of Adam at its peak, relative to a layer's weights; 0: default_rate()
  int64_t batch = 1;  ///< samples in a step
  Scope scope = Scope::kModel;

  bool trains_blocks() const { return steps > 0 && scope != Scope::kModel; }
  bool trains_model() const { return steps > 0 && scope != Scope::kBlock; }
};

/// The peak rate for a start with this held-out loss (src/recovery/README.md, "Adam").
/// @param loss KL per token, in nats
/// @param kept_share  of the trained layers' weights
double default_rate(double loss, double kept_share);

/// How many of so many calibration samples are held out: the last of every 32, at least one and at most 16.
int64_t held_out_samples(int64_t samples);

/// Which samples are trained on and when, and the rate of each step.
class Timetable {
 public:
  static constexpr int64_t kMeasurements = 8;  ///< of the held-out loss on the way

  /// @param samples of the calibration set, at least 2; the last held_out_samples() are not trained on
  Timetable(const RecoveryOptions& options, int64_t samples, uint64_t seed);

  int64_t trained() const { return trained_; }
  std::vector<int64_t> held_out() const;
  /// Samples of step `number`, counted from 1. All samples come once before one comes again.
  std::vector<int64_t> batch(int64_t number) const;
  /// The rate of a step as a share of the peak: rises in the first eighth of the steps, at least four, then falls to zero
  /// along a cosine (arXiv 1608.03983).
  double share_of_rate(int64_t number) const;
  /// True where the held-out loss is measured and the state is recorded: eight times, the last one after the last
  /// step.
  bool measures_after(int64_t number) const;

 private:
  RecoveryOptions options_;
  int64_t samples_;
  int64_t trained_;
  uint64_t seed_;
};

}  // namespace prune::recovery
