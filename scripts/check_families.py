#!/usr/bin/env python3
"""Prunes a tiny checkpoint of every family and variant; compares its logits in Transformers with ours.

    python3 scripts/check_families.py BUILD [--only NAME ...]

BUILD is a build folder with bin/prune and tests/models/logits_tool. Needs torch and transformers. The
checkpoints are those of tests/golden/models. Transformers must load each output without a missing or
unexpected key (except those of the original checkpoint), find the report's number of zeros, and compute our
logits: within 1e-4 in float32, and in the other dtypes of the family within their rounding (norm of the
difference over the norm, with the bound of tests/models/golden_logits_test.cpp). Exits with 1 otherwise.
"""

import argparse
import json
import math
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "models"
UNIT = {"float16": 2.0**-11, "bfloat16": 2.0**-8}


def write_model(folder, case):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(case["config"]))
    stored = "pytorch_model.bin" if case["weights"].endswith(".bin") else "model.safetensors"
    shutil.copy(GOLDEN / case["weights"], folder / stored)
    vocab = {chr(c): c - 32 for c in range(32, 127)} | {"\n": 95}  # the models know 96 ids
    (folder / "tokenizer.json").write_text(json.dumps(
        {"added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None,
         "model": {"type": "BPE", "vocab": vocab, "merges": []}}))


def prune(build, case, folder):
    seqlen = min(16, case["config"].get("max_position_embeddings", 16))
    subprocess.run(
        [build / "bin" / "prune", "--model", folder / "model", "--target", "0.6", "--nsamples", "16",
         "--seqlen", str(seqlen), "--calibration", ROOT / "tests/fixtures/books.calibration.txt",
         "--output", folder / "out", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / "out" / "prune_report.json").read_text())


def our_logits(build, folder, dtype, ids):
    flat = [*ids.shape, *ids.flatten().tolist()]
    (folder / "ids").write_bytes(struct.pack(f"<{len(flat)}q", *flat))
    subprocess.run([build / "tests/models/logits_tool", folder / "out", dtype, folder / "ids",
                    folder / "logits"], check=True)
    data = bytearray((folder / "logits").read_bytes())
    return torch.frombuffer(data, dtype=torch.float32).reshape(*ids.shape, -1).double()


def load(folder, dtype):
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), output_loading_info=True)
    return model, {key: value for key, value in loading.items() if value}


def check(build, name, case, ids):
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        write_model(folder / "model", case)
        report = prune(build, case, folder)
        good, words = True, []
        for dtype in case["dtypes"]:
            model, problems = load(folder / "out", dtype)
            # A tensor that the config leaves unused is in the output because the original checkpoint has it.
            if problems and problems == load(folder / "model", dtype)[1]:
                problems = {}
            zeros = sum(int((m.weight == 0).sum()) for n, m in model.named_modules()
                        if isinstance(m, torch.nn.Linear) and (".layers." in n or ".h." in n))
            with torch.no_grad():
                theirs = model.eval()(input_ids=ids, use_cache=False).logits.double()
            ours = our_logits(build, folder, dtype, ids)
            if dtype == "float32":
                difference, limit = (ours - theirs).abs().max().item(), 1e-4
            else:
                difference = ((ours - theirs).norm() / theirs.norm()).item()
                blocks = model.config.num_hidden_layers
                limit = 2 * math.sqrt(2 * 20 * blocks) * UNIT[dtype]
            good &= not problems and zeros == report["zeros"] and difference <= limit
            words.append(f"{dtype} {difference:.1e}" + (f" {problems}" if problems else ""))
        print(f"{name:32} {'ok  ' if good else 'FAIL'} zeros {zeros} of {report['weights']}; "
              + ", ".join(words), flush=True)
        return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--only", nargs="*")
    arguments = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    facts = json.loads((GOLDEN / "cases.json").read_text())
    ids = torch.tensor(facts["ids"])
    print(f"transformers {transformers.__version__}, torch {torch.__version__}; differences of logits: "
          "largest element in float32, relative norm in 16 bits")
    results = [check(arguments.build.resolve(), name, case, ids) for name, case in facts["cases"].items()
               if not arguments.only or name in arguments.only]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
