"""Writes seed inputs for the programs of tests/fuzz, taken from tests/golden.

usage: python3 tests/fuzz/make_seeds.py FOLDER
"""
import gzip
import json
import math
import pathlib
import shutil
import struct
import sys
import zipfile

TESTS = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = TESTS / "golden"

# Templates that ask for endless time, memory or stack.
HOSTILE_TEMPLATES = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{{ 'x' * 10**12 }}", "{{ [0] * 10**12 }}", "{{ 'a'.center(10**12) }}", "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}", "{{ 'a'|indent(10**12, true) }}", "{{ '\\t'.expandtabs(10**12) }}",
    "{{ range(10**15) }}", "{{ [1]|batch(10**12, 0)|list }}", "{{ [1]|slice(10**12)|list }}", "{{ 2 ** 10**12 }}",
    "{% set ns = namespace(x='ab') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x]|reverse %}{% endfor %}",
    "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns }}{% set ns.x = ns %}{{ ns.x.x.x }}",
    "{% set ns = namespace() %}{% for i in range(9999) %}{% set ns.x = namespace(y=ns.x) %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ caller }}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}",
    "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "{% for x in [1, 2] %}{{ loop.changed([loop]) }}{% endfor %}",
    "{{ " + "(" * 5000, "{{ " + "[" * 5000, "{{ " + "-" * 5000 + "1 }}", "{{ x" + ".a" * 5000 + " }}",
    "{{ 1" + " + 1" * 5000 + " }}", "{{ " + "not " * 5000 + "1 }}", "{{ 1" + "|abs" * 5000 + " }}",
    "{% if 1 %}" * 5000, "{{ 1" + " if 1 else 1" * 5000 + " }}",
    "{{ ('a' * 99999).replace('', 'b' * 99999) }}", "{{ ('a' * 99999).rfind('a' * 9999 ~ 'b') }}",
    "{% set s = 'a' * 99999 %}{% for i in range(99999) %}{% set x = s.upper() %}{% endfor %}",
    "{{ strftime_now('%99999999d') }}", "{{ ['a' * 9999] * 9999 | join }}", "{{ [[]] * 99999 == [[]] * 99999 }}",
]


def protobuf_fields(message):
    """The fields of a message whose fields are all messages or strings, each with its tag and length."""
    at = 0
    while at < len(message):
        start, size, shift = at, 0, 0
        at += 1
        while True:
            byte = message[at]
            size |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                break
        at += size
        yield message[start:at]


def main():
    seeds = pathlib.Path(sys.argv[1])
    shutil.rmtree(seeds, ignore_errors=True)

    def put(target, name, content):
        folder = seeds / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    for path in sorted((GOLDEN / "checkpoint").iterdir()):
        if path.suffix == ".safetensors":
            put("safetensors_header", path.name, path.read_bytes())
        if path.suffix == ".bin":
            put("zip_directory", path.name, path.read_bytes())
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    for name in archive.namelist():
                        if name.endswith("data.pkl"):
                            put("unpickler", path.stem, archive.read(name))
    # A float16 weight [2, 3] with two kept elements, and [1, 16] codes of 4 bits with four kept codes.
    for name, kind, shape, mask, kept in (("w", "F16", (2, 3), b"\x21", b"\x00\x3c\x00\x3c"),
                                          ("x.weight_packed", "U8", (1, 16, 4), b"\x81\x81",
                                           b"\x21\x43")):
        parts = [("pack_shape", "I64", struct.pack(f"<{len(shape)}q", *shape), len(shape)),
                 ("pack_kept", kind, kept, 2), ("pack_mask", "U8", mask, len(mask))]
        header, data = {}, b""
        for part, dtype, content, count in parts:
            header[f"{name}.{part}"] = {"dtype": dtype, "shape": [count],
                                        "data_offsets": [len(data), len(data) + len(content)]}
            data += content
        text = json.dumps(header).encode()
        put("prunepack", name, struct.pack("<Q", len(text)) + text + data)
    # Formats in the sequence of weight_parts.cpp; all numbers are 0.
    sizes = {"U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E8M0": 1, "F16": 2, "F32": 4}
    for number, tensors in (
            (1, {"x.weight": ("F8_E4M3", [40, 40]), "x.weight_scale_inv": ("F32", [3, 2])}),
            (1, {"x.weight": ("I8", [4, 32]), "x.scale": ("F8_E8M0", [4, 2])}),
            (1, {"x": ("F8_E4M3", [2, 4, 4]), "x_scale_inv": ("F32", [2, 1, 1])}),
            (2, {"x_blocks": ("U8", [2, 4, 2, 16]), "x_scales": ("U8", [2, 4, 2])}),
            (3, {"x.weight_packed": ("U8", [4, 16]), "x.weight_scale": ("F8_E4M3", [4, 2]),
                 "x.weight_global_scale": ("F32", [1])}),
            (4, {"x.weight_packed": ("U8", [4, 32]), "x.weight_scale": ("U8", [4, 2])}),
            (5, {"x.weight": ("F8_E4M3", [4, 64]), "x.weight_scale": ("U8", [4, 2])})):
        header, end = {}, 0
        for tensor, (dtype, shape) in tensors.items():
            begin, end = end, end + sizes[dtype] * math.prod(shape)
            header[tensor] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        text = json.dumps(header).encode()
        put("weight_parts", f"{number}-{len(tensors)}-{shape[0]}",
            bytes([number]) + struct.pack("<Q", len(text)) + text + bytes(end))
    cases = json.loads((GOLDEN / "models/cases.json").read_text())["cases"]
    for name, case in cases.items():
        put("config", name, json.dumps(case["config"]))
    for path in sorted((GOLDEN / "calibration").glob("*.json")):
        content = path.read_text()
        if '"added_tokens"' in content and '"vocab"' in content and len(content) < 16384:
            put("tokenizer_json", path.name, content)
    rows = b'{"text": "one", "meta": {"a.b": [1, "]"]}}\n{"text": "\\ud83d\\ude00"}\n'
    for name, content in (("rows", rows), ("array", b"[" + rows.replace(b"\n", b",", 1) + b"]"),
                          ("data", b'{"data": [' + rows.replace(b"\n", b",", 1) + b"]}"),
                          ("gzip", gzip.compress(rows, mtime=0)), ("utf16", rows.decode().encode("utf-16"))):
        put("text", name, content)
    folders = json.loads((GOLDEN / "calibration/folders.json").read_text())
    for i, text in enumerate(folders["texts"]):
        put("bpe", str(i), bytes([i]) + text.encode())
    text = folders["texts"][2].encode()
    for model in ("sentencepiece.model", "unigram.model"):
        content = (GOLDEN / "calibration" / model).read_bytes()
        put("unigram", model, bytes([len(text)]) + text + content)
        # Most inputs should be small: the first pieces, and what follows all pieces (trainer and normaliser).
        fields = list(protobuf_fields(content))
        small = b"".join(fields[:40] + [field for field in fields[40:] if field[0] != 0x0A])
        put("unigram", f"{model}-small", bytes([len(text)]) + text + small)
    for form, rows in json.loads((GOLDEN / "chat/rows.json").read_text())["rows"].items():
        for number in range(3):  # of the template
            lines = "\n".join(json.dumps(row) for row in rows)
            put("rows", f"{form}-{number}", bytes([number]) + lines.encode())
            put("rows", f"{form}-list-{number}", bytes([number]) + json.dumps({"data": rows}).encode())
    cases = json.loads((GOLDEN / "jinja/cases.json").read_text())
    context = json.dumps(cases["context"]).encode()
    for i, case in enumerate(cases["cases"]):
        put("jinja", str(i), case["template"].encode() + b"\0" + context)
    for path in sorted((GOLDEN / "jinja").glob("*.jinja")):
        for name in ("calls", "parts"):
            content = json.dumps(cases["conversations"][name]).encode()
            put("jinja", f"{path.stem}-{name}", path.read_bytes() + b"\0" + content)
    for i, template in enumerate(HOSTILE_TEMPLATES):
        put("jinja", f"hostile-{i}", template)
    # Pieces "<unk>", "a", "ab" with their scores, then the model type.
    pieces = b"".join(b"\x0a" + bytes([len(p) + 7]) + b"\x0a" + bytes([len(p)]) + p + b"\x15" + struct.pack("<f", s)
                      for p, s in ((b"<unk>", 0), (b"a", -1), (b"ab", -2.5)))
    for kind in (1, 2):
        put("unigram", f"small-{kind}", b"\x07abba\xc3\xa9b" + pieces + b"\x12\x02\x18" + bytes([kind]))


main()
