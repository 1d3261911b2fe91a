"""Other programs read what stands in our pictures: two readers from PyPI, and A1111's own.

    python tests/readers.py SUMI MODEL [INFOTEXT_UTILS]

Draws pictures with many options, and every reader must give back the prompts and the values. The readers: sd-parsers and
sd-prompt-reader, where they are installed; and, where INFOTEXT_UTILS is a copy of modules/infotext_utils.py of A1111's webui
(or A1111_INFOTEXT_UTILS names one), its parse_generation_parameters, taken out of the file and run. Without any of them it
says so and ends with 77."""
import ast, os, re, subprocess, sys, tempfile, types

SUMI, MODEL = map(os.path.abspath, sys.argv[1:3])
INFOTEXT = sys.argv[3] if len(sys.argv) > 3 else os.environ.get("A1111_INFOTEXT_UTILS", "")
LORAS = os.path.join(os.path.dirname(MODEL), "..", "lycoris")

# ── the readers: from a picture to prompt, negative prompt and named values, as each names them ──


def a1111(path):
    """modules/infotext_utils.py wants the whole webui: what parses the text is taken out, its settings are their defaults."""
    wanted = {"re_param_code", "re_param", "re_imagesize", "unquote", "restore_old_hires_fix_params", "parse_generation_parameters"}
    with open(path, encoding="utf8") as file:
        tree = ast.parse(file.read())
    named = lambda node: getattr(node, "name", None) or getattr((getattr(node, "targets", None) or [None])[0], "id", None)
    tree.body = [node for node in tree.body if named(node) in wanted or isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    options = types.SimpleNamespace(infotext_styles="Ignore", use_old_hires_fix_width_height=False, infotext_skip_pasting=[])
    world = {"re": re, "json": __import__("json"), "shared": types.SimpleNamespace(opts=options),
        "infotext_versions": types.SimpleNamespace(backcompat=lambda values: None)}
    exec(compile(tree, path, "exec"), world)

    def read(picture):
        values = world["parse_generation_parameters"](text_of(picture))
        values["Size"] = f"{values.pop('Size-1')}x{values.pop('Size-2')}"
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
    from PIL import Image

    with Image.open(picture) as image:
        if "parameters" in image.info:
            return image.info["parameters"]
        comment = image.getexif().get_ifd(0x8769)[0x9286]
    return comment[8:].decode("utf-16-be" if comment.startswith(b"UNICODE") else "utf8")


readers = {}
for name, make in {"sd-parsers": sd_parsers, "sd-prompt-reader": sd_prompt_reader, "A1111": a1111}.items():
    try:
        readers[name] = make(INFOTEXT) if name == "A1111" else make()
    except (ImportError, OSError) as missing:
        print(f"without {name}: {missing}")
if not readers:
    print("skipped: no reader is here")
    sys.exit(77)

# ── the pictures ──

BLOCKS = "1," * 16 + "0.5"
CASES = {
    "plain": dict(prompt="a red fox in the snow", options=[]),
    "guided": dict(prompt='a "quoted" cat, (soft:1.2), [day:night:0.5], 50% grey', negative="ugly, (bad:1.2)",
        options=["--cfg-scale", "6.5", "--sampling-method", "dpm++2m", "--schedule", "karras", "--clip-skip", "2"],
        values={"CFG scale": "6.5", "Sampler": "DPM++ 2M", "Schedule type": "Karras", "Clip skip": "2"}),
    "lines": dict(prompt="a cat\non a mat,\nAND a dog: 10", negative="one\ntwo", options=["--eta", "0.5", "--sampling-method", "ddim"]),
    "lora": dict(prompt=f"a fox <lora:loha:0.5:lbw={BLOCKS}>, ink", options=["--lora-model-dir", LORAS, "--lora", f"{LORAS}/lokr.safetensors:0.3:te=0.7"],
        drawn=f"a fox <lora:loha:0.5:lbw={BLOCKS}>, ink <lora:lokr:0.3:te=0.7>"),
    "words": dict(prompt="Füchse, 狐, 🦊 and Ⅷ", negative="плохо", options=[]),
    "unguided": dict(prompt="a cat", options=["--cfg-scale", "1", "--variation-strength", "0.2", "--variation-seed", "9"],
        values={"CFG scale": "1", "Variation seed": "9"}),
    "hires": dict(prompt="a cat", options=["--hires", "--hires-scale", "2"]),
}
KNOWN = {"sd-parsers": {"Steps", "Sampler", "CFG scale", "Seed", "Schedule type", "Model", "Model hash", "Size", "Clip skip", "Variation seed"},
    "sd-prompt-reader": {"Steps", "Sampler", "CFG scale", "Seed", "Model", "Size"}}
failures = compared = 0


def expect(what, found, wanted):
    global failures, compared
    compared += 1
    if found != wanted:
        failures += 1
        print(f"OVER {what}: {found!r} instead of {wanted!r}")


def draw(case, path):
    given = [*case["options"], "-n", case["negative"]] if "negative" in case else case["options"]
    done = subprocess.run([SUMI, "generate", "-q", "-m", MODEL, "-p", case["prompt"], "-W", "64", "-H", "64", "--steps", "3", "-s", "7", "-o", path, *given],
        capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{path}: {done.stderr}")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for name, case in CASES.items():
        for ending in ("png", "jpg", "webp"):
            path = f"{name}.{ending}"
            draw(case, path)
            for reader, read in readers.items():
                prompt, negative, values = read(path)
                expect(f"{reader}, {path}: prompt", prompt, case.get("drawn", case["prompt"]))
                expect(f"{reader}, {path}: negative prompt", negative, case.get("negative", ""))
                model = os.path.splitext(os.path.basename(MODEL))[0]
                for key, value in {"Steps": "3", "Seed": "7", "Size": "64x64", "Model": model, **case.get("values", {})}.items():
                    if key in KNOWN.get(reader, {key}):
                        expect(f"{reader}, {path}: {key}", values.get(key), value)
print(f"{', '.join(readers)}: {compared} compared, {failures} over")
sys.exit(1 if failures else 0)
