#!/usr/bin/env python3
"""Reads random tokens and continues them with a peer, for scripts/bench/decode.

    python3 scripts/bench/decode_peer.py transformers|gguf PATH FIGURES.json PROMPT_TOKENS MAX_TOKENS THREADS
    python3 scripts/bench/decode_peer.py requantize IN.gguf OUT.gguf BF16|Q4_0

The second form writes a GGUF file (scripts/make_model --gguf) in another type, by llama.cpp.
"""

import json
import pathlib
import random
import sys
import time


class Transformers:
    def __init__(self, path, threads):
        # pylint: disable=import-outside-toplevel
        import torch
        import transformers
        self.torch = torch
        torch.set_num_threads(threads)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16).eval()
        self.vocabulary = self.model.config.vocab_size
        self.restart()

    def restart(self):
        self.cache = None

    def read(self, ids):
        with self.torch.inference_mode():
            out = self.model(self.torch.tensor([ids]), past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        self.cache = out.past_key_values
        return int(out.logits[0, -1].argmax())


class LlamaCpp:
    def __init__(self, path, threads):
        import llama_cpp  # pylint: disable=import-outside-toplevel
        self.model = llama_cpp.Llama(str(path), n_ctx=512, n_threads=threads, n_threads_batch=threads, verbose=False,
                                     use_mmap=False)
        self.vocabulary = self.model.n_vocab()

    def restart(self):
        self.model.reset()

    def read(self, ids):
        self.model.eval(ids)
        return self.model.sample(temp=0.0)


def requantize(source, output, kind):
    import llama_cpp  # pylint: disable=import-outside-toplevel
    options = llama_cpp.llama_model_quantize_default_params()
    options.allow_requantize = True
    options.pure = True
    options.ftype = {"BF16": llama_cpp.LLAMA_FTYPE_MOSTLY_BF16, "Q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0}[kind]
    failed = llama_cpp.llama_model_quantize(source.encode(), output.encode(), options)
    if failed:
        sys.exit(f"decode_peer: llama.cpp could not write {output}")


def main():
    if sys.argv[1] == "requantize":
        requantize(*sys.argv[2:])
        return
    side, path, figures, prompt_tokens, max_tokens, threads = sys.argv[1:]
    start = time.perf_counter()
    peer = {"transformers": Transformers, "gguf": LlamaCpp}[side](path, int(threads))
    load_s = time.perf_counter() - start
    random.seed(0)
    prompt = [random.randrange(peer.vocabulary) for _ in range(int(prompt_tokens))]
    best = {"prompt": float("inf"), "decode": float("inf")}
    for _ in range(3):
        peer.restart()
        start = time.perf_counter()
        token = peer.read(prompt)
        best["prompt"] = min(best["prompt"], time.perf_counter() - start)
        start = time.perf_counter()
        for _ in range(int(max_tokens) - 1):
            token = peer.read([token])
        best["decode"] = min(best["decode"], time.perf_counter() - start)
    pathlib.Path(figures).write_text(json.dumps({"elapsed_s": {"load": load_s, **best}}))


if __name__ == "__main__":
    main()
