#!/usr/bin/env python3
"""Makes a LLaMA checkpoint of random weights, pruned and quantized at random, to time text with.

    python3 scripts/bench/random_llama.py FOLDER [--blocks 8] [--sparsity 0.7] [--wbits 4]

Widths are LLaMA-2-7B's, whose 32 blocks are alike; --blocks keeps it small. Weights are bfloat16; with --wbits 4 those of the
blocks are in compressed-tensors' format pack-quantized, in groups of 128 columns. Needs torch and safetensors.
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file

HIDDEN, FFN, HEADS, VOCABULARY = 4096, 11008, 32, 32000
LAYERS = {"self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (HIDDEN, HIDDEN), "self_attn.v_proj": (HIDDEN, HIDDEN),
          "self_attn.o_proj": (HIDDEN, HIDDEN), "mlp.gate_proj": (FFN, HIDDEN), "mlp.up_proj": (FFN, HIDDEN),
          "mlp.down_proj": (HIDDEN, FFN)}
GROUP = 128


def quantized(name, weight):
    """The tensors of a weight in 4 bits; zeros stay zeros."""
    rows, cols = weight.shape
    grouped = weight.view(rows, cols // GROUP, GROUP)
    scale = (grouped.abs().amax(-1) / 7).bfloat16()
    codes = (grouped / scale.float().unsqueeze(-1)).round().clamp(-8, 7).view(rows, cols // 8, 8).int() + 8
    words = (codes << (4 * torch.arange(8, dtype=torch.int32))).sum(-1, dtype=torch.int32)
    return {name + ".weight_packed": words, name + ".weight_scale": scale,
            name + ".weight_shape": torch.tensor([rows, cols])}


def make(folder, blocks, sparsity, wbits):
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"model.embed_tokens.weight": (torch.randn(VOCABULARY, HIDDEN) * 0.02).bfloat16(),
               "lm_head.weight": (torch.randn(VOCABULARY, HIDDEN) * 0.02).bfloat16(),
               "model.norm.weight": torch.ones(HIDDEN).bfloat16()}
    for block in range(blocks):
        prefix = f"model.layers.{block}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}{norm}.weight"] = torch.ones(HIDDEN).bfloat16()
        for layer, shape in LAYERS.items():
            weight = torch.randn(shape) * 0.02
            weight *= torch.rand(shape) >= sparsity
            tensors |= (quantized(prefix + layer, weight) if wbits == 4
                        else {f"{prefix}{layer}.weight": weight.bfloat16()})
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": HIDDEN, "intermediate_size": FFN,
              "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "num_hidden_layers": blocks,
              "vocab_size": VOCABULARY, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "hidden_act": "silu",
              "tie_word_embeddings": False, "dtype": "bfloat16", "bos_token_id": 1, "eos_token_id": 2}
    if wbits == 4:
        config["quantization_config"] = {
            "quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
            "ignore": ["lm_head"], "config_groups": {"group_0": {
                "targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group",
                                                   "group_size": GROUP}}}}
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--sparsity", type=float, default=0.0)
    parser.add_argument("--wbits", type=int, choices=(4, 16), default=16)
    arguments = parser.parse_args()
    make(arguments.folder, arguments.blocks, arguments.sparsity, arguments.wbits)


if __name__ == "__main__":
    main()
