"""Other programs read what stands in our pictures: two readers from PyPI, and A1111's own.

    python tests/readers.py SUMI MODEL [--webui PATH]

Draws pictures with many options, and every reader must give back the prompts and the values. The readers: sd-parsers and
sd-prompt-reader, where they are installed; and, where PATH is a checkout of A1111's webui (or A1111_WEBUI names one), its
modules/infotext_utils.py, whose imports of the rest of the webui are stubs (it wants lark and torch). Without any of them it says so and ends with 77."""
import argparse, hashlib, importlib, os, struct, subprocess, sys, tempfile, types

try:
    from PIL import Image
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

arguments = argparse.ArgumentParser()
arguments.add_argument("sumi", type=os.path.abspath)
arguments.add_argument("model", type=os.path.abspath)
arguments.add_argument("--webui", default=os.environ.get("A1111_WEBUI"))
given = arguments.parse_args()
SUMI, MODEL = given.sumi, given.model
GOLDEN = os.path.dirname(os.path.dirname(MODEL))
LORAS = os.path.join(GOLDEN, "lycoris")

# ── the readers: from a picture to prompt, negative prompt and named values, as each names them ──


def a1111():
    """The module as it is, with infotext_versions and prompt_parser; what else it imports are empty modules, and the settings that it
    reads are their defaults."""
    if not given.webui:
        raise ImportError("no checkout of the webui (--webui PATH)")
    options = types.SimpleNamespace(infotext_styles="Ignore", use_old_hires_fix_width_height=False, infotext_skip_pasting=[], auto_backcompat=True)
    stubs = {"gradio": dict(update=dict), "modules.paths": dict(data_path=""), "modules.shared": dict(opts=options)}
    for name, values in stubs.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(values)

    class Rest(types.ModuleType):
        __path__ = [os.path.join(os.path.abspath(given.webui), "modules")]
        shared = sys.modules["modules.shared"]

        def __getattr__(self, name):
            if name.startswith(("_", "infotext", "prompt_parser")):
                raise AttributeError(name)
            return types.ModuleType(name)

    sys.modules["modules"] = Rest("modules")
    parse = importlib.import_module("modules.infotext_utils").parse_generation_parameters

    def read(picture):
        values = parse(text_of(picture))
        for key in [key[:-2] for key in values if key.endswith("-1") and values[key]]:
            values[key] = f"{values.pop(key + '-1')}x{values.pop(key + '-2')}"
        return values.pop("Prompt"), values.pop("Negative prompt"), values

    return read


def sd_parsers():
    from sd_parsers import ParserManager

    def read(picture):
        found = ParserManager().parse(picture)
        [sampler] = found.samplers
        values = {**{key: str(value) for key, value in found.metadata.items()}, "Sampler": sampler.name, "Model": sampler.model.name,
            "Model hash": sampler.model.hash}
        names = {"cfg_scale": "CFG scale", "seed": "Seed", "steps": "Steps", "scheduler": "Schedule type"}
        values.update({names.get(key, key): str(value) for key, value in sampler.parameters.items()})
        return " ".join(p.value for p in sampler.prompts), " ".join(p.value for p in sampler.negative_prompts), values

    return read


def sd_prompt_reader():
    from sd_prompt_reader.image_data_reader import ImageDataReader

    def read(picture):
        found = ImageDataReader(picture)
        names = {"model": "Model", "sampler": "Sampler", "seed": "Seed", "cfg": "CFG scale", "steps": "Steps", "size": "Size"}
        assert found.tool.startswith("A1111"), found.tool
        return found.positive, found.negative, {names[key]: value for key, value in found.parameter.items()}

    return read


def text_of(picture):
    """As webui reads it: PNG's text, or EXIF's UserComment."""
    with Image.open(picture) as image:
        if "parameters" in image.info:
            return image.info["parameters"]
        comment = image.getexif().get_ifd(0x8769)[0x9286]
    return comment[8:].decode("utf-16-be" if comment.startswith(b"UNICODE") else "utf8")


readers = {}
for name, make in {"sd-parsers": sd_parsers, "sd-prompt-reader": sd_prompt_reader, "A1111": a1111}.items():
    try:
        readers[name] = make()
    except (ImportError, OSError) as missing:
        print(f"without {name}: {missing}")
if not readers:
    print("skipped: no reader is here")
    sys.exit(77)

# ── the pictures ──


def file_hash(path, header=False):
    """SHA-256 of a file, or of what lies behind its header."""
    with open(path, "rb") as file:
        if header:
            file.seek(8 + struct.unpack("<Q", file.read(8))[0])
        return hashlib.sha256(file.read()).hexdigest()


BLOCKS = "1," * 16 + "0.5"
HASHES = {name: file_hash(f"{LORAS}/{name}.safetensors", header=True)[:12] for name in ("loha", "lokr")}
CONTROL = os.path.join(GOLDEN, "controlnet", "sd1.safetensors")
MASKED = ["-i", "start.png", "--mask", "mask.png"]
CASES = {
    "plain": dict(prompt="a red fox in the snow", options=[], values={"Model hash": file_hash(MODEL)[:10], "RNG": "CPU", "Clip skip": "1"}),
    "guided": dict(prompt='a "quoted" cat, (soft:1.2), [day:night:0.5], 50% grey', negative="ugly, (bad:1.2)",
        options=["--cfg-scale", "6.5", "--sampling-method", "dpm++2m", "--schedule", "karras", "--clip-skip", "2"],
        values={"CFG scale": "6.5", "Sampler": "DPM++ 2M", "Schedule type": "Karras", "Clip skip": "2"}),
    "lines": dict(prompt="a cat\non a mat,\nAND a dog: 10", negative="one\ntwo", options=["--eta", "0.5", "--sampling-method", "ddim"],
        values={"Eta": "0.5", "Sampler": "DDIM"}),
    "emphasis": dict(prompt="((a cat)), [[dim]], \\(paren\\), {curly} BREAK a dog:2, C:\\path, <b>, #1 \t& 'x', \"\"", options=[]),
    "braces": dict(prompt='a {"json": [1, 2]}, (((', negative='"', options=[]),
    "lora": dict(prompt=f"a fox <lora:loha:0.5:lbw={BLOCKS}>, ink", options=["--lora-model-dir", LORAS, "--lora", f"{LORAS}/lokr.safetensors:0.3:te=0.7"],
        drawn=f"a fox <lora:loha:0.5:lbw={BLOCKS}>, ink <lora:lokr:0.3:te=0.7>",
        values={"Lora hashes": f"lokr: {HASHES['lokr']}, loha: {HASHES['loha']}"}),
    "words": dict(prompt="Füchse, 狐, 🦊 and Ⅷ", negative="плохо", options=[]),
    "unguided": dict(prompt="a cat", options=["--cfg-scale", "1", "--variation-strength", "0.2", "--variation-seed", "9"],
        values={"CFG scale": "1", "Variation seed": "9", "Variation seed strength": "0.2"}),
    "hires": dict(prompt="a cat", options=["--hires", "--hires-scale", "2", "--hires-steps", "2", "--hires-denoise", "0.6"],
        values={"Hires upscale": "2", "Hires steps": "2", "Hires upscaler": "Latent", "Denoising strength": "0.6"}),
    "lanczos": dict(prompt="a cat", options=["--hires", "--hires-scale", "1.5", "--hires-upscaler", "lanczos"],
        values={"Hires upscale": "1.5", "Hires upscaler": "Lanczos", "Denoising strength": "0.7"}),
    "inpaint": dict(prompt="a cat", options=[*MASKED, "--mask-blur", "4", "--mask-fill", "latent noise", "--only-masked", "--mask-padding", "16",
        "--invert-mask", "--strength", "0.5"], values={"Mask blur": "4", "Masked content": "latent noise", "Inpaint area": "Only masked",
        "Masked area padding": "16", "Mask mode": "Inpaint not masked", "Denoising strength": "0.5"}),
    "painted": dict(prompt="a cat", options=[*MASKED, "--mask-fill", "fill"], values={"Masked content": "fill", "Inpaint area": "Whole picture",
        "Mask mode": "Inpaint masked", "Denoising strength": "0.75"}),
    # Two of the readers split a text wherever "Negative prompt:" or "Model:" stands, within quotes too.
    "control": dict(not_for={"sd-parsers"}, prompt="a cat", options=["--control-net", f"{CONTROL}:0.8:0:0.5", "--control-image", "canny:start.png", "--control-mode", "prompt"],
        values={"ControlNet 0": "Module: canny, Threshold A: 100, Threshold B: 200, Model: sd1, Weight: 0.8, Resize Mode: Just Resize, "
        "Guidance Start: 0, Guidance End: 0.5, Control Mode: My prompt is more important"}),
    "wildcard": dict(prompt="a __colour__ cat", options=["--wildcards", "."], drawn="a (red, or: so) cat"),
    "values": dict(prompt="a cat", options=["--guidance-method", "apg:eta=0.1,norm=4", "--freeu", "1.5,1.6,0.9,0.2", "--deep-cache", "2:1", "--rng", "cuda"],
        values={"Guidance method": "apg:eta=0.1,norm=4", "FreeU": "1.5,1.6,0.9,0.2", "DeepCache": "2:1", "RNG": "NV"}),
    "between": dict(prompt="a cat", options=["--prompt-to", 'a "dog", of: Steps: 3', "--blend", "0.3"],
        values={"Prompt to": 'a "dog", of: Steps: 3', "Blend": "0.3"}),
    # A line that a reader would take for something else goes behind "()" or into the line before it.
    "negative": dict(not_for={"sd-parsers", "sd-prompt-reader"}, prompt="Negative prompt: a cat", options=[], drawn="()Negative prompt: a cat"),
    "steps": dict(not_for={"sd-parsers", "sd-prompt-reader"}, prompt="a cat\nNegative prompt: a dog\nSteps: 4, Sampler: x, Seed: 1", negative="Steps: 9, Sampler: y, Seed: 2", options=[],
        drawn="a cat Negative prompt: a dog Steps: 4, Sampler: x, Seed: 1"),
}
KNOWN = {"sd-parsers": {"Steps", "Sampler", "CFG scale", "Seed", "Schedule type", "Model", "Model hash", "Size", "Variation seed"},
    "sd-prompt-reader": {"Steps", "Sampler", "CFG scale", "Seed", "Model", "Size"}}
failures = compared = 0


def expect(what, found, wanted):
    global failures, compared
    compared += 1
    if found != wanted:
        failures += 1
        print(f"OVER {what}: {found!r} instead of {wanted!r}")


def draw(path, prompt, options=(), negative=None):
    said = ["-n", negative] if negative is not None else []
    done = subprocess.run([SUMI, "generate", "-q", "-m", MODEL, "-p", prompt, "-W", "64", "-H", "64", "--steps", "3", "-s", "7", "-o", path, *options, *said],
        capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{path}: {done.stderr}")


def check(path, case):
    model = os.path.splitext(os.path.basename(MODEL))[0]
    wanted = {"Steps": "3", "Seed": "7", "Size": "64x64", "Model": model, **case.get("values", {})}
    for reader, read in readers.items():
        if reader in case.get("not_for", ()):
            continue
        prompt, negative, values = read(path)
        expect(f"{reader}, {path}: prompt", prompt, case.get("drawn", case["prompt"]))
        expect(f"{reader}, {path}: negative prompt", negative, case.get("negative", ""))
        for key, value in wanted.items():
            if key in KNOWN.get(reader, {key}):
                expect(f"{reader}, {path}: {key}", values.get(key), value)


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    draw("start.png", "a picture to begin from")
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 16, 48, 40))
    mask.save("mask.png")
    with open("colour.txt", "w", encoding="utf8") as file:
        file.write("(red, or: so)\n")
    for name, case in CASES.items():
        for ending in ("png", "jpg", "webp"):
            draw(f"{name}.{ending}", case["prompt"], case["options"], case.get("negative"))
            check(f"{name}.{ending}", case)
print(f"{', '.join(readers)}: {compared} compared, {failures} over")
sys.exit(1 if failures else 0)
