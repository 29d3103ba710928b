#pragma once

#include "../draft.h"

// Each function turns a config.json into a decoder. family_registry.cpp lists them by model_type.
namespace prune::models {

DecoderSpec read_afmoe(const json& config);
DecoderSpec read_arcee(const json& config);
DecoderSpec read_bloom(const json& config);
DecoderSpec read_cohere(const json& config);
DecoderSpec read_cohere2(const json& config);
DecoderSpec read_deepseek_v2(const json& config);
DecoderSpec read_deepseek_v3(const json& config);
DecoderSpec read_deepseek_v32(const json& config);
DecoderSpec read_ernie4_5(const json& config);
DecoderSpec read_ernie4_5_moe(const json& config);
DecoderSpec read_exaone4(const json& config);
DecoderSpec read_falcon(const json& config);
DecoderSpec read_falcon_h1(const json& config);
DecoderSpec read_gemma(const json& config);
DecoderSpec read_gemma2(const json& config);
DecoderSpec read_gemma3(const json& config);
DecoderSpec read_gemma4(const json& config);
DecoderSpec read_glm(const json& config);
DecoderSpec read_glm4(const json& config);
DecoderSpec read_glm4_moe(const json& config);
DecoderSpec read_glm4_moe_lite(const json& config);
DecoderSpec read_glm_moe_dsa(const json& config);
DecoderSpec read_gpt2(const json& config);
DecoderSpec read_gpt_neox(const json& config);
DecoderSpec read_gpt_oss(const json& config);
DecoderSpec read_gptj(const json& config);
DecoderSpec read_granite(const json& config);
DecoderSpec read_granitemoe(const json& config);
DecoderSpec read_granitemoehybrid(const json& config);
DecoderSpec read_hunyuan_v1_dense(const json& config);
DecoderSpec read_hunyuan_v1_moe(const json& config);
DecoderSpec read_hy_v3(const json& config);
DecoderSpec read_kimi_linear(const json& config);
DecoderSpec read_lfm2(const json& config);
DecoderSpec read_lfm2_moe(const json& config);
DecoderSpec read_llama(const json& config);
DecoderSpec read_llama4(const json& config);
DecoderSpec read_mamba2(const json& config);
DecoderSpec read_mimo_v2_flash(const json& config);
DecoderSpec read_minimax_m2(const json& config);
DecoderSpec read_ministral3(const json& config);
DecoderSpec read_mistral(const json& config);
DecoderSpec read_minimax_m3(const json& config);
DecoderSpec read_mistral4(const json& config);
DecoderSpec read_mixtral(const json& config);
DecoderSpec read_muse_glimmer(const json& config);
DecoderSpec read_nemotron(const json& config);
DecoderSpec read_nemotron_h(const json& config);
DecoderSpec read_olmo(const json& config);
DecoderSpec read_olmo2(const json& config);
DecoderSpec read_olmo3(const json& config);
DecoderSpec read_olmoe(const json& config);
DecoderSpec read_opt(const json& config);
DecoderSpec read_phi(const json& config);
DecoderSpec read_phi3(const json& config);
DecoderSpec read_qwen2(const json& config);
DecoderSpec read_qwen2_moe(const json& config);
DecoderSpec read_qwen3(const json& config);
DecoderSpec read_qwen3_moe(const json& config);
DecoderSpec read_qwen3_5(const json& config);
DecoderSpec read_qwen3_5_moe(const json& config);
DecoderSpec read_qwen3_next(const json& config);
DecoderSpec read_seed_oss(const json& config);
DecoderSpec read_smollm3(const json& config);
DecoderSpec read_stablelm(const json& config);
DecoderSpec read_starcoder2(const json& config);
DecoderSpec read_step3p5(const json& config);

}  // namespace prune::models
