#!/usr/bin/env python3
"""Writes tests/golden/checkpoint/: small weight files saved by torch and safetensors, and their contents.

    python3 scripts/golden/checkpoint.py tests/golden/checkpoint

Needs torch and safetensors. expected.json holds the versions, the seed and, for each file, the tensors in
the sequence of their data. Every run writes the same bytes, except in legacy.bin: its storage keys are
addresses.
"""

import collections
import io
import json
import os
import pathlib
import sys
import zipfile

import safetensors
import safetensors.torch
import torch

SEED = 7


class Foreign:
    """Pickles as a call of os.system, like a malicious file."""

    def __reduce__(self):
        return (os.system, ("true",))


def state_dicts():
    """File name -> (object to save, tensors that a reader must find, keyword arguments of torch.save)."""
    torch.manual_seed(SEED)
    cases = {}

    def case(name, obj, tensors=None, **arguments):
        cases[name] = (obj, obj if tensors is None else tensors, arguments)

    # Single-file checkpoints of the hub: state_dict() of a module, an OrderedDict with a _metadata attribute.
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2)).half()
    case("ordered_dict.bin", module.state_dict())

    dtypes = {
        "bfloat16": torch.randn(2, 3).bfloat16(),
        "float16": torch.randn(3).half(),
        "float32": torch.randn(2, 2),
        "float64": torch.randn(2).double(),
        "int64": torch.tensor([-1, 2**40]),
        "int32": torch.tensor([7, -7], dtype=torch.int32),
        "uint8": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "uint16": torch.tensor([1, 65535], dtype=torch.uint16),  # _rebuild_tensor_v3
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 4),
    }
    extras = {"step": 3, "big": 2**70, "none": None, "name": "é", "nested": {"lr": 0.1, "ids": [1, 2]}}
    case("plain_dict.bin", {**dtypes, **extras}, dtypes)
    case("protocol_4.bin", {**dtypes, **extras}, dtypes, pickle_protocol=4)

    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    case(
        "views.bin",
        {
            "whole": base,
            "rows": base[1:3],
            "columns": base[:, 2:4],
            "transposed": base.t(),
            "every_other": base.flatten()[1::2],
            "expanded": torch.tensor([[5.0]]).expand(3, 2),
        },
    )
    case("parameters.bin", {"weight": torch.nn.Parameter(torch.randn(2, 2)), "ids": torch.arange(3)})
    embedding = torch.randn(5, 2).half()
    case("tied.bin", {"decoder.embed_tokens.weight": embedding, "lm_head.weight": embedding})
    inner = {"a": torch.arange(4.0), "b": torch.ones(2)}
    case("nested.bin", {"epoch": 1, "optimizer": {"lr": 0.5}, "state_dict": inner}, inner)
    return cases


def force_zip64(source: bytes) -> bytes:
    """Rewrites an archive so that every size and offset is in zip64 fields."""
    limit = zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = 1, 1
    try:
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(source)) as old, zipfile.ZipFile(out, "w") as new:
            for record in old.infolist():
                copy = zipfile.ZipInfo(record.filename)
                with new.open(copy, "w", force_zip64=True) as stream:
                    stream.write(old.read(record))
        return out.getvalue()
    finally:
        zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = limit


def describe(tensors):
    return {
        name: {
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": list(tensor.shape),
            "values": tensor.detach().to(torch.float64).flatten().tolist(),
        }
        for name, tensor in tensors.items()
    }


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, (obj, tensors, arguments) in state_dicts().items():
        torch.save(obj, folder / name, **arguments)
        expected[name] = describe(tensors)

    source = (folder / "ordered_dict.bin").read_bytes()
    (folder / "zip64.bin").write_bytes(force_zip64(source))
    expected["zip64.bin"] = expected["ordered_dict.bin"]

    inner = {"a": torch.arange(4.0)}
    torch.save({"a": torch.ones(1), "b": Foreign()}, folder / "foreign.bin")
    torch.save(inner, folder / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"model": inner, "ema": inner}, folder / "ambiguous.bin")
    torch.save(collections.OrderedDict(step=1), folder / "no_tensors.bin")

    tensors = {
        "layers.0.weight": torch.randn(3, 5),
        "layers.10.weight": torch.randn(2, 3).half(),
        "layers.2.weight": torch.randn(3).bfloat16(),
        "a": torch.tensor([1, -2]),
        "é": torch.tensor([True, False, True]),
        "i": torch.tensor([1], dtype=torch.int32),
        "u": torch.tensor([1, 2, 3], dtype=torch.uint8),
        "h": torch.tensor([1, 2, 3], dtype=torch.int16),
        "scalar": torch.tensor(0.5),
        "empty": torch.empty(0, 3),
        "double": torch.randn(2).double(),
        "float8": torch.tensor([1.5, -2.0, 0.25]).to(torch.float8_e4m3fn),
    }
    safetensors.torch.save_file(tensors, folder / "all.safetensors", metadata={"format": "pt"})
    (folder / "all.safetensors").chmod(0o644)  # safetensors writes it with mode 0600
    expected["all.safetensors"] = describe(tensors)

    facts = {
        "command": "python3 scripts/golden/checkpoint.py tests/golden/checkpoint",
        "versions": {
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "safetensors": safetensors.__version__,
        },
        "seed": SEED,
        "files": expected,
    }
    text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
    (folder / "expected.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
