#!/usr/bin/env python3
"""train-pytorch.py - the step of bench-train in PyTorch, for comparison: a U-Net of the same shape, computed in bf16 with
f32 masters, channels last, gradients clipped, AdamW; random latents, text states and weights.

    train-pytorch.py small|sd1 [--batch N] [--side N] [--threads N] [--steps N] [--type bf16|f32] [--device cpu|cuda]

On a GPU the network is compiled (torch.compile) and AdamW is the fused one.
"""
import argparse
import math
import time

import torch
from torch import nn
from torch.nn import functional as F

SHAPES = {
    "small": dict(channels=96, mult=[1, 2, 3], blocks=1, attention=[2, 4], heads=4, context=256),
    "sd1": dict(channels=320, mult=[1, 2, 4, 4], blocks=2, attention=[1, 2, 4], heads=8, context=768),
}


class ResBlock(nn.Module):
    def __init__(self, cin, cout, time_width):
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(32, cin), nn.Conv2d(cin, cout, 3, padding=1)
        self.time = nn.Linear(time_width, cout)
        self.norm2, self.conv2 = nn.GroupNorm(32, cout), nn.Conv2d(cout, cout, 3, padding=1)
        self.skip = nn.Conv2d(cin, cout, 1) if cin != cout else nn.Identity()

    def forward(self, x, t, words):
        h = self.conv1(F.silu(self.norm1(x))) + self.time(F.silu(t))[:, :, None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class Attention(nn.Module):
    def __init__(self, width, heads, context):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=False)
        self.k, self.v = nn.Linear(context, width, bias=False), nn.Linear(context, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, x, words):
        def split(y):
            return y.view(y.shape[0], y.shape[1], self.heads, -1).transpose(1, 2)

        q, k, v = split(self.q(x)), split(self.k(words)), split(self.v(words))
        if hasattr(F, "scaled_dot_product_attention"):
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), -1) @ v
        return self.out(y.transpose(1, 2).reshape(x.shape))


class Transformer(nn.Module):
    def __init__(self, width, heads, context):
        super().__init__()
        self.norm = nn.GroupNorm(32, width, eps=1e-6)
        self.proj_in, self.proj_out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.itself, self.cross = Attention(width, heads, width), Attention(width, heads, context)
        self.up, self.down = nn.Linear(width, 8 * width), nn.Linear(4 * width, width)

    def forward(self, x, t, words):
        n, c, h, w = x.shape
        y = self.proj_in(self.norm(x)).permute(0, 2, 3, 1).reshape(n, h * w, c)
        z = self.norm1(y)
        y = y + self.itself(z, z)
        y = y + self.cross(self.norm2(y), words)
        a, b = self.up(self.norm3(y)).chunk(2, -1)
        y = y + self.down(a * F.gelu(b))
        return x + self.proj_out(y.reshape(n, h, w, c).permute(0, 3, 1, 2))


class Resample(nn.Module):
    def __init__(self, width, up):
        super().__init__()
        self.up, self.conv = up, nn.Conv2d(width, width, 3, stride=1 if up else 2, padding=1)

    def forward(self, x, t, words):
        return self.conv(F.interpolate(x, scale_factor=2.0) if self.up else x)


class UNet(nn.Module):
    def __init__(self, channels, mult, blocks, attention, heads, context):
        super().__init__()
        width, self.channels = 4 * channels, channels
        self.time = nn.Sequential(nn.Linear(channels, width), nn.SiLU(), nn.Linear(width, width))
        self.first = nn.Conv2d(4, channels, 3, padding=1)
        self.down, self.up, now, kept = nn.ModuleList(), nn.ModuleList(), channels, [channels]
        for level, m in enumerate(mult):
            for _ in range(blocks):
                parts = [ResBlock(now, m * channels, width)]
                now = m * channels
                if 1 << level in attention:
                    parts.append(Transformer(now, heads, context))
                self.down.append(nn.ModuleList(parts))
                kept.append(now)
            if level + 1 < len(mult):
                self.down.append(nn.ModuleList([Resample(now, False)]))
                kept.append(now)
        self.middle = nn.ModuleList([ResBlock(now, now, width), Transformer(now, heads, context), ResBlock(now, now, width)])
        for level, m in reversed(list(enumerate(mult))):
            for i in range(blocks + 1):
                parts = [ResBlock(now + kept.pop(), m * channels, width)]
                now = m * channels
                if 1 << level in attention:
                    parts.append(Transformer(now, heads, context))
                if level and i == blocks:
                    parts.append(Resample(now, True))
                self.up.append(nn.ModuleList(parts))
        self.norm, self.last = nn.GroupNorm(32, now), nn.Conv2d(now, 4, 3, padding=1)

    def forward(self, x, t, words):
        half = self.channels // 2
        angles = t[:, None] * torch.exp(-math.log(10000) / half * torch.arange(half))
        t = self.time(torch.cat([torch.cos(angles), torch.sin(angles)], 1).to(x.dtype))
        h, kept = self.first(x), []
        kept.append(h)
        for parts in self.down:
            for part in parts:
                h = part(h, t, words)
            kept.append(h)
        for part in self.middle:
            h = part(h, t, words)
        for parts in self.up:
            h = torch.cat([h, kept.pop()], 1)
            for part in parts:
                h = part(h, t, words)
        return self.last(F.silu(self.norm(h)))


def main():
    a = argparse.ArgumentParser()
    a.add_argument("model", choices=SHAPES)
    a.add_argument("--batch", type=int, default=4)
    a.add_argument("--side", type=int, default=32)
    a.add_argument("--threads", type=int, default=0)
    a.add_argument("--steps", type=int, default=3)
    a.add_argument("--type", default="bf16", choices=["bf16", "f32"])
    a.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    a = a.parse_args()
    gpu = a.device == "cuda"
    torch.set_default_device(a.device)
    if a.threads:
        torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    shape = SHAPES[a.model]
    dtype = torch.bfloat16 if a.type == "bf16" else torch.float32
    net = UNet(**shape).to(memory_format=torch.channels_last)
    masters = [p.detach().clone().requires_grad_() for p in net.parameters()] if a.type == "bf16" else list(net.parameters())
    net = net.to(dtype)
    x = torch.randn(a.batch, 4, a.side, a.side, dtype=dtype).contiguous(memory_format=torch.channels_last)
    target, words = torch.randn(x.shape), torch.randn(a.batch, 77, shape["context"], dtype=dtype)
    times = torch.arange(a.batch).float() * 97
    optimizer = torch.optim.AdamW(masters, lr=1e-4, fused=gpu or None)
    run = torch.compile(net) if gpu else net
    best = math.inf
    for i in range(a.steps + 1):  # one more, which warms up
        start = time.perf_counter()
        F.mse_loss(run(x, times, words).float(), target).backward()
        if a.type == "bf16":
            for p, master in zip(net.parameters(), masters):
                master.grad, p.grad = p.grad.float(), None
        torch.nn.utils.clip_grad_norm_(masters, 1)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if a.type == "bf16":
            with torch.no_grad():
                for p, master in zip(net.parameters(), masters):
                    p.copy_(master)
        if gpu:
            torch.cuda.synchronize()
        if i:
            best = min(best, time.perf_counter() - start)
    millions = sum(p.numel() for p in net.parameters()) / 1e6
    print(f"PyTorch {torch.__version__}: {a.model}, {millions:.1f} M parameters, {a.batch} latents of {a.side}x{a.side}, "
          f"{a.type}, {torch.get_num_threads()} threads: {a.batch / best:.2f} images/s, {best:.3f} s")


main()
