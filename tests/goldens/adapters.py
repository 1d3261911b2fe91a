"""adapters.py - the golden adapters/: T2I-Adapters on a Stable Diffusion 1 (sd1/) and on an SDXL of fewer blocks
(unet/distilled), computed by diffusers.

    python adapters.py SUMI GOLDEN

GOLDEN is the folder of goldens, whose models are read and to which adapters/ is written. The adapters' weights are not stored: they
follow from their names and places by weight_of(), here and in adapters.c. Made with diffusers 0.42 and torch 2.15.
"""
import json
import math
import os
import subprocess
import sys
import tempfile
import zlib

import numpy
import torch
from diffusers import MultiAdapter, T2IAdapter, UNet2DConditionModel
from safetensors.torch import load_file, save_file

sumi, golden = sys.argv[1:]
out = f"{golden}/adapters"
os.makedirs(out, exist_ok=True)
torch.manual_seed(11)


def weight_of(name, shape):
    """Uniform, of the variance 1/fan_in; vectors within ±0.1."""
    count = math.prod(shape)
    h = (numpy.arange(count, dtype=numpy.uint64) * 2654435761 + zlib.crc32(name.encode())) & 0xFFFFFFFF
    for shift, factor in ((16, 2246822519), (13, 3266489917)):
        h = ((h ^ (h >> numpy.uint64(shift))) * numpy.uint64(factor)) & numpy.uint64(0xFFFFFFFF)
    h ^= h >> numpy.uint64(16)
    bound = math.sqrt(3 * shape[0] / count) if len(shape) > 1 else 0.1
    return torch.tensor((((h >> numpy.uint64(8)) / 2.0**23 - 1) * bound).astype(numpy.float32).reshape(shape))


def fill(module, prefix=""):
    """Gives a module its weights; returns their shapes by name."""
    shapes = {prefix + k: list(v.shape) for k, v in module.state_dict().items()}
    module.load_state_dict({k: weight_of(prefix + k, list(v.shape)) for k, v in module.state_dict().items()})
    return shapes


def unet_of(model, weights=None):
    """diffusers' U-Net of a model's file, or of its JSON with these weights."""
    with tempfile.TemporaryDirectory() as work:
        if weights:
            json.dump(model, open(f"{work}/m.json", "w"))
            model = f"{work}/m.safetensors"
            subprocess.run([sumi, "init", f"{work}/m.json", "-q", "-o", model], check=True)
            save_file({**load_file(model), **load_file(weights)}, model, {"sumi.config": json.dumps(json.load(open(f"{work}/m.json")))})
        subprocess.run([sumi, "convert", model, f"{work}/folder/", "-q"], check=True)
        return UNet2DConditionModel.from_pretrained(f"{work}/folder", subfolder="unet").eval()


CLIP = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 49408,
        "final_norm": False, "skip": 1, "hidden_act": "quick_gelu"}
BIG_G = {"width": 16, "heads": 2, "layers": 2, "embed_dim": 16, "vocab_size": 49408, "final_norm": False, "skip": 1, "pooled": True}
SDXL = {"unet": json.load(open(f"{golden}/unet/distilled.config.json")), "dd": {"ch": 32, "ch_mult": [1, 2], "num_res_blocks": 1}, "size": 32,
        "text": CLIP, "text_2": BIG_G, "conditioning": "side_by_side"}
nets = {"sd1": unet_of(f"{golden}/sd1/model.safetensors"), "sdxl": unet_of(SDXL, f"{golden}/unet/distilled.safetensors")}

# ── what the U-Nets read ──
io, shapes = {}, {}
for name, net in nets.items():
    io[f"{name}.x"] = torch.randn(2, 4, 8, 8)
    io[f"{name}.t"] = torch.tensor([981.0, 21.0])
    io[f"{name}.context"] = torch.randn(2, 7, net.config.cross_attention_dim)
io["hint"] = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
pooled, sizes = torch.randn(2, 16), torch.tensor([[64.0, 48.0, 0.0, 8.0, 64.0, 48.0]] * 2)
io["sdxl.y"] = torch.cat([pooled, nets["sdxl"].add_time_proj(sizes.flatten()).reshape(2, -1)], 1)
added = {"text_embeds": pooled, "time_ids": sizes}


def run(name, **how):
    with torch.no_grad():
        return nets[name](io[f"{name}.x"], io[f"{name}.t"], io[f"{name}.context"], added_cond_kwargs=added if name == "sdxl" else None, **how).sample


# ── T2I-Adapters ──
T2I = {
    "sd1.full": dict(channels=[32, 32, 64, 64], num_res_blocks=2, adapter_type="full_adapter"),
    "sd1.grey": dict(in_channels=1, channels=[32, 32, 64, 64], num_res_blocks=1, adapter_type="full_adapter"),
    "sd1.light": dict(channels=[32, 32, 64], num_res_blocks=4, adapter_type="light_adapter"),
    "sdxl.full": dict(channels=[8, 16, 16, 16], num_res_blocks=2, downscale_factor=16, adapter_type="full_adapter_xl"),
}
maps = {}
with torch.no_grad():
    for name, config in T2I.items():
        base = name.split(".")[0]
        adapter = T2IAdapter(**config).eval()
        shapes[f"t2i.{name}"] = fill(adapter)
        hint = io["hint"] / 255
        if config.get("in_channels") == 1:
            hint = hint.mean(1, keepdim=True)
        for i, m in enumerate(adapter(hint[:, :, :48, :48])):  # whose maps have odd sides
            io[f"t2i.{name}.map.{i}"] = m
        maps[name] = adapter(hint)
        for scale in (1.0, 0.6):
            io[f"t2i.{name}.out_{scale}"] = run(base, down_intrablock_additional_residuals=[scale * m for m in maps[name]])
    both = [0.7 * a + 0.3 * b for a, b in zip(maps["sd1.full"], maps["sd1.light"])]
    io["t2i.sd1.both.out"] = run("sd1", down_intrablock_additional_residuals=both)
for name in nets:
    io[f"{name}.out_without"] = run(name)

save_file({k: v.contiguous() for k, v in io.items()}, f"{out}/io.safetensors")
json.dump(shapes, open(f"{out}/shapes.json", "w"), separators=(",", ":"))
print(sum(os.path.getsize(f"{out}/{name}") for name in os.listdir(out)), "bytes")
