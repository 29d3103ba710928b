#pragma once

#include <prune/calibration/text_source.h>
#include <prune/tokenizer/tokenizer.h>

#include <string>
#include <vector>

#include "options.h"

// Which texts a run reads, and how.
namespace prune::cli {

inline constexpr const char* kTextHelp =
    "c4, wikitext2, ptb, .txt, .jsonl, .json, .parquet, .gz, .zst; -: stdin";
inline constexpr const char* kMixHelp = "A:2,B:1: a mixture";

struct TextFlags {
  std::string field;
  std::string add_bos = "auto";
  std::string chat_template;
};

/// Adds --text-field, --add-bos and --chat-template.
void add_text_flags(CLI::App& app, TextFlags& flags);

/// @throws Error(usage) for an unknown word.
tokenizer::AddBos add_bos_of(const TextFlags& flags);

/// Checks what can be checked before a model or text is looked up.
/// @param calibration, evaluation  as named by the flags; empty: none
/// @throws Error(usage) for a bad mixture, for standard input or a pipe that would be read twice or by several
///         ranks, and for --text-field without a file.
void check_texts(const std::string& calibration, const std::string& evaluation,
                 const TextFlags& flags, int64_t nsamples);

/// The texts that --calibration names: one, or "NAME:WEIGHT,...". A path that exists is one file, whatever it
/// contains.
/// @throws Error(usage) for a bad mixture; Error(input) as find_data().
std::vector<calibration::TextFile> find_calibration(const std::string& value,
                                                    const TextFlags& flags, bool may_download);

/// The text that --eval or --data names. @throws Error(input) as find_data().
calibration::TextFile find_evaluation(const std::string& value, const TextFlags& flags,
                                      bool may_download);

}  // namespace prune::cli
