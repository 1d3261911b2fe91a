#!/usr/bin/env python3
"""Writes golden/gguf/foreign.gguf and foreign.safetensors, the same tensors, with the package gguf
(https://pypi.org/project/gguf): every type that Sumi reads, metadata of every kind, an alignment of its own, and a
tensor in rows of 256 with its shape in the metadata, as ComfyUI-GGUF's converter writes them.

    gguf_foreign.py FOLDER
"""
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type, GGUFValueType as Value
from safetensors.numpy import save_file

rng = np.random.default_rng(7)
folder = sys.argv[1]
writer = gguf.GGUFWriter(folder + "/foreign.gguf", arch="t5encoder")
writer.add_custom_alignment(64)
writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
writer.add_name("foreign, “quoted”")
writer.add_array("tokenizer.ggml.tokens", ["<pad>", "</s>", "", "▁a"])
writer.add_array("tokenizer.ggml.scores", [0.0, 0.0, -1.5, -2.25])
writer.add_array("tokenizer.ggml.token_type", [3, 3, 1, 1])
writer.add_uint8("test.u8", 200)
writer.add_int8("test.i8", -3)
writer.add_uint16("test.u16", 60000)
writer.add_int16("test.i16", -300)
writer.add_uint64("test.u64", 1 << 60)
writer.add_int64("test.i64", -(1 << 60))
writer.add_float64("test.f64", 1e300)
writer.add_bool("test.bool", True)
values = {}


def add(name, data, kind, numbers):
    writer.add_tensor(name, data, raw_dtype=kind)
    values[name] = np.ascontiguousarray(numbers.astype(np.float32))


x = rng.standard_normal((3, 2, 256)).astype(np.float32)
add("plain.f32", x, None, x)
add("plain.f16", x[0].astype(np.float16), None, x[0].astype(np.float16))
add("plain.f64", x[1].astype(np.float64), None, x[1])
bf16 = gguf.quants.quantize(x[2], Type.BF16)
add("plain.bf16", bf16, Type.BF16, gguf.quants.dequantize(bf16, Type.BF16))
for dtype in (np.int8, np.int16, np.int32, np.int64):
    numbers = rng.integers(-100, 100, (5,)).astype(dtype)
    add("whole." + np.dtype(dtype).name, numbers, None, numbers)
for kind in (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0):
    blocks = gguf.quants.quantize(x, kind)
    add("blocks." + kind.name, blocks, kind, gguf.quants.dequantize(blocks, kind))
halves = {Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}
for kind, places in halves.items():
    blocks = rng.integers(0, 256, (2, 3, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    for at in places:
        blocks[..., at:at + 2] = rng.standard_normal((2, 3)).astype(np.float16)[..., None].view(np.uint8)
    add("blocks." + kind.name, blocks, kind, gguf.quants.dequantize(blocks, kind))
conv = rng.standard_normal((32, 8, 3, 3)).astype(np.float32)
blocks = gguf.quants.quantize(conv.reshape(-1, 256), Type.Q5_1)
writer.add_array("comfy.gguf.orig_shape.conv.weight", conv.shape)
add("conv.weight", blocks, Type.Q5_1, gguf.quants.dequantize(blocks, Type.Q5_1).reshape(conv.shape))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
save_file(values, folder + "/foreign.safetensors")
