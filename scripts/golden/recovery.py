#!/usr/bin/env python3
"""Writes tests/golden/recovery/: gradients of every golden model and three steps of one, by PyTorch's autograd.

    python3 scripts/golden/recovery.py [gradients [--only-missing]] [step]

The teacher is a model of tests/golden/models in Transformers, float32. The student has the same weights, with zeros
where row + column is even in all linear layers of its blocks. The loss is KL(teacher || student), summed over the
vocabulary, in nats, and averaged over all positions. A zero has no gradient. Layers have their names in the
checkpoint and are [rows, cols] = [outputs, inputs] as stored, fused layers whole.

gradients.json: for each case the loss on the token ids of cases.json, and for each layer the gradient's Frobenius norm
and its dot product with cos(0.37 row + 0.11 col + 0.5).

step.json, step.safetensors: three steps of StableAdamW (arXiv 2304.13013) without decay on the case "llama": samples,
batches, rates, losses, the largest rms by which each step divides a layer's rate, and all layers after the last step.

Needs torch and transformers.
"""

import json
import pathlib
import platform
import re
import shutil
import sys
import tempfile

import safetensors.torch
import torch
import transformers

from models import has_experts

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests/golden/models"
GOLDEN = ROOT / "tests/golden/recovery"
SEED = 27  # of 40, the one with the largest rms, which divides the rate
STEP_CASE = "llama"
BATCHES = [[0, 1], [2, 3], [1, 2]]
RATES = [1e-2, 8e-3, 3e-3]
NOT_PRUNED = tuple(f"{layer}.weight" for layer in (
    "shared_expert_gate", "router", "router.gate", "router.proj", "gate.wg", "moe.gate", "fc1_latent_proj",
    "fc2_latent_proj", "per_layer_input_gate", "per_layer_projection", "self_attn.g_proj", "in_proj_a", "in_proj_b",
    "in_proj_ba", "self_attn.b_proj",
    "self_attn.f_a_proj", "self_attn.f_b_proj", "self_attn.g_a_proj", "self_attn.g_b_proj"))  # fmt: skip
BETAS, EPS = (0.9, 0.95), 1e-8


def read_weights(path):
    if path.suffix == ".bin":
        return torch.load(path, map_location="cpu", weights_only=True)
    return safetensors.torch.load_file(path)


def load_model(case):
    config = case["config"]
    wrapper = "text_config" in config
    auto = transformers.AutoModelForImageTextToText if wrapper else transformers.AutoModelForCausalLM
    # Falcon's eager attention adds the linear biases twice.
    attention = "sdpa" if config.get("alibi") else "eager"
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "config.json").write_text(json.dumps(config))
        file = "pytorch_model.bin" if case["weights"].endswith(".bin") else "model.safetensors"
        shutil.copy(MODELS / case["weights"], pathlib.Path(folder, file))
        more = {"experts_implementation": "eager"} if has_experts(config) else {}
        return auto.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention, **more).eval()


def stacked_linears(name, stack, in_turn):
    """The layers of a stack over experts: name and view. The stack is [experts, rows, cols]; gpt-oss's and Llama 4's are
    turned. in_turn: gate and up are row by row in turn, and two layers (gpt-oss)."""
    layer = name.removesuffix(".weight")
    for expert in range(stack.shape[0]):
        if layer.endswith("_linear"):  # granitemoe: gate and up are one layer
            yield f"{layer}.{expert}", lambda x, e=expert: x[e]
        elif not in_turn:
            prefix, last = layer.rsplit(".", 1)
            turned = "feed_forward." in prefix
            yield f"{prefix}.{expert}.{last}", lambda x, e=expert, t=turned: x[e].T if t else x[e]
        elif layer.endswith("experts.gate_up_proj"):
            prefix = f"{layer.removesuffix('.gate_up_proj')}.{expert}"
            yield prefix + ".gate_proj", lambda x, e=expert: x[e].T[0::2]
            yield prefix + ".up_proj", lambda x, e=expert: x[e].T[1::2]
        else:
            yield f"{layer.removesuffix('.down_proj')}.{expert}.down_proj", lambda x, e=expert: x[e].T


def expert_linears(parameter, stored):
    """The layers of experts that Transformers holds in one parameter, gate before up."""
    for name, value in stored.items():
        if value.dim() == 3 and torch.equal(value, parameter):
            yield from stacked_linears(name, value, in_turn=name + "_bias" in stored)
            return
    half = parameter.shape[1] // 2
    views = [lambda x, e=expert, rows=rows: x[e, rows] for expert in range(parameter.shape[0])
             for rows in (slice(0, half), slice(half, None), slice(None))]
    layers = {name.removesuffix(".weight"): value for name, value in stored.items() if value.dim() == 2}
    for name, value in stored.items():  # of which Transformers joins gate and up
        if value.dim() == 3:
            prefix, last = name.removesuffix(".weight").rsplit(".", 1)
            layers |= {f"{prefix}.{expert}.{last}": layer for expert, layer in enumerate(value)}
    for view in views:
        weight = view(parameter)
        for name, value in layers.items():
            if value.shape == weight.shape and torch.equal(value, weight):
                yield name, view


def block_linears(model, stored):
    """Name in the checkpoint -> its parameter, and what makes [rows, cols] of that or of its gradient."""
    stored = {name: value.float() for name, value in stored.items()}
    linears = {}
    decoder = model.get_decoder()
    decoder = getattr(decoder, "model", decoder)  # Llama 4 gives itself
    for block in decoder.h if hasattr(decoder, "h") else decoder.layers:
        for module in block.modules():
            turned = isinstance(module, transformers.pytorch_utils.Conv1D)
            if turned or isinstance(module, torch.nn.Linear):
                # Transformers renames tensors. The weights are random, so equal values are the same tensor.
                names = [name for name, value in stored.items() if torch.equal(value, module.weight)]
                if not names:  # gate and up in one
                    linears |= {name: (module.weight, lambda x, v=view: v(x[None]))
                                for name, view in expert_linears(module.weight[None], stored)}
                    continue
                name, = names
                if not name.endswith(NOT_PRUNED) and not re.search(r"\.(indexer\.|index_)", name):
                    linears[name.removesuffix(".weight")] = (module.weight, torch.t if turned else lambda x: x)
        for parameter in block.parameters():
            if parameter.dim() == 3 and parameter.shape[1] > 1:  # not a convolution
                for name, view in expert_linears(parameter, stored):
                    linears[name] = (parameter, view)
    return linears


def grid(weight):
    rows = torch.arange(weight.shape[0], dtype=torch.float64)[:, None]
    cols = torch.arange(weight.shape[1], dtype=torch.float64)[None, :]
    return rows, cols


def kept(weight):
    rows, cols = grid(weight)
    return (rows + cols) % 2 != 0


def log_probabilities(model, ids):
    return torch.log_softmax(model(input_ids=ids, use_cache=False).logits, dim=-1)


def divergence(teacher, student):
    return (teacher.exp() * (teacher - student)).sum(dim=-1).mean()


def prune_by_checkerboard(linears):
    with torch.no_grad():
        for parameter, view in linears.values():
            view(parameter).mul_(kept(view(parameter)))


def gradient(parameter, view):
    value = view(parameter.grad)
    return value * kept(value)


def rounded(value):
    return float(f"{value:.9g}")


def student_of(case, ids):
    """The pruned model, its linear layers, and what the dense one predicts."""
    model = load_model(case)
    linears = block_linears(model, read_weights(MODELS / case["weights"]))
    with torch.no_grad():
        teacher = log_probabilities(model, ids)
    prune_by_checkerboard(linears)
    return model, linears, teacher


def gradients_of(case, ids):
    model, linears, teacher = student_of(case, ids)
    model.requires_grad_(False)
    for parameter, _ in linears.values():
        parameter.requires_grad_(True)
    loss = divergence(teacher, log_probabilities(model, ids))
    loss.backward()
    result = {"loss": rounded(loss.item()), "linears": {}}
    for name, (parameter, view) in sorted(linears.items()):
        value = gradient(parameter, view).double()
        rows, cols = grid(value)
        result["linears"][name] = {
            "rows": value.shape[0],
            "cols": value.shape[1],
            "norm": rounded(value.norm().item()),
            "dot": rounded((value * torch.cos(0.37 * rows + 0.11 * cols + 0.5)).sum().item()),
        }
    return result


def take_steps(case, samples):
    model, linears, teacher = student_of(case, samples)
    moments = {name: (torch.zeros_like(view(weight)), torch.zeros_like(view(weight)))
               for name, (weight, view) in linears.items()}
    losses, largest_rms = [], []
    for step, (batch, rate) in enumerate(zip(BATCHES, RATES), start=1):
        model.zero_grad()
        loss = divergence(teacher[batch], log_probabilities(model, samples[batch]))
        loss.backward()
        losses.append(rounded(loss.item()))
        largest_rms.append(0.0)
        for name, (parameter, view) in linears.items():
            weight, value = view(parameter), gradient(parameter, view)
            first, second = moments[name]
            with torch.no_grad():
                first.mul_(BETAS[0]).add_((1 - BETAS[0]) * value)
                second.mul_(BETAS[1]).add_((1 - BETAS[1]) * value * value)
                m = first / (1 - BETAS[0] ** step)
                v = second / (1 - BETAS[1] ** step)
                ratio = value * value / v.clamp(min=EPS**2)
                rms = ratio[kept(weight)].mean().sqrt().item()
                size = weight[kept(weight)].square().mean().sqrt().item()
                weight.sub_(rate * size / max(1.0, rms) * m / (v.sqrt() + EPS))
            largest_rms[-1] = max(largest_rms[-1], rounded(rms))
    weights = {f"{name}.weight": view(parameter).detach().contiguous() for name, (parameter, view) in linears.items()}
    return losses, largest_rms, weights


def header():
    return {
        "command": "python3 scripts/golden/recovery.py",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "safetensors": safetensors.__version__,
        },
    }


def write_json(name, document):
    """Writes innermost lists and objects on one line each."""
    text = json.dumps(document, indent=1)
    text = re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda match: " ".join(match.group().split()), text)
    (GOLDEN / name).write_text(text + "\n")


def main():
    transformers.utils.logging.disable_progress_bar()
    wanted = [word for word in sys.argv[1:] if word != "--only-missing"] or ["gradients", "step"]
    GOLDEN.mkdir(parents=True, exist_ok=True)
    models = json.loads((MODELS / "cases.json").read_text())
    if "gradients" in wanted:
        ids = torch.tensor(models["ids"])
        cases = {}
        if "--only-missing" in sys.argv:
            cases = json.loads((GOLDEN / "gradients.json").read_text())["cases"]
        cases |= {name: gradients_of(case, ids) for name, case in models["cases"].items() if name not in cases}
        write_json("gradients.json", {**header(), "cases": cases})
    if "step" in wanted:
        case = models["cases"][STEP_CASE]
        generator = torch.Generator().manual_seed(SEED)
        samples = torch.randint(0, case["config"]["vocab_size"], (4, 16), generator=generator)
        losses, largest_rms, weights = take_steps(case, samples)
        write_json("step.json", {
            **header(), "seed": SEED, "case": STEP_CASE, "samples": samples.tolist(), "batches": BATCHES,
            "rates": RATES, "betas": BETAS, "eps": EPS, "losses": losses, "largest_rms": largest_rms})  # fmt: skip
        safetensors.torch.save_file(weights, GOLDEN / "step.safetensors", metadata={"format": "pt"})
        (GOLDEN / "step.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
