#pragma once

#include <c10/util/FunctionRef.h>
#include <prune/core/json_file.h>

#include <functional>
#include <string_view>

namespace prune::tokenizer {

/// A part of the text on its way to the model.
struct Piece {
  std::string_view text;  ///< valid UTF-8
  bool at_start;          ///< starts where the whole text starts
};
using PieceSink = c10::function_ref<void(const Piece&)>;

/// Cuts and rewrites a piece and passes the results on, from left to right. Each piece passes through all
/// steps before the next one is cut, so a long text needs no list of its pieces.
using PreTokenizer = std::function<void(const Piece&, PieceSink)>;

/// Builds "pre_tokenizer" of tokenizer.json; null passes pieces on unchanged.
/// @throws Error(input) with the name of a component that is not supported.
PreTokenizer make_pre_tokenizer(const json& description);

/// When Metaspace puts a mark in front of a piece.
enum class PrependScheme { kAlways, kFirst, kNever };

/// Metaspace of tokenizer.json: the mark that stands for a space, one character.
struct MetaspaceRule {
  std::string replacement;
  PrependScheme scheme;
};
MetaspaceRule read_metaspace(const json& description);

/// ByteLevel: cuts words by GPT-2's pattern (if `use_regex`) and maps bytes to characters.
PreTokenizer byte_level_pre_tokenizer(bool add_prefix_space, bool use_regex);

}  // namespace prune::tokenizer
