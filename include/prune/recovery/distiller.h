#pragma once

#include <prune/models/ends.h>
#include <prune/recovery/student.h>

#include <functional>

namespace prune::recovery {

/// Adds up a tensor over ranks, in place.
using SumOverRanks = std::function<void(Tensor&)>;

/// Trains a student to predict what the dense model predicts: the loss is distillation_loss() per token. A step goes
/// forward through all blocks, keeping the stream at each border, and back block by block; each block runs again on
/// the way back and is updated at once. The memory for that is one block's and the borders'.
class Distiller {
 public:
  struct Ends {
    const models::Embedding& embedding;
    const models::Head& teacher_head;
    const models::Head& student_head;
  };

  Distiller(Student& student, const Ends& ends, std::filesystem::path scratch, SumOverRanks sum);

  /// One step on a batch.
  /// @param ids     [samples, seqlen] of this rank; samples may be 0
  /// @param teacher [samples, seqlen, stream_size], the dense model's hidden states after the last block; not read
  ///        for no samples
  /// @param tokens  of all ranks' samples
  /// @return the loss summed over this rank's tokens, before the step
  double step_(const Tensor& ids, const Tensor& teacher, int64_t tokens, const AdamStep& step);

  /// One step of a single block towards the dense model's stream: the loss is the squared error of its output relative
  /// to the output's energy, per token.
  /// @param hidden [samples, seqlen, stream_size], the student's stream before the block
  /// @param wanted same shape, the dense model's stream after it; neither is read for no samples
  /// @param tokens of all ranks' samples
  /// @return the loss summed over this rank's tokens, before the step
  double block_step_(int64_t block, const Tensor& hidden, const Tensor& wanted, int64_t tokens,
                     const AdamStep& step);

  /// The loss summed over these samples' tokens.
  double loss(const Tensor& ids, const Tensor& teacher);

 private:
  void forward_(int64_t block, Tensor& stream);
  using OutputGradient = std::function<Tensor(int64_t sample, const Tensor& output)>;
  Tensor backward_(int64_t block, const Tensor& inputs, const OutputGradient& output_gradient,
                   bool with_input, const AdamStep& step);

  Student* student_;
  Ends ends_;
  std::filesystem::path scratch_;
  SumOverRanks sum_;
  std::unique_ptr<stream::BatchStore> borders_;  // [blocks * samples, seqlen, stream_size]
  int64_t border_samples_ = 0;
};

}  // namespace prune::recovery
