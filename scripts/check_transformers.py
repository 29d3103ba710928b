#!/usr/bin/env python3
"""Loads an output of prune in Transformers and compares the perplexities.

    python3 scripts/check_transformers.py OUTPUT_FOLDER --data TEXT [--perplexity P]

Needs torch, transformers and tokenizers. Exits with 1 if a key is missing or unexpected, if the number of zeros
is not the report's, or if Transformers' perplexity (float32) differs by more than 0.1 % from the report's, or
from P with --perplexity P.
"""

import argparse
import json
import pathlib
import sys

import torch
import transformers
from tokenizers import Tokenizer

from golden.reference_perplexity import perplexity


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--perplexity", type=float, help="compare with this instead of the report's")
    arguments = parser.parse_args()

    report = json.loads((arguments.folder / "prune_report.json").read_text())
    evaluation = report["evaluation"]
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(
        arguments.folder, dtype=torch.float32, output_loading_info=True)
    problems = {key: value for key, value in loading.items() if value}
    linears = {name: module for name, module in model.named_modules()
               if isinstance(module, torch.nn.Linear) and name != "lm_head"}
    zeros = sum(int((m.weight == 0).sum()) for m in linears.values())

    ids = Tokenizer.from_file(str(arguments.folder / "tokenizer.json")).encode(
        arguments.data.read_text()).ids
    with torch.no_grad():
        theirs = perplexity(model.eval(), ids, evaluation["seqlen"], evaluation["segments"])
    ours = arguments.perplexity or evaluation["perplexity_pruned"]
    print(f"transformers {transformers.__version__}: loading problems {problems or 'none'}; "
          f"zeros {zeros} (report {report['zeros']}); perplexity {theirs:.4f}, ours {ours:.4f} "
          f"({100 * (theirs / ours - 1):+.4f} %)")
    return 1 if problems or zeros != report["zeros"] or abs(theirs / ours - 1) > 1e-3 else 0


if __name__ == "__main__":
    sys.exit(main())
