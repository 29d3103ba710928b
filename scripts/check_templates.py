#!/usr/bin/env python3
"""Compares our rendering of chat templates with Transformers' on the templates of many model families.

    python3 scripts/check_templates.py BUILD [--cache FOLDER] [--only NAME ...]

BUILD is a build folder with tests/jinja/render_tool and tests/tokenizer/tokenize_tool.

Needs transformers 5.17 and jinja2. Downloads the sdist of llama-cpp-python once and takes the templates that
llama.cpp tests with. Renders each with conversations that use its constructs: system messages, tools, tool calls with
arguments as an object and as text, reasoning, empty contents, contents in parts, quotes and Unicode; each with and
without a generation prompt. Where Transformers raises an exception, our renderer has to fail; elsewhere the texts have
to be equal, and their ids by the tokenizer of tests/fixtures/opt-books-6m, whose special tokens the templates get.
Exits with 1 on any difference.
"""

import argparse
import array
import copy
import datetime
import hashlib
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import urllib.request

import jinja2
import transformers
from transformers.utils import chat_template_utils

PACKAGE, VERSION = "llama-cpp-python", "0.3.36"
TEMPLATES = "vendor/llama.cpp/models/templates/"
FIXTURE = pathlib.Path(__file__).resolve().parents[1] / "tests/fixtures/opt-books-6m"
NOW = 1_753_963_445  # 2025-07-31 12:04:05 UTC
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city, \"now\" or <later>.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "Name of the city"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                "days": {"type": "array", "items": {"type": "integer"}, "description": "Days from now"},
                "place": {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"]},
                "any": {"type": ["string", "null"]},
                "choice": {"anyOf": [{"type": "string"}, {"type": "number"}], "nullable": True},
            },
            "required": ["city"],
        },
        "return": {"type": "string"},
    },
}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "The time.",
                                          "parameters": {"type": "object", "properties": {}}}}


def call(arguments, name="get_weather", identifier="call00001"):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def tool_turns(arguments, **first):
    """A question, two calls, their results and the answer."""
    return [
        {"role": "user", "content": "What is the weather in Zürich?"},
        {"role": "assistant", "content": "", **first, "tool_calls": [call(arguments)]},
        {"role": "tool", "tool_call_id": "call00001", "name": "get_weather", "content": "{\"temp\": 21.5}"},
        {"role": "assistant", "content": "21.5 degrees."},
        {"role": "user", "content": "And the time?"},
        {"role": "assistant", "content": None,
         "tool_calls": [call({} if isinstance(arguments, dict) else "{}", "clock", "call00002"),
                        call(arguments, "get_weather", "call00003")]},
        {"role": "tool", "tool_call_id": "call00002", "name": "clock", "content": "12:04"},
        {"role": "tool", "tool_call_id": "call00003", "name": "get_weather", "content": "rain"},
    ]


ARGUMENTS = {"city": "Zürich", "days": [1, 2], "ratio": 0.5, "deep": {"a": None, "b": True}}
USER = {"role": "user", "content": "Hello, who are you?"}
ASSISTANT = {"role": "assistant", "content": "I am a model."}
SYSTEM = {"role": "system", "content": "Be brief."}
TOOLS = [WEATHER, CLOCK]
# name -> (messages, tools, further variables)
CONVERSATIONS = {
    "plain": ([USER], None, {}),
    "system": ([SYSTEM, USER, ASSISTANT, {"role": "user", "content": "  Spaces around  \n"}], None, {}),
    "turns": ([USER, ASSISTANT, USER, ASSISTANT, USER, ASSISTANT], None, {}),
    "tools": ([SYSTEM, USER], TOOLS, {}),
    "calls": ([SYSTEM, *tool_turns(ARGUMENTS)], TOOLS, {}),
    "calls as text": (tool_turns(json.dumps(ARGUMENTS, ensure_ascii=False)), TOOLS, {}),
    "reasoning": (
        [USER, {**ASSISTANT, "reasoning_content": "Who am I?\n\n", "thinking": "Let me see."}, USER,
         {"role": "assistant", "content": "<think>\nhm\n</think>\n\nYes."}, USER,
         *tool_turns(ARGUMENTS, reasoning_content="I need a tool.", thinking="I need a tool.")[1:4]],
        TOOLS, {"enable_thinking": True, "thinking": True}),
    "no reasoning": ([SYSTEM, USER, ASSISTANT, USER], None,
                     {"enable_thinking": False, "thinking": False, "reasoning_effort": "low"}),
    "empty": ([{"role": "system", "content": ""}, {"role": "user", "content": ""},
               {"role": "assistant", "content": ""}, {"role": "user", "content": None}], None, {}),
    "parts": ([{"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
               {"role": "user", "content": [{"type": "text", "text": "One."}, {"type": "image"},
                                            {"type": "text", "text": " Two."}]},
               {"role": "assistant", "content": [{"type": "text", "text": "Three."}]},
               {"role": "user", "content": [{"type": "text", "text": "Four?"}]}], None, {}),
    "unicode": ([{"role": "user", "content": "\"Ünï\" 'quoted' 日本語 🙂 <b>&amp;</b> \\n \t\u2028 {{ x }} {% if %}"},
                 {"role": "assistant", "content": "İSTANBUL ß ﬁ\u00a0Σ"},
                 {"role": "user", "content": "a\r\nb\x0bc\x00d"}], None, {}),
    "broken order": ([ASSISTANT, USER, USER, {"role": "oracle", "content": "x"}], None, {}),
    "documents": ([SYSTEM, USER], None, {"documents": [{"title": "A", "text": "B"}, {"title": "C", "text": "D"}]}),
}


class FrozenDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None)


def download(cache):
    path = cache / f"{PACKAGE}-{VERSION}.tar.gz"
    if not path.exists():
        request = urllib.request.Request(f"https://pypi.org/simple/{PACKAGE}/",
                                         headers={"Accept": "application/vnd.pypi.simple.v1+json"})
        files = json.load(urllib.request.urlopen(request, timeout=120))["files"]
        wanted = f"{PACKAGE.replace('-', '_')}-{VERSION}.tar.gz"
        entry = next(file for file in files if file["filename"] == wanted)
        content = urllib.request.urlopen(entry["url"], timeout=600).read()
        if hashlib.sha256(content).hexdigest() != entry["hashes"]["sha256"]:
            sys.exit(f"{wanted}: wrong SHA-256")
        cache.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return path


def templates(path):
    """name -> text of every template in the sdist."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if TEMPLATES in member.name and member.name.endswith(".jinja"):
                found[pathlib.PurePath(member.name).stem] = archive.extractfile(member).read().decode()
    return dict(sorted(found.items()))


def expected(template, context):
    """The text of Transformers, or the exception."""
    context = copy.deepcopy(context)
    try:
        texts, _ = chat_template_utils.render_jinja_template(
            conversations=[context.pop("messages")], chat_template=template, **context)
        return texts[0]
    except Exception as error:  # noqa: BLE001: a template may raise anything
        return error


class Tool:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def render(self, template, context):
        line = json.dumps({"template": template, "context": context, "now": NOW})
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def contexts():
    for name, (messages, tools, more) in CONVERSATIONS.items():
        for prompt in (False, True):
            yield f"{name}{' + prompt' if prompt else ''}", {
                "messages": messages, "tools": tools, "documents": None, "add_generation_prompt": prompt,
                **SPECIAL_TOKENS, **more}


def difference(want, got):
    """What is wrong, or None."""
    if isinstance(want, Exception):
        if "error" not in got:
            return f"Transformers raises {want!r}, we render"
        # raise_exception() raises this very class.
        refuses = type(want) is jinja2.exceptions.TemplateError
        words = str(want) if refuses else None
        return None if got.get("reason") == words else f"Transformers raises {want!r}, we fail: {got}"
    if "error" in got:
        return f"we fail: {got['error']}"
    if got["text"] == want:
        return None
    at = next((i for i, (a, b) in enumerate(zip(want, got["text"])) if a != b), min(len(want), len(got["text"])))
    return f"at {at}: Transformers {want[at - 20:at + 40]!r}, we {got['text'][at - 20:at + 40]!r}"


def differing_ids(tool, texts):
    """How many texts have other ids than Transformers' apply_chat_template gives them."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shutil.copy(FIXTURE / "tokenizer.json", folder)
        (folder / "config.json").write_text('{"model_type": "opt"}')
        (folder / "tokenizer_config.json").write_text(
            json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **SPECIAL_TOKENS}))
        encoded = [text.encode() for text in texts]
        (folder / "texts").write_bytes(b"".join(struct.pack("<I", len(text)) + text for text in encoded))
        subprocess.run([tool, folder, folder / "texts", folder / "ids"], check=True, stdout=subprocess.DEVNULL)
        numbers = array.array("q", (folder / "ids").read_bytes())
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    at = different = 0
    for text in texts:
        count = numbers[at]
        different += list(numbers[at + 1:at + 1 + count]) != tokenizer(text, add_special_tokens=False).input_ids
        at += 1 + count
    return different


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path.home() / ".cache/prune/templates")
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    chat_template_utils.datetime = FrozenDatetime
    tool = Tool(arguments.build / "tests/jinja/render_tool")
    texts = []
    rendered = raised = different = 0
    all_templates = templates(download(arguments.cache))
    for name, template in all_templates.items():
        if arguments.only and name not in arguments.only:
            continue
        for conversation, context in contexts():
            want = expected(template, context)
            problem = difference(want, tool.render(template, context))
            raised += isinstance(want, Exception)
            rendered += not isinstance(want, Exception)
            if not isinstance(want, Exception):
                texts.append(want)
            if problem:
                different += 1
                print(f"{name}, {conversation}: {problem}")
    other_ids = differing_ids(arguments.build / "tests/tokenizer/tokenize_tool", texts)
    print(f"{len(all_templates)} templates: {rendered} texts equal or listed, {raised} refused by Transformers, "
          f"{different} different; texts with different ids: {other_ids}")
    sys.exit(1 if different or other_ids or not rendered else 0)


if __name__ == "__main__":
    main()
