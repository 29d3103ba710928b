#!/usr/bin/env python3
"""Writes tests/golden/calibration/rows.parquet and columns.parquet: texts in the formats of the hub's data sets.

    python3 scripts/golden/parquet.py tests/golden/calibration

Needs pyarrow; the stored files are from 26.0.1. rows.parquet has several row groups and columns that cannot be read
as text. columns.parquet has the same texts, with nulls, in a column of every type that can.
"""

import pathlib
import sys

import pyarrow
import pyarrow.parquet

ROWS = ["", " = Title = \n", " Été , naïve \U0001f600 日本 \n", "", "one", "one", " two \n\n", "end"]
SOME = [None, "", "Été 😀", "one", None, "one", "end"]
BYTES = [text if text is None else text.encode() for text in SOME]
OUT = pathlib.Path(sys.argv[1])

pyarrow.parquet.write_table(
    pyarrow.table({
        "number": pyarrow.array(range(len(ROWS)), pyarrow.int64()),
        "text": pyarrow.array(ROWS, pyarrow.string()),
        "sentence": pyarrow.array([f"row {i}" for i in range(len(ROWS))], pyarrow.large_string()),
        "holes": pyarrow.array([r or None for r in reversed(ROWS)], pyarrow.string()),
    }),
    OUT / "rows.parquet", row_group_size=3, compression="zstd")

NESTED = pyarrow.struct([("id", pyarrow.int64()), ("body", pyarrow.struct([("text", pyarrow.string())]))])
pyarrow.parquet.write_table(
    pyarrow.table({
        # Before the others: columns of the file and columns of the table are then numbered differently.
        "page": pyarrow.array([None if text is None else {"id": 1, "body": {"text": text}} for text in SOME], NESTED),
        "messages": pyarrow.array([[{"role": "user", "content": "x"}]] * len(SOME)),
        "content": pyarrow.array(SOME, pyarrow.string()),
        "dictionary": pyarrow.array(SOME, pyarrow.string()).dictionary_encode(),
        "binary": pyarrow.array(BYTES, pyarrow.binary()),
        "large_binary": pyarrow.array(BYTES, pyarrow.large_binary()),
        "large_string": pyarrow.array(SOME, pyarrow.large_string()),
        "string_view": pyarrow.array(SOME, pyarrow.string_view()),
        "binary_view": pyarrow.array(BYTES, pyarrow.binary_view()),
        "latin1": pyarrow.array([None if text is None else text[:3].encode("latin1") for text in SOME]),
    }),
    OUT / "columns.parquet", row_group_size=3)
