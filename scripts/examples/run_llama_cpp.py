#!/usr/bin/env python3
"""Converts an output of prune to GGUF with llama.cpp's own converter, and continues a prompt with it.

    python3 scripts/examples/run_llama_cpp.py OUTPUT [--prompt TEXT] [--gguf FILE] [--tokens 48] [--threads 2]

OUTPUT is a folder written by prune, of an architecture that llama.cpp has (Llama, Qwen, Gemma, ...; not OPT), with
weights in 16 or 32 bits; prune's 2- to 8-bit outputs cannot be converted. Writes BF16 to FILE (OUTPUT.gguf), and
overwrites it. Prints its size and the prompt with the continuation, greedily decoded. Exits with 1 if there is none.

Needs torch, transformers and llama-cpp-python. The converter, convert_hf_to_gguf.py, is in the source archive of the
installed llama-cpp-python, which pip downloads at the first use. llama.cpp stores zeros like other weights: the file
gets smaller, and the model faster, only by whole units removed (`prune --ffn`, `--heads`, `--blocks`).
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
import common  # noqa: E402  pylint: disable=wrong-import-position


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--prompt", default="It was a dark night, and")
    parser.add_argument("--gguf", type=pathlib.Path)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    gguf = arguments.gguf or pathlib.Path(f"{arguments.model.absolute()}.gguf")

    converter = common.find_llama_converter()
    if converter is None:
        sys.exit(f"run_llama_cpp: run: {sys.executable} -m pip install llama-cpp-python")
    common.convert_to_gguf(converter, arguments.model, gguf, arguments.threads)
    print(f"{gguf}: {gguf.stat().st_size / 1e6:.0f} MB", flush=True)

    import llama_cpp  # pylint: disable=import-outside-toplevel
    model = llama_cpp.Llama(str(gguf), n_ctx=0, n_threads=arguments.threads, verbose=False)
    text = model(arguments.prompt, max_tokens=arguments.tokens, temperature=0.0)["choices"][0]["text"]
    print(arguments.prompt + text)
    return 0 if text.strip() else 1


if __name__ == "__main__":
    sys.exit(main())
