#!/usr/bin/env python3
"""Records lm-eval's scores on multiple-choice items made from the fixture text.

    python3 scripts/golden/multiple_choice.py [main|bos|chat ...]

`bos`: a few items for a copy of the model whose tokenizer starts every text with BOS: an empty context, contexts of
white space, and a context that brings its own BOS.

`chat`: items that ask in a chat, for a copy of the model with a chat template (lm-eval's apply_chat_template).

Needs lm-eval, datasets, torch and transformers. The model runs in float32 on the CPU, through lm-eval's HFLM
and a task of output type multiple_choice. Writes tests/golden/evaluation/multiple_choice.{jsonl,json}.
"""

import json
import pathlib
import platform
import random
import shutil
import sys
import tempfile

import lm_eval
import torch
import transformers
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "tests/fixtures/opt-books-6m"
TEXT = ROOT / "tests/fixtures/books.test.txt"
GOLDEN = ROOT / "tests/golden/evaluation"
SEED = 0
BOS = "</s>"
BOS_ITEMS = [{"context": context, "choices": ["the house", "a very old man said"], "answer": 0}
             for context in ("", " ", "\n\n", "He looked at", BOS + "He looked at", BOS)]
CHAT_TEMPLATE = """{% for message in messages %}
{{ message.role }}: {{ message.content }}{{ eos_token }}
{% endfor %}
{% if add_generation_prompt %}assistant: {% endif %}"""
TASK = """
task: prune_multiple_choice
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: multiple_choice
doc_to_text: "%s"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{metric: acc}, {metric: acc_norm}]
"""


def make_items(words, generator):
    """Items that ask how a text continues: with its own next words, or with words from elsewhere in the text."""
    items = []
    for _ in range(32):
        start = generator.randrange(len(words) - 200)
        length = generator.choice([3, 20, 90])
        context = " ".join(words[start:start + length])
        own = " ".join(words[start + length:start + length + generator.randrange(1, 12)])
        choices = [own]
        for _ in range(generator.choice([1, 3, 4])):
            other = generator.randrange(len(words) - 200)
            choices.append(" ".join(words[other:other + generator.randrange(1, 12)]))
        generator.shuffle(choices)
        items.append({"context": context, "choices": choices, "answer": choices.index(own)})
    # Hard cases for tokenizers: trailing spaces, multi-byte letters, one very long context.
    items[0]["context"] += "  "
    items[1]["choices"] = ["naïve – “quoted”", "日本語 text", items[1]["choices"][items[1]["answer"]]]
    items[1]["answer"] = 2
    items[2]["context"] = " ".join(words[1000:1900])
    return items


def chat_items(items):
    """The same questions as messages; `context` would be read in their place."""
    return [{"messages": [{"role": "user", "content": item["context"]}], **item, "context": None} for item in items[:12]]


def chat_model(folder):
    """A copy of the model with a chat template; tests/evaluation/multiple_choice_test.cpp makes the same."""
    copy = pathlib.Path(folder) / "chat_model"
    shutil.copytree(MODEL, copy)
    (copy / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    (copy / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": BOS}))
    return copy


def bos_model(folder):
    """A copy of the model with BOS; tests/evaluation/multiple_choice_test.cpp makes the same."""
    copy = pathlib.Path(folder) / "model"
    shutil.copytree(MODEL, copy)
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": BOS, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [], "special_tokens": {BOS: {"id": BOS, "ids": [tokenizer["model"]["vocab"][BOS]], "tokens": [BOS]}}}
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer))
    (copy / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": BOS, "add_bos_token": True}))
    return copy


def record(name, items, model, folder, chat=False):
    GOLDEN.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    (GOLDEN / f"{name}.jsonl").write_text(lines)
    task = pathlib.Path(folder) / "task.yaml"
    question = "{{messages[0].content}}" if chat else "{{context}}"
    task.write_text(TASK % (GOLDEN / f"{name}.jsonl", question))
    with torch.no_grad():
        result = lm_eval.simple_evaluate(
            model=HFLM(pretrained=str(model), dtype="float32", device="cpu", batch_size=4),
            tasks=["prune_multiple_choice"], log_samples=True, bootstrap_iters=0, apply_chat_template=chat,
            task_manager=TaskManager(include_path=folder))
    samples = sorted(result["samples"]["prune_multiple_choice"], key=lambda s: s["doc_id"])
    scores = result["results"]["prune_multiple_choice"]
    golden = {
        "command": "scripts/golden/multiple_choice.py", "seed": SEED,
        "versions": {"python": platform.python_version(), "torch": torch.__version__,
                     "transformers": transformers.__version__, "lm_eval": lm_eval.__version__},
        "acc": scores["acc,none"], "acc_norm": scores["acc_norm,none"],
        "loglikelihoods": [[float(r[0][0]) for r in s["resps"]] for s in samples],
    }
    (GOLDEN / f"{name}.json").write_text(json.dumps(golden, indent=1) + "\n")


def main():
    wanted = sys.argv[1:] or ["main", "bos", "chat"]
    with tempfile.TemporaryDirectory() as folder:
        if "main" in wanted:
            record("multiple_choice", make_items(TEXT.read_text().split(), random.Random(SEED)), MODEL, folder)
        if "bos" in wanted:
            record("multiple_choice_bos", BOS_ITEMS, bos_model(folder), folder)
        if "chat" in wanted:
            items = chat_items(make_items(TEXT.read_text().split(), random.Random(SEED)))
            record("multiple_choice_chat", items, chat_model(folder), folder, chat=True)


if __name__ == "__main__":
    main()
