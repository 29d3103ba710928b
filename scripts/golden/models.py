#!/usr/bin/env python3
"""Writes tests/golden/models/: a tiny random checkpoint of every family, and Transformers' logits.

    python3 scripts/golden/models.py tests/golden/models

Needs torch and transformers. cases.json holds the versions, the seed, the token ids and, for each case, its
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


def logits(weights, config, ids, dtype):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "config.json").write_text(json.dumps(config))
        stored = "pytorch_model.bin" if weights.suffix == ".bin" else "model.safetensors"
        shutil.copy(weights, folder / stored)
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, output_loading_info=True
        )
    assert not info["missing_keys"] and not info["mismatched_keys"], info
    with torch.no_grad():
        return model.eval()(input_ids=ids, use_cache=False).logits.contiguous()


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    all_cases = cases()
    write_weights(folder, all_cases)
    ids = torch.randint(0, VOCAB, IDS_SHAPE)
    facts = {}
    for name, case in all_cases.items():
        dtypes = ["float32"]
        if case["halves"]:
            dtypes += HALVES.get(case["config"]["model_type"], DEFAULT_HALVES)
        expected = {
            dtype: logits(folder / case["weights"], case["config"], ids, getattr(torch, dtype))
            for dtype in dtypes
        }
        logits_file = f"{case['same_as'] or name}.logits.safetensors"
        if case["same_as"] is None:
            safetensors.torch.save_file(expected, folder / logits_file, metadata={"format": "pt"})
            (folder / logits_file).chmod(0o644)
        else:
            stored = safetensors.torch.load_file(folder / logits_file)
            assert torch.equal(stored["float32"], expected["float32"]), name
        facts[name] = {
            "config": case["config"],
            "weights": case["weights"],
            "logits": logits_file,
            "dtypes": dtypes,
        }

    document = {
        "command": "python3 scripts/golden/models.py tests/golden/models",
        "versions": {
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "safetensors": safetensors.__version__,
        },
        "seed": SEED,
        "ids": ids.tolist(),
        "cases": facts,
    }
    (folder / "cases.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
