"""lists.py SUMI GOLDENS - what requests may name besides models, and A1111's lists of it: control networks, LoRA files,
words, upscalers, new models, settings. Pictures are compared with those of the program's options."""
import base64, json, os, shutil, struct, subprocess, sys, tempfile
from client import SUMI, Server, as_text, check, chunks, finish, make_png, write_safetensors

GOLDENS = sys.argv[2]
ASK = {"prompt": "a cat", "steps": 2, "width": 64, "height": 64, "seed": 7, "sampler_name": "Euler", "cfg_scale": 3}


def header(path):
    with open(path, "rb") as f:
        return json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))


def pixels(answer):
    return chunks(base64.b64decode(answer[1]["images"][0]))[b"IDAT"] if answer[0] == 200 else answer


def drawn(model, *options):
    """The pixels that the program draws."""
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run([SUMI, "generate", "-q", "-m", model, "-p", "a cat", "--steps", "2", "-W", "64", "-H", "64", "-s", "7", "--sampler", "Euler",
                               "--cfg-scale", "3", "-o", folder + "/x.png", *options], capture_output=True, text=True)
        return chunks(open(folder + "/x.png", "rb").read())[b"IDAT"] if made.returncode == 0 else made.stderr


def controls(s, model, folder):
    edges = make_png(64, 64, lambda x, y: 255 if 16 <= x < 48 and 20 <= y < 40 else 0)
    wide = make_png(128, 64, lambda x, y: 255 if 60 <= x < 90 else 40)
    cut = make_png(64, 64, lambda x, y: 255 if 60 <= x + 32 < 90 else 40)
    for name, data in (("edges", edges), ("wide", wide), ("cut", cut)):
        open(f"{folder}/{name}.png", "wb").write(data)
    net = folder + "/controls/tiny.safetensors"

    def ask(unit, path="txt2img", **fields):
        return s.ask("POST", "/sdapi/v1/" + path, {**ASK, **fields, "alwayson_scripts": {"ControlNet": {"args": unit if isinstance(unit, list) else [unit]}}})

    unit = {"image": as_text(edges), "model": "tiny"}
    images = ask(unit)[1]["images"]
    same = s.ask("POST", "/controlnet/detect", {"controlnet_module": "none", "controlnet_input_images": [as_text(edges)]})[1]["images"][0]
    check("what it read is answered behind the picture", len(images) == 2 and images[1] == same, len(images))
    found = ask([{**unit, "module": "canny"}, {**unit, "image": as_text(wide), "save_detected_map": False}], batch_size=2)[1]["images"]
    status, seen, _ = s.ask("POST", "/controlnet/detect", {"controlnet_module": "canny", "controlnet_input_images": [as_text(edges)], "controlnet_processor_res": 64})
    check("edges that were found, of the unit that wants them", len(found) == 3 and found[2] == seen["images"][0], len(found))
    check("no maps", len(ask(unit, override_settings={"control_net_no_detectmap": True})[1]["images"]) == 1
          and ask(unit, send_images=False)[1]["images"] == [])
    check("without a size, as large as the picture", chunks(base64.b64decode(ask(unit, width=0, height=0)[1]["images"][1]))[b"IHDR"][:8]
          == chunks(base64.b64decode(ask(unit, width=0, height=0)[1]["images"][0]))[b"IHDR"][:8])
    check("a unit", pixels(ask(unit)) == drawn(model, "--control-net", net, "--control-image", folder + "/edges.png"))
    check("it changes the picture", pixels(ask(unit)) != pixels(s.ask("POST", "/sdapi/v1/txt2img", ASK)))
    check("of two sizes, it is cut", pixels(ask({**unit, "image": as_text(wide)})) == drawn(model, "--control-net", net, "--control-image", folder + "/cut.png"))
    check("or stretched", pixels(ask({**unit, "image": as_text(wide), "resize_mode": "Just Resize"}))
          == drawn(model, "--control-net", net, "--control-image", folder + "/wide.png"))
    check("its numbers", pixels(ask({**unit, "model": "tiny [abcd1234]", "weight": 0.5, "guidance_start": 0.1, "guidance_end": 0.9, "control_mode": 1, "mask": None,
                                     "module": "canny", "threshold_a": 50, "threshold_b": 100, "low_vram": False, "pixel_perfect": True, "hr_option": "Both"}))
          == drawn(model, "--control-net", net + ":0.5:0.1:0.9", "--control-mode", "prompt", "--control-image", f"canny:50:100:{folder}/edges.png"))
    check("a T2I-Adapter", pixels(ask({**unit, "model": "t2iadapter_sd15", "guidance": 0.5}))
          == drawn(model, "--control-net", folder + "/controls/t2iadapter_sd15.safetensors:1:0:0.5", "--control-image", folder + "/edges.png"))
    check("two units, one off", pixels(ask([{**unit, "enabled": False}, {"input_image": as_text(edges), "model": "tiny", "weight": 0.5},
                                            {"image": {"image": as_text(edges), "mask": None}, "model": "tiny.safetensors"}]))
          == drawn(model, "--control-net", net + ":0.5", "--control-image", folder + "/edges.png", "--control-net", net, "--control-image", folder + "/edges.png"))
    check("img2img: its picture is read where a unit has none", pixels(ask({"model": "tiny"}, "img2img", init_images=[as_text(edges)]))
          == drawn(model, "-i", folder + "/edges.png", "--control-net", net, "--control-image", folder + "/edges.png"))
    for wrong, field in (({"model": "none such"}, "model"), ({"model": "../controls/tiny"}, "model"), ({"module": "openpose"}, "module"), ({"image": None}, "image"),
                         ({"image": "!"}, "image"), ({"weight": 3}, "weight"), ({"weight": "x"}, "weight"), ({"mask": as_text(edges)}, "mask"),
                         ({"control_mode": "x"}, "control_mode"), ({"resize_mode": 4}, "resize_mode"), ({"hr_option": "Low res only"}, "hr_option"),
                         ({"advanced_weighting": [1]}, "advanced_weighting"), ({"effective_region_mask": as_text(edges)}, "effective_region_mask"),
                         ({"image": [as_text(edges), as_text(edges)]}, "mask"), ({"image": [{"image": as_text(edges)}] * 2}, "image"),
                         ({"guidance_start": 0.6, "guidance_end": 0.4}, "guidance_start"), ({"module": "t2ia_style_clipvision"}, "module")):
        status, body, _ = ask({**unit, **wrong})
        check(f"refused: {wrong}", status == 422 and body["detail"][0]["loc"] == ["body", field], body)
    for wrong in ({"ADetailer": {"args": []}}, {"controlnet": 5}, {"controlnet": {"args": 5}}, {"controlnet": {"args": [5]}}, [1], "x",
                  {"controlnet": {"args": [unit] * 9}}):
        status, body, _ = s.ask("POST", "/sdapi/v1/txt2img", {**ASK, "alwayson_scripts": wrong})
        check(f"refused: {str(wrong)[:60]}", status == 422 and body["detail"][0]["loc"] == ["body", "alwayson_scripts"], body)
    status, body, _ = ask({**unit, "image": as_text(make_png(4, 200, lambda x, y: y))}, width=1280, height=1280)
    check("too long to be cut", status == 400 and "too long" in body["detail"], body)
    status, body, _ = ask(unit, width=4096, height=4096)
    check("too many pixels", status == 422 and body["detail"][0]["loc"] == ["body", "width"], body)
    check("its name is said", "ADetailer" in s.ask("POST", "/sdapi/v1/txt2img", {**ASK, "alwayson_scripts": {"ADetailer": {"args": []}}})[1]["detail"][0]["msg"])
    get = lambda path: s.ask("GET", "/controlnet/" + path)[1]
    check("version", get("version") == {"version": 3})
    names = ["None", "canny_tiny", "ip-adapter-plus_sd15", "ip-adapter_sd15", "t2iadapter_sd15", "tiny"]
    check("models", get("model_list") == {"model_list": names}, get("model_list"))
    modules = ["ip-adapter-auto", "ip-adapter_clip_sd15", "ip-adapter_clip_sdxl", "ip-adapter_clip_sdxl_plus_vith"]
    check("modules", get("module_list")["module_list"] == ["none", "canny", *modules] and get("module_list?alias_names=true")["module_list"][3] == "ip-adapter_clip_h"
          and len(get("module_list")["module_detail"]["canny"]["sliders"]) == 3)
    types = get("control_types")["control_types"]
    check("types", types["All"]["model_list"] == names and types["Canny"]["default_model"] == "canny_tiny"
          and types["Canny"]["module_list"] == ["none", "canny"] and types["Depth"]["default_model"] == "None" and types["IP-Adapter"]["default_model"] == names[2]
          and types["IP-Adapter"]["module_list"] == ["none", *modules] and types["T2I-Adapter"]["model_list"] == ["None", "t2iadapter_sd15"], types)
    check("settings", get("settings")["control_net_unit_count"] == 8)
    status, body, _ = s.ask("POST", "/controlnet/detect", {"controlnet_module": "canny", "controlnet_input_images": [as_text(edges)], "controlnet_processor_res": 64})
    found = chunks(base64.b64decode(body["images"][0])) if status == 200 else {b"IHDR": b""}
    check("edges", status == 200 and body["info"] == "Success" and found[b"IHDR"][:8] == struct.pack(">II", 64, 64), body)
    for wrong in ({}, {"controlnet_input_images": ["!"]}, {"controlnet_module": "depth", "controlnet_input_images": [as_text(edges)]},
                  {"controlnet_input_images": [None]}, {"controlnet_input_images": 7}):
        check(f"refused: {str(wrong)[:60]}", s.ask("POST", "/controlnet/detect", wrong)[0] in (400, 422))


def prompts(s, model, folder):
    """IP-Adapters, as ControlNet's extension takes them."""
    picture = make_png(80, 64, lambda x, y: (x * 5 ^ y * 3) & 255)
    open(folder + "/picture.png", "wb").write(picture)
    adapter = folder + "/controls/ip-adapter_sd15.safetensors"

    def ask(unit, path="txt2img", **fields):
        return s.ask("POST", "/sdapi/v1/" + path, {**ASK, **fields, "alwayson_scripts": {"controlnet": {"args": unit if isinstance(unit, list) else [unit]}}})

    unit = {"module": "ip-adapter_clip_sd15", "model": "ip-adapter_sd15", "image": as_text(picture)}
    image = ["--ip-image", folder + "/picture.png", "--clip-vision", folder + "/towers/narrow"]
    alone = drawn(model, "--ip-adapter", adapter, *image)
    answer = ask(unit)
    check("an IP-Adapter, and no map", pixels(answer) == alone and len(answer[1]["images"]) == 1, answer)
    check("it changes the picture", alone != pixels(s.ask("POST", "/sdapi/v1/txt2img", ASK)))
    for module in ("ip-adapter-auto", "ip-adapter_clip_h", "ip-adapter_clip_sdxl_plus_vith"):
        check(module, pixels(ask({**unit, "module": module})) == alone)
    check("its numbers", pixels(ask({**unit, "model": "ip-adapter_sd15 [6a3f6166]", "weight": 0.5, "guidance_start": 0.25, "guidance_end": 0.75, "resize_mode": 1,
                                     "pixel_perfect": False, "control_mode": 0})) == drawn(model, "--ip-adapter", adapter + ":0.5:0.25:0.75", *image))
    check("img2img: its picture is read where a unit has none", pixels(ask({**unit, "image": None}, "img2img", init_images=[as_text(picture)]))
          == drawn(model, "-i", folder + "/picture.png", "--ip-adapter", adapter, *image))
    plus = folder + "/controls/ip-adapter-plus_sd15.safetensors"
    check("two, and a control network", pixels(ask([unit, {**unit, "model": "ip-adapter-plus_sd15"}, {"model": "tiny", "image": as_text(make_png(64, 64, lambda x, y: x))}]))
          != alone and pixels(ask([unit, {**unit, "model": "ip-adapter-plus_sd15"}])) == drawn(model, "--ip-adapter", adapter, "--ip-adapter", plus, *image))
    wide = drawn(model, "--ip-adapter", adapter, *image[:3], folder + "/towers/wide")
    check("the wider of two towers", wide != alone and pixels(ask({**unit, "module": "ip-adapter_clip_sdxl"})) == wide)
    for wrong, field in (({"model": "none such"}, "model"), ({"image": None}, "image"), ({"module": "ip-adapter_face_id"}, "module"), ({"weight": -1}, "weight"),
                         ({"mask": as_text(picture)}, "mask"), ({"ipadapter_input": "x"}, "ipadapter_input"), ({"module": "ip-adapter_pulid"}, "module")):
        status, body, _ = ask({**unit, **wrong})
        check(f"refused: {wrong}", status == 422 and body["detail"][0]["loc"] == ["body", field], body)
    status, body, _ = ask([unit] * 5)
    check("five", status == 422 and "more than 4" in body["detail"][0]["msg"], body)
    for wrong in ({"model": "tiny"}, {"module": "none"}):
        status, body, _ = ask({**unit, **wrong})
        check(f"another kind of file: {wrong}", status == 400 and "not a" in body["detail"], body)


def without_towers(s):
    """A server that was given none lists no such modules, and says what is missing."""
    check("no modules", s.ask("GET", "/controlnet/module_list")[1]["module_list"] == ["none", "canny"])
    unit = {"module": "ip-adapter-auto", "model": "ip-adapter_sd15", "image": as_text(make_png(64, 64, lambda x, y: x))}
    status, body, _ = s.ask("POST", "/sdapi/v1/txt2img", {**ASK, "alwayson_scripts": {"controlnet": {"args": [unit]}}})
    check("no tower", status == 422 and "--clip-vision" in body["detail"][0]["msg"], body)


def broken(s, folder):
    """Files that cannot be used: each API says it of a file by its name, and of no folder (client.py looks at each answer)."""
    for name in ("models/bad.safetensors", "models/worse.ckpt", "controls/bad.safetensors", "loras/bad.safetensors", "loras/worse.pt", "upscalers/bad.pth"):
        open(f"{folder}/{name}", "wb").write(b"rubbish" * 99)
    check("refresh", s.ask("POST", "/sdapi/v1/refresh-checkpoints")[0] == 200)
    picture = as_text(make_png(64, 64, lambda x, y: x))
    unit = lambda model, module: {"alwayson_scripts": {"controlnet": {"args": [{"model": model, "module": module, "image": picture}]}}}
    for what, path, body in (
            ("LoRA", "/sdapi/v1/txt2img", {**ASK, "prompt": "x <lora:bad:1>"}), ("LoRA of another kind", "/sdapi/v1/txt2img", {**ASK, "prompt": "x <lora:worse:1>"}),
            ("no LoRA", "/sdapi/v1/txt2img", {**ASK, "prompt": "x <lora:none:1>"}), ("no LoRA", "/v1/images/generations", {"prompt": "x <lora:none:1>", "size": "64x64"}),
            ("model", "/sdapi/v1/txt2img", {**ASK, "override_settings": {"sd_model_checkpoint": "bad"}}),
            ("model", "/v1/images/generations", {"prompt": "x", "model": "worse", "size": "64x64"}), ("model", "/sdapi/v1/options", {"sd_model_checkpoint": "bad"}),
            ("model", "/sumi/prompt", {"prompt": "x", "model": "bad"}), ("refiner", "/sdapi/v1/txt2img", {**ASK, "steps": 4, "refiner_checkpoint": "bad", "refiner_switch_at": 0.5}),
            ("control", "/sdapi/v1/txt2img", {**ASK, **unit("bad", "canny")}), ("IP-Adapter", "/sdapi/v1/txt2img", {**ASK, **unit("bad", "ip-adapter-auto")}),
            ("upscaler", "/sdapi/v1/extra-single-image", {"image": picture, "upscaler_1": "bad"}),
            ("second pass", "/sdapi/v1/txt2img", {**ASK, "enable_hr": True, "hr_upscaler": "bad"})):
        status, answer, _ = s.ask("POST", path, body)
        said = json.dumps(answer)
        check(f"broken: {what}", status == 400 and ("bad" in said or "worse" in said or "none" in said), answer)
    for path, body in (("/sumi/draw", {**ASK, "override_settings": {"sd_model_checkpoint": "bad"}}), ("/v1/images/generations", {"prompt": "x", "model": "bad", "stream": True})):
        check(f"in a stream: {path}", b"bad.safetensors: " in s.ask("POST", path, body)[1])
    check("what was in use is in use", s.ask("GET", "/sdapi/v1/options")[1]["sd_model_checkpoint"] != "bad.safetensors")
    os.rename(folder + "/models", folder + "/gone")
    status, body, _ = s.ask("POST", "/sdapi/v1/refresh-checkpoints")
    check("a folder that is gone", status == 400 and body["detail"].startswith("models: "), body)
    os.rename(folder + "/gone", folder + "/models")


def loras_and_words(s, model, folder):
    def ask(prompt):
        return s.ask("POST", "/sdapi/v1/txt2img", {**ASK, "prompt": prompt})
    plain = pixels(ask("a cat"))
    with_lora = pixels(ask("a cat <lora:tiny:0.8>"))
    check("a LoRA of the prompt", with_lora != plain and with_lora == drawn(model, "--lora-model-dir", folder + "/loras", "-p", "a cat <lora:tiny:0.8>"))
    check("its weight", pixels(ask("a cat <lora:tiny:0.1>")) not in (plain, with_lora))
    status, body, _ = s.ask("POST", "/v1/images/generations", {"prompt": "a cat <lora:tiny:0.8>", "size": "64x64", "seed": 7})
    check("… of OpenAI's API", status == 200, body)
    status, body, _ = s.ask("POST", "/v1/images/generations", {"prompt": "a cat <lora:none such:1>", "size": "64x64"})
    check("one that is not there", status == 400 and "none such" in body["error"]["message"], body)
    status, body, _ = ask("a cat <lora:../loras/tiny:1>")
    check("a name is no path", status == 400, body)
    word = pixels(ask("a newword"))
    check("a learned word", word != pixels(ask("a otherword")) and word == drawn(model, "--embd-dir", folder + "/words", "-p", "a newword"))
    loras = s.ask("GET", "/sdapi/v1/loras")[1]
    check("loras", [(x["name"], x["path"]) for x in loras] == [("tiny", "tiny.safetensors")] and "alias" in loras[0] and "metadata" in loras[0], loras)
    words = s.ask("GET", "/sdapi/v1/embeddings")[1]
    width = header(model)["cond_stage_model.transformer.text_model.final_layer_norm.bias"]["shape"][0]
    check("embeddings", words["loaded"]["newword"]["vectors"] == 2 and words["loaded"]["newword"]["shape"] == width and words["skipped"] == {}, words)
    shutil.copy(folder + "/loras/tiny.safetensors", folder + "/loras/later.safetensors")
    check("a folder is read anew", [x["name"] for x in s.ask("GET", "/sdapi/v1/loras")[1]] == ["later", "tiny"])
    check("refresh", s.ask("POST", "/sdapi/v1/refresh-loras", {})[:2] == (200, None))


def upscaled(s, folder):
    picture = make_png(20, 12, lambda x, y: 10 * x)
    ask = lambda **fields: s.ask("POST", "/sdapi/v1/extra-single-image", {"image": as_text(picture), **fields})

    def size(answer):
        return struct.unpack(">II", chunks(base64.b64decode(answer[1]["image"]))[b"IHDR"][:8]) if answer[0] == 200 else answer

    check("a network's own factor", size(ask(upscaler_1="tiny", upscaling_resize=2)) == (40, 24), ask(upscaler_1="tiny"))
    open(folder + "/small.png", "wb").write(picture)
    subprocess.run([SUMI, "upscale", "-q", folder + "/small.png", folder + "/large.png", "-m", folder + "/upscalers/tiny.safetensors"], check=True, stdout=subprocess.DEVNULL)
    check("the pixels of sumi upscale", chunks(open(folder + "/large.png", "rb").read())[b"IDAT"]
          == chunks(base64.b64decode(ask(upscaler_1="tiny", upscaling_resize=2)[1]["image"]))[b"IDAT"])
    check("twice through it", size(ask(upscaler_1="tiny", upscaling_resize=4)) == (80, 48))
    check("Lanczos, to multiples of 8", size(ask(upscaler_1="Lanczos", upscaling_resize=3.3)) == (64, 32))
    check("to a size, cut", size(ask(upscaler_1="Lanczos", resize_mode=1, upscaling_resize_w=48, upscaling_resize_h=48)) == (48, 48))
    check("or not", size(ask(upscaler_1="Lanczos", resize_mode=1, upscaling_resize_w=48, upscaling_resize_h=48, upscaling_crop=False)) == (80, 48))
    check("none", size(ask()) == (20, 12))
    for wrong, field in (({"upscaler_1": "no such"}, "upscaler_1"), ({"upscaler_1": "../upscalers/tiny"}, "upscaler_1"), ({"gfpgan_visibility": 1}, "gfpgan_visibility"),
                         ({"upscaling_resize": 0}, "upscaling_resize"), ({"upscaler_1": "Lanczos", "upscaling_resize": 64, "image": as_text(make_png(999, 9, lambda x, y: 0))}, "upscaling_resize"),
                         ({"upscaler_2": "Lanczos", "extras_upscaler_2_visibility": 0.5}, "upscaler_2"), ({"image": ""}, "image"), ({"image": None}, "image")):
        status, body, _ = ask(**wrong)
        check(f"refused: {str(wrong)[:60]}", status in (400, 422) and (status == 400 or body["detail"][0]["loc"] == ["body", field]), body)
    status, body, _ = s.ask("POST", "/sdapi/v1/extra-batch-images", {"imageList": [{"data": as_text(picture), "name": "a"}] * 2, "upscaler_1": "Lanczos"})
    check("a batch", status == 200 and len(body["images"]) == 2 and "upscale by: 2" in body["html_info"], body)
    check("an empty batch", s.ask("POST", "/sdapi/v1/extra-batch-images", {"imageList": []})[0] == 422)
    names = [x["name"] for x in s.ask("GET", "/sdapi/v1/upscalers")[1]]
    check("upscalers", names == ["None", "Lanczos", "tiny"], names)
    second = {**ASK, "enable_hr": True, "hr_scale": 2, "hr_upscaler": "tiny", "denoising_strength": 0.5}
    check("the second pass's", size((200, {"image": s.ask("POST", "/sdapi/v1/txt2img", second)[1]["images"][0]})) == (128, 128))


def models_and_settings(s, model, folder):
    check("a model that is not there yet", s.ask("POST", "/sdapi/v1/txt2img", {**ASK, "override_settings": {"sd_model_checkpoint": "later"}})[0] == 404)
    shutil.copy(model, folder + "/models/later.safetensors")
    check("refresh", s.ask("POST", "/sdapi/v1/refresh-checkpoints")[:2] == (200, None))
    titles = [x["title"] for x in s.ask("GET", "/sdapi/v1/sd-models")[1]]
    check("it is found", titles == ["first.safetensors", "later.safetensors"], titles)
    check("and draws", s.ask("POST", "/sdapi/v1/txt2img", {**ASK, "override_settings": {"sd_model_checkpoint": "later"}})[0] == 200)
    rss = []
    for i in range(12):  # what one model keeps is freed before the other draws
        s.ask("POST", "/sdapi/v1/txt2img", {**ASK, "override_settings": {"sd_model_checkpoint": ("first", "later")[i % 2]}})
        rss.append(s.rss())
    check("models in turn take no more memory", max(rss[6:]) <= 1.05 * max(rss[:4]), rss)
    get = lambda: s.ask("GET", "/sdapi/v1/options")[1]
    put = lambda **settings: s.ask("POST", "/sdapi/v1/options", settings)[0]
    plain = pixels(s.ask("POST", "/sdapi/v1/txt2img", ASK))
    check("what stays as it is", put(**get()) == 200)
    check("clip skip", put(CLIP_stop_at_last_layers=2) == 200 and get()["CLIP_stop_at_last_layers"] == 2)
    skipped = pixels(s.ask("POST", "/sdapi/v1/txt2img", ASK))
    check("it counts", skipped != plain and skipped == drawn(model, "--clip-skip", "2"))
    check("one request's own", pixels(s.ask("POST", "/sdapi/v1/txt2img", {**ASK, "override_settings": {"CLIP_stop_at_last_layers": 1, "sd_vae": "Automatic"}})) == plain)
    check("clip skip back", put(CLIP_stop_at_last_layers=1) == 200 and pixels(s.ask("POST", "/sdapi/v1/txt2img", ASK)) == plain)
    check("an autoencoder that is not there", put(sd_vae="other.pt") == 422 and put(CLIP_stop_at_last_layers=0) == 422)
    check("unload", s.ask("POST", "/sdapi/v1/unload-checkpoint")[0] == 200)
    check("and draw again", pixels(s.ask("POST", "/sdapi/v1/txt2img", ASK)) == plain)
    for name in ("hypernetworks", "face-restorers", "realesrgan-models", "prompt-styles", "script-info", "extensions", "sd-vae"):
        check(name, s.ask("GET", "/sdapi/v1/" + name)[:2] == (200, []))
    check("scripts", s.ask("GET", "/sdapi/v1/scripts")[1] == {"txt2img": ["controlnet"], "img2img": ["controlnet"]})


with tempfile.TemporaryDirectory() as folder:
    for name in ("models", "controls", "loras", "words", "upscalers", "towers", "towers/narrow", "towers/wide"):
        os.mkdir(f"{folder}/{name}")
    model = folder + "/models/first.safetensors"
    shutil.copy(GOLDENS + "/sd1/model.safetensors", model)
    shutil.copy(GOLDENS + "/sd1/config.json", folder + "/models/config.json")
    for name in ("tiny", "canny_tiny"):
        shutil.copy(GOLDENS + "/controlnet/sd1.safetensors", f"{folder}/controls/{name}.safetensors")
    shapes = json.load(open(GOLDENS + "/adapters/shapes.json"))
    for name, key in (("ip-adapter_sd15", "ip.sd1.base"), ("ip-adapter-plus_sd15", "ip.sd1.plus"), ("t2iadapter_sd15", "t2i.sd1.full")):
        write_safetensors(f"{folder}/controls/{name}.safetensors", shapes[key])
    for name, width in (("narrow", 32), ("wide", 64)):
        write_safetensors(f"{folder}/towers/{name}/model.safetensors", {k: [width if n == 32 else n for n in shape] for k, shape in shapes["vision"].items()})
        open(f"{folder}/towers/{name}/config.json", "w").write('{"num_attention_heads": 2, "hidden_act": "gelu"}')
    shutil.copy(GOLDENS + "/lora/kohya.safetensors", folder + "/loras/tiny.safetensors")
    shutil.copy(GOLDENS + "/upscale/compact_x2.safetensors", folder + "/upscalers/tiny.safetensors")
    width = header(model)["cond_stage_model.transformer.text_model.final_layer_norm.bias"]["shape"][0]
    write_safetensors(folder + "/words/newword.safetensors", {"emb_params": [2, width]})
    s = Server("--models", folder + "/models", "--control-net-dir", folder + "/controls", "--lora-model-dir", folder + "/loras",
               "--embd-dir", folder + "/words", "--upscale-model-dir", folder + "/upscalers", "--clip-vision", folder + "/towers/narrow",
               "--clip-vision", folder + "/towers/wide")
    s.hidden = folder
    controls(s, model, folder)
    prompts(s, model, folder)
    loras_and_words(s, model, folder)
    upscaled(s, folder)
    models_and_settings(s, model, folder)
    broken(s, folder)
    check("SIGTERM ends it", s.stop() == 0)
    s = Server("-m", model, "--control-net-dir", folder + "/controls")
    without_towers(s)
    check("SIGTERM ends it", s.stop() == 0)
finish("lists")
