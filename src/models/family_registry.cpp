#include "family_registry.h"

#include <fmt/format.h>
#include <prune/core/error.h>
#include <prune/models/model_shape.h>

#include <algorithm>

#include "families/families.h"

// Families are listed by hand, because a linker drops objects of a static library that only register themselves.
namespace prune::models {
namespace {

struct Family {
  const char* model_type;
  DecoderSpec (*read)(const json& config);
};

constexpr Family kFamilies[] = {{"opt", read_opt},
                                {"bloom", read_bloom},
                                {"llama", read_llama},
                                {"mistral", read_mistral},
                                {"qwen2", read_qwen2},
                                {"qwen2_moe", read_qwen2_moe},
                                {"qwen3", read_qwen3},
                                {"qwen3_moe", read_qwen3_moe},
                                {"qwen3_5_text", read_qwen3_5},
                                {"qwen3_5_moe_text", read_qwen3_5_moe},
                                {"qwen3_next", read_qwen3_next},
                                {"afmoe", read_afmoe},
                                {"arcee", read_arcee},
                                {"cohere", read_cohere},
                                {"cohere2", read_cohere2},
                                {"deepseek_v2", read_deepseek_v2},
                                {"deepseek_v3", read_deepseek_v3},
                                {"deepseek_v32", read_deepseek_v32},
                                {"kimi_k2", read_deepseek_v3},
                                {"ernie4_5", read_ernie4_5},
                                {"ernie4_5_moe", read_ernie4_5_moe},
                                {"exaone4", read_exaone4},
                                {"falcon", read_falcon},
                                {"falcon_h1", read_falcon_h1},
                                {"gemma", read_gemma},
                                {"gemma2", read_gemma2},
                                {"gemma3_text", read_gemma3},
                                {"gemma4_text", read_gemma4},
                                {"glm", read_glm},
                                {"glm4", read_glm4},
                                {"glm4_moe", read_glm4_moe},
                                {"glm4_moe_lite", read_glm4_moe_lite},
                                {"glm_moe_dsa", read_glm_moe_dsa},
                                {"gpt2", read_gpt2},
                                {"gpt_neox", read_gpt_neox},
                                {"gptj", read_gptj},
                                {"gpt_oss", read_gpt_oss},
                                {"granite", read_granite},
                                {"granitemoe", read_granitemoe},
                                {"granitemoehybrid", read_granitemoehybrid},
                                {"hunyuan_v1_dense", read_hunyuan_v1_dense},
                                {"hunyuan_v1_moe", read_hunyuan_v1_moe},
                                {"hy_v3", read_hy_v3},
                                {"kimi_linear", read_kimi_linear},
                                {"lfm2", read_lfm2},
                                {"lfm2_moe", read_lfm2_moe},
                                {"llama4_text", read_llama4},
                                {"mamba2", read_mamba2},
                                {"mimo_v2_flash", read_mimo_v2_flash},
                                {"minimax_m2", read_minimax_m2},
                                {"minimax_m3_vl_text", read_minimax_m3},
                                {"ministral3", read_ministral3},
                                {"mistral4", read_mistral4},
                                {"mixtral", read_mixtral},
                                {"muse_glimmer_text", read_muse_glimmer},
                                {"nemotron", read_nemotron},
                                {"nemotron_h", read_nemotron_h},
                                {"olmo", read_olmo},
                                {"olmo2", read_olmo2},
                                {"olmo3", read_olmo3},
                                {"olmoe", read_olmoe},
                                {"phi", read_phi},
                                {"phi3", read_phi3},
                                {"seed_oss", read_seed_oss},
                                {"smollm3", read_smollm3},
                                {"stablelm", read_stablelm},
                                {"starcoder2", read_starcoder2},
                                {"step3p5", read_step3p5}};

/// Multimodal models, and the model_type of a `text_config` that names none.
struct Wrapper {
  const char* model_type;
  const char* text_type;
};

constexpr Wrapper kWrappers[] = {{"gemma3", "gemma3_text"},
                                 {"gemma4", "gemma4_text"},
                                 {"kimi_k25", "deepseek_v3"},
                                 {"llama4", "llama4_text"},
                                 {"minimax_m3_vl", "minimax_m3_vl_text"},
                                 {"mistral3", "mistral"},
                                 {"muse_glimmer", "muse_glimmer_text"},
                                 {"qwen3_5", "qwen3_5_text"},
                                 {"qwen3_5_moe", "qwen3_5_moe_text"},
                                 {"step3p7", "step3p5"}};

const Wrapper* find_wrapper(const json& raw) {
  const auto type = value_or<std::string>(raw, "model_type", "");
  const auto found = std::ranges::find(kWrappers, type, &Wrapper::model_type);
  return found == std::end(kWrappers) ? nullptr : found;
}

/// "model.norm" under the wrapper's names.
std::string renamed(const std::string& name, const WrapperNames& names) {
  if (name.starts_with("model.")) return names.base + name.substr(6);
  return name.starts_with("lm_head") ? names.head + name.substr(7) : name;
}

DecoderSpec read_wrapper(const json& raw, const Wrapper& wrapper, const WrapperNames& names) {
  json text = require<json::object_t>(raw, "text_config");
  if (!text.contains("model_type")) text["model_type"] = wrapper.text_type;
  text["tie_word_embeddings"] =
      value_or(raw, "tie_word_embeddings", value_or(text, "tie_word_embeddings", true));
  DecoderSpec decoder = read_decoder(text, names);
  decoder.config.model_type = wrapper.model_type;
  decoder.names.base_prefix = "";  // other towers have other prefixes
  for (std::string* name :
       {&decoder.names.head, &decoder.names.embedding, &decoder.block_pattern,
        &decoder.embedding.tokens, &decoder.head.norm_name, &decoder.head.weight}) {
    *name = renamed(*name, names);
  }
  if (auto& inputs = decoder.embedding.layer_inputs) {
    for (std::string* name : {&inputs->table, &inputs->projection, &inputs->norm}) {
      *name = renamed(*name, names);
    }
  }
  return decoder;
}

}  // namespace

std::vector<std::string> known_families() {
  std::vector<std::string> names;
  for (const Family& family : kFamilies) names.emplace_back(family.model_type);
  for (const Wrapper& wrapper : kWrappers) names.emplace_back(wrapper.model_type);
  return names;
}

bool is_wrapper(const json& raw) { return find_wrapper(raw) != nullptr; }

DecoderSpec read_decoder(const json& raw, const WrapperNames& names) {
  if (const Wrapper* const wrapper = find_wrapper(raw)) return read_wrapper(raw, *wrapper, names);
  const auto type = require<std::string>(raw, "model_type");
  const auto found = std::ranges::find(kFamilies, type, &Family::model_type);
  if (found != std::end(kFamilies)) return found->read(raw);
  throw Error(ErrorKind::kInput, fmt::format("model_type '{}' is not supported; known ones: {}",
                                             type, fmt::join(known_families(), ", ")));
}

}  // namespace prune::models
