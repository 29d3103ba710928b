#!/usr/bin/env python3
"""Writes tests/golden/checkpoint/float_formats: weights in floating-point blocks and the dense ones they stand for.

    python3 scripts/golden/float_formats.py tests/golden/checkpoint/float_formats

Needs torch 2.11, safetensors, Transformers 5.17 and compressed-tensors. Each file holds weights of one quantization
format as checkpoints store them and, as `dense.X`, what X is dequantized to: by Transformers' Fp8Dequantize (fp8) and
convert_moe_packed_tensors (mxfp4), by the decompressors of compressed-tensors (nvfp4-pack-quantized,
mxfp4-pack-quantized, mxfp8-quantized). Elements and exponents are random bytes without NaN. The blocks of fp8 are
16 x 32. Those of `partial` do not fill the weight: Transformers refuses it, so it is multiplied here, as DeepSeek's own
kernel does. The metadata holds the versions and the seed.
"""

import platform
import sys
from pathlib import Path

import compressed_tensors
import torch
import transformers
from compressed_tensors.compressors.mxfp4.base import MXFP4PackedCompressor
from compressed_tensors.compressors.mxfp8.base import MXFP8QuantizationCompressor
from compressed_tensors.compressors.nvfp4.base import NVFP4PackedCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from safetensors.torch import save_file
from transformers.integrations.finegrained_fp8 import Fp8Dequantize
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

SEED = 11
BLOCK = (16, 32)


def e4m3(*shape):
    values = torch.randint(0, 256, shape, dtype=torch.uint8)
    values[(values & 127) == 127] = 0  # NaN
    return values.view(torch.float8_e4m3fn)


def exponents(*shape):
    return torch.randint(110, 140, shape, dtype=torch.uint8)


def pairs(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def fp8():
    dequantize = Fp8Dequantize(None)._dequantize_one
    float_scale = lambda *shape: torch.rand(shape) * 0.01 + 0.001
    e8m0 = lambda *shape: exponents(*shape).view(torch.float8_e8m0fnu)
    weights = {
        "float.weight": (e4m3(48, 64), "float.weight_scale_inv", float_scale(3, 2)),
        "bfloat16.weight": (e4m3(48, 64), "bfloat16.weight_scale_inv",
                            float_scale(3, 2).to(torch.bfloat16)),
        "e8m0.weight": (e4m3(48, 64), "e8m0.scale", e8m0(3, 2)),
        "scalar.weight": (e4m3(24, 40), "scalar.weight_scale_inv", float_scale()),
        "stack.gate_up_proj": (e4m3(3, 32, 64), "stack.gate_up_proj_scale_inv",
                               float_scale(3, 2, 2)),
        "stack.down_proj": (e4m3(3, 24, 40), "stack.down_proj_scale_inv", float_scale(3, 1, 1)),
        "fp4.weight": (pairs(16, 32).view(torch.int8), "fp4.scale", e8m0(16, 2)),
        "mx.weight": (e4m3(16, 64), "mx.weight_scale_inv", exponents(16, 2)),
    }
    tensors = {}
    for name, (elements, scale_name, scale) in weights.items():
        tensors |= {name: elements, scale_name: scale,
                    "dense." + name: dequantize(elements, scale, torch.bfloat16)}
    elements, scale = e4m3(40, 40), float_scale(3, 2)
    spread = scale.repeat_interleave(BLOCK[0], 0).repeat_interleave(BLOCK[1], 1)[:40, :40]
    tensors |= {"partial.weight": elements, "partial.weight_scale_inv": scale,
                "partial.activation_scale": torch.ones(()),
                "dense.partial.weight": (elements.float() * spread).to(torch.bfloat16)}
    return tensors


def mxfp4():
    tensors = {}
    for name, shape in (("experts.gate_up_proj", (3, 40, 2)), ("experts.down_proj", (3, 64, 1))):
        blocks, scales = pairs(*shape, 16), exponents(*shape)
        scales[0, :3, 0] = torch.tensor([0, 1, 252])  # subnormal, and the largest that stay finite
        tensors |= {name + "_blocks": blocks, name + "_scales": scales,
                    "dense." + name: convert_moe_packed_tensors(blocks, scales)}
    return tensors


def compressed(compressor, arguments, parts):
    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**arguments))
    dense = compressor.decompress(dict(parts), scheme)["weight"]
    return {"layer." + name: value for name, value in parts.items()} | {"dense.layer.weight": dense}


def main():
    torch.manual_seed(SEED)
    common = {"type": "float", "symmetric": True}
    files = {
        "fp8": fp8(),
        "mxfp4": mxfp4(),
        "nvfp4-pack-quantized": compressed(
            NVFP4PackedCompressor,
            {**common, "num_bits": 4, "strategy": "tensor_group", "group_size": 16},
            {"weight_packed": pairs(24, 32), "weight_scale": torch.randint(0, 127, (24, 4), dtype=torch.uint8).view(torch.float8_e4m3fn),
             "weight_global_scale": torch.tensor([1234.5])}),
        "mxfp4-pack-quantized": compressed(
            MXFP4PackedCompressor,
            {**common, "num_bits": 4, "strategy": "group", "group_size": 32},
            {"weight_packed": pairs(24, 32), "weight_scale": exponents(24, 2)}),
        "mxfp8-quantized": compressed(
            MXFP8QuantizationCompressor,
            {**common, "num_bits": 8, "strategy": "group", "group_size": 32},
            {"weight": e4m3(24, 64), "weight_scale": exponents(24, 2)}),
    }
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, tensors in files.items():
        tensors = {key: value.contiguous() for key, value in tensors.items()}
        save_file(tensors, folder / (name + ".safetensors"), metadata={
            "format": "pt", "seed": str(SEED), "python": platform.python_version(),
            "torch": torch.__version__, "transformers": transformers.__version__,
            "compressed_tensors": compressed_tensors.__version__})


if __name__ == "__main__":
    main()
