#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace prune::tokenizer {

/// Converts text to token ids and back. The ids equal those of one call `tokenizer(text)` of Transformers for
/// the same folder: the post-processor adds special tokens (BOS) once per call.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Replaces invalid UTF-8 by U+FFFD first, as Python's errors="replace" does. Thread-safe.
  /// @param add_special_tokens  false skips the post-processor; special tokens that the text itself
  ///        contains are still matched.
  virtual std::vector<int64_t> encode(std::string_view text,
                                      bool add_special_tokens = true) const = 0;
  /// The text of token ids, in valid UTF-8. It equals Transformers' `tokenizer.decode(ids)` with
  /// clean_up_tokenization_spaces=False. Skips ids outside the vocabulary. Thread-safe.
  /// @param skip_special_tokens  leaves out special added tokens (BOS, EOS, ...).
  /// @throws Error(input) with the name of a decoder that is not supported; such a folder still encodes.
  virtual std::string decode(const std::vector<int64_t>& ids,
                             bool skip_special_tokens = true) const = 0;
  /// False if later ids may change the end of decode(ids) although its characters are complete. Such ids end with
  /// byte tokens: one invalid byte turns their whole run into U+FFFD.
  virtual bool is_settled(const std::vector<int64_t>& /*ids*/,
                          bool /*skip_special_tokens*/ = true) const {
    return true;
  }
  /// One more than the largest id, added tokens included.
  virtual int64_t vocab_size() const = 0;
  /// Id of the folder's bos_token; std::nullopt if the folder names none that has an id.
  virtual std::optional<int64_t> bos_id() const { return std::nullopt; }
  virtual std::optional<int64_t> eos_id() const { return std::nullopt; }
  /// "bos_token", "eos_token", ... -> its text, as far as the folder or its tokenizer class names them: what
  /// Transformers hands to chat templates.
  virtual std::map<std::string, std::string> special_tokens() const { return {}; }
  /// Number of BOS tokens with which the post-processor starts every text.
  virtual int64_t leading_bos() const { return 0; }
};

/// Decodes ids one at a time, as a model generates them. The returned texts, joined, equal decode() of all ids.
/// Source: prefix_offset and read_offset of huggingface/text-generation-inference.
class TextStream {
 public:
  /// @param tokenizer  must outlive the stream.
  explicit TextStream(const Tokenizer& tokenizer, bool skip_special_tokens = true);
  /// The text that this id makes certain: whole characters that no later id can change. May be empty.
  std::string push(int64_t id);
  /// The rest, with U+FFFD for half a character. The next push starts a new text.
  std::string finish();

 private:
  std::vector<int64_t> ids_from(size_t begin) const;

  const Tokenizer& tokenizer_;
  bool skip_special_tokens_;
  std::vector<int64_t> ids_;
  // Each push decodes from window_begin_, a few ids before the first unread one: the text of an id depends on
  // its predecessors.
  size_t window_begin_ = 0;
  size_t read_begin_ = 0;
  std::string window_text_;  // of the ids [window_begin_, read_begin_)
  size_t sent_bytes_ = 0;
};

/// Whether texts start with the BOS token.
enum class AddBos {
  kAuto,  ///< as the tokenizer adds it, but not again in front of a text that starts with it
  kOn,    ///< always; a text that starts with it gets no second one
  kOff,   ///< only if the text itself starts with it
};

/// The ids of a text, with other special tokens (EOS) as the tokenizer adds them. kAuto keeps one BOS
/// where `tokenizer(text)` of Transformers has two, as lm-evaluation-harness does.
/// @throws Error(input) for kOn if the folder names no BOS.
std::vector<int64_t> encode_text(const Tokenizer& tokenizer, std::string_view text, AddBos add_bos);

/// Opens the tokenizer of a checkpoint folder: tokenizer.json, else vocab.json with merges.txt, else a
/// SentencePiece tokenizer.model (src/tokenizer/README.md, "Files of a folder").
/// @throws Error(input) if the folder has no tokenizer, a file is broken, or a component is not
///         supported, with the name of that component.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder);

}  // namespace prune::tokenizer
