#!/usr/bin/env python3
"""Measures the perplexity of a model pruned uniformly by IST-DASLab/sparsegpt's own solver.

    python3 scripts/golden/reference_perplexity.py --reference PATH_OF_A_SPARSEGPT_CHECKOUT
    python3 scripts/golden/reference_perplexity.py --reference ... --target 0 --wbits 4 \
        --output tests/golden/pipeline/reference_perplexity_w4.json

Needs torch, transformers, tokenizers and safetensors. Imports only the solver and quantizer classes of the checkout;
model, tokens and evaluation are Transformers' in float32 on the CPU. Python's `random` draws the calibration windows
as the reference loaders do. Writes tests/golden/pipeline/reference_perplexity.json.
"""

import argparse
import contextlib
import hashlib
import io
import json
import pathlib
import platform
import random
import struct
import subprocess
import sys

import tokenizers
import torch
import transformers
from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", required=True, type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "tests/fixtures/opt-books-6m")
    parser.add_argument("--calibration", type=pathlib.Path,
                        default=ROOT / "tests/fixtures/books.calibration.txt")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "tests/fixtures/books.test.txt")
    parser.add_argument("--target", type=float, default=0.7)
    parser.add_argument("--wbits", type=int, default=16, help="bits; per row and asymmetric, as in the reference's opt.py")
    parser.add_argument("--nsamples", type=int, default=64)
    parser.add_argument("--seqlen", type=int, default=512)
    parser.add_argument("--segments", type=int, default=120)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--output", type=pathlib.Path,
                        default=ROOT / "tests/golden/pipeline/reference_perplexity.json")
    return parser.parse_args()


def calibration_windows(ids, nsamples, seqlen, seed):
    random.seed(seed)
    starts = [random.randint(0, len(ids) - seqlen - 1) for _ in range(nsamples)]
    return torch.tensor([ids[s:s + seqlen] for s in starts])


def ids_sha256(ids):
    flat = ids.flatten().tolist()
    return hashlib.sha256(struct.pack(f"<{len(flat)}q", *flat)).hexdigest()


def blocks_of(model):
    return model.model.decoder.layers if hasattr(model.model, "decoder") else model.model.layers


class Stop(Exception):
    pass


def block_inputs(model, tokens):
    """The hidden states that enter the first block, one tensor per sample, and the block's other arguments."""
    first = blocks_of(model)[0]
    inputs, arguments = [], {}

    def catch(module, args, kwargs):
        inputs.append(args[0] if args else kwargs.pop("hidden_states"))
        arguments.update(kwargs)
        raise Stop

    handle = first.register_forward_pre_hook(catch, with_kwargs=True)
    for sample in tokens:
        with contextlib.suppress(Stop):
            model(sample[None], use_cache=False)
    handle.remove()
    return inputs, arguments


def run_block(block, hidden, arguments):
    out = block(hidden, **arguments)
    return out[0] if isinstance(out, tuple) else out


def prune(model, tokens, target, solver_class, make_quantizer=None):
    hidden, arguments = block_inputs(model, tokens)
    for block in blocks_of(model):
        linears = {n: m for n, m in block.named_modules() if isinstance(m, torch.nn.Linear)}
        solvers = {name: solver_class(linear) for name, linear in linears.items()}
        handles = [
            linear.register_forward_hook(
                lambda module, args, out, name=name: solvers[name].add_batch(args[0].data, out.data))
            for name, linear in linears.items()
        ]
        for h in hidden:
            run_block(block, h, arguments)
        for handle in handles:
            handle.remove()
        for solver in solvers.values():
            if make_quantizer:
                solver.quantizer = make_quantizer()
            with contextlib.redirect_stdout(io.StringIO()):
                solver.fasterprune(target, percdamp=0.01, blocksize=128)
            # Round to the dtype of the checkpoint, so that the perplexity is that of the written model.
            weight = solver.layer.weight.data
            weight.copy_(weight.to(STORED_DTYPE).float())
            solver.free()
        hidden = [run_block(block, h, arguments) for h in hidden]


def perplexity(model, ids, seqlen, segments):
    losses = []
    for i in range(segments):
        segment = torch.tensor(ids[i * seqlen:(i + 1) * seqlen])[None]
        logits = model(segment, use_cache=False).logits[0, :-1].float()
        losses.append(torch.nn.functional.cross_entropy(logits, segment[0, 1:]).item())
    return float(torch.tensor(losses, dtype=torch.float64).mean().exp())


def main():
    arguments = parse_arguments()
    sys.path.insert(0, str(arguments.reference))
    torch.cuda.synchronize = lambda *a: None  # the reference calls it even without a GPU
    if not hasattr(transformers, "Conv1D"):
        transformers.Conv1D = transformers.pytorch_utils.Conv1D
    from sparsegpt import SparseGPT  # pylint: disable=import-outside-toplevel

    from quant import Quantizer  # pylint: disable=import-outside-toplevel

    def make_quantizer():
        quantizer = Quantizer()
        quantizer.configure(arguments.wbits, perchannel=True, sym=False, mse=False)
        return quantizer

    commit = subprocess.run(["git", "-C", str(arguments.reference), "rev-parse", "HEAD"],
                            capture_output=True, text=True, check=False).stdout.strip()
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    calibration_ids = tokenizer.encode(arguments.calibration.read_text()).ids
    test_ids = tokenizer.encode(arguments.data.read_text()).ids
    segments = arguments.segments or len(test_ids) // arguments.seqlen

    def load():
        return transformers.AutoModelForCausalLM.from_pretrained(
            arguments.model, dtype=torch.float32).eval()

    global STORED_DTYPE
    STORED_DTYPE = getattr(torch, json.loads((arguments.model / "config.json").read_text()).get(
        "dtype", "float16"))
    result = {
        "command": " ".join(["scripts/golden/reference_perplexity.py", *sys.argv[1:]]),
        "reference": f"IST-DASLab/sparsegpt {commit or 'commit not recorded'}",
        "versions": {"python": platform.python_version(), "torch": torch.__version__,
                     "transformers": transformers.__version__,
                     "tokenizers": tokenizers.__version__},
        "model": arguments.model.name, "target": arguments.target, "wbits": arguments.wbits,
        "nsamples": arguments.nsamples, "seqlen": arguments.seqlen, "segments": segments,
        "runs": [],
    }
    with torch.no_grad():
        result["dense"] = perplexity(load(), test_ids, arguments.seqlen, segments)
        for seed in arguments.seeds:
            model = load()
            tokens = calibration_windows(calibration_ids, arguments.nsamples, arguments.seqlen, seed)
            prune(model, tokens, arguments.target, SparseGPT,
                  make_quantizer if arguments.wbits < 16 else None)
            result["runs"].append({"seed": seed, "calibration_sha256": ids_sha256(tokens),
                                   "uniform": perplexity(model, test_ids, arguments.seqlen,
                                                         segments)})
            print(result["dense"], result["runs"][-1], flush=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
