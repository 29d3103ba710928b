#!/usr/bin/env python3
"""Distils a dense model into a pruned one with Transformers and PyTorch, as `prune recover` does.

    python3 scripts/bench/recovery_peer.py STUDENT TEACHER TOKENS OUTPUT --steps 64 --batch 4 --rate 3e-4
        [--dtype float32|bfloat16] [--train layers|all]

TOKENS are calibration samples, [nsamples, seqlen], as .npy (scripts/bench/peer_tokens.py), .safetensors or .json. The
loss is KL(teacher || student) over the vocabulary, averaged over all positions; AdamW without decay, a cosine after
a warm-up, gradients clipped to norm 1. Weights that are zero in STUDENT are zero again after each step. Weights,
gradients and moments are float32; with --dtype bfloat16 both models run under autocast. OUTPUT has STUDENT's dtype.

Prints {"seconds": of the training loop, "total_seconds": with loading and writing, "peak_rss_bytes",
"peak_device_bytes", "losses"}. Needs torch and transformers.
"""

import argparse
import itertools
import json
import pathlib
import shutil
import time

import numpy as np
import safetensors.torch
import torch
import transformers

from peer_run import peak_host_bytes, stored_dtype


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("student", type=pathlib.Path)
    parser.add_argument("teacher", type=pathlib.Path)
    parser.add_argument("tokens", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--warmup", type=int, help="steps; default: an eighth of all, as in prune")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--train", choices=("layers", "all"), default="layers",
                        help="linear layers of the blocks, or all parameters")
    parser.add_argument("--figures", type=pathlib.Path, help="a file for what is printed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def load_tokens(path):
    if path.suffix == ".npy":
        return torch.from_numpy(np.load(path)).long()
    if path.suffix == ".safetensors":
        tokens, = safetensors.torch.load_file(path).values()
        return tokens.long()
    return torch.tensor(json.loads(path.read_text()))


def load_model(folder, device):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.to(device).eval().requires_grad_(False)


def block_weights(model):
    decoder = model.get_decoder()
    blocks = decoder.h if hasattr(decoder, "h") else decoder.layers
    kinds = (torch.nn.Linear, transformers.pytorch_utils.Conv1D)
    return [module.weight for module in blocks.modules() if isinstance(module, kinds)]


def train(student, teacher, tokens, arguments):
    weights = block_weights(student)
    masks = [weight != 0 for weight in weights]
    parameters = list(student.parameters()) if arguments.train == "all" else weights
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(parameters, lr=arguments.rate, weight_decay=0.0)
    warmup = arguments.steps // 8 if arguments.warmup is None else arguments.warmup
    schedule = transformers.get_cosine_schedule_with_warmup(optimizer, warmup, arguments.steps)
    loader = torch.utils.data.DataLoader(tokens, batch_size=arguments.batch, shuffle=True, drop_last=True,
                                         generator=torch.Generator().manual_seed(arguments.seed))
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    losses = []
    for ids in itertools.islice(batches, arguments.steps):
        ids = ids.to(arguments.device)
        with torch.autocast(ids.device.type, dtype=torch.bfloat16, enabled=arguments.dtype == "bfloat16"):
            with torch.no_grad():
                target = teacher(ids, use_cache=False).logits
            logits = student(ids, use_cache=False).logits
        loss = torch.nn.functional.kl_div(
            torch.log_softmax(logits.float(), dim=-1).flatten(0, 1),
            torch.log_softmax(target.float(), dim=-1).flatten(0, 1), reduction="batchmean", log_target=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for weight, mask in zip(weights, masks):
                weight.mul_(mask)
        losses.append(loss.item())
    return losses


def write(student, arguments):
    student.to(stored_dtype(arguments.student)).save_pretrained(arguments.output)
    for file in arguments.student.glob("*"):
        if file.name.startswith(("tokenizer", "vocab", "merges", "chat_template")):
            shutil.copy(file, arguments.output)


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.disable_progress_bar()
    begin = time.perf_counter()
    tokens = load_tokens(arguments.tokens)
    student, teacher = load_model(arguments.student, arguments.device), load_model(arguments.teacher, arguments.device)
    start = time.perf_counter()
    losses = train(student, teacher, tokens, arguments)
    seconds = time.perf_counter() - start
    write(student, arguments)
    cuda = arguments.device.startswith("cuda")
    figures = json.dumps({
        "seconds": seconds, "total_seconds": time.perf_counter() - begin, "peak_rss_bytes": peak_host_bytes(),
        "peak_device_bytes": torch.cuda.max_memory_reserved() if cuda else 0, "losses": losses})  # fmt: skip
    if arguments.figures:
        arguments.figures.write_text(figures)
    print(figures)


if __name__ == "__main__":
    main()
