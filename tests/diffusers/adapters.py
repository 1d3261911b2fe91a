"""T2I-Adapters and IP-Adapters beside diffusers' own pipelines, on tiny models of Stable Diffusion 1 and SDXL, as pipelines.py compares.

    python tests/diffusers/adapters.py SUMI

The adapters have random weights and lie in files and folders as diffusers and their authors write them."""
import os, sys, tempfile

import pipelines
from pipelines import CLIP, EULER, NEGATIVE, SDXL, UNET, VAE, compare, diffusers, draw, folder_of, numpy, torch, uniform
from diffusers.image_processor import IPAdapterMaskProcessor
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

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


def ip_weights(unet, plus, seen):
    """An adapter's file: {"image_proj": …, "ip_adapter": …}. seen: the width of what it reads."""
    torch.manual_seed(6)
    context, made = unet.config.cross_attention_dim, {}

    def random(*shape):
        return torch.randn(shape) * (2 / shape[-1] ** 0.5 if len(shape) > 1 else 1)

    def norm(width, *names):
        return {f"{name}.{part}": random(width) for name in names for part in ("weight", "bias")}
    if plus:
        made |= {"latents": random(1, 5, 64), "proj_in.weight": random(64, seen), "proj_in.bias": random(64), "proj_out.bias": random(context),
            "proj_out.weight": random(context, 64)} | norm(context, "norm_out")
        for i in range(4):
            at = f"layers.{i}"
            made |= norm(64, f"{at}.0.norm1", f"{at}.0.norm2", f"{at}.1.0") | {f"{at}.0.to_q.weight": random(128, 64),
                f"{at}.0.to_kv.weight": random(256, 64), f"{at}.0.to_out.weight": random(64, 128), f"{at}.1.1.weight": random(256, 64),
                f"{at}.1.3.weight": random(64, 256)}
    else:
        made |= {"proj.weight": random(4 * context, seen), "proj.bias": random(4 * context)} | norm(context, "norm")
    attention = {}
    for i, name in enumerate(n for n in unet.attn_processors if "attn2" in n):
        width = unet.get_submodule(name.removesuffix(".processor")).to_k.weight.shape[0]
        attention |= {f"{2 * i + 1}.to_{x}_ip.weight": random(width, context) for x in "kv"}
    return {"image_proj": made, "ip_adapter": attention}


def vision_tower():
    torch.manual_seed(7)
    made = CLIPVisionModelWithProjection(CLIPVisionConfig(hidden_size=96, intermediate_size=128, projection_dim=48, num_hidden_layers=3,
        num_attention_heads=4, image_size=32, patch_size=8, hidden_act="gelu")).eval()
    for weight in made.parameters():
        weight.mul_(3)
    made.save_pretrained("tower/image_encoder")
    return made


def ip(name, folder, pipeline, plus, file):
    pipeline = uniform(pipeline)
    weights = ip_weights(pipeline.unet, plus, 96 if plus else 48)
    if file.endswith(".bin"):
        torch.save(weights, file)
    else:
        save_file({f"{top}.{k}": v for top, part in weights.items() for k, v in part.items()}, file)
    pipeline.register_modules(image_encoder=vision_tower(), feature_extractor=CLIPImageProcessor(size={"shortest_edge": 32},
        crop_size={"height": 32, "width": 32}))
    picture = hint((56, 40))
    plain = numpy.asarray(draw(pipeline, **GUIDED), int)
    pipeline.load_ip_adapter(".", subfolder="", weight_name=file, image_encoder_folder=None)
    pipeline.set_ip_adapter_scale(0.7)
    theirs = draw(pipeline, ip_adapter_image=picture, **GUIDED)
    if abs(numpy.asarray(theirs, int) - plain).max() < 8:
        sys.exit(f"{name}: the adapter changes nothing")
    compare(name, theirs, folder, *OURS, "--ip-adapter", file + ":0.7", "--ip-image", "hint.png", "--clip-vision", "tower")
    more(name, pipeline, folder, file, picture)


def more(name, pipeline, folder, file, picture):
    """Two pictures as one prompt, one in each half of the picture, and some blocks alone."""
    second = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(90)
    second.save("second.png")
    theirs = draw(pipeline, ip_adapter_image=[[picture, second]], **GUIDED)
    compare(f"{name}, two pictures", theirs, folder, *OURS, "--ip-adapter", file + ":0.7", "--ip-image", "hint.png,second.png", "--clip-vision", "tower")
    masks = [Image.new("L", (64, 64)) for _ in range(2)]
    for i, mask in enumerate(masks):
        mask.paste(255, (i * 20, 0, 20 + i * 44, 64))
        mask.save(f"mask{i}.png")
    stacked = IPAdapterMaskProcessor().preprocess(masks, height=64, width=64).reshape(1, 2, 64, 64)
    pipeline.set_ip_adapter_scale([[0.7, 0.4]])
    theirs = draw(pipeline, ip_adapter_image=[[picture, second]], cross_attention_kwargs=dict(ip_adapter_masks=[stacked]), **GUIDED)
    compare(f"{name}, masks", theirs, folder, *OURS, "--ip-adapter", file + ":0.7", "--ip-adapter", file + ":0.4", "--ip-image", "hint.png",
        "--ip-image", "second.png", "--ip-mask", "mask0.png", "--ip-mask", "mask1.png", "--clip-vision", "tower")
    pipeline.set_ip_adapter_scale({"down": {"block_1": 0.5}, "up": {"block_1": [0.0, 1.0]}})
    theirs = draw(pipeline, ip_adapter_image=picture, **GUIDED)
    compare(f"{name}, blocks", theirs, folder, *OURS, "--ip-adapter", file, "--ip-image", "hint.png", "--ip-blocks", "down_1=0.5,up_1=0:1",
        "--clip-vision", "tower")


def ip_adapters():
    for plus, file in ((False, "ip.bin"), (True, "ip.safetensors")):
        what = "IP-Adapter plus" if plus else "IP-Adapter"
        ip(f"Stable Diffusion 1, {what}", "tiny-sd1", diffusers.StableDiffusionPipeline.from_pretrained("tiny-sd1", safety_checker=None,
            requires_safety_checker=False), plus, file)
        ip(f"SDXL, {what}", "tiny-xl", diffusers.StableDiffusionXLPipeline.from_pretrained("tiny-xl"), plus, file)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
        os.chdir(scratch)
        t2i_sd1()
        t2i_sdxl()
        ip_adapters()
        os.chdir("/")
    sys.exit(1 if pipelines.failures else 0)
