#pragma once

#include <c10/util/FunctionRef.h>
#include <prune/core/json_file.h>

#include <functional>
#include <string_view>

namespace prune::tokenizer {

/// A stretch of text on its way to the model.
struct Piece {
  std::string_view text;  ///< valid UTF-8
  bool at_start;          ///< it begins where the whole input begins
};
using PieceSink = c10::function_ref<void(const Piece&)>;

/// Cuts and rewrites a piece, and hands the results on from left to right. Pieces stream through all
/// steps one by one, so that a long text needs no list of its pieces.
using PreTokenizer = std::function<void(const Piece&, PieceSink)>;

/// Builds tokenizer.json's "pre_tokenizer"; null hands a piece on as it is.
/// @throws Error(input) with the name of a component we do not know.
PreTokenizer make_pre_tokenizer(const json& description);

/// GPT-2's: words by its pattern, bytes as characters.
PreTokenizer byte_level_pre_tokenizer(bool add_prefix_space, bool use_regex);

}  // namespace prune::tokenizer
