#pragma once

#include <prune/models/model_shape.h>
#include <prune/solver/options.h>
#include <prune/stream/hidden_states.h>
#include <prune/stream/staged_forward.h>

#include <map>
#include <string>
#include <vector>

// What a run costs, from shapes and rates alone: nothing here reads a file or makes a tensor. It follows
// the passes (estimate_pass, prune_pass, evaluation::perplexity) step by step; tests/pipeline counts what
// they allocate and compares, so a pass that changes without its twin here fails.
//
// Per block of a pass over T tokens, h = hidden size, a layer [rows, cols], n = columns of an input:
//
//   forward       2 T Σ rows cols + the family's ForwardCost; in the prune pass once, and again what leads
//                 to inputs that are not kept (stream::StagedForward). In the order of blocks twice: for
//                 the Hessians, where the block's last layers are spared, and through the pruned block
//   Hessians      T Σ n (n + p): panels of p = hessian::panel_rows() rows of the lower triangle
//   factors       Σ n³ / 3
//   estimates     Σ rows cols weights
//   solver        Σ rows cols (cols + 550): the trailing product, and the column loop with its threshold,
//                 which takes as long as 550 more columns would (ENGINEERING §2.1)
//   refine        at most `refine` steps: 2 Σ rows cols² and nine tensors of the weight's size each
//   ALPS          an eigendecomposition a layer, 9 cols³, and some 55 steps: twice a step of refine's product and
//                 eleven tensors; how many depends on the weights, but hardly
//   score         `auto`: for each candidate a prune pass without ALPS, refine and writing, and an evaluation
//   records       three synced writes a pruned layer, four an estimated block (pipeline::Journal)
//   loading       every stored byte of the block, checked and converted; reading it from the disk goes on
//                 beside all this, and counts only as far as it takes longer
//
// The time of a step is its work over the machine's rate for that kind of work.
namespace prune::plan {

/// All that a run's cost depends on, beside the machine.
struct RunShape {
  models::ModelShape model;
  std::vector<std::vector<models::LinearSpec>> chosen;  ///< layers to prune, by block
  std::vector<std::vector<models::LinearSpec>> owned;   ///< those of them that this rank solves
  at::ScalarType stored_dtype = at::kHalf;
  at::ScalarType dtype = at::kFloat;  ///< computing dtype
  bool on_cuda = false;
  bool by_onednn = false;        ///< float32 products are oneDNN's (product_library)
  solver::SolverOptions solver;  ///< with the target as sparsity of every layer
  bool packed = false;           ///< quantized weights are written as codes
  bool sequential = true;        ///< else all Hessians of a block come first
  stream::KeptSites kept;        ///< in the prune pass, if sequential
  int64_t nsamples = 0;
  int64_t estimate_nsamples = 0;  ///< those of the estimate pass
  int64_t seqlen = 0;
  int64_t segments = 0;       ///< of the evaluation before and after; 0: none
  bool estimates = true;      ///< an estimate pass comes first
  int64_t trials = 0;         ///< candidates that `auto` scores
  int64_t trial_samples = 0;  ///< that a trial prunes with; as many are measured
  stream::StatesPlace states_place = stream::StatesPlace::kDevice;  ///< of the calibration samples
};

/// What this machine does in a second.
struct Rates {
  double linear_flops = 0.0;
  double attention_flops = 0.0;
  double hessian_flops = 0.0;
  double factor_flops = 0.0;
  double solver_flops = 0.0;
  double product_flops =
      0.0;  ///< float32, of a weight and a Hessian; 0: not measured, there are none
  double eigen_flops = 0.0;  ///< eigendecompositions; 0: likewise
  double estimated_weights = 0.0;
  double written_bytes = 0.0;  ///< by elementwise operations
  double loaded_bytes = 0.0;   ///< stored bytes, from memory to the device in the computing dtype
  double read_bytes = 0.0;     ///< from the disk; 0: not measured, reading costs nothing then
  double stored_bytes = 0.0;   ///< to the disk, synced; 0: not measured
  double synced_writes = 0.0;  ///< short ones to the disk; 0: not measured
  double hashed_bytes = 0.0;   ///< of the weight files, by SHA-256
};

/// One kind of work within a phase.
struct Work {
  std::string what;
  double amount = 0.0;
  double per_s = 0.0;
  double elapsed_s() const { return per_s > 0.0 ? amount / per_s : 0.0; }
};

/// A phase of the report's `elapsed_s`.
struct Phase {
  std::string name;
  std::vector<Work> work;
  Work reading;  ///< from the disk, beside the work
  double elapsed_s() const;
};

/// The phases after the inputs are open, in order: evaluate, estimate, score, prune, write. The evaluations
/// before and after are one phase, as in the report.
std::vector<Phase> phases(const RunShape& run, const Rates& rates);

/// Memory that is held at one moment of a run, beyond what the idle process has.
struct Moment {
  struct Item {
    std::string what;
    double size_bytes = 0.0;
    bool on_device = false;  ///< else in host memory; on the CPU all is
  };
  std::string when;
  std::vector<Item> items;
  double host_bytes() const;
  double device_bytes() const;
};

/// The moments of a run that can be its peak; of all blocks the one that needs most.
std::vector<Moment> moments(const RunShape& run);

/// Which rank factors the Hessian of each input of a block, by the input's number, and prunes the layers that
/// read it: the inputs are dealt out, the largest first, each to the rank that has least to do, and the
/// most work to rank 0.
std::map<int64_t, int64_t> input_owners(const std::vector<models::LinearSpec>& layers,
                                        int64_t world_size);

/// The part of a run that one of several ranks does: calibration samples and segments are split evenly,
/// the layers of a block by input_owners().
struct RankShare {
  int64_t rank = 0;
  RunShape run;  ///< this rank's samples, segments and layers
  double forward_flops = 0.0;
  double hessian_flops = 0.0;
  double solver_flops = 0.0;        ///< factors and solver
  double sent_hessian_bytes = 0.0;  ///< of both passes: the inputs that others own
};

/// Rank 0 has the most to do, so its phases are the run's: of a sequential one with all solving, for which
/// the ranks wait in turn.
std::vector<RankShare> split(const RunShape& run, int64_t world_size);

/// What every rank but one sends or gets for one block: the lower triangles of all Hessians (in panels
/// of hessian::panel_rows()) on the way to their owners, in each of the two passes, and the pruned weights
/// from there.
struct Exchange {
  double hessian_bytes = 0.0;
  double weight_bytes = 0.0;
};
Exchange exchange(const RunShape& run, int64_t block);

/// Size of the model's weights as they are stored, of the output's, and of the residual stream of all
/// calibration samples.
double input_bytes(const RunShape& run);
double output_bytes(const RunShape& run);
double states_bytes(const RunShape& run);

// The work of single steps; the rates are measured in the same units.
double linear_flops(int64_t rows, int64_t cols, double tokens);
double hessian_flops(int64_t cols, double tokens, bool on_cuda);
double factor_flops(int64_t cols);
double eigen_flops(int64_t cols);
double hessian_product_flops(int64_t rows, int64_t cols);
double solver_flops(int64_t rows, int64_t cols);

}  // namespace prune::plan
