#pragma once

#include <prune/calibration/calibration_set.h>

#include <string>
#include <vector>

namespace prune::calibration {

/// A set of ids with its hash.
TokenSet token_set(Tensor ids, std::vector<TextDescription> texts);

/// @throws Error(usage) if one is not positive.
void check_lengths(int64_t seqlen, int64_t nsamples);

/// Copies `ids.size(1)` ids to a row.
void copy_row_(Tensor& ids, int64_t row, const int64_t* source);

std::string joined(const std::vector<std::string>& documents, const std::string& separator);

/// True if a text was encoded with BOS in front.
bool starts_with_bos(const std::vector<int64_t>& ids, const tokenizer::Tokenizer& tokenizer);

}  // namespace prune::calibration
