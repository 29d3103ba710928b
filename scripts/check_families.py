#!/usr/bin/env python3
"""Prunes a tiny checkpoint of every family and variant in three ways; compares its logits in Transformers with ours.

    python3 scripts/check_families.py BUILD [--only NAME ...] [--units]

BUILD is a build folder with bin/prune and tests/models/logits_tool. Needs torch and transformers. The
checkpoints are those of tests/golden/models. Each is pruned to 50 %, to 2:4, and rounded to 4 bits. Transformers
(eager attention) must load each output without a missing or unexpected key (except those of the original checkpoint),
find the report's number of zeros, and compute our logits: within 1e-4 in float32, and in the other dtypes of the family
within their rounding (norm of the difference over the norm, with the bound of tests/models/golden_logits_test.cpp; with
experts the median of the tokens). Exits with 1 otherwise.

--units removes whole units instead: a quarter of the feed-forward channels, half of the key/value heads, half of the
blocks, and all of these together. The output must have fewer parameters. `prune` may also refuse: exit code 2 and one
line that names the model_type or a key of config.json, or says that none or all units would go. These lines are listed
at the end.
"""

import argparse
import json
import math
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "models"
sys.path.insert(0, str(ROOT / "scripts" / "golden"))
from models import has_experts  # noqa: E402
WAYS = {"50 %": ["--target", "0.5"], "2:4": ["--pattern", "2:4"],
        "int4": ["--target", "0", "--wbits", "4", "--group-size", "-1", "--format", "dense"]}
UNITS = {"channels": ["--ffn", "0.25"], "heads": ["--heads", "0.5"], "blocks": ["--blocks", "0.5"]}
UNITS["all units"] = sum(UNITS.values(), [])
REFUSED = 2  # prune's exit code
UNIT = {"float16": 2.0**-11, "bfloat16": 2.0**-8}


def write_model(folder, case):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(case["config"]))
    stored = "pytorch_model.bin" if case["weights"].endswith(".bin") else "model.safetensors"
    shutil.copy(GOLDEN / case["weights"], folder / stored)
    vocab = {chr(c): c - 32 for c in range(32, 127)} | {"\n": 95}  # the models know 96 ids
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (folder / "tokenizer.json").write_text(json.dumps(
        {"added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None,
         "model": {"type": "BPE", "vocab": vocab, "merges": []}}))


class Refusal(Exception):
    """prune does not remove these units from this model."""


def words_of(config):
    """The model_type and the keys of a config and of the configs in it."""
    inner = [words_of(value) for value in config.values() if isinstance(value, dict)]
    return {config.get("model_type", ""), *config, *(set().union(*inner))} - {""}


def prune(build, case, folder, way):
    seqlen = min(16, case["config"].get("max_position_embeddings", 16))
    done = subprocess.run(
        [build / "bin" / "prune", "--model", folder / "model", *way, "--nsamples", "16", "--seqlen", str(seqlen),
         "--calibration", ROOT / "tests/fixtures/books.calibration.txt",
         "--output", folder / "out", "--overwrite", "--quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, check=False)
    line = done.stderr.strip()
    reasons = [rf"\b{re.escape(word)}\b" for word in words_of(case["config"])] + ["removes (none|all) of"]
    if done.returncode == REFUSED and way in UNITS.values() and "\n" not in line and \
            any(re.search(reason, line) for reason in reasons):
        raise Refusal(line)
    sys.stderr.write(done.stderr)
    done.check_returncode()
    return json.loads((folder / "out" / "prune_report.json").read_text())


def our_logits(build, folder, dtype, ids):
    flat = [*ids.shape, *ids.flatten().tolist()]
    (folder / "ids").write_bytes(struct.pack(f"<{len(flat)}q", *flat))
    subprocess.run([build / "tests/models/logits_tool", folder / "out", dtype, folder / "ids",
                    folder / "logits"], check=True)
    data = bytearray((folder / "logits").read_bytes())
    return torch.frombuffer(data, dtype=torch.float32).reshape(*ids.shape, -1).double()


def load(folder, dtype):
    config = json.loads((folder / "config.json").read_text())
    auto = transformers.AutoModelForImageTextToText if "text_config" in config else transformers.AutoModelForCausalLM
    attention = "sdpa" if config.get("alibi") else "eager"  # Falcon's eager attention adds the biases twice
    experts = {"experts_implementation": "eager"} if has_experts(config) else {}
    model, loading = auto.from_pretrained(folder, dtype=getattr(torch, dtype), output_loading_info=True,
                                          attn_implementation=attention, **experts)
    return model.eval(), {key: value for key, value in loading.items() if value}


def count_zeros(model):
    """Zeros in the matrices of the text model's blocks; those that are not pruned have none."""
    return sum(int((weight == 0).sum()) for name, weight in model.named_parameters()
               if weight.dim() > 1 and re.search(r"\.(layers|h)\.", name) and "vision" not in name)


def count_parameters(model):
    return sum(weight.numel() for weight in model.parameters())


def compare(build, case, folder, dtype, ids, blocks, way):
    """Difference of our logits and theirs, its limit, problems of loading, and the number of zeros."""
    model, problems = load(folder / "out", dtype)
    # A tensor that the config leaves unused is in the output because the original checkpoint has it.
    if problems and problems == load(folder / "model", dtype)[1]:
        problems = {}
    if way in UNITS and count_parameters(model) >= count_parameters(load(folder / "model", dtype)[0]):
        problems["parameters"] = count_parameters(model)
    with torch.no_grad():
        theirs = model(input_ids=ids, use_cache=False).logits.double()
    ours = our_logits(build, folder, dtype, ids)
    if dtype == "float32":
        return (ours - theirs).abs().max().item(), 1e-4, problems, count_zeros(model)
    difference = ((ours - theirs).norm() / theirs.norm()).item()
    if has_experts(case["config"]):  # a token whose experts change with the rounding is far off
        difference = ((ours - theirs).norm(dim=-1) / theirs.norm(dim=-1)).median().item()
    return difference, 2 * math.sqrt(2 * 20 * blocks) * UNIT[dtype], problems, count_zeros(model)


def check(build, name, case, ids, ways, refusals):
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        write_model(folder / "model", case)
        good, words = True, []
        for way, flags in ways.items():
            try:
                report = prune(build, case, folder, flags)
            except Refusal as refusal:
                refusals.append(f"{name}, {way}: {refusal}")
                words.append(f"{way}: refused")
                continue
            except subprocess.CalledProcessError as error:
                good = False
                words.append(f"{way}: prune ended with exit code {error.returncode}")
                continue
            found = []
            for dtype in case["dtypes"] if way in ("50 %", "all units") else ["float32"]:
                try:
                    difference, limit, problems, zeros = compare(build, case, folder, dtype, ids,
                                                                 report["model"]["blocks"], way)
                except Exception as error:  # pylint: disable=broad-exception-caught
                    # Transformers has no common class for a config or sizes that it does not take.
                    good = False
                    found.append(f"{dtype} does not load or run: {str(error).splitlines()[0]}")
                    continue
                expected = report.get("zeros", 0)
                good &= not problems and zeros == expected and difference <= limit
                found.append(f"{dtype} {difference:.1e}" + (f" {problems}" if problems else "")
                             + (f" {zeros} zeros, not {expected}" if zeros != expected else ""))
            words.append(f"{way}: " + ", ".join(found))
        print(f"{name:32} {'ok  ' if good else 'FAIL'} {'; '.join(words)}", flush=True)
        return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--units", action="store_true", help="remove whole units instead")
    arguments = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    facts = json.loads((GOLDEN / "cases.json").read_text())
    ids = torch.tensor(facts["ids"])
    print(f"transformers {transformers.__version__}, torch {torch.__version__}; differences of logits: "
          "largest element in float32, relative norm in 16 bits")
    refusals = []
    results = [check(arguments.build.resolve(), name, case, ids, UNITS if arguments.units else WAYS, refusals)
               for name, case in facts["cases"].items() if not arguments.only or name in arguments.only]
    if refusals:
        print("refused:", *refusals, sep="\n  ")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
