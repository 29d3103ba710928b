#!/usr/bin/env python3
"""Prints kNewerRanges of src/tokenizer/normalizer.cpp.

    python3 scripts/golden/newer_than_reference.py

Needs tokenizers and unicodedata2. The `tokenizers` package normalises by the tables of Unicode 9, so every later
character is inert. utf8proc has newer tables, so our normalizer must skip the characters that only these tables
change. The ranges also cover characters in between that are inert in both.
"""

import tokenizers
import unicodedata2
from tokenizers import normalizers

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

ranges = []
for c in sorted(newer):
    assert c not in active, hex(c)
    if ranges and not any(between in active for between in range(ranges[-1][1], c)):
        ranges[-1][1] = c
    else:
        ranges.append([c, c])
print(f"// tokenizers {tokenizers.__version__} against Unicode {unicodedata2.unidata_version}; "
      f"{len(newer)} characters")
print(", ".join(f"{{0x{a:X}, 0x{b:X}}}" for a, b in ranges))
