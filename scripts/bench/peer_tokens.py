#!/usr/bin/env python3
"""Draws the same calibration windows as SparseGPT's loaders and prune do, for scripts/bench/peers.

    python3 scripts/bench/peer_tokens.py TOKENIZER.json TEXT NSAMPLES SEQLEN OUTPUT.npy SEED

Prints the hash of the tokens as prune's report has it. Runs in its own process, because a child's peak memory
includes what was resident in its parent.
"""

import hashlib
import pathlib
import random
import sys

import numpy as np
from tokenizers import Tokenizer


def main():
    tokenizer, text, nsamples, seqlen, output, seed = sys.argv[1:]
    seqlen = int(seqlen)
    ids = Tokenizer.from_file(tokenizer).encode(pathlib.Path(text).read_text()).ids
    random.seed(int(seed))
    starts = [random.randint(0, len(ids) - seqlen - 1) for _ in range(int(nsamples))]
    tokens = np.array([ids[start:start + seqlen] for start in starts], dtype="<i8")
    np.save(output, tokens)
    print(hashlib.sha256(tokens.tobytes()).hexdigest())


if __name__ == "__main__":
    main()
