"""distilled.py - the golden unet/distilled*: U-Nets of fewer blocks (SSD-1B, tiny-sd), computed by diffusers.

    python distilled.py SUMI OUT

sumi makes small models with random weights and writes them as folders; diffusers' UNet2DConditionModel must load these with no
key missing or left, and what it computes is the golden. Made with diffusers 0.42 and torch 2.15.
"""
import json
import os
import subprocess
import sys
import tempfile

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

sumi, out = sys.argv[1:]
PREFIX = "model.diffusion_model."
CLIP = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 49408,
        "final_norm": False, "skip": 1, "hidden_act": "quick_gelu"}
BIG_G = {"width": 16, "heads": 2, "layers": 2, "embed_dim": 16, "vocab_size": 49408, "final_norm": False, "skip": 1,
         "pooled": True}
VAE = {"ch": 32, "ch_mult": [1, 2], "num_res_blocks": 1}
UNETS = {
    "distilled": {"model_channels": 8, "norm_num_groups": 4, "channel_mult": [1, 2, 2], "num_res_blocks": 2, "attention_resolutions": [2, 4],
                  "transformer_depth": [1, [2, 1], 2], "transformer_depth_output": [1, [1, 1, 2], [3, 2, 1]],
                  "transformer_depth_middle": -1, "num_head_channels": 8, "use_linear_in_transformer": True,
                  "context_dim": 32, "num_classes": "sequential", "adm_in_channels": 16 + 6 * 256, "legacy": False},
    "distilled_tiny": {"model_channels": 8, "norm_num_groups": 4, "channel_mult": [1, 2], "num_res_blocks": 1, "attention_resolutions": [1, 2],
                       "transformer_depth_middle": -2, "num_heads": 2, "context_dim": 32, "legacy": False},
}

for name, unet in UNETS.items():
    model = {"unet": unet, "dd": VAE, "size": 32}
    if "num_classes" in unet:
        model |= {"text": CLIP, "text_2": BIG_G, "conditioning": "side_by_side"}
    else:
        model |= {"text": dict(CLIP, hidden_size=32, final_norm=True, skip=0)}
    with tempfile.TemporaryDirectory() as work:
        json.dump(model, open(f"{work}/m.json", "w"))
        subprocess.run([sumi, "init", f"{work}/m.json", "-q", "-o", f"{work}/m.safetensors"], check=True)
        subprocess.run([sumi, "convert", f"{work}/m.safetensors", f"{work}/folder/", "-q"], check=True)
        net, info = UNet2DConditionModel.from_pretrained(f"{work}/folder", subfolder="unet", output_loading_info=True)
        assert not any(info.values()), info
        weights = {k: v for k, v in load_file(f"{work}/m.safetensors").items() if k.startswith(PREFIX)}
    torch.manual_seed(1)
    x, t, context = torch.randn(2, 4, 8, 8), torch.tensor([981.0, 21.0]), torch.randn(2, 7, 32)
    io = {"a.x": x, "a.t": t, "a.context": context}
    added = None
    if "num_classes" in unet:
        pooled, sizes = torch.randn(2, 16), torch.tensor([[64.0, 48.0, 0.0, 8.0, 64.0, 48.0]] * 2)
        io["a.y"] = torch.cat([pooled, net.add_time_proj(sizes.flatten()).reshape(2, -1)], 1)
        added = {"text_embeds": pooled, "time_ids": sizes}
    with torch.no_grad():
        io["a.out"] = net(x, t, context, added_cond_kwargs=added).sample
    json.dump(unet, open(f"{out}/{name}.config.json", "w"))
    save_file(weights, f"{out}/{name}.safetensors")
    save_file(io, f"{out}/{name}.io.safetensors")
    print(name, sum(os.path.getsize(f"{out}/{name}{e}") for e in (".safetensors", ".io.safetensors")), "bytes")
