#!/usr/bin/env python3
"""autoencoder_loss.py OUT.safetensors - makes tests/golden/train/autoencoder_loss.safetensors, with PyTorch.

A tiny KL autoencoder, a narrow VGG16 with LPIPS' layers and a patch discriminator, all with random weights; one batch;
and what latent-diffusion's losses make of it: values, and the gradient of every weight. The networks and the losses are
written down here from the papers and from the description in the headers of src/models and src/train, apart from
Sumi's code; the discriminator has group norms. The losses are means over a picture's values (the adaptive weight is
computed from sums, as the original has it)."""
import json, struct, sys
import torch, torch.nn as nn, torch.nn.functional as F

torch.manual_seed(7)
torch.set_num_threads(1)
GROUPS, CH, MULT, Z = 4, 8, (1, 2), 2


class Norm(nn.GroupNorm):
    def __init__(self, c):
        super().__init__(GROUPS, c, eps=1e-6)


class Residual(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.norm1, self.conv1 = Norm(i), nn.Conv2d(i, o, 3, padding=1)
        self.norm2, self.conv2 = Norm(o), nn.Conv2d(o, o, 3, padding=1)
        if i != o:
            self.nin_shortcut = nn.Conv2d(i, o, 1)

    def forward(self, x):
        h = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return h + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = Norm(c)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(c, c, 1) for _ in range(4))

    def forward(self, x):
        b, c, h, w = x.shape
        n = self.norm(x)
        q, k, v = (f(n).reshape(b, c, h * w) for f in (self.q, self.k, self.v))
        a = torch.softmax(torch.einsum("bci,bcj->bij", q, k) * c**-0.5, dim=2)
        return x + self.proj_out(torch.einsum("bij,bcj->bci", a, v).reshape(b, c, h, w))


class Middle(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.block_1, self.attn_1, self.block_2 = Residual(c, c), Attention(c), Residual(c, c)

    def forward(self, x):
        return self.block_2(self.attn_1(self.block_1(x)))


class Level(nn.Module):
    def __init__(self, i, o, blocks):
        super().__init__()
        self.block = nn.ModuleList([Residual(i if k == 0 else o, o) for k in range(blocks)])


class Resample(nn.Module):
    def __init__(self, c, stride):
        super().__init__()
        self.stride, self.conv = stride, nn.Conv2d(c, c, 3, stride=stride, padding=0 if stride == 2 else 1)

    def forward(self, x):
        x = F.pad(x, (0, 1, 0, 1)) if self.stride == 2 else F.interpolate(x, scale_factor=2.0, mode="nearest")
        return self.conv(x)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_in = nn.Conv2d(3, CH, 3, padding=1)
        self.down = nn.ModuleList([Level(CH, CH * MULT[0], 1), Level(CH * MULT[0], CH * MULT[1], 1)])
        self.down[0].downsample = Resample(CH * MULT[0], 2)
        self.mid, self.norm_out = Middle(CH * MULT[1]), Norm(CH * MULT[1])
        self.conv_out = nn.Conv2d(CH * MULT[1], 2 * Z, 3, padding=1)

    def forward(self, x):
        x = self.down[0].downsample(self.down[0].block[0](self.conv_in(x)))
        return self.conv_out(F.silu(self.norm_out(self.mid(self.down[1].block[0](x)))))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_in = nn.Conv2d(Z, CH * MULT[1], 3, padding=1)
        self.mid = Middle(CH * MULT[1])
        self.up = nn.ModuleList([Level(CH * MULT[1], CH * MULT[0], 2), Level(CH * MULT[1], CH * MULT[1], 2)])
        self.up[1].upsample = Resample(CH * MULT[1], 1)
        self.norm_out, self.conv_out = Norm(CH), nn.Conv2d(CH, 3, 3, padding=1)

    def forward(self, z):
        x = self.mid(self.conv_in(z))
        for level in (1, 0):
            for b in self.up[level].block:
                x = b(x)
            if level:
                x = self.up[level].upsample(x)
        return self.conv_out(F.silu(self.norm_out(x)))


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()
        self.quant_conv, self.post_quant_conv = nn.Conv2d(2 * Z, 2 * Z, 1), nn.Conv2d(Z, Z, 1)


class Perceptual(nn.Module):
    """VGG16's convolutions to relu5_3, and a weight for each channel of the five depths."""

    PLAN = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))

    def __init__(self, widths=(4, 6, 8, 12, 12)):
        super().__init__()
        self.convolutions, self.lin, i = nn.ModuleDict(), nn.ModuleList(), 3
        for stage, width in zip(self.PLAN, widths):
            for index in stage:
                self.convolutions[str(index)] = nn.Conv2d(i, width, 3, padding=1)
                i = width
            self.lin.append(nn.Conv2d(width, 1, 1, bias=False))
            self.lin[-1].weight.data.abs_()

    def features(self, x):
        x = (x - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]) / torch.tensor([0.458, 0.448, 0.450])[:, None, None]
        out = []
        for k, stage in enumerate(self.PLAN):
            x = F.max_pool2d(x, 2) if k else x
            for index in stage:
                x = F.relu(self.convolutions[str(index)](x))
            out.append(x / (torch.sqrt(torch.sum(x**2, dim=1, keepdim=True)) + 1e-10))
        return out

    def forward(self, a, b):
        return sum(l((x - y) ** 2).mean(dim=(2, 3), keepdim=True) for l, x, y in zip(self.lin, self.features(a), self.features(b)))


class Discriminator(nn.Module):
    def __init__(self, ndf=8, layers=2):
        super().__init__()
        main, width = [nn.Conv2d(3, ndf, 4, 2, 1), nn.LeakyReLU(0.2)], ndf
        for n in range(1, layers + 1):
            before, width = width, ndf * min(2**n, 8)
            main += [nn.Conv2d(before, width, 4, 2 if n < layers else 1, 1, bias=False),
                     nn.GroupNorm(min(32, width), width, eps=1e-5), nn.LeakyReLU(0.2)]
        self.main = nn.Sequential(*main, nn.Conv2d(width, 1, 4, 1, 1))

    def forward(self, x):
        return self.main(x)


ae, vgg, disc = Autoencoder(), Perceptual(), Discriminator()
for module in (ae, disc):
    for name, p in module.named_parameters():
        if p.dim() == 1:
            p.data.copy_(torch.randn(p.shape) * 0.1 + (1 if name.endswith("weight") else 0))
disc.main[0].weight.data.mul_(3)
logvar = nn.Parameter(torch.tensor([0.3]))
image, noise = torch.rand(2, 3, 16, 16) * 2 - 1, torch.randn(2, Z, 8, 8)
KL_WEIGHT, PERCEPTUAL, DISC = 1e-2, 0.7, 0.5
values = image[0].numel()

moments = ae.quant_conv(ae.encoder(image))
mean, log_variance = moments.chunk(2, dim=1)
log_variance = log_variance.clamp(-30, 20)
picture = ae.decoder(ae.post_quant_conv(mean + torch.exp(0.5 * log_variance) * noise))
distance = vgg(image, picture)
rec = (image - picture).abs() + PERCEPTUAL * distance
nll = (rec / logvar.exp() + logvar).sum() / image.shape[0]
kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum() / image.shape[0]
fake = disc(picture)
generator = -fake.mean()
last = ae.decoder.conv_out.weight
nll_norm, generator_norm = (torch.autograd.grad(l, last, retain_graph=True)[0].norm() for l in (nll, generator))
weight = (torch.clamp(nll_norm / (generator_norm + 1e-4), 0.0, 1e4) * DISC).detach()
total = (nll + KL_WEIGHT * kl + weight * generator) / values
plain = (nll + KL_WEIGHT * kl) / values
hinge = 0.5 * (F.relu(1 - disc(image)).mean() + F.relu(1 + disc(picture.detach())).mean())

out = {}
trained = {"first_stage_model." + k: p for k, p in ae.named_parameters()} | {"first_stage_model.loss.logvar": logvar}
judged = {"first_stage_model.loss.discriminator." + k: p for k, p in disc.named_parameters()}
for name, loss, params in (("plain", plain, trained), ("total", total, trained), ("hinge", hinge, judged)):
    out["loss." + name] = loss.reshape(1)
    for (k, _), g in zip(params.items(), torch.autograd.grad(loss, params.values(), retain_graph=True)):
        out[("grad.plain/" if name == "plain" else "grad/") + k] = g
out["loss.distance"], out["loss.weight"] = distance.mean().reshape(1), weight.reshape(1)
for stage, indices in enumerate(Perceptual.PLAN):
    out[f"lin{stage}.model.1.weight"] = vgg.lin[stage].weight
    for index in indices:
        for kind in ("weight", "bias"):
            out[f"features.{index}.{kind}"] = getattr(vgg.convolutions[str(index)], kind)
out |= trained | judged
out["image"], out["noise"] = (t.permute(0, 2, 3, 1).contiguous() for t in (image, noise))

config = {"unet": {"in_channels": Z, "out_channels": Z, "model_channels": 8, "channel_mult": [1], "num_res_blocks": 1,
                   "attention_resolutions": [], "num_heads": 1, "context_dim": 8, "norm_num_groups": GROUPS},
          "dd": {"ch": CH, "ch_mult": MULT, "num_res_blocks": 1, "z_channels": Z, "embed_dim": Z, "norm_num_groups": GROUPS},
          "text": {"vocab_size": 64, "n_embed": 8, "n_layer": 1, "heads": 1, "dim_head": 8, "max_seq_len": 8, "logits": False}}
header, data = {"__metadata__": {"sumi.config": json.dumps(config), "kl_weight": str(KL_WEIGHT),
                                 "perceptual_weight": str(PERCEPTUAL), "disc_weight": str(DISC)}}, b""
for k, t in out.items():
    raw = t.detach().contiguous().numpy().astype("<f4").tobytes()
    header[k] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + data)
print(f"nll {nll.item() / values:.4f} kl {kl.item():.2f} distance {distance.mean().item():.4f} generator {generator.item():.4f} "
      f"weight {weight.item():.3f} hinge {hinge.item():.4f}, {len(data)} bytes")
