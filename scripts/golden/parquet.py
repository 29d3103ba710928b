#!/usr/bin/env python3
"""Writes tests/golden/calibration/rows.parquet: texts in the format of the hub's data sets.

    python3 scripts/golden/parquet.py tests/golden/calibration

Needs pyarrow; the stored file is from 26.0.1. It has several row groups, a dictionary, and columns that
cannot be read as text.
"""

import pathlib
import sys

import pyarrow
import pyarrow.parquet

ROWS = ["", " = Title = \n", " Été , naïve \U0001f600 日本 \n", "", "one", "one", " two \n\n", "end"]

pyarrow.parquet.write_table(
    pyarrow.table({
        "number": pyarrow.array(range(len(ROWS)), pyarrow.int64()),
        "text": pyarrow.array(ROWS, pyarrow.string()),
        "sentence": pyarrow.array([f"row {i}" for i in range(len(ROWS))], pyarrow.large_string()),
        "holes": pyarrow.array([r or None for r in reversed(ROWS)], pyarrow.string()),
    }),
    pathlib.Path(sys.argv[1]) / "rows.parquet", row_group_size=3, compression="zstd")
