"""T2I-Adapters beside diffusers' own pipelines, on tiny models of Stable Diffusion 1 and SDXL, as pipelines.py compares.

    python tests/diffusers/adapters.py SUMI

The adapters have random weights and lie in folders as diffusers writes them."""
import os, sys, tempfile

import pipelines
from pipelines import CLIP, EULER, NEGATIVE, SDXL, UNET, VAE, compare, diffusers, draw, folder_of, numpy, torch, uniform
from PIL import Image

SD1 = dict(name="tiny-sd1", unet=dict(model_channels=32, channel_mult=[1, 2, 2, 2], num_res_blocks=1, attention_resolutions=[1, 2, 4],
    num_heads=4, context_dim=16, legacy=False), dd=VAE, text=dict(CLIP, final_norm=True, skip=0, pad_id=49407), size=64)
# with the levels that its adapters expect
XL = dict(SDXL, name="tiny-xl", unet=dict(UNET, channel_mult=[1, 2, 2], attention_resolutions=[2, 4], transformer_depth=[0, 1, 2],
    context_dim=40, adm_in_channels=1560))
GUIDED = dict(guidance_scale=5.0, negative_prompt=NEGATIVE, width=64, height=64)
OURS = (*EULER, "-n", NEGATIVE, "--cfg-scale", 5, "-W", 64, "-H", 64)


def hint(size, mode="RGB"):
    """Coarse patches, so that it stays a picture when it is resized."""
    values = numpy.random.RandomState(3).randint(0, 256, (8, 8, 3), numpy.uint8)
    picture = Image.fromarray(values).resize(size, Image.NEAREST).convert(mode)
    picture.save("hint.png")
    return picture


def adapter(name, **config):
    torch.manual_seed(5)
    made = diffusers.T2IAdapter(**config).eval()
    for weight in made.parameters():
        weight.mul_(2)
    made.save_pretrained(name)
    return made


def t2i_sd1():
    folder = folder_of(SD1)
    made = adapter("sketch", in_channels=1, channels=[32, 64, 64, 64], num_res_blocks=2, adapter_type="full_adapter")
    pipeline = uniform(diffusers.StableDiffusionAdapterPipeline.from_pretrained(folder, adapter=made, safety_checker=None,
        requires_safety_checker=False))
    theirs = draw(pipeline, image=hint((64, 64), "L"), adapter_conditioning_scale=0.8, **GUIDED)
    compare("Stable Diffusion 1, T2I-Adapter", theirs, folder, *OURS, "--control-net", "sketch:0.8", "--control-image", "hint.png")


def t2i_sdxl():
    folder = folder_of(XL)
    made = adapter("depth", channels=[32, 64, 64, 64], downscale_factor=16, adapter_type="full_adapter_xl")
    pipeline = uniform(diffusers.StableDiffusionXLAdapterPipeline.from_pretrained(folder, adapter=made))
    theirs = draw(pipeline, image=hint((96, 96)), adapter_conditioning_scale=0.9, adapter_conditioning_factor=0.6, **GUIDED)
    compare("SDXL, T2I-Adapter", theirs, folder, *OURS, "--control-net", "depth:0.9:0:0.6", "--control-image", "hint.png")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
        os.chdir(scratch)
        t2i_sd1()
        t2i_sdxl()
        os.chdir("/")
    sys.exit(1 if pipelines.failures else 0)
