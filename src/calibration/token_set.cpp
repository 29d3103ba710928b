#include "token_set.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/core/sha256.h>

#include <cstring>
#include <span>

namespace prune::calibration {

TokenSet token_set(Tensor ids, std::vector<TextDescription> texts) {
  const auto bytes =
      std::as_bytes(std::span(ids.const_data_ptr<int64_t>(), static_cast<size_t>(ids.numel())));
  std::string names;
  for (const TextDescription& text : texts) names += (names.empty() ? "" : ", ") + text.name;
  std::string sha256 = sha256_hex(bytes);
  return {.ids = std::move(ids),
          .source = std::move(names),
          .sha256 = std::move(sha256),
          .texts = std::move(texts)};
}

void check_lengths(int64_t seqlen, int64_t nsamples) {
  if (seqlen < 1) {
    throw Error(ErrorKind::kUsage, fmt::format("seqlen is {}; it must be positive", seqlen));
  }
  if (nsamples < 1) {
    throw Error(ErrorKind::kUsage, fmt::format("nsamples is {}; it must be positive", nsamples));
  }
}

void copy_row_(Tensor& ids, int64_t row, const int64_t* source) {
  std::memcpy(ids.data_ptr<int64_t>() + row * ids.size(1), source,
              static_cast<size_t>(ids.size(1)) * sizeof(int64_t));
}

std::string joined(const std::vector<std::string>& documents, const std::string& separator) {
  return fmt::format("{}", fmt::join(documents, separator));
}

bool starts_with_bos(const std::vector<int64_t>& ids, const tokenizer::Tokenizer& tokenizer) {
  return !ids.empty() && tokenizer.bos_id() == ids.front();
}

}  // namespace prune::calibration
