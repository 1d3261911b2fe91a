#!/usr/bin/env python3
"""Writes golden/gguf/quants.safetensors with the package gguf (https://pypi.org/project/gguf): of each quantised type
random blocks and what they widen to, and floats with what they narrow to where the package can narrow.

    gguf_quants.py OUT.safetensors
"""
import importlib.metadata
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from safetensors.numpy import save_file

NARROWED = (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0)
HALVES = {  # where in a block its f16 numbers lie
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
}
rng = np.random.default_rng(20261127)
out = {}
for kind, halves in HALVES.items():
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    n = 24 if elements == 32 else 6
    blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for at in halves:
        scales = (rng.standard_normal(n) * 10.0 ** rng.integers(-6, 1, n)).astype(np.float16)
        blocks[:, at:at + 2] = scales.view(np.uint8).reshape(n, 2)
    out[kind.name + ".blocks"] = blocks
    out[kind.name + ".values"] = gguf.quants.dequantize(blocks, kind).astype(np.float32)

x = (rng.standard_normal((48, 32)) * 10.0 ** rng.integers(-5, 3, (48, 1))).astype(np.float32)
ramp = np.arange(32, dtype=np.float32)
x[0] = 0
x[1] = 0.25
x[2] = -x[2].max()
x[3] = ramp - 16
x[4] = ramp
x[5] = -0.5 * ramp
x[6] = np.where(ramp == 7, -3, 0)
x[7] = np.abs(x[7])
x[8] = np.where(ramp % 2, 1, -1) * x[8].max()
x[9] *= 1e-30
x[10] = np.round(x[10] * 8) / 8
x[11] = np.where(ramp < 16, 127, ramp - 15.5)
out["floats"] = x
for kind in NARROWED:
    out[kind.name + ".narrowed"] = gguf.quants.quantize(x, kind)
save_file(out, sys.argv[1], metadata={"made_by": "gguf " + importlib.metadata.version("gguf")})
