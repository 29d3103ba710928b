#include <prune/core/error.h>
#include <prune/tokenizer/tokenizer.h>

namespace prune::tokenizer {

std::vector<int64_t> encode_text(const Tokenizer& tokenizer, std::string_view text,
                                 AddBos add_bos) {
  const std::optional<int64_t> bos = tokenizer.bos_id();
  if (add_bos == AddBos::kOn && !bos) {
    throw Error(ErrorKind::kInput,
                "the tokenizer names no BOS token to start texts with; tokenizer_config.json can "
                "name it as 'bos_token'");
  }
  std::vector<int64_t> ids = tokenizer.encode(text);
  const int64_t added = tokenizer.leading_bos();
  const auto starts_with_bos = [&](const std::vector<int64_t>& list) {
    return bos && !list.empty() && list.front() == *bos;
  };
  // A BOS after the added ones need not be the text's: EOS often has the same id.
  const bool repeated = added > 0 && ids.size() > static_cast<size_t>(added) &&
                        ids[static_cast<size_t>(added)] == *bos &&
                        starts_with_bos(tokenizer.encode(text, false));
  if (repeated || add_bos == AddBos::kOff) ids.erase(ids.begin(), ids.begin() + added);
  if (add_bos == AddBos::kOn && !starts_with_bos(ids)) ids.insert(ids.begin(), *bos);
  return ids;
}

}  // namespace prune::tokenizer
