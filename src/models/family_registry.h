#pragma once

#include <prune/models/decoder_spec.h>

#include <nlohmann/json.hpp>

namespace prune::models {

/// How the text part of a multimodal model is named in its files.
struct WrapperNames {
  const char* base;  ///< in place of "model."
  const char* head;  ///< in place of "lm_head"
};

/// The ways in which wrappers are written.
inline constexpr WrapperNames kWrapperNames[] = {
    {"language_model.model.", "language_model.lm_head"},
    {"model.language_model.", "lm_head"},
    {"model.", "lm_head"}};

/// True if config.json describes a wrapper, whose text model is in `text_config`.
bool is_wrapper(const nlohmann::json& raw);

/// Turns a config.json into a decoder.
/// @param names  of a wrapper's tensors
/// @throws Error(input) with the list of known families if the model_type is unknown, or naming the key that is not
///         supported
DecoderSpec read_decoder(const nlohmann::json& raw, const WrapperNames& names);

}  // namespace prune::models
