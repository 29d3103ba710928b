#!/usr/bin/env python3
"""Writes tests/golden/models/: a tiny random checkpoint of every family, and Transformers' logits.

    python3 scripts/golden/models.py tests/golden/models [--only-missing]

Needs torch and transformers. The first cases are configurations as people have them; those of WRITTEN are made and
written by Transformers itself, weights, names and config.json, and computed with eager attention, which alone applies
every soft cap. --only-missing adds those of the latter that cases.json
lacks. cases.json holds the versions, the seed, the token ids and, for each case, its
verbatim config.json and the files to use. Transformers reads exactly that config and those weights, so the
tests cover key spellings and defaults as well as the mathematics. Weights and biases are large and norm
weights differ from 1, so that a wrong bias, position or mask changes the logits.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import safetensors
import safetensors.torch
import torch
import transformers

SEED = 11
VOCAB = 96
IDS_SHAPE = (2, 16)
HALVES = {"opt": ["float16"]}  # 16-bit dtypes in which a family is published
DEFAULT_HALVES = ["bfloat16", "float16"]

OPT = {
    "model_type": "opt", "vocab_size": VOCAB, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 32, "word_embed_proj_dim": 32,
    "torch_dtype": "float16",
}  # fmt: skip
BLOOM = {"model_type": "bloom", "vocab_size": VOCAB, "n_embed": 36, "n_layer": 2, "n_head": 6}
LLAMA = {
    "model_type": "llama", "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu",
    "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
}  # fmt: skip
QWEN2 = {**LLAMA, "model_type": "qwen2", "tie_word_embeddings": True, "rope_theta": 1000.0}
QWEN3 = {
    **LLAMA, "model_type": "qwen3", "head_dim": 12, "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0},
}  # fmt: skip

# The cases use a small rope_theta, so that a head's four frequencies cover all three ranges of llama3 and yarn.
LLAMA3_SCALING = {
    "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
YARN = {"factor": 4.0, "original_max_position_embeddings": 16}


def cases():
    """Name -> config, weights file, whether to test 16-bit dtypes, and the case with the same logits or None."""
    everything = {}

    def case(name, config, weights, halves=False, same_as=None):
        everything[name] = {"config": config, "weights": weights, "halves": halves, "same_as": same_as}

    case("opt", OPT, "opt.safetensors", halves=True)
    case("opt_without_model_prefix_in_bin", OPT, "opt_bare.bin", same_as="opt")
    case("opt_with_only_the_head", OPT, "opt_only_head.safetensors", same_as="opt")
    case("opt_without_final_norm", {**OPT, "_remove_final_layer_norm": True}, "opt.safetensors")
    case(
        "opt_post_norm",
        {**OPT, "do_layer_norm_before": False, "word_embed_proj_dim": 16},
        "opt_post_norm.safetensors",
        halves=True,
    )
    case(
        "opt_galactica",
        {
            **OPT, "activation_function": "gelu", "enable_bias": False,
            "layer_norm_elementwise_affine": False, "tie_word_embeddings": False,
        },
        "opt_galactica.safetensors",
        halves=True,
    )  # fmt: skip

    case("bloom", BLOOM, "bloom.safetensors", halves=True)
    case(
        "bloom_post_residual",
        {
            "model_type": "bloom", "vocab_size": VOCAB, "hidden_size": 36, "num_hidden_layers": 2,
            "num_attention_heads": 4, "apply_residual_connection_post_layernorm": True,
            "layer_norm_epsilon": 1e-3,
        },
        "bloom_bare.safetensors",
        halves=True,
    )  # fmt: skip

    def llama(name, weights="llama.safetensors", halves=False, same_as=None, **keys):
        case(name, {**LLAMA, **keys}, weights, halves, same_as)

    llama("llama", halves=True)
    # Tied embeddings, all biases, head_dim above hidden_size / heads, and no grouped-query attention.
    llama(
        "llama_biases", "llama_biases.safetensors", halves=True, num_key_value_heads=None, head_dim=10,
        attention_bias=True, mlp_bias=True, tie_word_embeddings=True, rope_theta=500.0,
        hidden_act="gelu_pytorch_tanh",
    )  # fmt: skip
    llama("llama_rope_linear", rope_scaling={"type": "linear", "factor": 2.5})
    dynamic = {"type": "dynamic", "factor": 2.0}
    llama("llama_rope_dynamic", max_position_embeddings=6, rope_scaling=dynamic)
    llama3 = {"rope_type": "llama3", **LLAMA3_SCALING}
    llama("llama_rope_llama3", rope_theta=100.0, rope_scaling=llama3, max_position_embeddings=512)
    yarn = {"type": "yarn", **YARN}
    llama("llama_rope_yarn", rope_theta=100.0, rope_scaling=yarn, halves=True)
    llama("llama_rope_yarn_no_original", rope_theta=100.0, rope_scaling={"type": "yarn", "factor": 4.0})
    llama(
        "llama_rope_parameters_yarn",
        rope_parameters={
            "rope_type": "yarn", "rope_theta": 50.0, **YARN, "beta_fast": 2.0, "beta_slow": 0.5,
            "truncate": False, "mscale": 0.7, "mscale_all_dim": 0.3,
        },
    )  # fmt: skip
    llama(
        "llama_rope_parameters_llama3", same_as="llama_rope_llama3", max_position_embeddings=512,
        rope_parameters={"rope_type": "llama3", "rope_theta": 100.0, **LLAMA3_SCALING},
    )  # fmt: skip

    mistral = {**LLAMA, "model_type": "mistral", "sliding_window": None}
    case("mistral", mistral, "llama.safetensors", same_as="llama")
    case("mistral_window", {**mistral, "sliding_window": 5}, "llama.safetensors", halves=True)
    case("qwen2", QWEN2, "qwen2.safetensors", halves=True)
    window = {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}
    case("qwen2_window", {**QWEN2, **window}, "qwen2.safetensors")
    case("qwen2_unused_window", {**QWEN2, **window, "use_sliding_window": False}, "qwen2.safetensors",
         same_as="qwen2")  # fmt: skip
    case("qwen3", QWEN3, "qwen3.safetensors", halves=True)
    kinds = ["sliding_attention", "full_attention"]
    case("qwen3_layer_types", {**QWEN3, **window, "layer_types": kinds}, "qwen3.safetensors")
    return everything


SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": VOCAB}  # fmt: skip
FOUR = {**SIZES, "num_hidden_layers": 4}
ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
YARN4 = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 8,
         "beta_fast": 4.0, "beta_slow": 1.0}  # fmt: skip
LONGROPE = {"rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": 0.75,
            "short_factor": [1 + 0.1 * i for i in range(6)], "long_factor": [2 + 0.1 * i for i in range(6)]}  # fmt: skip
FALCON = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": VOCAB,
          "max_position_embeddings": 64}  # fmt: skip
GEMMA3 = {**FOUR, "num_key_value_heads": 1, "head_dim": 8, "query_pre_attn_scalar": 12, "sliding_window": 5,
          "layer_types": ["sliding_attention"] * 3 + ["full_attention"],
          "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000.0},
                              "sliding_attention": {"rope_type": "default", "rope_theta": 100.0}}}  # fmt: skip
# Two blocks store keys and values, two read them.
GEMMA4 = {**SIZES, "num_hidden_layers": 6, "head_dim": 8, "global_head_dim": 16, "num_key_value_heads": 1,
          "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"] * 3, "final_logit_softcapping": 3.0,
          "hidden_size_per_layer_input": 6, "vocab_size_per_layer_input": VOCAB, "num_kv_shared_layers": 2,
          "use_double_wide_mlp": True}  # fmt: skip
GEMMA4_MOE = {**SIZES, "num_hidden_layers": 3, "head_dim": 8, "global_head_dim": 16, "num_global_key_value_heads": 1,
              "attention_k_eq_v": True, "sliding_window": 5, "hidden_size_per_layer_input": 0,
              "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
              "enable_moe_block": True, "num_experts": 7, "top_k_experts": 2, "moe_intermediate_size": 12}  # fmt: skip
SIGLIP = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8,
          "patch_size": 4}  # fmt: skip
# Odd numbers of experts, some of which get none of the 32 tokens.
MOE = {**SIZES, **ENDS, "num_experts_per_tok": 2, "moe_intermediate_size": 12}
SIGMOID = {**MOE, "head_dim": 8, "n_routed_experts": 12, "n_group": 3, "topk_group": 2, "num_experts_per_tok": 3,
           "routed_scaling_factor": 1.5, "first_k_dense_replace": 1, "n_shared_experts": 2}  # fmt: skip
LATENT = {**{key: value for key, value in SIGMOID.items() if key != "head_dim"}, "num_key_value_heads": 4,
          "q_lora_rank": 20, "kv_lora_rank": 12, "qk_nope_head_dim": 10, "qk_rope_head_dim": 4,
          "v_head_dim": 8}  # fmt: skip
DELTA_NET = {"head_dim": 8, "linear_key_head_dim": 8, "linear_value_head_dim": 12, "linear_num_key_heads": 2,
             "linear_num_value_heads": 4, "linear_conv_kernel_dim": 4, "full_attention_interval": 2}
NEXT_MOE = {**MOE, **DELTA_NET, "num_experts": 7, "shared_expert_intermediate_size": 20}
GRANITE_HYBRID = {**SIZES, "embedding_multiplier": 12.0, "attention_multiplier": 0.3, "residual_multiplier": 0.22,
                  "logits_scaling": 6.0, "layer_types": ["mamba", "attention"], "mamba_n_heads": 8, "mamba_n_groups": 2,
                  "mamba_d_state": 6, "shared_intermediate_size": 20}  # fmt: skip
NEMOTRON_H = {"head_dim": 8, "mamba_num_heads": 8, "mamba_head_dim": 8, "n_groups": 2, "ssm_state_size": 6,
              "num_hidden_layers": None, "time_step_min": 0.5}  # fmt: skip
INDEXER = {"index_n_heads": 2, "index_head_dim": 8, "max_position_embeddings": 4096}
FALCON_H1 = {"mamba_d_ssm": 48, "mamba_n_heads": 6, "mamba_n_groups": 2, "mamba_d_state": 6, "embedding_multiplier": 3.0,
             "lm_head_multiplier": 0.5, "key_multiplier": 0.7, "attention_in_multiplier": 1.3,
             "attention_out_multiplier": 0.8, "ssm_in_multiplier": 1.2, "ssm_out_multiplier": 0.6,
             "ssm_multipliers": [0.5, 0.7, 1.1, 0.9, 1.3], "mlp_multipliers": [0.6, 1.4]}  # fmt: skip
# What Transformers 5.17 writes, and what the files on the hub have instead.
HUB_NAMES = {"kimi_k25": ("language_model.model.blocks.", "language_model.model.layers."),
             "kimi_linear": ("layers.0.block_sparse_moe.", "layers.0.mlp."),
             "minimax_m3_vl": ("layers.0.block_sparse_moe.", "layers.0.mlp.")}
# name: model_type, arguments of its configuration, whether to test 16-bit dtypes
WRITTEN = {
    "afmoe": ("afmoe", {**MOE, "num_hidden_layers": 4, "head_dim": 8, "num_experts": 7, "sliding_window": 5,
                        "mup_enabled": True, "route_scale": 1.5}, True),
    "arcee": ("arcee", {**SIZES, "head_dim": 8}, False),
    "cohere": ("cohere", {**SIZES, "eos_token_id": 1}, True),
    "cohere_qk_norm": ("cohere", {**SIZES, "eos_token_id": 1, "use_qk_norm": True, "attention_bias": True}, False),
    "cohere2": ("cohere2", {**FOUR, "eos_token_id": 1, "sliding_window": 5}, False),
    "deepseek_v2": ("deepseek_v2", {**LATENT, "n_group": None, "topk_group": None, "mlp_bias": False}, True),
    "deepseek_v2_groups": ("deepseek_v2", {**LATENT, "q_lora_rank": None, "topk_method": "group_limited_greedy",
                                           "attention_bias": True}, False),
    "deepseek_v3": ("deepseek_v3", {**LATENT, "rope_parameters": {
        **YARN4, "mscale": 1.0, "mscale_all_dim": 0.7}, "max_position_embeddings": 64}, True),
    "deepseek_v3_halves": ("deepseek_v3", {**LATENT, "q_lora_rank": None, "rope_interleave": False,
                                           "norm_topk_prob": False}, False),
    "deepseek_v32": ("deepseek_v32", {**LATENT, **INDEXER, "first_k_dense_replace": 1}, True),
    "ernie4_5_moe": ("ernie4_5_moe", {**MOE, "moe_num_experts": 7, "moe_k": 3, "moe_num_shared_experts": 2}, True),
    "ernie4_5_moe_biases": ("ernie4_5_moe", {**MOE, "num_hidden_layers": 4, "moe_num_experts": 5, "moe_k": 2,
                                             "moe_num_shared_experts": 0, "moe_layer_interval": 2, "use_bias": True,
                                             "moe_layer_end_index": 2, "tie_word_embeddings": False}, False),
    "ernie4_5": ("ernie4_5", {**SIZES, "head_dim": 8}, True),
    "ernie4_5_biases": ("ernie4_5", {**SIZES, "head_dim": 8, "use_bias": True, "tie_word_embeddings": False}, False),
    "exaone4": ("exaone4", {**FOUR, "sliding_window": 5}, True),
    "exaone4_full": ("exaone4", {**SIZES, "sliding_window": None, "layer_types": ["full_attention"] * 2}, False),
    "falcon": ("falcon", FALCON, True),
    "falcon_one_norm": ("falcon", {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2,
                                   "num_ln_in_parallel_attn": 1}, False),
    "falcon_serial": ("falcon", {**FALCON, "multi_query": False, "parallel_attn": False, "bias": True,
                                 "alibi": True}, True),
    "falcon_two_norms": ("falcon", {**FALCON, "new_decoder_architecture": True, "num_kv_heads": 2}, True),
    "falcon_h1": ("falcon_h1", {**SIZES, **FALCON_H1}, True),
    "falcon_h1_normed": ("falcon_h1", {**SIZES, **FALCON_H1, "mamba_rms_norm": True, "mamba_norm_before_gate": False,
                                       "projectors_bias": False}, False),
    "gemma": ("gemma", {**SIZES, "num_key_value_heads": 1, "head_dim": 10}, True),
    "gemma2": ("gemma2", {**SIZES, "head_dim": 8, "query_pre_attn_scalar": 12, "sliding_window": 5,
                          "attn_logit_softcapping": 4.0, "final_logit_softcapping": 30.0}, True),
    "gemma3": ("gemma3", {"text_config": GEMMA3, "vision_config": SIGLIP, "mm_tokens_per_image": 4}, False),
    "gemma3_text": ("gemma3_text", GEMMA3, True),
    "gemma4": ("gemma4", {"text_config": {**GEMMA4, "model_type": "gemma4_text"}, "vision_config": {
        **SIGLIP, "num_key_value_heads": 2, "head_dim": 4, "position_embedding_size": 16}}, False),
    "gemma4_text": ("gemma4_text", GEMMA4, True),
    "gemma4_text_moe": ("gemma4_text", GEMMA4_MOE, True),
    "glm": ("glm", {**SIZES, "head_dim": 8, "pad_token_id": 0, "eos_token_id": 1}, True),
    "glm4": ("glm4", {**SIZES, "head_dim": 8, "pad_token_id": 0, "eos_token_id": 1}, True),
    "glm4_moe": ("glm4_moe", {**SIGMOID, "use_qk_norm": True, "attention_bias": True}, True),
    "glm4_moe_lite": ("glm4_moe_lite", {**LATENT, "mlp_layer_types": ["sparse", "dense"]}, True),
    "glm_moe_dsa": ("glm_moe_dsa", {**LATENT, **INDEXER, "indexer_types": ["full", "shared"]}, True),
    "gpt_oss": ("gpt_oss", {**FOUR, **ENDS, "head_dim": 8, "num_local_experts": 5, "num_experts_per_tok": 3,
                            "sliding_window": 5, "rope_parameters": YARN4}, True),
    "gpt2": ("gpt2", {"n_embd": 32, "n_layer": 3, "n_head": 4, "vocab_size": VOCAB, "n_positions": 64, "bos_token_id": 1,
                      "eos_token_id": 1, "scale_attn_by_inverse_layer_idx": True}, True),
    "gpt_neox": ("gpt_neox", {**SIZES, "max_position_embeddings": 64}, True),
    "gpt_neox_serial": ("gpt_neox", {**SIZES, "use_parallel_residual": False, "attention_bias": False}, False),
    "gptj": ("gptj", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": VOCAB, "n_positions": 64, "rotary_dim": 4,
                      "bos_token_id": 1, "eos_token_id": 1}, True),
    "granite": ("granite", {**SIZES, "embedding_multiplier": 12.0, "attention_multiplier": 0.3,
                            "residual_multiplier": 0.22, "logits_scaling": 6.0}, True),
    "granitemoe": ("granitemoe", {**SIZES, "num_local_experts": 7, "num_experts_per_tok": 3,
                                  "embedding_multiplier": 12.0, "attention_multiplier": 0.3,
                                  "residual_multiplier": 0.22, "logits_scaling": 6.0}, True),
    "granitemoehybrid": ("granitemoehybrid", {**GRANITE_HYBRID, "num_local_experts": 5, "num_experts_per_tok": 2}, True),
    "granitemoehybrid_dense": ("granitemoehybrid", {**GRANITE_HYBRID, "num_local_experts": 0, "mamba_conv_bias": False,
                                                    "position_embedding_type": "rope", "mamba_proj_bias": True}, False),
    "hunyuan_v1_dense": ("hunyuan_v1_dense", {**SIZES, **ENDS, "head_dim": 8, "attention_bias": True, "rope_parameters": {
        "rope_type": "dynamic", "rope_theta": 1000.0, "alpha": 3.0, "factor": 1.0}}, True),
    "hunyuan_v1_moe": ("hunyuan_v1_moe", {**SIZES, **ENDS, "head_dim": 8, "num_experts": 7, "moe_topk": 3}, True),
    "hy_v3": ("hy_v3", {**MOE, "head_dim": 8, "num_experts": 7, "num_shared_experts": 2}, True),
    "kimi_k25": ("kimi_k25", {"text_config": {**LATENT, "model_type": "deepseek_v3", "rope_parameters": {
        "rope_type": "default", "rope_theta": 1000.0}}, "vision_config": {
            "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2},
        "projection_hidden_size": 8, "tie_word_embeddings": False}, False),
    "kimi_linear": ("kimi_linear", {**LATENT, "num_hidden_layers": 3, "q_lora_rank": None, "num_experts": 12, "linear_num_heads": 4,
                                    "linear_head_dim": 8, "layer_types": ["linear_attention", "full_attention",
                                                                          "linear_attention"]}, True),
    "lfm2": ("lfm2", {**SIZES, "block_multiple_of": 8, "layer_types": ["conv", "full_attention"]}, True),
    "lfm2_biases": ("lfm2", {**SIZES, "conv_bias": True, "block_auto_adjust_ff_dim": False, "full_attn_idxs": [0],
                             "conv_L_cache": 4}, False),
    "lfm2_moe": ("lfm2_moe", {**MOE, **ENDS, "num_hidden_layers": 3, "num_experts": 7, "num_dense_layers": 1,
                              "layer_types": ["conv", "full_attention", "conv"]}, True),
    "mamba2": ("mamba2", {"vocab_size": VOCAB, "hidden_size": 32, "num_hidden_layers": 2, "num_heads": 8, "head_dim": 8,
                          "state_size": 6, "n_groups": 2, "use_bias": True, "residual_in_fp32": False}, True),
    "mimo_v2_flash": ("mimo_v2_flash", {**MOE, "num_hidden_layers": 3, "num_key_value_heads": 1, "head_dim": 12,
                                        "v_head_dim": 8, "n_routed_experts": 9, "sliding_window": 5}, True),
    "llama4_text": ("llama4_text", {**MOE, "num_hidden_layers": 4, "head_dim": 8, "num_local_experts": 5,
                                    "num_experts_per_tok": 1, "interleave_moe_layer_step": 2, "intermediate_size_mlp": 40,
                                    "floor_scale": 4}, True),
    "minimax_m2": ("minimax_m2", {**MOE, "head_dim": 8, "num_local_experts": 9, "rotary_dim": 4, "rope_parameters": {
        "rope_type": "default", "rope_theta": 1000.0, "partial_rotary_factor": 0.5}}, True),
    "minimax_m3_vl": ("minimax_m3_vl", {"text_config": {
        **MOE, "model_type": "minimax_m3_vl_text", "head_dim": 8, "num_local_experts": 9, "dense_intermediate_size": 40,
        "shared_intermediate_size": 20, "rotary_dim": 4, "mlp_layer_types": ["dense", "sparse"], "index_n_heads": 2,
        "index_head_dim": 8, "layer_types": ["full_attention", "minimax_m3_sparse"], "rope_parameters": {
            "rope_type": "default", "rope_theta": 1000.0, "partial_rotary_factor": 0.5}},
        "vision_config": {**SIGLIP, "num_hidden_layers": 1}}, False),
    "mistral4": ("mistral3", {"text_config": {**LATENT, "model_type": "mistral4", "head_dim": 14, "first_k_dense_replace": 0,
                                              "rope_parameters": {**YARN4, "mscale": 1.0, "mscale_all_dim": 1.0,
                                                                  "llama_4_scaling_beta": 0.1,
                                                                  "partial_rotary_factor": 4 / 14}},
                              "vision_config": {**SIGLIP, "model_type": "pixtral", "head_dim": 4},
                              "tie_word_embeddings": False}, False),
    "mixtral": ("mixtral", {**MOE, "num_local_experts": 5, "sliding_window": 5}, True),
    "ministral3": ("ministral3", {**SIZES, "head_dim": 8, "rope_parameters": {
        **YARN4, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}}, True),
    "mistral3": ("mistral3", {"text_config": {**SIZES, "model_type": "mistral", "head_dim": 8, "sliding_window": None},
                              "vision_config": {**SIGLIP, "model_type": "pixtral", "head_dim": 4},
                              "tie_word_embeddings": False}, False),
    "muse_glimmer": ("muse_glimmer", {"text_config": {**FOUR, "model_type": "muse_glimmer_text", "head_dim": 8,
                                                      "sliding_window": 5}, "vision_config": {
        "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}}, False),
    "nemotron": ("nemotron", {**SIZES, "max_position_embeddings": 64}, True),
    "nemotron_h": ("nemotron_h", {**SIZES, **NEMOTRON_H, "hybrid_override_pattern": "M*-M", "mlp_bias": True}, True),
    "nemotron_h_moe": ("nemotron_h", {**SIZES, **NEMOTRON_H, "hybrid_override_pattern": "ME-*E", "n_routed_experts": 9,
                                      "n_group": 3, "topk_group": 2, "moe_intermediate_size": 12,
                                      "moe_shared_expert_intermediate_size": 20, "routed_scaling_factor": 1.5}, True),
    "nemotron_h_latent": ("nemotron_h", {**SIZES, **NEMOTRON_H, "hybrid_override_pattern": "M*E", "n_routed_experts": 5,
                                         "moe_intermediate_size": 12, "moe_shared_expert_intermediate_size": 20,
                                         "moe_latent_size": 16}, True),
    "olmo": ("olmo", {**SIZES, "eos_token_id": 1, "clip_qkv": 0.5}, True),
    "olmo2": ("olmo2", {**SIZES, **ENDS}, True),
    "olmo3": ("olmo3", {**FOUR, **ENDS, "sliding_window": 5, "rope_parameters": {
        "full_attention": YARN4, "sliding_attention": {"rope_type": "default", "rope_theta": 50.0}}}, False),
    "olmoe": ("olmoe", {**MOE, "num_experts": 13, "clip_qkv": 0.5}, True),
    "phi": ("phi", {**SIZES, "num_key_value_heads": 4}, True),
    "phi_qk_norm": ("phi", {**SIZES, "qk_layernorm": True}, False),
    "phi3": ("phi3", {**SIZES, **ENDS, "hidden_size": 64, "sliding_window": 5, "rope_parameters": LONGROPE,
                      "max_position_embeddings": 4096, "original_max_position_embeddings": 128}, True),
    "phi3_long": ("phi3", {**SIZES, **ENDS, "hidden_size": 64, "rope_parameters": LONGROPE,
                           "max_position_embeddings": 64, "original_max_position_embeddings": 8}, False),
    "qwen2_moe": ("qwen2_moe", {**MOE, "num_hidden_layers": 3, "num_experts": 7, "shared_expert_intermediate_size": 20,
                                "mlp_only_layers": [1], "use_sliding_window": True, "sliding_window": 5,
                                "max_window_layers": 2}, True),
    "qwen3_5": ("qwen3_5", {"text_config": {**SIZES, **DELTA_NET, "model_type": "qwen3_5_text"}, "vision_config": {
        "depth": 1, "hidden_size": 8, "intermediate_size": 8, "num_heads": 2, "out_hidden_size": 32, "patch_size": 4,
        "num_position_embeddings": 16}}, False),
    "qwen3_5_text": ("qwen3_5_text", {**SIZES, **DELTA_NET, "attention_bias": True}, True),
    "qwen3_5_moe_text": ("qwen3_5_moe_text", NEXT_MOE, False),
    "qwen3_next": ("qwen3_next", NEXT_MOE, True),
    "qwen3_moe": ("qwen3_moe", {**MOE, "head_dim": 8, "num_experts": 13, "norm_topk_prob": True}, True),
    "qwen3_moe_sparse_step": ("qwen3_moe", {**MOE, "num_experts": 6, "decoder_sparse_step": 2}, False),
    "seed_oss": ("seed_oss", {**SIZES, "head_dim": 8, "attention_out_bias": True}, False),
    "smollm3": ("smollm3", {**FOUR, **ENDS}, True),
    "stablelm": ("stablelm", {**SIZES, "use_parallel_residual": True}, True),
    "stablelm_qk_norm": ("stablelm", {**SIZES, "qk_layernorm": True, "use_qkv_bias": True}, False),
    "starcoder2": ("starcoder2", {**SIZES, "sliding_window": 5}, True),
    "step3p7": ("step3p7", {"text_config": {
        **FOUR, **ENDS, "model_type": "step3p5", "head_dim": 8, "n_routed_experts": 7, "num_experts_per_tok": 2,
        "moe_intermediate_size": 12, "share_expert_dim": 20, "moe_router_scaling_factor": 1.5, "moe_layers_enum": "1,2,3",
        "layer_types": ["full_attention"] + ["sliding_attention"] * 2 + ["full_attention"], "sliding_window": 5,
        "num_sliding_attention_heads": 6, "swiglu_limits": [None, None, 0.5, 0.0],
        "swiglu_limits_shared": [0.3, 0.0, 0.4, 0.0], "rope_theta": [1000.0, 100.0, 100.0, 1000.0],
        "partial_rotary_factors": [0.5, 1.0, 1.0, 0.5]}, "vision_config": SIGLIP}, False),
}  # fmt: skip


def write_model(folder, name, model_type, arguments):
    """Weights and config.json as Transformers writes them; returns the configuration."""
    generator = torch.Generator().manual_seed(SEED)
    config = transformers.AutoConfig.for_model(model_type, **arguments)
    wrapper = hasattr(config, "text_config")
    auto = transformers.AutoModelForImageTextToText if wrapper else transformers.AutoModelForCausalLM
    model = auto.from_config(config)
    # Norms that add 1 to their weights.
    one_plus = (model_type.startswith(("gemma", "nemotron", "qwen3_5", "qwen3_next"))
                and not model_type.startswith("gemma4"))
    with torch.no_grad():
        for key, value in model.named_parameters():
            is_norm = value.dim() == 1 and ("norm" in key or ".ln_" in key) or "_norm.weight" in key
            center = 1.0 if is_norm and key.endswith("weight") and not one_plus else 0.0
            value.copy_(center + 0.3 * torch.randn(value.shape, generator=generator))
        for key, value in model.named_buffers():
            if "correction" in key or "expert_bias" in key:
                value.copy_(0.2 * torch.randn(value.shape, generator=generator))
            if key.endswith("layer_scalar"):
                value.copy_(1.0 + 0.2 * torch.randn(value.shape, generator=generator))
    with tempfile.TemporaryDirectory() as written:
        model.to(torch.bfloat16).save_pretrained(written)
        stored = pathlib.Path(written, "model.safetensors")
        if name in HUB_NAMES:
            tensors = {key.replace(*HUB_NAMES[name]): value for key, value in safetensors.torch.load_file(stored).items()}
            safetensors.torch.save_file(tensors, stored, metadata={"format": "pt"})
        shutil.copy(stored, folder / f"{name}.safetensors")
        (folder / f"{name}.safetensors").chmod(0o644)
        return json.loads(pathlib.Path(written, "config.json").read_text())


def random_state(config, dtype):
    """A state dict for this config, with weights large enough that every mistake changes the logits."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "config.json").write_text(json.dumps(config))
        parsed = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_config(parsed)
    state = {}
    for name, value in model.state_dict().items():
        noise = torch.randn(value.shape)
        if "norm" in name or ".ln_f." in name:
            state[name] = (1 + 0.3 * noise if name.endswith("weight") else 0.3 * noise).to(dtype)
        else:
            state[name] = (0.3 * noise).to(dtype)
    if parsed.tie_word_embeddings:
        del state["lm_head.weight"]
    return state


def rename(state, old, new):
    return {name.replace(old, new, 1) if name.startswith(old) else name: value
            for name, value in state.items()}  # fmt: skip


def write_weights(folder, all_cases):
    def state(case, dtype=torch.bfloat16):
        return random_state(all_cases[case]["config"], dtype)

    def save(tensors, name):
        safetensors.torch.save_file(tensors, folder / name, metadata={"format": "pt"})
        (folder / name).chmod(0o644)  # safetensors writes it with mode 0600

    torch.manual_seed(SEED)
    opt = state("opt", torch.float16)
    save(opt, "opt.safetensors")
    torch.save(rename(opt, "model.", ""), folder / "opt_bare.bin")
    save(rename(opt, "model.decoder.embed_tokens.weight", "lm_head.weight"), "opt_only_head.safetensors")
    save(state("opt_post_norm", torch.float16), "opt_post_norm.safetensors")
    save(state("opt_galactica", torch.float16), "opt_galactica.safetensors")
    save(state("bloom"), "bloom.safetensors")
    save(rename(state("bloom_post_residual"), "transformer.", ""), "bloom_bare.safetensors")
    save(state("llama"), "llama.safetensors")
    buffer = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(5)}  # old files contain it
    save({**state("llama_biases"), **buffer}, "llama_biases.safetensors")
    save(state("qwen2"), "qwen2.safetensors")
    save(state("qwen3"), "qwen3.safetensors")


def logits(weights, config, ids, dtype, **options):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "config.json").write_text(json.dumps(config))
        stored = "pytorch_model.bin" if weights.suffix == ".bin" else "model.safetensors"
        shutil.copy(weights, folder / stored)
        auto = transformers.AutoModelForImageTextToText if "text_config" in config else transformers.AutoModelForCausalLM
        model, info = auto.from_pretrained(folder, dtype=dtype, output_loading_info=True, **options)
    assert not info["missing_keys"] and not info["mismatched_keys"], info
    with torch.no_grad():
        return model.eval()(input_ids=ids, use_cache=False).logits.contiguous()


def expected_logits(weights, config, ids, dtypes, **options):
    return {dtype: logits(weights, config, ids, getattr(torch, dtype), **options) for dtype in dtypes}


def save_logits(expected, file):
    safetensors.torch.save_file(expected, file, metadata={"format": "pt"})
    file.chmod(0o644)


def configured_cases(folder):
    """Ids and facts of the configurations as people have them."""
    all_cases = cases()
    write_weights(folder, all_cases)
    ids = torch.randint(0, VOCAB, IDS_SHAPE)
    facts = {}
    for name, case in all_cases.items():
        dtypes = ["float32"]
        if case["halves"]:
            dtypes += HALVES.get(case["config"]["model_type"], DEFAULT_HALVES)
        expected = expected_logits(folder / case["weights"], case["config"], ids, dtypes)
        logits_file = f"{case['same_as'] or name}.logits.safetensors"
        if case["same_as"] is None:
            save_logits(expected, folder / logits_file)
        else:
            stored = safetensors.torch.load_file(folder / logits_file)
            assert torch.equal(stored["float32"], expected["float32"]), name
        facts[name] = {
            "config": case["config"],
            "weights": case["weights"],
            "logits": logits_file,
            "dtypes": dtypes,
        }
    return ids.tolist(), facts


def has_experts(config):
    config = config.get("text_config", config)
    return any(key in config for key in ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"))


def written_cases(folder, ids, skipped):
    facts = {}
    for name, (model_type, arguments, halves) in WRITTEN.items():
        if name in skipped:
            continue
        config = write_model(folder, name, model_type, arguments)
        dtypes = ["float32"] + (["bfloat16"] if halves else [])
        weights = folder / f"{name}.safetensors"
        # Falcon's eager attention adds the linear biases twice.
        attention = "sdpa" if config.get("alibi") else "eager"
        expected = expected_logits(weights, config, torch.tensor(ids), dtypes, attn_implementation=attention,
                                   **({"experts_implementation": "eager"} if has_experts(config) else {}))
        save_logits(expected, folder / f"{name}.logits.safetensors")
        facts[name] = {"config": config, "weights": weights.name, "logits": f"{name}.logits.safetensors",
                       "dtypes": dtypes}  # fmt: skip
    return facts


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    facts = {}
    if "--only-missing" in sys.argv:
        earlier = json.loads((folder / "cases.json").read_text())
        ids, facts = earlier["ids"], earlier["cases"]
    else:
        ids, facts = configured_cases(folder)
    facts.update(written_cases(folder, ids, skipped=facts))
    document = {
        "command": "python3 scripts/golden/models.py tests/golden/models",
        "versions": {
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "safetensors": safetensors.__version__,
        },
        "seed": SEED,
        "ids": ids,
        "cases": facts,
    }
    (folder / "cases.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
