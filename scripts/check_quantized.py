#!/usr/bin/env python3
"""Loads pack-quantized outputs in Transformers; compares weights and logits with ours.

    python3 scripts/check_quantized.py BUILD [--model FOLDER] [--calibration TEXT] [--wbits 2 3 4 8]

BUILD is a build folder with bin/prune and tests/models/logits_tool. Needs torch, transformers,
compressed-tensors, safetensors. For every width, symmetry and group size the model is quantized twice: pruned
to 50 %, and not pruned (in act order). Transformers must load the packed output without a missing or
unexpected key, its decompressed weights must equal those of `--format dense` bit for bit, and its float32
logits must be within 1e-4 of ours. Exits with 1 otherwise.
"""

import argparse
import pathlib
import struct
import subprocess
import sys
import tempfile

import compressed_tensors
import torch
import transformers
from safetensors.torch import load_file
from transformers.utils.quantization_config import CompressedTensorsConfig

ROOT = pathlib.Path(__file__).resolve().parents[1]


def prune(arguments, output, flags):
    subprocess.run([arguments.build / "bin/prune", "--model", arguments.model, "--schedule", "uniform",
                    "--nsamples", "4", "--seqlen", "128", "--calibration", arguments.calibration,
                    "--output", output, "--quiet", *flags], check=True, stdout=subprocess.DEVNULL)


def our_logits(build, folder, ids):
    flat = [*ids.shape, *ids.flatten().tolist()]
    with tempfile.TemporaryDirectory() as path:
        scratch = pathlib.Path(path)
        (scratch / "ids").write_bytes(struct.pack(f"<{len(flat)}q", *flat))
        subprocess.run([build / "tests/models/logits_tool", folder, "float32", scratch / "ids",
                        scratch / "logits"], check=True)
        data = bytearray((scratch / "logits").read_bytes())
    return torch.frombuffer(data, dtype=torch.float32).reshape(*ids.shape, -1)


def check(arguments, target, wbits, symmetry, group_size):
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        flags = ["--target", target, "--wbits", str(wbits), f"--{symmetry}", "--group-size", str(group_size)]
        prune(arguments, folder / "packed", flags)
        prune(arguments, folder / "dense", [*flags, "--format", "dense"])
        dense = load_file(folder / "dense/model.safetensors")
        # Weights are dequantized in the stored dtype.
        model, loading = transformers.AutoModelForCausalLM.from_pretrained(
            folder / "packed", dtype="auto", output_loading_info=True,
            quantization_config=CompressedTensorsConfig(run_compressed=False))
        problems = {key: value for key, value in loading.items() if value}
        weights = {name + ".weight": module.weight for name, module in model.named_modules()
                   if isinstance(module, torch.nn.Linear) and name != "lm_head"}
        unequal = [name for name, weight in weights.items()
                   if not torch.equal(weight.data, dense[name])]
        torch.manual_seed(0)
        ids = torch.randint(10, model.config.vocab_size, (2, 64))
        with torch.no_grad():
            theirs = model.float().eval()(input_ids=ids, use_cache=False).logits
        difference = (our_logits(arguments.build, folder / "packed", ids) - theirs).abs().max().item()
        good = not problems and not unequal and difference <= 1e-4
        print(f"target {target:3} {wbits} bits {symmetry:4} group {group_size:4}: {'ok  ' if good else 'FAIL'} "
              f"{len(weights) - len(unequal)} of {len(weights)} weights equal, logits differ by "
              f"{difference:.1e}, loading problems {problems or 'none'}", flush=True)
        return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "tests/fixtures/opt-books-6m")
    parser.add_argument("--calibration", type=pathlib.Path,
                        default=ROOT / "tests/fixtures/books.calibration.txt")
    parser.add_argument("--wbits", type=int, nargs="+", default=[2, 3, 4, 8])
    arguments = parser.parse_args()
    arguments.build = arguments.build.resolve()
    transformers.utils.logging.disable_progress_bar()
    print(f"transformers {transformers.__version__}, compressed-tensors "
          f"{compressed_tensors.__version__}, torch {torch.__version__}")
    results = [check(arguments, target, wbits, symmetry, group_size)
               for target in ("0.5", "0") for wbits in arguments.wbits
               for symmetry, group_size in (("sym", 128), ("asym", 32), ("asym", -1))]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
