#!/usr/bin/env python3
"""Finetunes a pruned checkpoint on a text file in Transformers and keeps every zero.

    python3 scripts/examples/finetune.py OUTPUT TEXT FOLDER [--steps 20] [--lr 1e-4]

OUTPUT is a folder written by prune, with weights in 16 or 32 bits; FOLDER gets the finetuned checkpoint in the same
dtype. Training is in float32 and takes about 17 bytes of memory per weight. Prints the zeros, and the loss on at most
32 samples of the last tenth of the text, which is held out, before and after; both are measured on the checkpoints as
saved. Exits with 1 if a zero was lost. Needs torch and transformers.
"""

import argparse
import pathlib
import sys

import torch
import transformers

BATCH, SEQLEN = 4, 256


def load(folder):
    """The model, its dtype on disk, and its matrices that have zeros. Embeddings are never pruned."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    if getattr(model.config, "quantization_config", None):
        sys.exit(f"finetune: {folder} has quantized weights, which cannot be trained")
    dtype, embeddings = model.dtype, {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    return model.float(), dtype, {name: weight for name, weight in model.named_parameters() if weight.ndim > 1
                                  and id(weight) not in embeddings and (weight == 0).any()}


@torch.no_grad()
def report(when, model, matrices, samples):
    loss = sum(model.eval()(input_ids=row[None], labels=row[None]).loss.item() for row in samples) / len(samples)
    zeros, size = sum(int((m == 0).sum()) for m in matrices), sum(m.numel() for m in matrices)
    print(f"{when}: loss {loss:.4f}, {zeros} of {size} weights are zero ({zeros / max(size, 1):.2%})", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("output", "text", "folder"):
        parser.add_argument(name, type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--lr", type=float, default=1e-4)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.output)
    ids = tokenizer(arguments.text.read_text(), return_tensors="pt").input_ids[0]
    if len(ids) < 2 * SEQLEN:
        sys.exit(f"finetune: {arguments.text} has {len(ids)} tokens; at least {2 * SEQLEN} are needed")
    samples = ids[:len(ids) // SEQLEN * SEQLEN].view(-1, SEQLEN)
    tenth = max(1, len(samples) // 10)
    train, held_out = samples[:-tenth], samples[-tenth:][:32]
    model, dtype, matrices = load(arguments.output)
    report("before", model, matrices.values(), held_out)

    # A zero whose gradient is zero stays zero in AdamW: its moments are zero, and decay multiplies the weight.
    masks = {name: matrix == 0 for name, matrix in matrices.items()}
    for name, matrix in matrices.items():
        matrix.register_hook(lambda gradient, mask=masks[name]: gradient.masked_fill(mask, 0))
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=arguments.lr)
    for _ in range(arguments.steps):
        batch = train[torch.randint(len(train), (BATCH,))]
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.to(dtype).save_pretrained(arguments.folder)
    tokenizer.save_pretrained(arguments.folder)

    model = load(arguments.folder)[0]
    saved = {name: weight for name, weight in model.named_parameters() if name in masks}
    report("after", model, saved.values(), held_out)
    lost = sum(int((saved[name][mask] != 0).sum()) for name, mask in masks.items())
    print(f"zeros lost: {lost}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
