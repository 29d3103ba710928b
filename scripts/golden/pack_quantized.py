#!/usr/bin/env python3
"""Writes tests/golden/checkpoint/pack_quantized.safetensors: codes and weights packed by compressed-tensors.

    python3 scripts/golden/pack_quantized.py tests/golden/checkpoint/pack_quantized.safetensors

Needs torch, safetensors and compressed-tensors. For B = 2, 3, 4 and 8 bits the file holds `codes.B` [5, 45] int8,
`packed.B` (pack_to_int32 of the codes along dimension 1) and `packed_rows.B` (dimension 0). For each width, symmetric
(`sym`) and asymmetric (`asym`), it holds a weight [40, 96] in groups of 32 as PackedQuantizationCompressor stores it
(`layer.B.sym.weight_packed` and so on) and the decompressed weight (`layer.B.sym.weight`). The metadata holds the
versions and the seed.
"""

import platform
import sys

import compressed_tensors
import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.utils import calculate_qparams
from safetensors.torch import save_file

SEED = 7


def main():
    torch.manual_seed(SEED)
    tensors = {}
    for bits in (2, 3, 4, 8):
        codes = torch.randint(-2**(bits - 1), 2**(bits - 1), (5, 45), dtype=torch.int8)
        tensors[f"codes.{bits}"] = codes
        tensors[f"packed.{bits}"] = pack_to_int32(codes, bits)
        tensors[f"packed_rows.{bits}"] = pack_to_int32(codes, bits, packed_dim=0)
        for symmetric in (True, False):
            dtype = torch.float16 if symmetric else torch.bfloat16
            arguments = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy="group",
                                         group_size=32)
            weight = torch.randn(40, 96).mul(0.1).add(0.02).to(dtype)
            groups = weight.float().unflatten(1, (3, 32))
            scale, zero = calculate_qparams(groups.amin(2), groups.amax(2), arguments)
            scheme = QuantizationScheme(targets=["Linear"], weights=arguments)
            state = PackedQuantizationCompressor.compress(
                {"weight": weight, "weight_scale": scale.to(dtype), "weight_zero_point": zero},
                scheme)
            dense = PackedQuantizationCompressor.decompress(state, scheme)["weight"]
            layer = f"layer.{bits}.{'sym' if symmetric else 'asym'}."
            tensors |= {layer + name: value.contiguous() for name, value in state.items()}
            tensors[layer + "weight"] = dense
    save_file(tensors, sys.argv[1], metadata={
        "format": "pt", "seed": str(SEED), "python": platform.python_version(),
        "torch": torch.__version__, "compressed_tensors": compressed_tensors.__version__})


if __name__ == "__main__":
    main()
