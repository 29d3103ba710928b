#!/usr/bin/env python3
"""Makes an OPT checkpoint with random float16 weights and a tokenizer, by Transformers.

    python3 scripts/bench/random_model.py opt-125m FOLDER [--blocks N] [--width N] [--positions N]

The tokenizer is that of the bundled model; every vocabulary here covers its ids. Transformers initialises the
weights with a fixed seed. Time and memory do not depend on their values; the perplexity is meaningless.
"""

import argparse
import pathlib
import shutil

import torch
import transformers

FIXTURE = pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/opt-books-6m"
SHAPES = {  # hidden size, ffn, blocks, heads; opt-125m and opt-1.3b as published
    "opt-6m": (256, 1024, 6, 4),
    "opt-125m": (768, 3072, 12, 12),
    "opt-1.3b": (2048, 8192, 24, 32),
}


def make(folder, shape, blocks=None, width=None, positions=2048, vocabulary=50272):
    hidden, ffn, layers, heads = SHAPES[shape]
    if width:
        hidden, ffn, heads = width, 4 * width, width // 64
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):  # random numbers take long on a CPU
        model = transformers.AutoModelForCausalLM.from_config(
            transformers.OPTConfig(
                hidden_size=hidden, ffn_dim=ffn, num_hidden_layers=blocks or layers,
                num_attention_heads=heads, word_embed_proj_dim=hidden, vocab_size=vocabulary,
                max_position_embeddings=positions),
            dtype=torch.float16)
    model.cpu().save_pretrained(folder)
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        shutil.copy(FIXTURE / name, folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--blocks", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--positions", type=int, default=2048)
    arguments = parser.parse_args()
    make(arguments.folder, arguments.shape, arguments.blocks, arguments.width, arguments.positions)


if __name__ == "__main__":
    main()
