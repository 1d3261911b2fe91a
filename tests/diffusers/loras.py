"""LoRAs that Sumi trained, in diffusers: they load without a key that is not known, and the pictures are Sumi's.

    python tests/diffusers/loras.py SUMI [FOLDER]

`sumi init` writes tiny models of SDXL and Stable Diffusion 3, `sumi train lora` trains on a picture of one colour, with the text
encoders, and diffusers' pipelines load the file; no byte of the pictures may differ by more than 1. FOLDER keeps models' shapes,
LoRAs and diffusers' pictures, from which tests/golden/loras was made. Needs peft besides what pipelines.py does; without it, it
says so and ends with 77."""
import logging, os, shutil, sys, tempfile

try:
    import peft
    import pipelines as p
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)
import numpy, torch, diffusers
from PIL import Image

KEPT = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None
complaints = []


class Complaints(logging.Handler):
    """diffusers and PEFT log what of a file they cannot use."""

    def emit(self, record):
        if record.levelno >= logging.WARNING:
            complaints.append(record.getMessage())


def train(model, keys):
    os.makedirs("set", exist_ok=True)
    Image.new("RGB", (64, 64), (210, 30, 30)).save("set/red.png")
    with open("set/red.txt", "w") as file:
        file.write("hello world")
    file = f"{model}-{keys}.safetensors"
    p.sumi("train", "lora", "--model", model + ".safetensors", "--train_data_dir", "set", "--output", file, "--max_train_steps", 30,
        "--learning_rate", 4e-2, "--network_dim", 2, "--network_alpha", 1, "--train_text_encoder", "--network_keys", keys, "--threads", 1)
    return file


def load(pipeline, file):
    """What diffusers and PEFT complain of as they load it."""
    complaints.clear()
    try:
        pipeline.load_lora_weights(".", weight_name=file, adapter_name="sumi")
    except ValueError as refusal:
        complaints.append(str(refusal))
    return list(complaints)


def in_pefts_keys(model, file):
    """The same change, taken out of the merged model again."""
    again = file.replace(".safetensors", "-again.safetensors")
    p.sumi("convert", model + ".safetensors", "merged.safetensors", "--lora", file)
    p.sumi("lora", "extract", "-m", "merged.safetensors", "--base", model + ".safetensors", "--rank", 2, "--type", "f32",
        "--network-keys", "peft", "-o", again)
    return again


def compare(name, pipeline, model, keys, extract=False, **options):
    file = train(model, keys)
    theirs_reads = in_pefts_keys(model, file) if extract else file
    without = numpy.asarray(p.draw(pipeline, **options), int)
    for complaint in load(pipeline, theirs_reads):
        print(f"OVER {name}: {complaint[:300]}")
        p.failures += 1
    theirs = p.draw(pipeline, **options)
    moved = abs(numpy.asarray(theirs, int) - without).mean()
    p.compare(f"{name}, moved by {moved:.0f}", theirs, model + ".safetensors", *p.EULER, "-n", p.NEGATIVE, "--cfg-scale", options["guidance_scale"], "--lora", file)
    p.failures += moved < 5
    pipeline.unload_lora_weights()
    if KEPT:
        os.makedirs(KEPT, exist_ok=True)
        shutil.copy(file, KEPT)
        shutil.copy(model + ".json", KEPT)
        theirs.save(os.path.join(KEPT, f"{model}-{keys}.png"))


if __name__ == "__main__":
    handler = Complaints()
    for library in ("diffusers", "peft"):
        logging.getLogger(library).addHandler(handler)
    diffusers.utils.logging.set_verbosity_warning()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        os.chdir(folder)
        common = dict(negative_prompt=p.NEGATIVE, width=64, height=64)
        sdxl = p.uniform(diffusers.StableDiffusionXLPipeline.from_pretrained(p.folder_of(p.SDXL)))
        for keys in ("kohya", "peft"):
            compare(f"SDXL, {keys}'s keys", sdxl, "tiny-sdxl", keys, guidance_scale=5.0, **common)
        sd3 = diffusers.StableDiffusion3Pipeline.from_pretrained(p.folder_of(p.SD3))
        compare("Stable Diffusion 3, peft's keys", sd3, "tiny-sd3", "peft", guidance_scale=4.5, max_sequence_length=77,
            sigmas=[1 - i / p.STEPS for i in range(p.STEPS)], **common)
        # kohya's keys of Stable Diffusion 3 are the original's, with q, k and v in one, which diffusers 0.42 has no reader for
        kohya = load(sd3, train("tiny-sd3", "kohya"))
        sd3.unload_lora_weights()
        print(f"      kohya's keys of Stable Diffusion 3, as they are: {kohya[0][:90] if kohya else 'read'}")
        compare("Stable Diffusion 3, kohya's keys taken out of the merged model in peft's", sd3, "tiny-sd3", "kohya", extract=bool(kohya),
            guidance_scale=4.5, max_sequence_length=77, sigmas=[1 - i / p.STEPS for i in range(p.STEPS)], **common)
        os.chdir("/")
    print(f"diffusers {diffusers.__version__}, peft {peft.__version__}")
    sys.exit(1 if p.failures else 0)
