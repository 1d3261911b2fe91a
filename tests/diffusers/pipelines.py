"""Whole pictures beside diffusers' own pipelines: SDXL, its refiner and Stable Diffusion 3, on tiny models.

    python tests/diffusers/pipelines.py SUMI

`sumi init` writes the models and `sumi convert` folders of them, which diffusers opens; both draw from the same seed in
f32, and no byte of the pictures may differ by more than 1. Needs torch, transformers and diffusers; without them it says
so and ends with 77."""
import json, os, subprocess, sys, tempfile

try:
    import numpy, torch, transformers, diffusers
    from PIL import Image
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

SUMI = os.path.abspath(sys.argv[1])
diffusers.utils.logging.set_verbosity_error()
transformers.utils.logging.set_verbosity_error()
diffusers.utils.logging.disable_progress_bar()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)

# ── the models, in Sumi's words ──

CLIP = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2, vocab_size=49408, skip=1, final_norm=False)
OPEN_CLIP = dict(width=24, heads=2, layers=3, embed_dim=24, vocab_size=49408, skip=1, final_norm=False, pooled=True)
UNET = dict(model_channels=32, channel_mult=[1, 2], num_res_blocks=1, attention_resolutions=[2], transformer_depth=[0, 2],
    num_head_channels=16, use_linear_in_transformer=True, num_classes="sequential")
VAE = dict(ch=32, ch_mult=[1, 1, 2, 2], num_res_blocks=1)
SDXL = dict(name="tiny-sdxl", unet=dict(UNET, context_dim=40, adm_in_channels=1560), dd=VAE, text=CLIP, text_2=OPEN_CLIP,
    conditioning="side_by_side", scale_factor=0.13025, size=64, text_2_prefix="conditioner.embedders.1.model")
REFINER = dict(name="tiny-refiner", unet=dict(UNET, context_dim=24, adm_in_channels=1304), dd=VAE, text=OPEN_CLIP,
    conditioning="side_by_side", scale_factor=0.13025, size=64, text_prefix="conditioner.embedders.0.model")
T5 = dict(d_model=48, num_layers=2, d_ff=64, num_heads=2, d_kv=16)
SD3 = dict(name="tiny-sd3", mmdit=dict(depth=4, hidden_size=32, num_heads=2, pos_embed_max_size=24, context_dim=48, adm_in_channels=40,
    qk_norm="rms", x_block_self_attn_layers=[0, 1]), dd=dict(VAE, z_channels=16, quant=False),
    text=dict(CLIP, projection=16, pooled=True), text_2=dict(CLIP, hidden_size=24, intermediate_size=96, hidden_act="gelu",
    projection=24, pooled=True, tokenizer="openclip", pad_id=0), text_3=T5,
    conditioning="stacked", prediction_type="flow", shift=3, scale_factor=1.5305, shift_factor=0.0609, size=64)


def sumi(*args):
    done = subprocess.run([SUMI, *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"sumi {' '.join(map(str, args))}: {done.stderr}")


def folder_of(config):
    """NAME.safetensors and the folder NAME."""
    name = config["name"]
    with open(name + ".json", "w") as file:
        json.dump(config, file)
    sumi("init", name + ".json", "--type", "f32", "-o", name + ".safetensors")
    sumi("convert", name + ".safetensors", name + "/", "--max-shard-size", "1M")  # shards and their index, as diffusers reads them
    return name


# ── both draw ──

STEPS, SEED = 5, 7
PROMPT, NEGATIVE = "A photograph of an astronaut riding a horse", "hello world"
failures = 0


def compare(name, theirs, model, *options):
    global failures
    sumi("generate", "-m", model, "--type", "f32", "-p", PROMPT, "--steps", STEPS, "-s", SEED, "-o", "ours.png", *options)
    ours = numpy.asarray(Image.open("ours.png").convert("RGB"), int)
    theirs = numpy.asarray(theirs, int)
    off = abs(ours - theirs).max() if ours.shape == theirs.shape else 255
    between = ((theirs > 0) & (theirs < 255)).mean()  # what is clamped says little
    failed = off > 1 or between < 0.5 or theirs.std() < 16
    print(f"{'OVER' if failed else 'ok  '} {name}: at most {off} of 255; {between:.0%} not clamped, deviation {theirs.std():.0f}", flush=True)
    failures += failed


def draw(pipeline, **options):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(prompt=PROMPT, num_inference_steps=STEPS, generator=torch.Generator().manual_seed(SEED), **options).images[0]


def uniform(pipeline):
    """The steps of --schedule uniform."""
    pipeline.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipeline.scheduler.config, timestep_spacing="linspace")
    return pipeline


EULER = ("--sampling-method", "euler", "--schedule", "uniform")


def sdxl():
    folder = folder_of(SDXL)
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(folder)
    size = dict(width=64, height=64)
    guided = dict(guidance_scale=5.0, negative_prompt=NEGATIVE)
    ours = ("-n", NEGATIVE, "--cfg-scale", 5)
    compare("SDXL, its own scheduler", draw(pipeline, **guided, **size), folder, *ours, "--sampling-method", "model")
    compare("SDXL, no negative prompt", draw(pipeline, guidance_scale=5.0, **size), folder, "--cfg-scale", 5, "--zero-negative",
        "--sampling-method", "model")
    uniform(pipeline)
    compare("SDXL, Euler", draw(pipeline, **guided, **size), folder + ".safetensors", *EULER, *ours)
    compare("SDXL, sizes", draw(pipeline, guidance_scale=1.0, width=64, height=96, original_size=(640, 512),
        crops_coords_top_left=(16, 32), target_size=(96, 64)), folder + ".safetensors", *EULER, "--cfg-scale", 1, "-W", 64, "-H", 96,
        "--original-size", "512x640", "--crop", "32x16", "--target-size", "64x96")
    return pipeline


def refined(base):
    folder = folder_of(REFINER)
    refiner = uniform(diffusers.StableDiffusionXLImg2ImgPipeline.from_pretrained(folder))
    options = dict(guidance_scale=5.0, negative_prompt=NEGATIVE)
    latent = draw(base, denoising_end=0.6, output_type="latent", width=64, height=64, **options)
    theirs = draw(refiner, image=latent[None], denoising_start=0.6, aesthetic_score=7.0, negative_aesthetic_score=2.0, **options)
    for path in (folder, folder + ".safetensors"):
        compare(f"SDXL, refined by {path}", theirs, "tiny-sdxl.safetensors", *EULER, "-n", NEGATIVE, "--cfg-scale", 5, "--refiner", path,
            "--refiner-start", 0.6, "--aesthetic-score", 7, "--negative-aesthetic-score", 2)


def sd3():
    folder = folder_of(SD3)
    pipeline = diffusers.StableDiffusion3Pipeline.from_pretrained(folder)
    size = dict(width=64, height=64)
    guided = dict(guidance_scale=4.5, negative_prompt=NEGATIVE, max_sequence_length=77)
    even = dict(sigmas=[1 - i / STEPS for i in range(STEPS)])
    ours = ("-n", NEGATIVE, "--cfg-scale", 4.5)
    compare("Stable Diffusion 3, its own scheduler", draw(pipeline, **guided, **size), folder, *ours, "--sampling-method", "model")
    compare("Stable Diffusion 3, Euler", draw(pipeline, **guided, **even, **size), folder + ".safetensors", *EULER, *ours)
    compare("Stable Diffusion 3, 96×64", draw(pipeline, width=96, height=64, **guided, **even), folder, *EULER, "-W", 96, "-H", 64, *ours)
    compare("Stable Diffusion 3, skip-layer guidance", draw(pipeline, skip_guidance_layers=[1, 2], skip_layer_guidance_scale=2.5,
        skip_layer_guidance_stop=0.7, **guided, **even, **size), folder, *EULER, "--skip-layers", "1,2", "--skip-layer-end", 0.7, *ours)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
        os.chdir(scratch)
        refined(sdxl())
        sd3()
        os.chdir("/")
    print(f"diffusers {diffusers.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")
    sys.exit(1 if failures else 0)
