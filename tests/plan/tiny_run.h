#pragma once

#include <prune/core/json_file.h>
#include <prune/plan/cost_model.h>

#include <numeric>

#include "support.h"

namespace prune::test {

/// An OPT small enough to be counted by hand: h = 8, f = 16, 2 blocks, vocabulary 10, 6 positions; 4
/// samples of 2 tokens, 3 segments. Every layer is pruned, in the order of blocks.
inline plan::RunShape tiny_run() {
  const TemporaryFolder folder;
  folder.write("config.json", R"({"model_type": "opt", "vocab_size": 10, "hidden_size": 8,
    "ffn_dim": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "word_embed_proj_dim": 8,
    "max_position_embeddings": 4, "dtype": "float16"})");
  plan::RunShape run;
  run.model = models::read_model_shape(folder.path());
  run.chosen.assign(2, run.model.linears);
  run.owned = run.chosen;
  run.stored_dtype = at::kHalf;
  run.dtype = at::kFloat;
  run.sequential = false;
  run.nsamples = 4;
  run.estimate_nsamples = 4;
  run.seqlen = 2;
  run.segments = 3;
  return run;
}

}  // namespace prune::test
