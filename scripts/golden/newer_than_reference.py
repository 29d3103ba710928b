#!/usr/bin/env python3
"""Prints kNewerRanges of src/tokenizer/normalizer.cpp and the tables of src/tokenizer/character_classes.cpp.

    python3 scripts/golden/newer_than_reference.py

Needs tokenizers and unicodedata2. The `tokenizers` package normalises by the tables of Unicode 9, so every later
character is inert. utf8proc has newer tables, so our normalizer must skip the characters that only these tables
change. The ranges also cover characters in between that are inert in both. Marks, punctuation and control characters
have tables of their own, from Unicode 8 or 9; the ranges here cover characters in between that are not of the class.
"""

import tokenizers
import unicodedata2
from tokenizers import normalizers, pre_tokenizers

FORMS = {name: getattr(normalizers, name)().normalize_str for name in ("NFC", "NFD", "NFKC", "NFKD")}
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def class_differs(character):
    combining = unicodedata2.combining(character)
    text = "a\u0345" + character if 0 < combining < 240 else character  # U+0345 has combining class 240
    return FORMS["NFD"](text) != unicodedata2.normalize("NFD", text)


newer, active = set(), set()
for c in CODE_POINTS:
    one = chr(c)
    if class_differs(one) or any(f(one) != unicodedata2.normalize(name, one) for name, f in FORMS.items()):
        newer.add(c)
    elif unicodedata2.combining(one) or any(f(one) != one for f in FORMS.values()):
        active.add(c)
for c in CODE_POINTS:
    parts = unicodedata2.decomposition(chr(c)).split()
    if len(parts) != 2 or parts[0].startswith("<"):
        continue
    pair = "".join(chr(int(part, 16)) for part in parts)
    composes = FORMS["NFC"](pair) != pair
    if composes:
        active.update(map(ord, pair))
    elif FORMS["NFC"](pair) != unicodedata2.normalize("NFC", pair):
        newer.update(c for c in map(ord, pair) if c > 0x3000)  # the pairs of newer letters may contain old marks such as U+0307
active.update(range(0x1100, 0x1200), range(0xAC00, 0xD7A4))  # Hangul



def print_ranges(name, newer, active):
    ranges = []
    for c in sorted(newer):
        assert c not in active, hex(c)
        if ranges and not any(between in active for between in range(ranges[-1][1], c)):
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    print(f"{name}: {', '.join(f'{{0x{a:X}, 0x{b:X}}}' for a, b in ranges)}")


print(f"// tokenizers {tokenizers.__version__} against Unicode {unicodedata2.unidata_version}")
print_ranges("kNewerRanges", newer, active)

bert = lambda **options: normalizers.BertNormalizer(**{
    "clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False, **options}).normalize_str
strip_accents, clean, strip_nonspacing = normalizers.StripAccents().normalize_str, bert(clean_text=True), bert(strip_accents=True)
split = pre_tokenizers.Punctuation().pre_tokenize_str
for name, categories, theirs in (
        ("kNewerMarks", ("Mn", "Mc", "Me"), lambda c: strip_accents("x" + c) == "x"),
        ("kNewerNonspacingMarks", ("Mn",), lambda c: strip_nonspacing("x" + c) == "x"),
        ("kNewerPunctuation", ("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"), lambda c: len(split("x" + c)) == 2),
        ("kNewerControls", ("Cc", "Cf", "Co"), lambda c: c in "\t\n\r" or clean("x" + c) == "x")):
    members = [c for c in CODE_POINTS if unicodedata2.category(chr(c)) in categories]
    known = {c for c in members if theirs(chr(c))}
    print_ranges(name, set(members) - known, known)
    others = [hex(c) for c in CODE_POINTS if c > 0x7F and theirs(chr(c)) and c not in known]
    print(f"// only in the reference: {others[:20]}")
