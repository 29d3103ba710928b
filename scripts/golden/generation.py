#!/usr/bin/env python3
"""Writes tests/golden/generation/greedy.json: what Transformers' generate appends to a prompt, for every golden model.

    python3 scripts/golden/generation.py [--only-missing]

The models are those of tests/golden/models in float32, the prompt is the first eight ids of cases.json. Decoding is
greedy with a cache, 64 tokens or as many as OPT, GPT-2 and GPT-J have positions for. Two are without one: for LongRoPE Transformers 5.17 forgets the text where it changes its factors, for Nemotron-H
it forgets the least step of Mamba-2. The weights are random, so two tokens may be almost equally probable: a
case ends before the first step at which the two largest logits differ by less than 1e-3, ten times what the logits of
two programs may differ by. "text" is the same of the bundled opt-books-6m, with its tokenizer.

--only-missing adds the models that the file lacks. Needs torch and transformers.
"""

import json
import platform
import sys

import torch
import transformers

from recovery import MODELS, ROOT, load_model

GOLDEN = ROOT / "tests/golden/generation"
BOOKS = ROOT / "tests/fixtures/opt-books-6m"
TEXT = "It was a dark night, and the"
PROMPT, TOKENS, MARGIN = 8, 64, 1e-3


def greedy(model, prompt):
    learns_positions = model.config.model_type in ("opt", "gpt2", "gptj")
    tokens = min(TOKENS, model.config.max_position_embeddings - PROMPT) if learns_positions else TOKENS
    forgets = ((getattr(model.config, "rope_parameters", None) or {}).get("rope_type") == "longrope"
               or model.config.model_type == "nemotron_h")
    output = model.generate(
        torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), max_new_tokens=tokens, do_sample=False, use_cache=not forgets,
        eos_token_id=None, pad_token_id=0, return_dict_in_generate=True, output_logits=True)
    ids = output.sequences[0, len(prompt):].tolist()
    best = [torch.topk(logits[0], 2).values for logits in output.logits]
    clear = [float(two[0] - two[1]) >= MARGIN for two in best]
    return ids[:clear.index(False)] if False in clear else ids


def main():
    torch.manual_seed(0)
    facts = json.loads((MODELS / "cases.json").read_text())
    prompt = facts["ids"][0][:PROMPT]
    earlier = json.loads((GOLDEN / "greedy.json").read_text())["cases"] if "--only-missing" in sys.argv else {}
    cases = {}
    for name, case in facts["cases"].items():
        cases[name] = earlier.get(name)
        if cases[name] is not None:
            continue
        cases[name] = greedy(load_model(case), prompt)
        print(f"{name}: {len(cases[name])} tokens", flush=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(BOOKS)
    books = transformers.AutoModelForCausalLM.from_pretrained(BOOKS, dtype=torch.float32, attn_implementation="eager")
    ids = greedy(books.eval(), tokenizer(TEXT).input_ids)
    text = {"prompt": TEXT, "ids": ids, "continuation": tokenizer.decode(ids)}
    GOLDEN.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(ids)}" for name, ids in cases.items())
    versions = {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__}
    (GOLDEN / "greedy.json").write_text(
        f'{{\n  "versions": {json.dumps(versions)},\n  "text": {json.dumps(text)},\n  "prompt": {json.dumps(prompt)},\n  "cases": {{\n{lines}\n  }}\n}}\n')


if __name__ == "__main__":
    main()
