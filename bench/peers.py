#!/usr/bin/env python3
"""A guided step and the decoder of a model in PyTorch and OpenVINO, for comparison with bench/stages on the same machine.

    python3 bench/peers.py sd1|sdxl|sd3.5 [--peer torch|openvino] [--part denoise|decode] [--size 1024x1024] [--runs 3]

Needs torch and diffusers; OpenVINO where it is installed. Weights are random, in the shapes of diffusers' classes; both peers
compute in bf16 with static shapes, PyTorch channels last and with its fused attention. Prints the best of the runs.
"""
import argparse
import multiprocessing
import os
import tempfile
import time

import diffusers
import torch

SIZES = {"sd1": 512, "sdxl": 1024, "sd3.5": 1024}


def random_model(make, dtype):
    """Without the time that initialisation takes: the values change no time."""
    with torch.device("meta"):
        model = make().to(dtype)
    model.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in list(model.parameters()) + list(model.buffers()):
            if tensor.is_floating_point():
                tensor.normal_(0, 0.02)
    return model.eval()


def unet_sd1():
    return diffusers.UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)


def unet_sdxl():
    return diffusers.UNet2DConditionModel(
        block_out_channels=(320, 640, 1280), transformer_layers_per_block=[1, 2, 10], attention_head_dim=[5, 10, 20],
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=2048,
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816)


def mmdit():
    return diffusers.SD3Transformer2DModel(
        sample_size=128, patch_size=2, in_channels=16, out_channels=16, num_layers=24, attention_head_dim=64,
        num_attention_heads=24, joint_attention_dim=4096, caption_projection_dim=1536, pooled_projection_dim=2048,
        pos_embed_max_size=384, dual_attention_layers=tuple(range(13)), qk_norm="rms_norm")


def autoencoder(channels):
    return diffusers.AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=channels, norm_num_groups=32,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)


class Denoiser(torch.nn.Module):
    """The network with positional inputs alone, and one tensor out."""

    def __init__(self, kind, model):
        super().__init__()
        self.kind, self.model = kind, model

    def forward(self, x, t, context, vector, sizes):
        if self.kind == "sd3.5":
            return self.model(hidden_states=x, timestep=t, encoder_hidden_states=context, pooled_projections=vector,
                              return_dict=False)[0]
        added = {"text_embeds": vector, "time_ids": sizes} if self.kind == "sdxl" else None
        return self.model(x, t, context, added_cond_kwargs=added, return_dict=False)[0]


class Decoder(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, z):
        return self.model.decode(z, return_dict=False)[0]


def part_of(kind, part, width, height, dtype):
    """The module and its inputs."""
    channels = 16 if kind == "sd3.5" else 4
    latent = torch.randn(1, channels, height // 8, width // 8, dtype=dtype)
    if part == "decode":
        return Decoder(random_model(lambda: autoencoder(channels), dtype)), (latent,)
    make = {"sd1": unet_sd1, "sdxl": unet_sdxl, "sd3.5": mmdit}[kind]
    tokens, context = {"sd1": (77, 768), "sdxl": (77, 2048), "sd3.5": (77 + 77, 4096)}[kind]
    vector = {"sd1": 1, "sdxl": 1280, "sd3.5": 2048}[kind]
    inputs = (latent.repeat(2, 1, 1, 1), torch.full((2,), 500.0, dtype=dtype),
              torch.randn(2, tokens, context, dtype=dtype), torch.randn(2, vector, dtype=dtype), torch.ones(2, 6, dtype=dtype))
    return Denoiser(kind, random_model(make, dtype)), inputs


def best_of(runs, call):
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def time_torch(kind, part, width, height, runs):
    module, inputs = part_of(kind, part, width, height, torch.bfloat16)
    if kind != "sd3.5" or part == "decode":
        module = module.to(memory_format=torch.channels_last)
        inputs = (inputs[0].to(memory_format=torch.channels_last),) + inputs[1:]
    return best_of(runs, lambda: module(*inputs))


def write_openvino(kind, part, width, height, path):
    from openvino import convert_model, save_model
    from openvino.frontend.pytorch.patch_model import __make_16bit_traceable as widen_while_tracing

    with torch.inference_mode():
        module, inputs = part_of(kind, part, width, height, torch.float16)
        inputs = tuple(i.float() for i in inputs)
        widen_while_tracing(module)
        save_model(convert_model(module, example_input=inputs, input=[list(i.shape) for i in inputs]), path)


def time_openvino(kind, part, width, height, runs):
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.xml")
        # in a process of its own, so that PyTorch's weights are gone when OpenVINO packs those of the file, which it maps
        writer = multiprocessing.get_context("spawn").Process(target=write_openvino, args=(kind, part, width, height, path))
        writer.start()
        writer.join()
        if writer.exitcode:
            raise RuntimeError(f"not converted: exit code {writer.exitcode}")
        compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY"})
        request = compiled.create_infer_request()
        values = [torch.ones(tuple(i.get_shape())).numpy() for i in compiled.inputs]
        return best_of(runs, lambda: request.infer(values))


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("model", choices=SIZES)
    ask.add_argument("--peer", choices=["torch", "openvino"])
    ask.add_argument("--part", choices=["denoise", "decode"])
    ask.add_argument("--size")
    ask.add_argument("--runs", type=int, default=3)
    o = ask.parse_args()
    width, height = map(int, (o.size or f"{SIZES[o.model]}x{SIZES[o.model]}").split("x"))
    for peer in [o.peer] if o.peer else ["torch", "openvino"]:
        for part in [o.part] if o.part else ["denoise", "decode"]:
            try:
                with torch.inference_mode():
                    took = {"torch": time_torch, "openvino": time_openvino}[peer](o.model, part, width, height, o.runs)
            except ImportError as missing:
                print(f"{peer}: is not installed ({missing})")
                break
            print(f"{o.model} {width}×{height} {part}: {peer} {took:.3f} s", flush=True)


if __name__ == "__main__":
    main()
