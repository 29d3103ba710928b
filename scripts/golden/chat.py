#!/usr/bin/env python3
"""Writes tests/golden/chat: rows of chat data sets, and their ids by Transformers' apply_chat_template.

    python3 scripts/golden/chat.py tests/golden/chat

Needs transformers, tokenizers and pyarrow. rows.json holds folders (the tokenizer of tests/fixtures/opt-books-6m with chat
templates in every place where Transformers looks), for each the ids of every row, and the SHA-256 of calibration
samples drawn in plain Python with `random` by the rules of src/calibration/README.md, "Sampling". tools.parquet holds the rows with tools.
"""

import datetime
import hashlib
import json
import os
import pathlib
import platform
import random
import shutil
import struct
import sys
import tempfile

import pyarrow
import pyarrow.parquet
import tokenizers
import transformers
import transformers.utils.chat_template_utils as chat_template_utils
from transformers import AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = pathlib.Path(sys.argv[1])
# What prune gives to templates that ask for the date.
NOW = datetime.datetime(2024, 7, 26)

PLAIN = """{{ bos_token }}{% for message in messages %}
{{ message['role'] }}: {{ message['content'] | trim }}{{ eos_token }}
{% endfor %}
{% if add_generation_prompt %}assistant: {% endif %}"""
PARTS = """{%- for message in messages %}
{{- '<' + message.role + '>' }}
{%- if message.content is string %}{{ message.content }}{% else %}
{%- for part in message.content %}{{ part.text }}|{% endfor %}
{%- endif %}
{{- eos_token }}
{%- endfor %}"""
ONLY_PARTS = """{% for message in messages %}{{ message.role }}={% for part in message.content %}
{{ part.text }}{% endfor %}{{ eos_token }}{% endfor %}"""
TOOLS = """{% if tools %}tools {{ tools | tojson }}{{ eos_token }}{% endif %}
{% for message in messages %}{{ message.role }} {{ message.content or '' }}
{%- if message.tool_calls %}{{ message.tool_calls | tojson(indent=1) }}{% endif %}{{ eos_token }}{% endfor %}"""
DATED = "{{ strftime_now('%d %b %Y') }}" + PLAIN
STRICT = """{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}""" + PLAIN

TOOL = {"type": "function", "function": {"name": "weather", "description": "Tells the weather.", "parameters": {
    "type": "object", "properties": {"town": {"type": "string"}, "days": {"type": "integer"}}, "required": ["town"]}}}
CALL = {"role": "assistant", "content": None,
        "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"town": "Zürich", "days": 2}}}]}


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


TURNS = [user("Who was she?"), assistant("A lady of the house,\nand an old friend. "), user("Où?"), assistant("日本 \U0001f600")]
# Each row of a data set with the messages that it stands for; its form is that of the list it is in.
FORMS = {
    "messages": [
        ({"messages": TURNS, "id": 7}, TURNS),
        ({"messages": [{"role": "system", "content": "Be brief."}] + TURNS[:2]}, [{"role": "system", "content": "Be brief."}] + TURNS[:2]),
        ({"messages": TURNS[:2], "system": "Be kind."}, [{"role": "system", "content": "Be kind."}] + TURNS[:2]),
        ({"messages": [user("</s>He said <s>, 'no'"), assistant("")]}, [user("</s>He said <s>, 'no'"), assistant("")]),
    ],
    "parts": [
        ({"messages": [user([{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]), assistant("Three.")]},
         [user([{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]), assistant("Three.")]),
    ],
    "tools": [
        ({"messages": [user("Weather?"), CALL, {"role": "tool", "content": "{\"rain\": 0.5}"}, assistant("Dry.")], "tools": [TOOL]},
         [user("Weather?"), CALL, {"role": "tool", "content": "{\"rain\": 0.5}"}, assistant("Dry.")]),
        ({"messages": TURNS, "tools": json.dumps([TOOL])}, TURNS),
        ({"messages": TURNS}, TURNS),
    ],
    "sharegpt": [
        ({"conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Who?"}, {"from": "gpt", "value": "He."}]},
         [{"role": "system", "content": "Be brief."}, user("Who?"), assistant("He.")]),
    ],
    "alpaca": [
        ({"instruction": "Name it.", "input": "", "output": "A house."}, [user("Name it."), assistant("A house.")]),
        ({"instruction": "Name it.", "input": "It has a door.", "output": "A house."},
         [user("Name it.\n\nIt has a door."), assistant("A house.")]),
    ],
    "prompts": [
        ({"prompt": "Where?", "completion": "There."}, [user("Where?"), assistant("There.")]),
        ({"prompt": TURNS[:3], "completion": TURNS[3:]}, TURNS),
    ],
    "preferences": [
        ({"prompt": "Where?", "chosen": [user("Where?"), assistant("There.")], "rejected": "x"}, [user("Where?"), assistant("There.")]),
    ],
}


def folder_of(files):
    """A tokenizer folder: that of the bundled model with other files."""
    folder = pathlib.Path(tempfile.mkdtemp())
    shutil.copy(ROOT / "tests/fixtures/opt-books-6m/tokenizer.json", folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "opt"}))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({**config, **content}) if name == "tokenizer_config.json" else content)
    if "tokenizer_config.json" not in files:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


NAMED = {"chat_template": [{"name": "default", "template": PLAIN}, {"name": "tool_use", "template": TOOLS},
                           {"name": "parts", "template": PARTS}]}
FOLDERS = [
    # name, files, --chat-template, forms
    ("file", {"chat_template.jinja": PLAIN}, "", ["messages", "sharegpt", "alpaca", "prompts", "preferences"]),
    ("config_text", {"tokenizer_config.json": {"chat_template": PARTS}}, "", ["messages", "parts"]),
    ("config_names", {"tokenizer_config.json": NAMED}, "", ["messages", "tools"]),
    ("config_name", {"tokenizer_config.json": NAMED}, "parts", ["parts", "messages"]),
    ("default_by_name", {"tokenizer_config.json": NAMED}, "default", ["alpaca"]),
    ("file_before_config", {"chat_template.jinja": PARTS, "tokenizer_config.json": {"chat_template": PLAIN}}, "", ["messages"]),
    ("folder_of_files", {"chat_template.jinja": PLAIN, "additional_chat_templates/tool_use.jinja": TOOLS}, "", ["tools"]),
    ("adds_bos", {"chat_template.jinja": PLAIN, "tokenizer_config.json": {"add_bos_token": True, "tokenizer_class": "GPT2Tokenizer"}},
     "", ["messages"]),
    ("dated", {"chat_template.jinja": DATED}, "", ["alpaca"]),
]


def forms_of(template, messages):
    """Contents in the form that a template takes: vLLM and llama.cpp convert them the same way."""
    changed = []
    for message in messages:
        content = message["content"]
        if template in (PLAIN, TOOLS) and isinstance(content, list):
            content = "\n".join(part["text"] for part in content)
        changed.append({**message, "content": content})
    return changed


class FrozenDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def samples(ids_of_rows, nsamples, seqlen, seed):
    rng = random.Random(seed)
    drawn, samples, cut = [], [], 0
    for _ in range(nsamples):
        ids = []
        while len(ids) < seqlen:
            if not drawn:
                drawn = list(range(len(ids_of_rows)))
                rng.shuffle(drawn)
            ids += ids_of_rows[drawn.pop(0)]
        samples += ids[:seqlen]
        cut += len(ids) - seqlen
    return {"nsamples": nsamples, "seqlen": seqlen, "seed": seed, "tokens_cut": cut,
            "sha256": hashlib.sha256(struct.pack(f"<{len(samples)}q", *samples)).hexdigest()}


def main():
    chat_template_utils.datetime = FrozenDatetime
    cases = []
    for name, files, choice, forms in FOLDERS:
        folder = folder_of(files)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        for form in forms:
            rows = []
            for row, messages in FORMS[form]:
                tools = row.get("tools")
                tools = json.loads(tools) if isinstance(tools, str) else tools
                template = tokenizer.get_chat_template(choice or None, tools)
                ids = tokenizer.apply_chat_template(forms_of(template, messages), tools=tools, chat_template=choice or None,
                                                    tokenize=True, return_dict=False)
                rows.append(ids)
            cases.append({"folder": name, "files": files, "chat_template": choice, "form": form, "ids": rows,
                          "samples": samples(rows, 5, 24, 3)})
        shutil.rmtree(folder)
    golden = {"command": "scripts/golden/chat.py",
              "versions": {"python": platform.python_version(), "transformers": transformers.__version__,
                           "tokenizers": tokenizers.__version__},
              "rows": {form: [row for row, _ in rows] for form, rows in FORMS.items()}, "cases": cases}
    OUT.mkdir(parents=True, exist_ok=True)
    one_per_line = {key: json.dumps(value, ensure_ascii=False).replace('}, {"folder"', '},\n{"folder"')
                    for key, value in golden.items()}
    (OUT / "rows.json").write_text("{" + ",\n".join(f'"{k}": {v}' for k, v in one_per_line.items()) + "}\n")
    # Parquet gives every message the members of all, null where a message has none.
    tools = [{**row, "tools": row["tools"] if isinstance(row.get("tools"), str) else json.dumps(row.get("tools"))}
             for row, _ in FORMS["tools"]]
    for row in tools:
        row["messages"] = [{"role": m["role"], "content": m["content"], "tool_calls": m.get("tool_calls")} for m in row["messages"]]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(tools), OUT / "tools.parquet", row_group_size=2)


if __name__ == "__main__":
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    main()
