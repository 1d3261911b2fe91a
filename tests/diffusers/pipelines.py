"""Whole pictures beside diffusers' own pipelines: SDXL, its refiner and Stable Diffusion 3, on tiny models.

    python tests/diffusers/pipelines.py SUMI

`sumi init` writes the models, diffusers' conversions read them, both draw from the same seed in f32, and no byte of the
pictures may differ by more than 1. Needs torch, transformers and diffusers; without them it says so and ends with 77."""
import json, os, subprocess, sys, tempfile

try:
    import numpy, torch, transformers, diffusers
    from diffusers.loaders import single_file_utils as single
    from PIL import Image
    from safetensors.torch import load_file
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

SUMI = os.path.abspath(sys.argv[1])
HERE = os.path.dirname(os.path.abspath(__file__))
diffusers.utils.logging.set_verbosity_error()
transformers.utils.logging.set_verbosity_error()
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


def write_model(config):
    path = config["name"]
    with open(path + ".json", "w") as file:
        json.dump(config, file)
    sumi("init", path + ".json", "--type", "f32", "-o", path + ".safetensors")
    return load_file(path + ".safetensors")


# ── … and in diffusers' ──

def part(weights, prefix):
    return {k[len(prefix):]: v for k, v in weights.items() if k.startswith(prefix)}


def load(model, weights):
    """All that the model has must be there, but for what it computes itself."""
    names = set(model.state_dict())
    if not names & set(weights):  # transformers 5.6 has no "text_model." in a model without a projection
        weights = {k.removeprefix("text_model."): v for k, v in weights.items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    missing = [k for k in missing if not k.endswith(("position_ids", "shared.weight", "embed_tokens.weight"))]
    unexpected = [k for k in unexpected if not k.endswith("position_ids")]
    assert not missing and not unexpected, (type(model).__name__, missing, unexpected)
    return model.eval()


def clip(config, projects, act, weights):
    width = config.get("hidden_size") or config["width"]
    its = transformers.CLIPTextConfig(vocab_size=49408, hidden_size=width, intermediate_size=config.get("intermediate_size", 4 * width),
        num_hidden_layers=3, num_attention_heads=2, hidden_act=act, projection_dim=width, eos_token_id=49407, bos_token_id=49406)
    kind = transformers.CLIPTextModelWithProjection if projects else transformers.CLIPTextModel
    model = kind(its)
    return load(model, weights(model) if callable(weights) else weights)


def vae_of(weights, channels, **scales):
    model = diffusers.AutoencoderKL(block_out_channels=(32, 32, 64, 64), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=1, latent_channels=channels, force_upcast=False, **scales)
    return load(model, single.convert_ldm_vae_checkpoint(weights, model.config))


def unet_of(weights, context, vector):
    model = diffusers.UNet2DConditionModel(sample_size=8, block_out_channels=(32, 64), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2), attention_head_dim=(2, 4), cross_attention_dim=context, use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=vector)
    return load(model, single.convert_ldm_unet_checkpoint(weights, model.config))


def clip_tokenizer(padding):
    """Its words are those that Sumi writes into a folder of Stable Diffusion 1."""
    if not os.path.exists("words/tokenizer"):
        sumi("convert", os.path.join(HERE, "../golden/sd1/model.safetensors"), "words/")
    return transformers.CLIPTokenizer("words/tokenizer/vocab.json", "words/tokenizer/merges.txt", pad_token=padding, model_max_length=77)


class T5Words:
    """The ids of the golden texts, of which the prompts here are some."""

    def __init__(self):
        with open(os.path.join(HERE, "../golden/tokenizers/t5.json")) as file:
            self.ids = {case["text"]: case["fast"] for case in json.load(file)["cases"]}

    def __call__(self, prompts, padding, return_tensors, max_length=0, **_):
        ids = [self.ids[p] for p in prompts]
        length = max(max_length, *map(len, ids)) if padding == "max_length" else max(map(len, ids))
        padded = torch.tensor([i + [0] * (length - len(i)) for i in ids])
        return transformers.BatchEncoding(dict(input_ids=padded))


def open_clip_of(weights, prefix):
    return clip(OPEN_CLIP, True, "gelu", lambda model: single.convert_open_clip_checkpoint(model.text_model, weights, prefix=prefix))


def euler():
    return diffusers.EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="linspace")


def sdxl_pipeline(weights, zeros):
    return diffusers.StableDiffusionXLPipeline(vae=vae_of(weights, 4, scaling_factor=0.13025),
        text_encoder=clip(CLIP, False, "quick_gelu", single.convert_ldm_clip_checkpoint(weights, "cond_stage_model.transformer.")),
        text_encoder_2=open_clip_of(weights, "conditioner.embedders.1.model."), tokenizer=clip_tokenizer("<|endoftext|>"),
        tokenizer_2=clip_tokenizer("!"), unet=unet_of(weights, 40, 1560), scheduler=euler(), force_zeros_for_empty_prompt=zeros,
        add_watermarker=False)


def refiner_pipeline(weights, vae):
    return diffusers.StableDiffusionXLImg2ImgPipeline(vae=vae, text_encoder=None, tokenizer=None,
        text_encoder_2=open_clip_of(weights, "conditioner.embedders.0.model."), tokenizer_2=clip_tokenizer("!"), unet=unet_of(weights, 24, 1304),
        scheduler=euler(), requires_aesthetics_score=True, force_zeros_for_empty_prompt=False, add_watermarker=False)


def sd3_pipeline(weights):
    transformer = diffusers.SD3Transformer2DModel(sample_size=8, patch_size=2, in_channels=16, num_layers=4, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=48, caption_projection_dim=32, pooled_projection_dim=40, out_channels=16,
        pos_embed_max_size=24, dual_attention_layers=(0, 1), qk_norm="rms_norm")
    t5 = transformers.T5EncoderModel(transformers.T5Config(vocab_size=32128, d_model=48, num_layers=2, d_ff=64, num_heads=2, d_kv=16,
        feed_forward_proj="gated-gelu"))
    t5_weights = part(weights, "text_encoders.t5xxl.transformer.")
    embedding = t5_weights.get("shared.weight", t5_weights.get("encoder.embed_tokens.weight"))
    t5_weights.update({"shared.weight": embedding, "encoder.embed_tokens.weight": embedding})
    return diffusers.StableDiffusion3Pipeline(
        transformer=load(transformer, single.convert_sd3_transformer_checkpoint_to_diffusers(part(weights, "model.diffusion_model."))),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae_of(weights, 16, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip(CLIP, True, "quick_gelu", single.convert_ldm_clip_checkpoint(weights, "cond_stage_model.transformer.")),
        tokenizer=clip_tokenizer("<|endoftext|>"),
        text_encoder_2=clip(SD3["text_2"], True, "gelu", single.convert_ldm_clip_checkpoint(weights, "text_encoders.clip_g.transformer.")),
        tokenizer_2=clip_tokenizer("!"), text_encoder_3=load(t5, t5_weights), tokenizer_3=T5Words())


# ── both draw ──

STEPS, SEED = 5, 7
PROMPT, NEGATIVE = "A photograph of an astronaut riding a horse", "hello world"
failures = 0


def compare(name, theirs, model, *options):
    global failures
    sumi("generate", "-m", model + ".safetensors", "--type", "f32", "-p", PROMPT, "--steps", STEPS, "-s", SEED, "--sampling-method", "euler",
        "--schedule", "uniform", "-o", "ours.png", *options)
    ours = numpy.asarray(Image.open("ours.png").convert("RGB"), int)
    theirs = numpy.asarray(theirs, int)
    same_size = ours.shape == theirs.shape
    off = abs(ours - theirs).max() if same_size else 255
    between = ((theirs > 0) & (theirs < 255)).mean()  # what is clamped says little
    failed = off > 1 or between < 0.5 or theirs.std() < 16
    print(f"{'OVER' if failed else 'ok  '} {name}: at most {off} of 255; {between:.0%} not clamped, deviation {theirs.std():.0f}", flush=True)
    failures += failed


def draw(pipeline, **options):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(prompt=PROMPT, num_inference_steps=STEPS, generator=torch.Generator().manual_seed(SEED), **options).images[0]


def sdxl():
    pipeline = sdxl_pipeline(write_model(SDXL), True)
    sizes = dict(width=64, height=96, original_size=(640, 512), crops_coords_top_left=(16, 32), target_size=(96, 64))
    compare("SDXL, guided", draw(pipeline, guidance_scale=5.0, negative_prompt=NEGATIVE, width=64, height=64), "tiny-sdxl",
        "-n", NEGATIVE, "--cfg-scale", 5)
    compare("SDXL, no negative prompt", draw(pipeline, guidance_scale=5.0, width=64, height=64), "tiny-sdxl", "--cfg-scale", 5, "--zero-negative")
    compare("SDXL, sizes", draw(pipeline, guidance_scale=1.0, **sizes), "tiny-sdxl", "--cfg-scale", 1, "-W", 64, "-H", 96,
        "--original-size", "512x640", "--crop", "32x16", "--target-size", "64x96")
    return pipeline


def refined(base):
    refiner = refiner_pipeline(write_model(REFINER), base.vae)
    options = dict(guidance_scale=5.0, negative_prompt=NEGATIVE)
    latent = draw(base, denoising_end=0.6, output_type="latent", width=64, height=64, **options)
    compare("SDXL, refined", draw(refiner, image=latent[None], denoising_start=0.6, aesthetic_score=7.0, negative_aesthetic_score=2.0, **options),
        "tiny-sdxl", "-n", NEGATIVE, "--cfg-scale", 5, "--refiner", "tiny-refiner.safetensors", "--refiner-start", 0.6,
        "--aesthetic-score", 7, "--negative-aesthetic-score", 2)


def sd3():
    pipeline = sd3_pipeline(write_model(SD3))
    common = dict(guidance_scale=4.5, negative_prompt=NEGATIVE, max_sequence_length=77, sigmas=[1 - i / STEPS for i in range(STEPS)])
    ours = ("-n", NEGATIVE, "--cfg-scale", 4.5)
    compare("Stable Diffusion 3", draw(pipeline, width=64, height=64, **common), "tiny-sd3", *ours)
    compare("Stable Diffusion 3, 96×64", draw(pipeline, width=96, height=64, **common), "tiny-sd3", "-W", 96, "-H", 64, *ours)
    compare("Stable Diffusion 3, skip-layer guidance", draw(pipeline, width=64, height=64, skip_guidance_layers=[1, 2],
        skip_layer_guidance_scale=2.5, skip_layer_guidance_stop=0.7, **common), "tiny-sd3", "--skip-layers", "1,2", "--skip-layer-end", 0.7, *ours)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        os.chdir(folder)
        refined(sdxl())
        sd3()
        os.chdir(HERE)
    print(f"diffusers {diffusers.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")
    sys.exit(1 if failures else 0)
