// tokenizer.model: a SentencePiece model that opens must encode any text, and a unigram model must find the
// tokens that a plain search over all substrings finds. The first byte is the length of the text, which follows;
// the rest is the file.
#include "unigram.h"

#include <prune/core/utf8.h>
#include <prune/tokenizer/tokenizer.h>

#include <map>
#include <optional>
#include <vector>

#include "fuzz/fuzz.h"
#include "sentencepiece_model.h"

using namespace prune;
using namespace prune::tokenizer;
namespace fs = std::filesystem;

namespace {

struct Best {
  double score = 0;
  size_t begin = 0;
  bool reached = false;
  bool is_unk = false;
};

/// The ends of the tokens of the best cut, from right to left, with the unknown ones joined.
std::vector<size_t> plain_cuts(const std::map<std::string, double>& scores, double unk_score,
                               const std::string& unk_token, const std::string& text) {
  std::vector<Best> best(text.size() + 1);
  for (size_t begin = 0; begin < text.size(); begin += utf8_length(text[begin])) {
    const auto offer = [&](size_t size, double score, bool is_unk) {
      Best& old = best[begin + size];
      const double sum = score + best[begin].score;
      if (!old.reached || sum > old.score) old = {sum, begin, true, is_unk};
    };
    bool has_character = false;
    for (size_t size = 1; size <= text.size() - begin; ++size) {
      const auto found = scores.find(text.substr(begin, size));
      if (found == scores.end()) continue;
      offer(size, found->second, found->first == unk_token);
      has_character = has_character || size == utf8_length(text[begin]);
    }
    if (!has_character) offer(utf8_length(text[begin]), unk_score, true);
  }
  std::vector<size_t> ends;
  bool joins = false;
  for (size_t end = text.size(); end > 0; end = best[end].begin) {
    if (!best[end].is_unk || !joins) ends.push_back(end);
    joins = best[end].is_unk;
  }
  return ends;
}

void check_unigram(const SentencePieceModel& model, std::string_view bytes) {
  ScoredTokens tokens;
  std::map<std::string, double> scores;
  double lowest = 0;
  for (const SentencePieceModel::Piece& piece : model.pieces) {
    std::string storage;
    tokens.emplace_back(valid_utf8(piece.text, storage), piece.score);
    scores[tokens.back().first] = piece.score;
    lowest = tokens.size() == 1 ? piece.score : std::min<double>(lowest, piece.score);
  }
  Unigram unigram(tokens, model.unk_id, false);
  std::string storage;
  const std::string text(valid_utf8(bytes, storage));
  std::vector<int64_t> ids;
  unigram.encode(text, ids);
  const std::string& unk_token = tokens[model.unk_id].first;
  // A repeated token has the id of its last entry; only that can be the unknown one.
  const bool unk_is_last = unigram.id_of(unk_token) == model.unk_id;
  const std::vector<size_t> ends =
      plain_cuts(scores, lowest - 10, unk_is_last ? unk_token : "\xFF", text);
  fuzz::require(ids.size() == ends.size(), "the plain search finds as many tokens");
  size_t begin = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const size_t end = ends[ends.size() - 1 - i];
    const std::optional<uint32_t> id = unigram.id_of(text.substr(begin, end - begin));
    fuzz::require(ids[i] == id.value_or(static_cast<uint32_t>(model.unk_id)),
                  "the plain search finds the same tokens");
    begin = end;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::MemoryFile kFile;
  static const fs::path kFolder = [] {
    const fs::path folder = fuzz::make_folder();
    fs::create_symlink(kFile.path(), folder / "tokenizer.model");
    return folder;
  }();
  if (size == 0) return 0;
  const size_t text_size = std::min<size_t>(data[0], size - 1);
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, text_size);
  kFile.assign(data + 1 + text_size, size - 1 - text_size);
  return fuzz::survive([&] {
    const SentencePieceModel model = read_sentencepiece_model(kFolder / "tokenizer.model");
    check_unigram(model, text);
    const auto tokenizer = load_tokenizer(kFolder);
    const std::vector<int64_t> ids = tokenizer->encode(text);
    for (const int64_t id : ids) {
      fuzz::require(id >= 0 && id < tokenizer->vocab_size(), "ids are below vocab_size");
    }
    fuzz::require(tokenizer->encode(text) == ids,
                  "encoding again, from the cache, gives the same ids");
    std::string streamed;
    TextStream stream(*tokenizer);
    for (const int64_t id : ids) streamed += stream.push(id);
    fuzz::require(streamed + stream.finish() == tokenizer->decode(ids),
                  "a stream gives the text of all ids");
  });
}
