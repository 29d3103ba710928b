#!/usr/bin/env python3
"""Measures the perplexity of a model that llm-compressor's GPTQModifier quantized, without pruning.

    python3 scripts/golden/llmcompressor_perplexity.py

Needs torch, transformers, tokenizers, datasets and llmcompressor. Uses the calibration windows, evaluation
and dtype of reference_perplexity.py. Writes tests/golden/pipeline/llmcompressor_perplexity.json.
"""

import argparse
import json
import pathlib
import platform
import sys

import compressed_tensors
import llmcompressor
import tokenizers
import torch
import transformers
from datasets import Dataset
from llmcompressor.modifiers.quantization import GPTQModifier
from tokenizers import Tokenizer

from reference_perplexity import ROOT, calibration_windows, ids_sha256, perplexity


def recipe(wbits, group_size, symmetric):
    weights = {"num_bits": wbits, "type": "int", "symmetric": symmetric, "dynamic": False,
               "strategy": "group" if group_size > 0 else "channel"}
    if group_size > 0:
        weights["group_size"] = group_size
    return GPTQModifier(config_groups={"group_0": {"targets": ["Linear"], "weights": weights}},
                        ignore=["lm_head"], block_size=128, dampening_frac=0.01)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "tests/fixtures/opt-books-6m")
    parser.add_argument("--calibration", type=pathlib.Path,
                        default=ROOT / "tests/fixtures/books.calibration.txt")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "tests/fixtures/books.test.txt")
    parser.add_argument("--nsamples", type=int, default=64)
    parser.add_argument("--seqlen", type=int, default=512)
    parser.add_argument("--segments", type=int, default=120)
    parser.add_argument("--schemes", nargs="+", default=["4,128,sym", "4,128,asym", "4,-1,sym", "3,64,sym"],
                        metavar="WBITS,GROUP_SIZE,sym|asym")
    parser.add_argument("--output", type=pathlib.Path,
                        default=ROOT / "tests/golden/pipeline/llmcompressor_perplexity.json")
    arguments = parser.parse_args()

    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    test_ids = tokenizer.encode(arguments.data.read_text()).ids
    tokens = calibration_windows(tokenizer.encode(arguments.calibration.read_text()).ids,
                                 arguments.nsamples, arguments.seqlen, seed=0)
    calibration = Dataset.from_dict(
        {"input_ids": tokens.tolist(), "attention_mask": torch.ones_like(tokens).tolist()})
    stored = getattr(torch, json.loads((arguments.model / "config.json").read_text())["dtype"])
    result = {
        "command": " ".join(["scripts/golden/llmcompressor_perplexity.py", *sys.argv[1:]]),
        "versions": {"python": platform.python_version(), "torch": torch.__version__,
                     "transformers": transformers.__version__,
                     "tokenizers": tokenizers.__version__,
                     "compressed_tensors": compressed_tensors.__version__,
                     "llmcompressor": llmcompressor.__version__},
        "model": arguments.model.name, "nsamples": arguments.nsamples, "seqlen": arguments.seqlen,
        "segments": arguments.segments, "calibration_sha256": ids_sha256(tokens), "runs": [],
    }
    for scheme in arguments.schemes:
        wbits, group_size, word = scheme.split(",")
        wbits, group_size, symmetric = int(wbits), int(group_size), word == "sym"
        model = transformers.AutoModelForCausalLM.from_pretrained(
            arguments.model, dtype=torch.float32).eval()
        llmcompressor.oneshot(model=model, dataset=calibration,
                              recipe=recipe(wbits, group_size, symmetric),
                              max_seq_length=arguments.seqlen,
                              num_calibration_samples=arguments.nsamples,
                              shuffle_calibration_samples=False)
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):  # round to the dtype of the checkpoint
                module.weight.data = module.weight.data.to(stored).float()
        with torch.no_grad():
            value = perplexity(model, test_ids, arguments.seqlen, arguments.segments)
        result["runs"].append({"wbits": wbits, "group_size": group_size, "symmetric": symmetric,
                               "perplexity": value})
        print(result["runs"][-1], flush=True)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
