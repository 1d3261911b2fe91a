"""adapters.py - the golden adapters/: T2I-Adapters and IP-Adapters with CLIP vision towers on a Stable Diffusion 1 (sd1/) and on an SDXL of fewer blocks
(unet/distilled), computed by diffusers.

    python adapters.py SUMI GOLDEN

GOLDEN is the folder of goldens, whose models are read and to which adapters/ is written. The adapters' weights are not stored: they
follow from their names and places by weight_of(), here and in adapters.c. Made with diffusers 0.42, transformers 5.24, Pillow 13 and torch 2.15.
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
from diffusers.image_processor import IPAdapterMaskProcessor
from diffusers.loaders.unet_loader_utils import _maybe_expand_lora_scales
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

sumi, golden = sys.argv[1:]
out = f"{golden}/adapters"
os.makedirs(out, exist_ok=True)
torch.set_num_threads(1)
torch.manual_seed(11)


def weight_of(name, shape):
    """Uniform, of the variance 1/fan_in; vectors within ±0.5."""
    count = math.prod(shape)
    h = (numpy.arange(count, dtype=numpy.uint64) * 2654435761 + zlib.crc32(name.encode())) & 0xFFFFFFFF
    for shift, factor in ((16, 2246822519), (13, 3266489917)):
        h = ((h ^ (h >> numpy.uint64(shift))) * numpy.uint64(factor)) & numpy.uint64(0xFFFFFFFF)
    h ^= h >> numpy.uint64(16)
    bound = math.sqrt(3 * shape[0] / count) if len(shape) > 1 else 0.5
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

# ── IP-Adapters ──
SIDE, WIDTH, PROJECTION, STATES = 16, 32, 24, 17


def open_clip(hf):
    """OpenCLIP's tensors as what they are made of: rows of Hugging Face's one below the other, or transposed."""
    made = {"visual.proj": dict(shape=[WIDTH, PROJECTION], of=["visual_projection.weight"], transposed=True)}
    pairs = {"class_embedding": "embeddings.class_embedding", "positional_embedding": "embeddings.position_embedding.weight",
             "conv1.weight": "embeddings.patch_embedding.weight"}
    for kind in ("weight", "bias"):
        pairs |= {f"ln_pre.{kind}": f"pre_layrnorm.{kind}", f"ln_post.{kind}": f"post_layernorm.{kind}"}
        for i in range(3):
            block, layer = f"transformer.resblocks.{i}", f"encoder.layers.{i}"
            for a, b in (("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"), ("attn.out_proj", "self_attn.out_proj"), ("mlp.c_fc", "mlp.fc1"),
                         ("mlp.c_proj", "mlp.fc2")):
                pairs[f"{block}.{a}.{kind}"] = f"{layer}.{b}.{kind}"
            made[f"visual.{block}.attn.in_proj_{kind}"] = dict(shape=[3 * WIDTH, *([WIDTH] if kind == "weight" else [])],
                of=[f"vision_model.{layer}.self_attn.{x}_proj.{kind}" for x in "qkv"])
    for a, b in pairs.items():
        made[f"visual.{a}"] = dict(shape=hf[f"vision_model.{b}"], of=[f"vision_model.{b}"])
    return made


def ip_adapter(net, kind):
    """The shapes of an adapter's tensors in the original's names."""
    context, file = net.config.cross_attention_dim, {}
    if kind == "base":
        file |= {"image_proj.proj.weight": [4 * context, PROJECTION], "image_proj.proj.bias": [4 * context],
                 "image_proj.norm.weight": [context], "image_proj.norm.bias": [context]}
    elif kind == "full":
        file |= {"image_proj.proj.0.weight": [WIDTH, WIDTH], "image_proj.proj.0.bias": [WIDTH], "image_proj.proj.2.weight": [context, WIDTH],
                 "image_proj.proj.2.bias": [context], "image_proj.proj.3.weight": [context], "image_proj.proj.3.bias": [context]}
    else:
        file |= {"image_proj.latents": [1, 5, 16], "image_proj.proj_in.weight": [16, WIDTH], "image_proj.proj_in.bias": [16],
                 "image_proj.proj_out.weight": [context, 16], "image_proj.proj_out.bias": [context], "image_proj.norm_out.weight": [context],
                 "image_proj.norm_out.bias": [context]}
        for i in range(4):
            at = f"image_proj.layers.{i}"
            file |= {f"{at}.0.{norm}.{part}": [16] for norm in ("norm1", "norm2") for part in ("weight", "bias")}
            file |= {f"{at}.0.to_q.weight": [128, 16], f"{at}.0.to_kv.weight": [256, 16], f"{at}.0.to_out.weight": [16, 128],
                     f"{at}.1.0.weight": [16], f"{at}.1.0.bias": [16], f"{at}.1.1.weight": [64, 16], f"{at}.1.3.weight": [16, 64]}
    layers = [m for name, m in net.named_modules() if name.endswith("attn2")]
    names = [name for name in net.attn_processors if "attn2" in name]
    for i, name in enumerate(names):
        width = net.get_submodule(name.removesuffix(".processor")).to_k.weight.shape[0]
        file |= {f"ip_adapter.{2 * i + 1}.to_{x}_ip.weight": [width, context] for x in "kv"}
    assert len(layers) == len(names)
    return file


tower = CLIPVisionModelWithProjection(CLIPVisionConfig(hidden_size=WIDTH, intermediate_size=48, projection_dim=PROJECTION, num_hidden_layers=3,
    num_attention_heads=2, image_size=SIDE, patch_size=4, hidden_act="gelu")).eval()
hf = {k: list(v.shape) for k, v in tower.state_dict().items() if "position_ids" not in k}
tower.load_state_dict({k: weight_of(k, v) for k, v in hf.items()}, strict=False)
shapes["vision"], shapes["vision.open_clip"] = hf, open_clip(hf)
pixels = numpy.random.RandomState(4).randint(0, 256, (21, 29, 3), numpy.uint8)
io["image"] = torch.from_numpy(pixels)
read = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})(Image.fromarray(pixels), return_tensors="pt")
io["pixel_values"] = read.pixel_values
with torch.no_grad():
    both = torch.cat([torch.zeros_like(read.pixel_values), read.pixel_values])
    seen = tower(both, output_hidden_states=True)
    states, embeds = seen.hidden_states[-2], seen.image_embeds.clone()
    embeds[0] = 0
    io["image_embeds"], io["penultimate"] = embeds[1:], states[1:]
    for base, net in nets.items():
        files = {}
        for kind in ("base", "plus", "full"):
            name = f"ip.{base}.{kind}"
            shapes[name] = ip_adapter(net, kind)
            files[kind] = {top: {k.removeprefix(top + "."): weight_of(k, v) for k, v in shapes[name].items() if k.startswith(top)}
                for top in ("image_proj", "ip_adapter")}
        for kinds in (["base"], ["plus"], ["full"], ["base", "plus"]):
            name = f"ip.{base}.{'+'.join(kinds)}"
            net._load_ip_adapter_weights([files[k] for k in kinds], low_cpu_mem_usage=False)
            given = [(embeds if k == "base" else states)[:, None] for k in kinds]
            if len(kinds) == 1:
                io[f"{name}.tokens"] = net.encoder_hid_proj(given)[0][:, 0]
            for scale in (1.0, 0.6):
                for processor in net.attn_processors.values():
                    if hasattr(processor, "to_k_ip"):
                        processor.scale = [scale, 0.5][:len(kinds)]
                extra = dict(added, image_embeds=given) if base == "sdxl" else dict(image_embeds=given)
                io[f"{name}.out_{scale}"] = net(io[f"{base}.x"], io[f"{base}.t"], io[f"{base}.context"], added_cond_kwargs=extra).sample

# ── several images of one adapter, masks, and blocks ──
second = numpy.random.RandomState(5).randint(0, 256, (24, 18, 3), numpy.uint8)
patches = numpy.random.RandomState(6).randint(0, 256, (9, 7), numpy.uint8)
io["image_2"], io["mask"] = torch.from_numpy(second), torch.from_numpy(patches)
read_2 = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})(Image.fromarray(second), return_tensors="pt")
io["pixel_values_2"] = read_2.pixel_values
# diffusers' own expansion wants a transformer in the middle, which this SDXL has not
BLOCKS = {"sd1": _maybe_expand_lora_scales(nets["sd1"], [{"down": {"block_1": 0.5}, "mid": 0.25, "up": {"block_2": [0.0, 1.0, 0.3]}}], default_scale=0.0)[0],
          "sdxl": {"": 0.0, "down_blocks.2.attentions.1": 0.8, "up_blocks.0": 0.5}}


def scaled(net, scales):
    """As set_ip_adapter_scale(): a number, or numbers by block, for each adapter."""
    for name, processor in net.attn_processors.items():
        if hasattr(processor, "to_k_ip"):
            for i, config in enumerate(scales):
                if isinstance(config, dict):
                    for start, scale in config.items():
                        if name.startswith(start):
                            processor.scale[i] = scale
                else:
                    processor.scale[i] = config


with torch.no_grad():
    seen = tower(torch.cat([torch.zeros_like(read.pixel_values), read.pixel_values, read_2.pixel_values]), output_hidden_states=True)
    states, embeds = seen.hidden_states[-2], seen.image_embeds.clone()
    embeds[0] = 0
    masks = IPAdapterMaskProcessor().preprocess([Image.fromarray(patches), Image.fromarray(255 - patches)], height=64, width=64)
    masks = masks.reshape(1, 2, 64, 64)
    for base, net in nets.items():
        for kind in ("base", "plus"):
            name, read_by = f"ip.{base}.{kind}", embeds if kind == "base" else states
            file = {top: {k.removeprefix(top + "."): weight_of(k, v) for k, v in shapes[name].items() if k.startswith(top)}
                for top in ("image_proj", "ip_adapter")}
            net._load_ip_adapter_weights([file], low_cpu_mem_usage=False)
            one = [torch.stack([read_by[:1], read_by[1:2]])]
            two = [torch.stack([read_by[[0, 0]], read_by[[1, 2]]])]
            for what, given, scale, how in (("two", two, 0.7, {}), ("masks", two, [0.7, 0.4], dict(ip_adapter_masks=[masks])),
                    ("blocks", one, BLOCKS[base], {})):
                scaled(net, [scale])
                extra = dict(added if base == "sdxl" else {}, image_embeds=given)
                io[f"{name}.{what}"] = net(io[f"{base}.x"], io[f"{base}.t"], io[f"{base}.context"], added_cond_kwargs=extra,
                    cross_attention_kwargs=how or None).sample

save_file({k: v.contiguous() for k, v in io.items()}, f"{out}/io.safetensors")
json.dump(shapes, open(f"{out}/shapes.json", "w"), separators=(",", ":"))
print(sum(os.path.getsize(f"{out}/{name}") for name in os.listdir(out)), "bytes")
