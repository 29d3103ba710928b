#!/usr/bin/env python3
"""Draws the calibration windows that SparseGPT's loaders and ours draw, for scripts/bench/peers.

    python3 scripts/bench/peer_tokens.py TOKENIZER.json TEXT NSAMPLES SEQLEN OUTPUT.npy SEED

Prints the tokens' hash as it stands in our report. A process of its own, because what is resident in a
parent counts into the peak memory of its children.
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
