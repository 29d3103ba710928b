#!/usr/bin/env python3
"""Writes tests/golden/calibration/: small tokenizers of every rule set, texts, and their token ids.

    python3 scripts/golden/calibration.py tests/golden/calibration

Needs tokenizers, transformers, sentencepiece and protobuf. Trains the tokenizers on the fixture texts and the
sentences below. The ids, and the texts of ids, come from the `tokenizers` package, or from Transformers for whole
folders. The calibration windows come from Python's `random` by the rules of src/calibration/README.md, "Sampling".
"""

import base64
import hashlib
import io
import json
import pathlib
import random
import shutil
import struct
import sys
import tempfile

import sentencepiece
import tokenizers
import transformers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"

# src/tokenizer/README.md, "Pre-tokenizer patterns"
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

SENTENCES = """\
Le cœur a ses raisons que la raison ne connaît point; l'été, à Noël, où êtes-vous ?
Die Größe der Straße übertrifft das Maß; schöne Grüße aus Österreich, 1.234,56 €.
El niño comió jalapeños mañana: ¿cuánto cuesta? ¡Qué lástima!
Być albo nie być, oto jest pytanie. Zażółć gęślą jaźń.
Съешь же ещё этих мягких французских булок, да выпей чаю. Война и мир.
Η γρήγορη καφέ αλεπού πηδά πάνω από το τεμπέλικο σκυλί. ΣΊΣΥΦΟΣ
العربية لغة جميلة، وهي تكتب من اليمين إلى اليسار. ١٢٣٤٥
שלום עולם, מה שלומך היום? עִבְרִית
हिन्दी में लिखा हुआ एक वाक्य। १२३ नमस्ते दुनिया।
ภาษาไทยไม่มีช่องว่างระหว่างคำ ๑๒๓
我能吞下玻璃而不伤身体。今天天气很好，我们去公园吧！
吾輩は猫である。名前はまだ無い。カタカナとひらがな、ｶﾞ１２３。
나는 유리를 먹을 수 있어요. 그래도 아프지 않아요.
İstanbul'da DİYARBAKIR ılık iğne. Tiếng Việt: Trời ơi, đẹp quá!
for (int i = 0; i < 10; ++i) { total += x[i] * 3.14e-5; }  // a comment
def f(x):\n    return {'a': x ** 2, "b": [1, 2, 3]}  # don't, we'll, they've, I'm, IT'S
<html><body class="main">&amp; https://example.org/path?q=1&r=2#top</body></html>
"""

TEXTS = SENTENCES.replace("\\n", "\n").splitlines() + [
    "",
    " ",
    "a",
    "  a",
    "a  ",
    "\n",
    "Hello world",
    "I like you.",
    " Hello  world   with    runs     of      spaces ",
    "tabs\tand\t\tmore\t \t mixed \n \n\n newlines \r\n windows \r old mac\x0b\x0c\x85\u2028\u2029 end",
    "a (b) [c] {d} a|b (…) 'quoted' “quoted” it's IT'S I'll we'D",
    "no-break\u00a0space thin\u2009space ideographic\u3000space zero\u200bwidth bom\ufeff joiner\u200d word\u2060joiner",
    "😀 😃👍🏽 👩‍👩‍👧‍👦 🇩🇪🇫🇷 ❤️ ✨🎉 ☃ a😀b",
    "e\u0301 é a\u0308\u0323 ạ̈ \u1100\u1161\u11a8 각 \u212b \u2126 ﬁ ½ ² ① Ⅷ ｱ x\u0338 \u0344",
    "\x00\x01\x02\x07\x08\x1b[31mred\x1b[0m\x7f\x80\x9f control",
    "12345 1,234,567.89 0x1F 3.14 1e10 ٠١٢٣ 一二三 Ⅳ ½ ²³ 2024-01-31 10:59:59",
    "snake_case camelCase SCREAMING_CASE kebab-case path/to/file.txt a.b.c !!! ??? ... --- === ###",
    "▁ underscore ▁▁ lower▁one eighth a▁ ▁b",
    "<s> </s> <unk> <pad> <0x41> <|endoftext|> <s></s>x<s>",
    "\U00010348 \U0001d504\U0001d505 \U00020000\U0002a6d6 𝟘𝟙𝟚 𐍈 outside the first plane",
    "null\x00inside and a very-long-hyphenated-word-that-goes-on-and-on-without-any-space-in-it",
    "Mr. Pickwick's hat -- 'tis lost! \"Where?\" cried Mr. Tupman;   said he:\n\n\n\tthe end\n",
    "A\u0301\u0302\u0303\u0304 stacked, Z̸̡͎̆a̵͝l̶̊g̷o̴ text",
    "\n\n  \n indented\n    code\n        more\n\n",
    "don't  won't\tcan't\nit's  'S 'T 'RE 'ſ K",
    "مرحبا، كيف حالك؟ ۱۲۳۴ یہ اردو ہے۔ क्या? हाँ।",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
]
# Texts for the options of added tokens.
ADDED_TEXTS = [
    "[L] x  [L]  y\n\t[L]z", "[R] x[R]  \n y[R]", "x  [B]  y [B][B] z", "[W] [W]x x[W] é[W] [W]_ -[W]- ([W])",
    "word wordy sword _word word. wörd word", "Name name NAME  nAmE.", "abc abcd abcde ab abcdabc", "[L][R][B][W]",
    "  [L]", "[R]  ", "x\u200d[W]\u200dx ٣[W] [W]ー", "café CAFÉ cafe\u0301", "ＦＵＬＬ full Ｆull", "  [R] [L]  [B]  ",
]
# Invalid UTF-8 in hexadecimal; the ids are those of the text decoded with errors="replace".
BROKEN = ["48690aff", "c328", "e28228", "f0288cbc", "61e282", "f09f98", "eda080", "fe80c0af", "f4908080", "e0809f",
          "c3a9c3", "80808080", "61ff62fe63"]
# [text, repetitions, suffix]
RUNS = [["a", 3000, ""], [" ", 3000, ""], [" ", 3000, "x"], ["\n", 2000, " y"], ["ab", 2000, ""], ["1", 1500, ""],
        ["é", 1500, ""], ["😀", 800, ""], ["!", 2000, "\n"], ["a ", 1500, ""], ["\u0301", 1000, ""], ["the", 1000, ""]]


def corpus():
    books = (FIXTURES / "books.calibration.txt").read_text(encoding="utf-8")
    # Any change to this source file changes the trained tokenizers.
    code = (ROOT / "src" / "core" / "python_random.cpp").read_text(encoding="utf-8")
    return [line + "\n" for line in books[:400_000].split("\n")] + TEXTS[:17] * 20 + [code] * 4


def train(pre_tokenizer, size, normalizer=None, special=(), model=None, **options):
    tokenizer = Tokenizer(model or models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), show_progress=False, **options)
    tokenizer.train_from_iterator(corpus(), trainer)
    return json.loads(tokenizer.to_str())


def byte_level(pre_tokenizer, size, **options):
    return train(pre_tokenizer, size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), **options)


def split(regex):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def template(before=(), behind=()):
    def piece(token):
        return {"SpecialToken": {"id": token, "type_id": 0}}
    tokens = dict(list(before) + list(behind))
    single = [piece(t) for t, _ in before] + [{"Sequence": {"id": "A", "type_id": 0}}] + [piece(t) for t, _ in behind]
    return {"type": "TemplateProcessing", "single": single, "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in tokens.items()}}


def llama2(size):
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    special = ["<unk>", "<s>", "</s>"]
    result = train(pre_tokenizers.Metaspace(), size, special=special + bytes_, limit_alphabet=110)
    # Real vocabularies also merge runs of spaces.
    vocab, merges = result["model"]["vocab"], result["model"]["merges"]
    for width in (1, 2, 4):
        merges.append(["▁" * width, "▁" * width])
        vocab["▁" * (2 * width)] = len(vocab)
    result["added_tokens"] = [t for t in result["added_tokens"] if t["content"] in special]
    result["model"].update(unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    result["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
    result["pre_tokenizer"] = None
    result["post_processor"] = template([("<s>", 1)])
    return result


def llama3(size):
    result = byte_level(split(LLAMA3), size, special=["<|begin_of_text|>", "<|end_of_text|>"])
    result["model"]["ignore_merges"] = True
    # No merge produces these words: only ignore_merges finds them.
    for word in ("Ġquixotic", "zzz", "ĠHello", "12"):
        result["model"]["vocab"].setdefault(word, len(result["model"]["vocab"]))
    result["post_processor"] = {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        template([("<|begin_of_text|>", 0)])]}
    return result


def family_rules(size=None):
    """The tokenizer rules of each model family; `size` replaces the small vocabulary sizes."""
    gpt2_rule = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), gpt2_rule])
    return {
        "gpt2": byte_level(gpt2_rule, size or 640, special=["<s>", "<pad>", "</s>", "<unk>", "<|endoftext|>"]),
        "bloom": byte_level(split(BLOOM), size or 560),
        "llama2": llama2(size or 700),
        "llama3": llama3(size or 620),
        "qwen2": byte_level(split(QWEN2), size or 560, normalizer=normalizers.NFC(), special=["<|endoftext|>"]),
        "smollm2": byte_level(digits, size or 560, special=["<|endoftext|>"]),
    }


def bases():
    spaces = pre_tokenizers.Split(Regex(r"\s+"), "removed")
    return {
        **family_rules(),
        "metaspace": train(pre_tokenizers.Metaspace(), 400, special=["<unk>"], limit_alphabet=90,
                           model=models.BPE(unk_token="<unk>")),
        "suffix": train(spaces, 400, special=["<unk>"], limit_alphabet=90, end_of_word_suffix="</w>",
                        model=models.BPE(unk_token="<unk>", end_of_word_suffix="</w>")),
        "prefix": train(spaces, 400, special=["<unk>"], limit_alphabet=90, continuing_subword_prefix="##",
                        model=models.BPE(unk_token="<unk>", continuing_subword_prefix="##")),
    }


def added(content, **options):
    return {"id": 0, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": False, **options}


ADDED = [added("[L]", lstrip=True), added("[R]", rstrip=True), added("[B]", lstrip=True, rstrip=True),
         added("[W]", single_word=True), added("word", single_word=True, normalized=True),
         added("Name", normalized=True), added("abc"), added("abcd"), added("full", normalized=True),
         added("caf\u00e9", normalized=True), added(" y", normalized=True)]


def renumbered(tokenizer):
    """The added tokens with the ids that the package assigns."""
    return json.loads(Tokenizer.from_str(json.dumps(tokenizer)).to_str())["added_tokens"]


def split_rule(pattern, behavior, invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def byte_level_rule(regex=False, prefix=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def metaspace(**options):
    return {"type": "Metaspace", "replacement": "▁", **options}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def patches(all_bases):
    """Tuples (name, base, JSON merge patch of the base, RFC 7396)."""
    cases = [(name, name, {}) for name in all_bases]
    pre = lambda rule: {"pre_tokenizer": rule}
    norm = lambda rule: {"normalizer": rule}
    cases += [
        ("byte_level_prefix_space", "gpt2", pre(byte_level_rule(True, True))),
        ("byte_level_without_regex", "gpt2", pre(byte_level_rule(False, False))),
        ("byte_level_after_split", "gpt2", pre(sequence(split_rule(r"\d+", "Isolated"), byte_level_rule(True, True)))),
        ("merges_as_strings", "gpt2", {"model": {"merges": [
            m if isinstance(m, str) else " ".join(m) for m in all_bases["gpt2"]["model"]["merges"]]}}),
        ("digits_contiguous", "gpt2", pre(sequence({"type": "Digits", "individual_digits": False}, byte_level_rule()))),
        ("metaspace_always", "metaspace", pre(metaspace(prepend_scheme="always", split=True))),
        ("metaspace_first", "metaspace", pre(metaspace(prepend_scheme="first", split=True))),
        ("metaspace_never", "metaspace", pre(metaspace(prepend_scheme="never", split=True))),
        ("metaspace_whole", "metaspace", pre(metaspace(prepend_scheme="first", split=False))),
        ("metaspace_none", "metaspace", {"pre_tokenizer": None}),
        ("metaspace_legacy", "metaspace", pre(metaspace(add_prefix_space=True))),
        ("metaspace_after_split", "metaspace", pre(sequence(split_rule("e", "MergedWithPrevious"),
                                                            metaspace(prepend_scheme="first", split=True)))),
        ("llama2_metaspace", "llama2", {"normalizer": None,
                                        "pre_tokenizer": metaspace(prepend_scheme="first", split=False)}),
        ("llama2_unk", "llama2", {"model": {"byte_fallback": False}}),
        ("llama2_unk_unfused", "llama2", {"model": {"byte_fallback": False, "fuse_unk": False}}),
        ("llama2_no_unk", "llama2", {"model": {"byte_fallback": False, "unk_token": None}}),
        ("llama2_some_bytes", "llama2", {"model": {"vocab": {"<0x9F>": None, "<0xE4>": None, "<0xE3>": None}}}),
        ("llama3_with_merges", "llama3", {"model": {"ignore_merges": False}}),
        ("template_behind", "gpt2", {"post_processor": template([("<s>", 0)], [("</s>", 2), ("<pad>", 1)])}),
        ("roberta_processing", "gpt2", {"post_processor": {
            "type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True,
            "add_prefix_space": False}}),
        ("nfd", "gpt2", norm({"type": "NFD"})),
        ("nfkc", "gpt2", norm({"type": "NFKC"})),
        ("nfkd", "gpt2", norm({"type": "NFKD"})),
        ("lowercase", "gpt2", norm({"type": "Lowercase"})),
        ("strip", "gpt2", norm({"type": "Strip", "strip_left": True, "strip_right": True})),
        ("strip_right", "gpt2", norm({"type": "Strip", "strip_left": False, "strip_right": True})),
        ("replace_regex", "gpt2", norm({"type": "Replace", "pattern": {"Regex": r"\s{2,}|[aeiou]$"}, "content": " "})),
        ("replace_string", "gpt2", norm({"type": "Replace", "pattern": {"String": "."}, "content": "dot"})),
        ("prepend", "gpt2", norm({"type": "Prepend", "prepend": "→"})),
    ]
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            rule = sequence(split_rule(r"\s+|[,.]", behavior, invert), byte_level_rule())
            cases.append((f"split_{behavior}{'_inverted' if invert else ''}", "gpt2", pre(rule)))
    cases.append(("split_string", "gpt2", pre(sequence(split_rule(" ", "MergedWithNext", kind="String"),
                                                       byte_level_rule()))))
    cases.append(("split_string_meta", "gpt2", pre(sequence(split_rule("...", "Isolated", kind="String"),
                                                            byte_level_rule()))))
    cases += unigram_patches(pre, norm) + word_patches(pre, norm)
    for name, base, patch in (("added_tokens", "gpt2", {}), ("added_tokens_lowercase", "gpt2", norm({"type": "Lowercase"})),
                              ("added_tokens_nfkc", "gpt2", norm({"type": "NFKC"})),
                              ("added_tokens_llama2", "llama2", {}),
                              ("added_tokens_metaspace", "metaspace", pre(metaspace(prepend_scheme="first"))),
                              ("added_tokens_unigram", "unigram", {})):
        whole = merged(all_bases[base], patch)
        whole["added_tokens"] = whole["added_tokens"] + ADDED
        cases.append((name, base, {**patch, "added_tokens": renumbered(whole)}))
    return cases


def unigram_patches(pre, norm):
    return [
        ("unigram_whole", "unigram", {"pre_tokenizer": None}),
        ("unigram_without_normalizer", "unigram", {"normalizer": None}),
        ("unigram_without_type", "unigram", {"model": {"type": None}}),
        ("unigram_t5", "unigram", pre(sequence({"type": "WhitespaceSplit"}, metaspace(prepend_scheme="always")))),
        ("unigram_first", "unigram", pre(metaspace(prepend_scheme="first"))),
        ("unigram_other_unk", "unigram", {"model": {"unk_id": 3}}),
        ("unigram_bytes_whole", "unigram_bytes", {"pre_tokenizer": None}),
        ("unigram_bytes_off", "unigram_bytes", {"model": {"byte_fallback": False}}),
        ("unigram_nmt", "unigram", norm({"type": "Sequence", "normalizers": [
            {"type": "Nmt"}, {"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]})),
    ]


def word_patches(pre, norm):
    """Pre-tokenizers and normalizers that come with unigram and word-piece models, over byte-level BPE."""
    bert = lambda **options: norm({"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                                   "strip_accents": None, "lowercase": True, **options})
    cases = [
        ("nmt", "gpt2", norm({"type": "Nmt"})),
        ("strip_accents", "gpt2", norm({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]})),
        ("bert_normalizer", "gpt2", bert()),
        ("bert_normalizer_cased", "gpt2", bert(lowercase=False)),
        ("bert_normalizer_unclean", "gpt2", bert(clean_text=False, handle_chinese_chars=False, strip_accents=False)),
        ("bert_normalizer_accents", "gpt2", bert(lowercase=False, strip_accents=True)),
    ]
    for name in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer"):
        cases.append((name, "gpt2", pre(sequence({"type": name}, byte_level_rule()))))
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        cases.append((f"punctuation_{behavior}", "gpt2",
                      pre(sequence({"type": "Punctuation", "behavior": behavior}, byte_level_rule()))))
    return cases


# Grapheme clusters around the length up to which the table looks them up whole.
CLUSTERS = ["\u00a9\ufe0f x\u00a9 \ufe0f", "E\u0301 \u00c9 e\u0301 A\u0301 A\u0308", "e\u0301\u0323 e\u0301\u0301 e\u0301\u0301\u0301",
            "E\u0301\u0323 E\u0301\u0301\u0301", "\r\n\n\r \r\u0301", "A\ufe0f A\u200d\u00e9 \uff21\u0301", "\u0600A \u0600E\u0301",
            "\U0001f600\u0301 \U0001f600A", "\ud55c\u0301 \ufdfa\u200b\u00ad\u0301", "\u0301E"]


def serde_json_number(text):
    digits, exponent = text.split("e") if "e" in text else (text, "0")
    whole, _, fraction = digits.partition(".")
    exponent = int(exponent) - len(fraction)
    number = float(int(whole + fraction))
    return number * float(f"1e{exponent}") if exponent >= 0 else number / float(f"1e{-exponent}")


def tie_of_scores():
    """A tokenizer for which the score of "a" as serde_json reads it, not the nearest float64, decides."""
    rng = random.Random(0)
    while True:
        score = -rng.uniform(1, 16)
        if serde_json_number(repr(-score)) < -score and serde_json_number(repr(-2 * score)) == -2 * score:
            return {"model": {"type": "Unigram", "unk_id": 0, "byte_fallback": False,
                              "vocab": [["<unk>", 0.0], ["a", score], ["aa", 2 * score]]}}


def inline_cases(all_bases):
    """Tokenizers with texts of their own."""
    cases = []
    for name, tokenizer, texts in (("clusters", {"base": "unigram"}, CLUSTERS), ("scores", tie_of_scores(), ["aa", "aaa", "a"])):
        whole = complete(all_bases[tokenizer["base"]] if "base" in tokenizer else tokenizer)
        encode = Tokenizer.from_str(json.dumps(whole)).encode
        cases.append({"name": name, "tokenizer": tokenizer, "texts": texts, "ids": [encode(text).ids for text in texts]})
    return cases


def merged(target, patch):
    """Applies a JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def complete(tokenizer):
    """Adds the keys that the package requires."""
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
            "pre_tokenizer": None, "post_processor": None, "decoder": None, **tokenizer}


def record(ids):
    """The ids, or for a long list its count and the SHA-256 of the ids as little-endian int64."""
    if len(ids) <= 48:
        return ids
    return {"count": len(ids), "sha256": sha256(ids)}


def sha256(ids):
    return hashlib.sha256(struct.pack(f"<{len(ids)}q", *ids)).hexdigest()


def all_texts():
    texts = [{"text": t} for t in TEXTS + ADDED_TEXTS]
    texts += [{"hex": b} for b in BROKEN]
    return texts + [{"run": r} for r in RUNS]


def text_of(entry):
    if "text" in entry:
        return entry["text"]
    if "hex" in entry:
        return bytes.fromhex(entry["hex"]).decode("utf-8", errors="replace")
    unit, times, behind = entry["run"]
    return unit * times + behind


ADDED_TOKEN = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "__type": "AddedToken"}
OPT_CONFIG = {"errors": "replace", "unk_token": {"content": "</s>", **ADDED_TOKEN},
              "bos_token": {"content": "</s>", **ADDED_TOKEN}, "eos_token": {"content": "</s>", **ADDED_TOKEN},
              "pad_token": {"content": "<pad>", **ADDED_TOKEN}, "add_prefix_space": False, "add_bos_token": True,
              "tokenizer_class": "GPT2Tokenizer"}


def folders():
    """Tuples (name, files copied from the fixture model, {name: content} of files that the test writes)."""
    files = ["vocab.json", "merges.txt"]
    fast = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}

    def folder(name, lie_there, model_type="opt", **written):
        config = {"model_type": model_type}
        return name, lie_there, {"config.json": config, **{f"{key}.json": value for key, value in written.items()}}
    llama = {"tokenizer_class": "LlamaTokenizer"}
    bos_map = {"bos_token": {**ADDED_TOKEN, "content": "<s>", "lstrip": True}, "pad_token": "<pad>",
               "eos_token": "</s>", "unk_token": "<unk>"}
    decoder = {"0": {"content": "<s>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                     "special": True},
               "9": {"content": "like", "single_word": False, "lstrip": True, "rstrip": True, "normalized": True,
                     "special": False}}
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return [
        folder("opt_as_on_the_hub", files, tokenizer_config=OPT_CONFIG),
        folder("opt_special_tokens_map", files, tokenizer_config={"add_bos_token": True, "add_eos_token": True},
               special_tokens_map=bos_map),
        folder("opt_prefix_space", files, tokenizer_config={**OPT_CONFIG, "add_prefix_space": True}),
        folder("opt_without_bos", files, tokenizer_config={**OPT_CONFIG, "add_bos_token": False}),
        folder("opt_without_config", files),
        folder("added_tokens_file", files, tokenizer_config=named, added_tokens={"like": 4200, "you": 4100}),
        folder("added_tokens_decoder", files, tokenizer_config={**named, "added_tokens_decoder": decoder}),
        # Transformers 5 uses the post-processor of tokenizer.json and ignores add_bos_token and add_eos_token.
        folder("json_and_add_bos", ["tokenizer.json"], tokenizer_config={**fast, "add_bos_token": True}),
        folder("json_and_add_eos", ["tokenizer.json"], tokenizer_config={**fast, "add_eos_token": True}),
        folder("json_added_tokens_decoder", ["tokenizer.json"],
               tokenizer_config={**fast, "added_tokens_decoder": decoder}),
        folder("json_extra_tokens", ["tokenizer.json"], tokenizer_config={**fast, "additional_special_tokens": ["like"]}),
        folder("llama", ["tokenizer.model"], tokenizer_config={**llama, "add_bos_token": True}),
        folder("llama_legacy", ["tokenizer.model"], tokenizer_config={**llama, "add_eos_token": True, "legacy": True}),
        folder("llama_without_flags", ["tokenizer.model"], tokenizer_config=llama),
        folder("llama_without_prefix", ["tokenizer.model"], tokenizer_config={**llama, "add_prefix_space": False}),
        folder("json_and_files", files + ["tokenizer.json"], tokenizer_config=OPT_CONFIG),
    ] + class_folders(folder, files, named, decoder)


def class_folders(folder, files, named, decoder):
    """Folders whose tokenizer class brings rules of its own. "NAME.json" of the golden files is tokenizer.json."""
    json_file, model = ["tokenizer.json"], ["tokenizer.model"]
    of = lambda name, **keys: {"tokenizer_class": name, **keys}
    marked = {"content": "like", "lstrip": True, "rstrip": True, "normalized": True, "single_word": False,
              "__type": "AddedToken"}
    cases = [
        folder("json_prefix_space", json_file, tokenizer_config=of("GPT2Tokenizer", add_prefix_space=True)),
        folder("json_prefix_space_fast", json_file, "llama", tokenizer_config=of("GPT2TokenizerFast", add_prefix_space=True)),
        folder("json_prefix_space_backend", json_file, tokenizer_config=of("PreTrainedTokenizerFast", add_prefix_space=True)),
        folder("json_prefix_space_mistral", json_file, "mistral", tokenizer_config=of("GPT2Tokenizer", add_prefix_space=True)),
        folder("json_prefix_space_no_class", json_file, "gpt2", tokenizer_config={"add_prefix_space": True}),
        folder("json_prefix_space_own_code", json_file, "mistral", tokenizer_config=of(
            "GPT2Tokenizer", add_prefix_space=True, auto_map={"AutoTokenizer": [None, "tokenization_x.X"]})),
        folder("json_class_in_model_config", json_file, "qwen2", tokenizer_config=of("GPT2Tokenizer", add_prefix_space=True)),
        folder("json_gpt_neox", json_file, "gpt_neox", tokenizer_config=of("GPTNeoXTokenizer", add_bos_token=True, **named)),
        folder("json_class_and_decoder", json_file, tokenizer_config=of("GPT2Tokenizer", added_tokens_decoder=decoder, **named)),
        folder("json_class_and_added_tokens", json_file, tokenizer_config=of("GPT2Tokenizer", **named), added_tokens={"like": 4200}),
        folder("json_own_tokens", json_file, tokenizer_config=of("GPT2Tokenizer", image_token="like", **named)),
        folder("json_named_extra_tokens", json_file, tokenizer_config=of(
            "PreTrainedTokenizerFast", extra_special_tokens={"image_token": "like"})),
        folder("json_qwen2_plain_tokens", json_file, "qwen2", tokenizer_config=of("Qwen2Tokenizer", pad_token=marked)),
    ]
    for name, class_name in (("smollm2", "GPT2Tokenizer"), ("gpt2", "CohereTokenizer"), ("gpt2", "CodeGenTokenizer"),
                             ("qwen2", "Qwen2Tokenizer"), ("gpt2", "Qwen2Tokenizer"), ("gpt2", "Qwen3_5Tokenizer"),
                             ("llama3", "GPT2Tokenizer"), ("llama2", "LlamaTokenizer"), ("llama2", "LlamaTokenizerFast"),
                             ("llama2", "CodeLlamaTokenizer"), ("llama2", "GemmaTokenizer"),
                             ("gpt2", "PreTrainedTokenizerFast")):
        for keys in ({}, {"split_special_tokens": True, "add_prefix_space": False}):
            tail = "_split" if keys else ""
            cases.append(folder(f"json_{name}_{class_name}{tail}", [f"{name}.json"], "llama",
                                tokenizer_config=of(class_name, pad_token=None, **keys)))
    for class_name in ("GPT2Tokenizer", "Qwen2Tokenizer", "CodeGenTokenizer", "GPTNeoXTokenizer", "CohereTokenizer"):
        cases.append(folder(f"files_{class_name}", files, "llama", tokenizer_config=of(class_name)))
        cases.append(folder(f"files_{class_name}_named", files, "llama", tokenizer_config=of(
            class_name, add_bos_token=True, add_eos_token=True, add_prefix_space=True, **named)))
    cases += [
        folder("files_qwen2_by_model_type", files, "qwen2"),
        folder("files_split_special", files, tokenizer_config={**OPT_CONFIG, "split_special_tokens": True}),
        folder("model_split_special", model, tokenizer_config=of("LlamaTokenizer", split_special_tokens=True)),
        folder("model_without_class", model, "llama", tokenizer_config={"add_bos_token": True, "add_eos_token": True}),
        folder("model_unknown_class", model, "llama", tokenizer_config=of("SomeTokenizer")),
        folder("model_gemma", model, "gemma", tokenizer_config=of("GemmaTokenizer", add_bos_token=True, bos_token="<s>",
                                                           pad_token=None)),
        folder("unigram_model", ["unigram.model"], "llama", tokenizer_config={"add_bos_token": True, "add_eos_token": True}),
        folder("unigram_model_split_special", ["unigram.model"], "llama", tokenizer_config={"split_special_tokens": True}),
        folder("json_unigram", ["unigram.json"], "llama", tokenizer_config=of("PreTrainedTokenizerFast", **named)),
        folder("model_code_llama", model, "llama", tokenizer_config=of("CodeLlamaTokenizer")),
    ]
    return cases


FOLDER_TEXTS = ["I like you.", "", " I like  </s> 123 you.<pad> x <s>y<unk> <s> z", "we like like  you", " ", "a", "  two  ",
                "caf\u00e9 \U0001f600 na\u00efve\n\tЯ 日本", "a▁b ▁▁c", "[X]sep[X] <0x41> </s>"]


def train_sentencepiece(path, lines=None, **options):
    """Trains a model of the kind that LLaMA ships as tokenizer.model, with these changes."""
    lines = lines or (FIXTURES / "books.test.txt").read_text(encoding="utf-8").split("\n")[:300]
    model = io.BytesIO()
    settings = {"vocab_size": 480, "model_type": "bpe", "byte_fallback": True, "character_coverage": 0.999,
                "normalization_rule_name": "identity", "remove_extra_whitespaces": False, "split_digits": True,
                "allow_whitespace_only_pieces": True, "user_defined_symbols": ["[X]"], **options}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, num_threads=1,
                                             minloglevel=2, **settings)
    path.write_bytes(model.getvalue())


# A small table of text to replace: capitals, letters with accents, an empty and a long replacement, entries that
# start other entries, spaces.
TABLE = {"A": "a", "E": "e", "É": "é", "E\u0301": "é", "e\u0301": "é", "e\u0301\u0323": "ẹ́", "ﬁ": "fi", "½": "1⁄2", "…": "...",
         "\u200b": "", "\u00ad": "", "\u00a0": " ", "\u3000": " ", "\r\n": "\n", "\t": " ", "ﷺ": "صلى الله عليه وسلم",
         "Ａ": "a", "１": "1", "①": "1", "Ⅷ": "VIII", "ｱ": "ア", "ｶﾞ": "ガ", "\u00a9\ufe0f": "(c)", "한": "han", "😀": ":)"}


def train_unigram(path):
    """Trains a unigram model with TABLE, as T5 or XGLM ship it."""
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as table:
        for text, other in TABLE.items():
            hexadecimal = [" ".join(f"{ord(c):X}" for c in part) for part in (text, other)]
            table.write("\t".join(hexadecimal) + "\n")
        table.flush()
        train_sentencepiece(path, model_type="unigram", normalization_rule_name="", normalization_rule_tsv=table.name,
                            vocab_size=700, byte_fallback=False)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(path.read_bytes())
    proto.normalizer_spec.ClearField("normalization_rule_tsv")  # the name of a temporary file
    path.write_bytes(proto.SerializeToString())


def unigram(path):
    """The tokenizer.json of a unigram model."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(path.read_bytes())
    table = base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()
    return {"model": {"type": "Unigram", "unk_id": proto.trainer_spec.unk_id, "byte_fallback": False,
                      "vocab": [[piece.piece, piece.score] for piece in proto.pieces]},
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Precompiled", "precompiled_charsmap": table},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
            "pre_tokenizer": metaspace(prepend_scheme="always"),
            "added_tokens": [{**added(token, special=True), "id": id} for id, token in enumerate(["<unk>", "<s>", "</s>"])]}


def unigram_bytes(path):
    """The same with fewer tokens, two of them twice, and most bytes."""
    result = unigram(path)
    result["model"]["byte_fallback"] = True
    vocab = result["model"]["vocab"]
    del vocab[300:]
    vocab += [[f"<0x{byte:02X}>", -1.5] for byte in range(256) if byte not in (0x9F, 0xE4)]
    vocab += [[vocab[10][0], -9.25], [vocab[20][0], -0.5], ["", -1.0]]
    result["normalizer"] = None
    return result


def lay(file, folder, golden):
    if (golden / file).exists() and file.endswith(".json"):
        rule = json.loads((golden / file).read_text())
        (folder / "tokenizer.json").write_text(json.dumps(complete(rule)))
    elif file.endswith(".model"):
        shutil.copy(golden / ("sentencepiece.model" if file == "tokenizer.model" else file), folder / "tokenizer.model")
    else:
        shutil.copy(FIXTURES / "opt-books-6m" / file, folder / file)


def folder_cases(sentencepiece_model):
    cases, bos_ids, decoded_cases = [], [], []
    for name, lie_there, written in folders():
        with tempfile.TemporaryDirectory() as path:
            for file in lie_there:
                lay(file, pathlib.Path(path), sentencepiece_model.parent)
            for file, content in written.items():
                (pathlib.Path(path) / file).write_text(json.dumps(content))
            tokenizer = transformers.AutoTokenizer.from_pretrained(path)
            cases.append({"name": name, "fixture_files": lie_there, "files": written,
                          "ids": [tokenizer(text)["input_ids"] for text in FOLDER_TEXTS]})
            # A class's default that the vocabulary lacks gets a new id, for which the model has no row.
            known = tokenizer.bos_token in tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False)
            bos_ids.append(tokenizer.bos_token_id if known else None)
            if name in DECODED_FOLDERS:
                decoded_cases.append(decoded_folder(name, tokenizer))
    return cases, bos_ids, decoded_cases


# Half characters, spaces at both ends and special tokens come from cutting the ids of these.
DECODED_TEXTS = ["Hello  world, I like you. ", " caf\u00e9 \U0001f600\U0001f44d\U0001f3fd \u65e5\u672c\u8a9e \n\t\u042f \u00bd", "<s> a</s> b<|endoftext|>c"]
# Runs of byte tokens: valid, cut short, with a byte that makes the whole run invalid; then marks for spaces.
DECODED_TOKENS = [["<0x41>", "<0x42>", "a", "<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "b", "<0x0A>", "<s>", "<0x0A>", "c"],
                  ["<0x41>", "<0xF0>", "<0x9F>", "a", "<0xC3>", "</s>", "<0xA9>", "<0xC3>"], ["<0x41>", "<0x42>", "<0xFF>"],
                  ["▁", "▁", "▁", "▁a", "▁▁", "a", "▁"], ["a", "▁", "<s>", "▁", "▁b", "</s>"]]


def decoders():
    """Tuples (name, base, decoder of tokenizer.json)."""
    chain = lambda *steps: {"type": "Sequence", "decoders": list(steps)}
    fuse, bytes_ = {"type": "Fuse"}, {"type": "ByteFallback"}
    replace = lambda content, **pattern: {"type": "Replace", "pattern": pattern, "content": content}
    # Never "stop", with which the package panics at tokens that are too short.
    strip = lambda start: {"type": "Strip", "content": " ", "start": start, "stop": 0}
    to_space = replace(" ", String="▁")
    llama = [to_space, bytes_, fuse]
    byte_level = byte_level_rule()
    return [("byte_level_" + base, base, byte_level) for base in ("gpt2", "bloom", "llama3", "qwen2", "smollm2")] + [
        ("none_" + base, base, None) for base in ("gpt2", "llama2", "prefix", "unigram_bytes")] + [
        ("llama2", "llama2", chain(*llama, strip(1))),
        ("llama2_without_strip", "llama2", chain(*llama)),
        ("llama2_strip_two", "llama2", chain(*llama, strip(2))),
        ("llama2_unfused", "llama2", chain(to_space, bytes_, strip(1))),
        ("llama2_nested", "llama2", chain(chain(to_space, chain(bytes_)), fuse, chain())),
        ("byte_fallback", "llama2", bytes_),
        ("empty_sequence", "llama2", chain()),
        ("metaspace_llama2", "llama2", metaspace(prepend_scheme="always")),
        ("metaspace", "metaspace", metaspace(prepend_scheme="always")),
        ("metaspace_first", "metaspace", metaspace(prepend_scheme="first")),
        ("metaspace_never", "metaspace", metaspace(prepend_scheme="never")),
        ("metaspace_legacy", "metaspace", metaspace(add_prefix_space=True)),
        ("replace_regex", "metaspace", replace("--", Regex="[aeiou]$|\u2581")),
        ("bpe_decoder", "suffix", {"type": "BPEDecoder", "suffix": "</w>"}),
        ("unigram", "unigram", metaspace(prepend_scheme="always")),
        ("unigram_bytes", "unigram_bytes", chain(*llama, strip(1))),
    ]


def decoded_ids(tokenizer, seed):
    """Lists of ids to decode: those of texts, whole and cut; of byte tokens; at random, some not in the vocabulary."""
    vocab = tokenizer.get_vocab()
    # A class's default that the vocabulary lacks gets a new id, for which the model has no row.
    new = {vocab.get("<|endoftext|>")} if "<|endoftext|>" not in tokenizer.get_vocab(with_added_tokens=False) else ()
    lists = [[]]
    for text in DECODED_TEXTS:
        ids = [id for id in tokenizer.encode(text, add_special_tokens=False).ids if id not in new]
        lists += [ids, ids[1:-1], ids[5:-3]]
    lists += [[vocab[token] for token in tokens if token in vocab] for tokens in DECODED_TOKENS if tokens[0] in vocab]
    rng = random.Random(seed)
    size = tokenizer.get_vocab_size(with_added_tokens=False)
    lists += [[rng.randrange(size) for _ in range(24)] for _ in range(2)]
    lists.append([5, 100000, rng.randrange(size), 2**31, 0, rng.randrange(size)])
    return list(map(list, dict.fromkeys(map(tuple, lists))))


def decoded(tokenizer, decode, seed):
    """The texts with special tokens, and without ("plain")."""
    lists = decoded_ids(tokenizer, seed)
    return {"ids": lists, "texts": [decode(ids, skip_special_tokens=False) for ids in lists],
            "plain": [decode(ids, skip_special_tokens=True) for ids in lists]}


def decoder_cases(all_bases):
    cases = []
    for name, base, decoder in decoders():
        whole = {**complete(all_bases[base]), "decoder": decoder}
        tokenizer = Tokenizer.from_str(json.dumps(whole))
        cases.append({"name": name, "base": base, "decoder": decoder, **decoded(tokenizer, tokenizer.decode, name)})
    # The bytes that an added token's letters represent need not be UTF-8; other letters represent no bytes.
    tokenizer = Tokenizer.from_str(json.dumps({**complete(all_bases["gpt2"]), "decoder": byte_level_rule()}))
    tokenizer.add_tokens(["caf\u00e9", "\u0105b", "\u65e5\u672c", "a b"])
    added_tokens = json.loads(tokenizer.to_str())["added_tokens"]
    lists = [tokenizer.encode(text).ids for text in ("caf\u00e9 x \u0105b\u65e5\u672ca bc", "\u65e5\u672c<s>\u65e5")]
    cases.append({"name": "byte_level_added", "base": "gpt2", "decoder": byte_level_rule(), "added_tokens": added_tokens,
                  "ids": lists, "texts": [tokenizer.decode(ids, skip_special_tokens=False) for ids in lists],
                  "plain": [tokenizer.decode(ids) for ids in lists]})
    return cases


# Folders of each class, with and without the options that change its decoder.
DECODED_FOLDERS = ["opt_as_on_the_hub", "added_tokens_decoder", "json_added_tokens_decoder", "json_and_add_bos", "llama",
                   "llama_legacy", "llama_without_prefix", "json_gpt_neox", "json_llama2_LlamaTokenizer",
                   "json_llama2_LlamaTokenizer_split", "json_llama2_CodeLlamaTokenizer", "json_llama2_CodeLlamaTokenizer_split",
                   "json_llama2_GemmaTokenizer", "json_gpt2_CohereTokenizer", "json_gpt2_CodeGenTokenizer",
                   "json_gpt2_Qwen2Tokenizer", "json_gpt2_Qwen3_5Tokenizer", "json_gpt2_PreTrainedTokenizerFast",
                   "files_Qwen2Tokenizer_named", "files_GPTNeoXTokenizer_named", "model_without_class", "model_gemma",
                   "model_code_llama", "unigram_model", "json_unigram"]


def decoded_folder(name, tokenizer):
    decode = lambda ids, **options: tokenizer.decode(ids, clean_up_tokenization_spaces=False, **options)
    return {"name": name, **decoded(tokenizer.backend_tokenizer, decode, name)}


def sample_whole(ids, nsamples, seqlen, seed):
    rng = random.Random(seed)
    starts = [rng.randint(0, len(ids) - seqlen - 1) for _ in range(nsamples)]
    return starts, [i for s in starts for i in ids[s:s + seqlen]]


def sample_documents(documents, nsamples, seqlen, seed):
    rng = random.Random(seed)
    places, flat = [], []
    for _ in range(nsamples):
        while True:
            index = rng.randint(0, len(documents) - 1)
            if len(documents[index]) > seqlen:
                break
        start = rng.randint(0, len(documents[index]) - seqlen - 1)
        places.append([index, start])
        flat += documents[index][start:start + seqlen]
    return places, flat


def sampling():
    tokenizer = Tokenizer.from_file(str(FIXTURES / "opt-books-6m" / "tokenizer.json"))
    texts = {part: (FIXTURES / f"books.{part}.txt").read_bytes().decode("utf-8") for part in ("calibration", "test")}
    ids = {part: tokenizer.encode(text).ids for part, text in texts.items()}
    result = {"texts": {part: {"count": len(i), "sha256": sha256(i)} for part, i in ids.items()},
              "whole": [], "documents": [], "segments": []}
    for seed in (0, 1, 12345678901):
        starts, flat = sample_whole(ids["calibration"], 16, 512, seed)
        result["whole"].append({"seed": seed, "nsamples": 16, "seqlen": 512, "starts": starts, "sha256": sha256(flat)})
    lines = texts["test"].split("\n")[:-1]
    documents = [tokenizer.encode(line).ids for line in lines]
    for seed, seqlen in ((0, 200), (7, 64)):
        places, flat = sample_documents(documents, 12, seqlen, seed)
        result["documents"].append({"seed": seed, "nsamples": 12, "seqlen": seqlen, "places": places,
                                    "sha256": sha256(flat)})
    result["document_count"] = len(documents)
    joined = tokenizer.encode(" ".join(lines[:1100])).ids
    for source, whole, seqlen, most in (("whole", ids["test"], 512, 0), ("whole", ids["test"], 512, 120),
                                        ("documents", joined, 512, 0), ("documents", joined, 128, 0)):
        limit = most or len(whole)
        count = min(len(whole) // seqlen, limit, 256 if source == "documents" else limit)
        result["segments"].append({"source": source, "seqlen": seqlen, "max_segments": most, "count": count,
                                   "sha256": sha256(whole[:count * seqlen])})
    return result


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    train_unigram(out / "unigram.model")
    all_bases = {**bases(), "unigram": unigram(out / "unigram.model"), "unigram_bytes": unigram_bytes(out / "unigram.model")}
    for name, tokenizer in all_bases.items():
        path = out / f"{name}.json"
        # Where a trainer limits the alphabet, it breaks ties at random; keep what was trained before.
        if not path.exists():
            path.write_text(json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")))
        all_bases[name] = json.loads(path.read_text())
    entries = all_texts()
    cases = []
    for name, base, patch in patches(all_bases):
        tokenizer = Tokenizer.from_str(json.dumps(complete(merged(all_bases[base], patch))))
        cases.append({"name": name, "base": base, "patch": patch,
                      "vocab_size": 1 + max(tokenizer.get_vocab().values()),
                      "ids": [record(tokenizer.encode(text_of(e)).ids) for e in entries]})
    about = {"command": "python3 scripts/golden/calibration.py tests/golden/calibration",
             "versions": {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__,
                         "sentencepiece": sentencepiece.__version__,
                          "python": sys.version.split()[0]},
             "seed": "the texts are fixed; the sampling seeds stand with their cases"}
    lines = lambda items: "[\n" + ",\n".join(json.dumps(i, ensure_ascii=True, separators=(",", ":")) for i in items) + "\n]"
    (out / "cases.json").write_text(
        '{"about":' + json.dumps(about) + ',\n"texts":' + lines(entries) + ',\n"cases":' + lines(cases) + ',\n"inline":'
        + lines(inline_cases(all_bases)) + "}\n")
    train_sentencepiece(out / "sentencepiece.model")
    cases, bos_ids, decoded_cases = folder_cases(out / "sentencepiece.model")
    (out / "folders.json").write_text(
        '{"about":' + json.dumps(about) + ',\n"texts":' + lines(FOLDER_TEXTS) + ',\n"cases":' + lines(cases)
        + ',\n"bos_ids":' + json.dumps(bos_ids) + "}\n")
    (out / "decoding.json").write_text(
        '{"about":' + json.dumps(about) + ',\n"cases":' + lines(decoder_cases(all_bases)) + ',\n"folders":'
        + lines(decoded_cases) + "}\n")
    (out / "sampling.json").write_text(json.dumps({"about": about, **sampling()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
