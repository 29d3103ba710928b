#!/usr/bin/env python3
"""Prunes a checkpoint with a peer in this process and writes its seconds by phase and its peak memory.

    python3 scripts/bench/peer_run.py sparsegpt|llm-compressor --model M --tokens T.npy --target 0.7 \\
        --output DIR --figures F.json [--reference PATH_OF_A_SPARSEGPT_CHECKOUT]

scripts/bench/peers and scripts/bench/quality start it. Peers get ready-made calibration tokens, [nsamples,
seqlen] int64. Only the class SparseGPT is imported from IST-DASLab/sparsegpt; the protocol around it follows
its opt.py and llama.py (block by block, sample by sample, a Hessian for every layer, a second forward through
the pruned block) and works for any Transformers model with blocks of linear layers. llm-compressor runs its own
`oneshot` with its sequential pipeline. The output checkpoint has the dtype of the model.
"""

import argparse
import collections
import contextlib
import io
import json
import pathlib
import sys
import time

import numpy as np
import torch
import transformers


class Clock:
    """Seconds by phase. Phases may nest: a phase does not count the seconds of phases inside it."""

    def __init__(self, device):
        self.device = device
        self.elapsed_s = {}
        self.running = []

    def now(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    @contextlib.contextmanager
    def during(self, phase):
        start, before = self.now(), sum(self.elapsed_s.values())
        try:
            yield
        finally:
            within = sum(self.elapsed_s.values()) - before
            self.elapsed_s[phase] = (
                self.elapsed_s.get(phase, 0.0) + self.now() - start - within)

    def timed(self, phase, function):
        def run(*args, **kwargs):
            with self.during(phase):
                return function(*args, **kwargs)
        return run


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("peer", choices=("sparsegpt", "llm-compressor"))
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--tokens", required=True, type=pathlib.Path)
    parser.add_argument("--target", type=float)
    parser.add_argument("--pattern", help="N:M, instead of --target (llm-compressor)")
    parser.add_argument("--experts", type=float, help="fraction to remove by REAP, instead (llm-compressor); the numbers "
                        "of those that stay are written beside --figures")
    parser.add_argument("--profile", choices=("owl",), help="sparsity profile (llm-compressor)")
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--figures", required=True, type=pathlib.Path)
    parser.add_argument("--reference", type=pathlib.Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=("float32", "checkpoint"), default="float32")
    return parser.parse_args()


def stored_dtype(folder):
    config = json.loads((folder / "config.json").read_text())
    return getattr(torch, config.get("dtype") or config["torch_dtype"])


def load(arguments):
    dtype = torch.float32 if arguments.dtype == "float32" else stored_dtype(arguments.model)
    return transformers.AutoModelForCausalLM.from_pretrained(arguments.model, dtype=dtype).eval()


# --- IST-DASLab/sparsegpt ---------------------------------------------------------------------------


def import_sparsegpt(checkout):
    sys.path.insert(0, str(checkout))
    if not torch.cuda.is_available():
        torch.cuda.synchronize = lambda *a: None  # the reference calls this even without a GPU
    if not hasattr(transformers, "Conv1D"):
        transformers.Conv1D = transformers.pytorch_utils.Conv1D
    from sparsegpt import SparseGPT  # pylint: disable=import-outside-toplevel
    return SparseGPT


def run_layer(layer, hidden, arguments):
    out = layer(hidden, **arguments)
    return out[0] if isinstance(out, tuple) else out


class Stop(Exception):
    pass


def layer_inputs(model, trunk, tokens, device):
    """Returns the hidden states before the first block, [nsamples, seqlen, hidden], and the blocks' other arguments."""
    # Only the modules before the first block move to the device, as in the reference.
    first = trunk.layers[0]
    needed = [first] + [child for child in trunk.children() if child is not trunk.layers]
    for module in needed:
        module.to(device)
    dtype = next(model.parameters()).dtype
    inps = torch.zeros((*tokens.shape, model.config.hidden_size), dtype=dtype, device=device)
    others = {}

    def catch(_, args, kwargs):
        inps[len(seen)] = args[0] if args else kwargs.pop("hidden_states")
        seen.append(True)
        others.update(kwargs)
        raise Stop

    seen = []
    handle = first.register_forward_pre_hook(catch, with_kwargs=True)
    for sample in tokens:
        with contextlib.suppress(Stop):
            model(sample[None].to(device), use_cache=False)
    handle.remove()
    for module in needed:
        module.cpu()
    others.pop("past_key_values", None)
    return inps, others


def sparsegpt(arguments, model, tokens, clock):
    solver_class = import_sparsegpt(arguments.reference)
    device = clock.device
    trunk = model.model.decoder if hasattr(model.model, "decoder") else model.model
    with clock.during("forward"):
        inps, others = layer_inputs(model, trunk, tokens, device)
    outs = torch.zeros_like(inps)
    for layer in trunk.layers:
        layer.to(device)
        solvers = {name: solver_class(module) for name, module in layer.named_modules()
                   if isinstance(module, torch.nn.Linear)}

        def add_batch(solver):
            def hook(_, inp, out):
                with clock.during("hessian"):
                    solver.add_batch(inp[0].data, out.data)
            return hook

        handles = [solver.layer.register_forward_hook(add_batch(solver))
                   for solver in solvers.values()]
        with clock.during("forward"):
            for j in range(len(inps)):
                outs[j] = run_layer(layer, inps[j][None], others)
        for handle in handles:
            handle.remove()
        with clock.during("solver"):
            for solver in solvers.values():
                with contextlib.redirect_stdout(io.StringIO()):
                    solver.fasterprune(arguments.target, percdamp=0.01, blocksize=128)
                solver.free()
        with clock.during("forward"):
            for j in range(len(inps)):
                outs[j] = run_layer(layer, inps[j][None], others)
        layer.cpu()
        del solvers
        inps, outs = outs, inps


# --- llm-compressor ---------------------------------------------------------------------------------


def llm_compressor(arguments, model, tokens, clock):
    # pylint: disable=import-outside-toplevel
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers.pruning import SparseGPTModifier
    from llmcompressor.modifiers.pruning.sparsegpt import base

    base.accumulate_hessian = clock.timed("hessian", base.accumulate_hessian)
    base.sparsify_weight = clock.timed("solver", base.sparsify_weight)
    options = {"sparsity": arguments.target, "targets": ["Linear"]}
    if arguments.pattern:
        n, m = map(int, arguments.pattern.split(":"))
        options.update(sparsity=n / m, mask_structure=arguments.pattern)
    modifier = SparseGPTModifier
    if arguments.profile == "owl":
        # llm-compressor's OWL with two fixes: 0.14.0.1 starts calibration before it is initialized, and
        # returns a dictionary by block where later code expects a list by target.
        class Owl(SparseGPTModifier):
            def _get_activations(self, model, dataloader, nsamples=128):
                norms = collections.defaultdict(int)

                def add(name):
                    def hook(_, args):
                        norms[name] += args[0].pow(2).sum(dim=(0, 1)).sqrt() / nsamples
                    return hook

                handles = [module.register_forward_pre_hook(add(name))
                           for name, module in model.named_modules()
                           if isinstance(module, torch.nn.Linear) and "lm_head" not in name]
                for batch in dataloader:
                    model(**{key: value.to(model.device) for key, value in batch.items()})
                for handle in handles:
                    handle.remove()
                return norms

            def _infer_owl_layer_sparsity(self, *args):
                return list(super()._infer_owl_layer_sparsity(*args).values())

        modifier = Owl
        options.update(sparsity_profile="owl", owl_m=5, owl_lmbda=0.08,
                       targets=[type(model.get_decoder().layers[0]).__name__])
    data = Dataset.from_dict({"input_ids": tokens.tolist(),
                              "attention_mask": torch.ones_like(tokens).tolist()})
    more = {}
    if arguments.experts:
        from llmcompressor.modifiers.pruning.reap import REAPPruningModifier
        recipe = REAPPruningModifier(sparsity=arguments.experts,
                                     report_path=str(arguments.figures.with_suffix(".kept.json")))
        more = {"moe_calibrate_all_experts": False}
    else:
        recipe = modifier(block_size=128, dampening_frac=0.01, ignore=["re:.*lm_head"], **options)
    with clock.during("forward"):  # includes everything outside Hessian and solver
        oneshot(model=model, dataset=data, max_seq_length=tokens.shape[1],
                num_calibration_samples=len(tokens), shuffle_calibration_samples=False,
                pipeline="sequential", recipe=recipe, **more)


def sparsity(model):
    linears = [module.weight for name, module in model.named_modules()
               if isinstance(module, torch.nn.Linear) and name != "lm_head"]
    return sum(int((w == 0).sum()) for w in linears) / sum(w.numel() for w in linears)


def peak_host_bytes():
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


@torch.no_grad()
def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    clock = Clock(torch.device(arguments.device))
    tokens = torch.from_numpy(np.load(arguments.tokens))
    with clock.during("load"):
        model = load(arguments)
    run = {"sparsegpt": sparsegpt, "llm-compressor": llm_compressor}[arguments.peer]
    run(arguments, model, tokens, clock)
    reached = sparsity(model)
    with clock.during("write"):
        kwargs = {"save_compressed": False} if arguments.peer == "llm-compressor" else {}
        model.to(stored_dtype(arguments.model)).save_pretrained(arguments.output, **kwargs)
    arguments.figures.write_text(json.dumps({
        "elapsed_s": clock.elapsed_s, "sparsity": reached, "peak_host_bytes": peak_host_bytes(),
        "peak_device_bytes": torch.cuda.max_memory_reserved() if clock.device.type == "cuda" else 0,
    }))


if __name__ == "__main__":
    main()
