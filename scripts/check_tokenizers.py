#!/usr/bin/env python3
"""Compares our token ids, decoded texts and speed with the `tokenizers` package on a large amount of text.

    python3 scripts/check_tokenizers.py BUILD/tests/tokenizer/tokenize_tool [--gguf FILE] [--only NAME ...]

Needs tokenizers, transformers and the tokenizers and rule sets of tests/golden/calibration. Besides these small
rule sets, it checks the rules of each model family with larger vocabularies: some trained here, a tokenizer.model
as Transformers reads it, and with --gguf SmolLM2's own vocabulary from a GGUF file (needs gguf). For each rule
set it encodes books, source code, sentences in many languages, broken UTF-8 and long runs (over 2 MB, cut into
documents), then random strings, and decodes the ids, forwards and backwards. For the larger rule sets it reports the speed on the documents: CPU time of one
thread, medians over alternating passes. Finally it encodes every code point separately, which shows where the
two packages' Unicode tables differ. Exits with 1 if ids or decoded texts differ.
"""

import argparse
import array
import json
import os
import pathlib
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "golden"))
import calibration as golden  # noqa: E402
import transformers  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

GOLDEN = golden.ROOT / "tests" / "golden" / "calibration"
SEED = 20
# Random strings use only characters assigned in Python's Unicode tables; --code-points covers newer ones.
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
ASSIGNED = [c for c in CODE_POINTS if unicodedata.category(chr(c)) != "Cn"]


def documents():
    texts = []
    for part in ("calibration", "test"):
        lines = (golden.FIXTURES / f"books.{part}.txt").read_bytes().decode("utf-8").split("\n")
        texts += ["\n".join(lines[i:i + 40]) for i in range(0, len(lines), 40)]
    for folder in ("src", "scripts", "tests"):
        for path in sorted((golden.ROOT / folder).rglob("*")):
            if path.suffix in (".cpp", ".h", ".py", ".cmake"):
                texts.append(path.read_text(encoding="utf-8"))
    texts += [golden.text_of(entry) for entry in golden.all_texts()]  # with broken UTF-8 and runs
    rng = random.Random(SEED)
    for _ in range(400):
        texts.append("\n".join(rng.choices(golden.TEXTS + golden.ADDED_TEXTS, k=20)))
    return texts


def random_strings(count):
    rng = random.Random(SEED)
    blocks = [(0x20, 0x7F), (0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x780), (0x900, 0xE80),
              (0x1100, 0x1200), (0x1E00, 0x2000), (0x2000, 0x2C00), (0x3000, 0x3400), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4),
              (0xF900, 0xFFFE), (0x1F300, 0x1FA00), (0x0, 0x110000)]
    pools = [[c for c in ASSIGNED if first <= c < last] for first, last in blocks]
    glue = [" ", "  ", "\n", "\r\n", "\t", "\u00a0", "'s", "'LL", "▁", ".", "...", "1", "12", "a", "the", "\u0301", "\u200d",
            "[L]", "[R]", "[B]", "[W]", "word", "Name", "abcd", "<s>", "</s>", "<|endoftext|>", "!", "(", "|", "\x00", "_"]
    strings = []
    for _ in range(count):
        pool = rng.choice(pools)
        length = rng.choice((1, 2, 4, 8, 16, 40, 100))
        strings.append("".join(rng.choice(glue) if rng.random() < 0.4 else chr(rng.choice(pool)) for _ in range(length)))
    return strings


def cut(data):
    texts, at = [], 0
    while at < len(data):
        size = struct.unpack_from("<I", data, at)[0]
        texts.append(data[at + 4:at + 4 + size].decode("utf-8"))
        at += 4 + size
    return texts


def ours(tool, folder, texts):
    """The ids of every text, their decoded texts forwards and backwards, and the seconds of encoding."""
    with tempfile.TemporaryDirectory() as work:
        texts_file, ids_file, decoded_file = (pathlib.Path(work) / name for name in ("texts", "ids", "decoded"))
        with open(texts_file, "wb") as file:
            for text in texts:
                data = text.encode("utf-8")
                file.write(struct.pack("<I", len(data)) + data)
        run = subprocess.run([tool, folder, texts_file, ids_file, decoded_file], capture_output=True, text=True)
        if run.returncode != 0:
            sys.exit(f"{folder}: {run.stderr}")
        values = array.array("q", ids_file.read_bytes())
        decoded = cut(decoded_file.read_bytes())
    result, at = [], 0
    while at < len(values):
        result.append(values[at + 1:at + 1 + values[at]].tolist())
        at += 1 + values[at]
    return result, decoded, float(run.stdout)


def theirs(load, texts):
    tokenizer = load()  # a new one has an empty cache
    start = time.process_time()
    encodings = [tokenizer.encode(text) for text in texts]
    elapsed = time.process_time() - start
    ids = [e.ids for e in encodings]
    decoded = [tokenizer.decode(order, skip_special_tokens=False) for one in ids for order in (one, one[::-1])]
    return ids, decoded, elapsed


def compare(name, texts, got, want):
    """How many texts have different ids, and how many are decoded differently."""
    wrong = [i for i in range(len(texts)) if got[0][i] != want[0][i]]
    for i in wrong[:3]:
        print(f"  {name}: {texts[i][:200]!r}\n    ours   {got[0][i][:40]}\n    theirs {want[0][i][:40]}")
    decoded = [i for i in range(2 * len(texts)) if i // 2 not in wrong and got[1][i] != want[1][i]]
    for i in decoded[:3]:
        print(f"  {name}: {'backwards' if i % 2 else 'forwards'} {want[0][i // 2][:40]}\n"
              f"    ours   {got[1][i][:200]!r}\n    theirs {want[1][i][:200]!r}")
    return len(wrong), len(decoded)


def as_ranges(code_points):
    ranges = []
    for c in code_points:
        if ranges and c == ranges[-1][1] + 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    return " ".join(f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in ranges)


def small_rule_sets():
    cases = json.loads((GOLDEN / "cases.json").read_text())["cases"]
    for case in cases:
        base = json.loads((GOLDEN / f"{case['base']}.json").read_text())
        yield case["name"], golden.complete(golden.merged(base, case["patch"]))


def smollm2_of(gguf_file):
    """SmolLM2's vocabulary from a GGUF file, with SmolLM2's rules: a GGUF file lacks some of them."""
    import gguf
    fields = gguf.GGUFReader(gguf_file).fields
    strings = lambda key: [bytes(fields[key].parts[i]).decode("utf-8") for i in fields[key].data]
    tokens, kinds = strings("tokenizer.ggml.tokens"), fields["tokenizer.ggml.token_type"].contents()
    rule = json.loads((GOLDEN / "smollm2.json").read_text())
    rule["model"]["vocab"] = {token: i for i, token in enumerate(tokens)}
    rule["model"]["merges"] = strings("tokenizer.ggml.merges")
    rule["added_tokens"] = [{**golden.added(t, special=True), "id": i} for i, t in enumerate(tokens) if kinds[i] == 3]
    return rule


def large_rule_sets(gguf_file, size):
    fixture = golden.FIXTURES / "opt-books-6m"
    yield "opt-books-6m", json.loads((fixture / "tokenizer.json").read_text())
    for name, rule in golden.family_rules(size).items():
        yield f"{name}_{size}", golden.complete(rule)
    if gguf_file:
        yield "smollm2_real", golden.complete(smollm2_of(gguf_file))


def unigram_rule_sets(size):
    """Unigram models with SentencePiece's full tables of text to replace, and the rules around them."""
    def trained(rule_name, **options):
        with tempfile.TemporaryDirectory() as work:
            path = pathlib.Path(work) / "tokenizer.model"
            golden.train_sentencepiece(path, lines=golden.corpus(), model_type="unigram", vocab_size=size,
                                       normalization_rule_name=rule_name, hard_vocab_limit=False, **options)
            return golden.unigram(path)

    always = golden.metaspace(prepend_scheme="always")
    step = lambda kind, **options: {"type": kind, **options}
    plain, folded = trained("nmt_nfkc", byte_fallback=False), trained("nmt_nfkc_cf", byte_fallback=True)
    folded["model"]["byte_fallback"] = True
    table = folded["normalizer"]["normalizers"][0]
    yield "unigram_nmt_nfkc", plain
    yield "unigram_nmt_nfkc_cf", folded
    yield "unigram_whole", {**plain, "pre_tokenizer": None, "normalizer": {"type": "Sequence", "normalizers": [
        plain["normalizer"]["normalizers"][0], step("Replace", pattern={"String": " "}, content="▁")]}}
    yield "unigram_t5", {**plain, "normalizer": plain["normalizer"]["normalizers"][0],
                         "pre_tokenizer": golden.sequence(step("WhitespaceSplit"), always)}
    yield "unigram_albert", {**folded, "normalizer": {"type": "Sequence", "normalizers": [
        step("Replace", pattern={"String": "``"}, content='"'), step("NFKD"), step("StripAccents"), step("Lowercase"), table]},
        "pre_tokenizer": golden.sequence(step("WhitespaceSplit"), always)}
    trainer = golden.trainers.UnigramTrainer(vocab_size=size, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False)
    tokenizer = Tokenizer(golden.models.Unigram())
    tokenizer.pre_tokenizer = golden.pre_tokenizers.Metaspace()
    tokenizer.normalizer = golden.normalizers.Sequence([golden.normalizers.Nmt(), golden.normalizers.NFKC()])
    tokenizer.train_from_iterator(golden.corpus(), trainer)
    rule = json.loads(tokenizer.to_str())
    yield "unigram_words", rule
    for name in ("Whitespace", "BertPreTokenizer", "Punctuation"):
        bert = step("BertNormalizer", clean_text=True, handle_chinese_chars=True, strip_accents=None, lowercase=True)
        yield f"unigram_{name}", {**rule, "normalizer": bert if name != "Punctuation" else None,
                                  "pre_tokenizer": golden.sequence(step(name), always)}


def write_sentencepiece(folder, model, **config):
    """Writes a folder with only tokenizer.model; returns a function that loads it with Transformers."""
    shutil.copy(GOLDEN / model, folder / "tokenizer.model")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": True, **config}))
    return lambda: transformers.AutoTokenizer.from_pretrained(folder).backend_tokenizer


class Check:
    def __init__(self, arguments):
        self.arguments = arguments
        self.texts, self.strings = documents(), random_strings(arguments.strings)
        self.size = sum(len(t.encode()) for t in self.texts)
        self.failures = 0
        print(f"{len(self.texts)} documents of {self.size / 1e6:.2f} MB, {len(self.strings)} random strings")

    def run(self, name, folder, load, with_speed):
        ours_s, theirs_s = [], []
        for _ in range(self.arguments.passes if with_speed else 1):
            got = ours(self.arguments.tool, folder, self.texts)
            want = theirs(load, self.texts)
            ours_s.append(got[-1])
            theirs_s.append(want[-1])
        wrong = [*compare(name, self.texts, got, want),
                 *compare(name, self.strings, ours(self.arguments.tool, folder, self.strings), theirs(load, self.strings))]
        self.failures += sum(wrong)
        speed = ""
        if with_speed:
            our_s, their_s = statistics.median(ours_s), statistics.median(theirs_s)
            speed = (f"   {self.size / our_s / 1e6:6.1f} MB/s, theirs {self.size / their_s / 1e6:5.2f} MB/s: "
                     f"{their_s / our_s:5.1f} x")
        print(f"{name:32} documents differ {wrong[0]:4}, decoded {wrong[1]:4}, strings {wrong[2]:5}, decoded "
              f"{wrong[3]:5}{speed}", flush=True)

    def code_points(self, name, folder, load):
        # Between letters and between spaces, to show both the class and the composition of each code point.
        singles = [f"a{chr(c)}b {chr(c)} e{chr(c)}1[W]{chr(c)}" for c in CODE_POINTS]
        got, want = ours(self.arguments.tool, folder, singles)[0], theirs(load, singles)[0]
        differ = [c for c, a, b in zip(CODE_POINTS, got, want) if a != b]
        known = [c for c in differ if unicodedata.category(chr(c)) != "Cn"]
        print(f"{name:32} code points that differ: {len(differ)}; assigned in Unicode "
              f"{unicodedata.unidata_version}: {len(known)} {as_ranges(known)[:400]}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tool")
    parser.add_argument("--strings", type=int, default=100_000)
    parser.add_argument("--passes", type=int, default=5, help="passes per speed measurement")
    parser.add_argument("--vocabulary", type=int, default=16_000, help="vocabulary size of the larger rule sets")
    parser.add_argument("--gguf", help="GGUF file of SmolLM2")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--code-points", action="store_true", help="check only the single code points")
    arguments = parser.parse_args()
    check = Check(arguments)

    def wanted(name):
        return not arguments.only or name in arguments.only

    def run_rules(rules, with_speed):
        for name, rule in rules:
            if not wanted(name):
                continue
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "tokenizer.json"
                path.write_text(json.dumps(rule))
                load = lambda: Tokenizer.from_file(str(path))
                if not arguments.code_points:
                    check.run(name, folder, load, with_speed)
                if name in ("gpt2", "qwen2", "smollm2", "bloom", "llama3", "nfkc", "lowercase", "added_tokens",
                            "unigram_nmt_nfkc", "unigram_nmt_nfkc_cf", "unigram_Whitespace", "unigram_BertPreTokenizer",
                            "unigram_Punctuation", "unigram_albert"):
                    check.code_points(name, folder, load)

    run_rules(large_rule_sets(arguments.gguf, arguments.vocabulary), with_speed=True)
    run_rules(((name, golden.complete(rule)) for name, rule in unigram_rule_sets(arguments.vocabulary // 2)), with_speed=True)
    for model, config in (("sentencepiece", {"tokenizer_class": "LlamaTokenizer"}), ("unigram", {})):
        if wanted(f"{model}.model") and not arguments.code_points:
            with tempfile.TemporaryDirectory() as folder:
                load = write_sentencepiece(pathlib.Path(folder), f"{model}.model", **config)
                check.run(f"{model}.model", folder, load, with_speed=True)
    run_rules(small_rule_sets(), with_speed=False)
    sys.exit(1 if check.failures else 0)


if __name__ == "__main__":
    main()
