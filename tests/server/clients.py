"""clients.py SUMI - programs that draw through `sumi serve`: the official openai client and webuiapi where they are installed,
and the requests that SillyTavern, ComfyUI's nodes and others send, field by field as their code has them (read in 2026-11)."""
import base64, io, json, struct, zlib
from client import Server, as_text, check, finish, form, make_png

SIZE = {"width": 64, "height": 64, "steps": 2}


def is_png(text):
    return base64.b64decode(text)[:4] == b"\x89PNG"


def openai_client(s):
    try:
        import openai
    except ImportError:
        return False
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{s.port}/v1", api_key="none", max_retries=0)
    check("models", client.models.list().data[0].id == "emoji")
    check("a picture", is_png(client.images.generate(prompt="red heart", size="64x64", model="gpt-image-1").data[0].b64_json))
    check("by address", client.images.generate(prompt="x", n=2, size="64x64", response_format="url", model="dall-e-2").data[1].url.startswith("http://127.0.0.1"))
    events = list(client.images.generate(prompt="x", size="64x64", stream=True, partial_images=2, model="gpt-image-1"))
    check("a stream", [e.type for e in events] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"], [e.type for e in events])
    check("its pictures", all(is_png(e.b64_json) for e in events) and [e.partial_image_index for e in events[:2]] == [0, 1])
    grey = make_png(64, 64, lambda x, y: 128)
    image, mask = io.BytesIO(grey), io.BytesIO(transparent_png(64, 64, lambda x, y: 0 if x < 32 else 255))
    image.name, mask.name = "image.png", "mask.png"
    edited = client.images.edit(image=image, mask=mask, prompt="a cat", size="64x64", model="gpt-image-1")
    check("an edit", is_png(edited.data[0].b64_json))
    events = list(client.images.edit(image=[("a.png", grey, "image/png")], prompt="a cat", size="64x64", model="gpt-image-1", stream=True, partial_images=1))
    check("an edit as a stream", events[-1].type == "image_edit.completed", [e.type for e in events])
    for name, wrong, param in (("n", {"n": 11}, "n"), ("a size", {"size": "0x0"}, "size"), ("a background", {"background": "transparent"}, "background")):
        try:
            client.images.generate(prompt="x", model="gpt-image-1", **wrong)
            check(f"refused: {name}", False)
        except openai.BadRequestError as e:
            check(f"refused: {name}", e.param == param and e.type == "invalid_request_error", (e.param, e.type))
    try:
        client.images.generate(prompt="x", model="no such")
        check("no such model", False)
    except openai.NotFoundError as e:
        check("no such model", e.code == "model_not_found", e)
    return True


def transparent_png(width, height, alpha):
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes(v for x in range(width) for v in (0, 0, 0, alpha(x, y))) for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b""))


def webui_client(s):
    try:
        import webuiapi
        from PIL import Image
    except ImportError:
        return False
    api = webuiapi.WebUIApi(host="127.0.0.1", port=s.port)
    answer = api.txt2img(prompt="red heart", seed=5, steps=2, width=64, height=64, sampler_name="Euler a", cfg_scale=3)
    check("txt2img", answer.image.size == (64, 64) and answer.info["seed"] == 5)
    check("img2img", api.img2img(images=[answer.image], prompt="x", steps=2, width=64, height=64, denoising_strength=0.5).image.size == (64, 64))
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (8, 8, 40, 40))
    check("inpainting", api.img2img(images=[answer.image], mask_image=mask, prompt="x", steps=2, width=64, height=64, inpainting_fill=1).image.size == (64, 64))
    check("hires", api.txt2img(prompt="x", steps=2, width=64, height=64, enable_hr=True, hr_scale=2, hr_upscaler=webuiapi.HiResUpscaler.Latent,
                               denoising_strength=0.6).image.size == (128, 128))
    check("extras", api.extra_single_image(image=answer.image, upscaler_1="Lanczos", upscaling_resize=2).image.size == (128, 128))
    check("extras of two", len(api.extra_batch_images(images=[answer.image] * 2, upscaler_1="Lanczos").images) == 2)
    check("png info", "Steps: 2" in api.png_info(answer.image).info)
    check("options", api.get_options()["sd_model_checkpoint"].startswith("emoji") and api.util_get_current_model().startswith("emoji"))
    api.util_set_model("emoji")
    for name in ("get_samplers", "get_schedulers", "get_sd_models", "get_sd_vae", "get_upscalers", "get_latent_upscale_modes", "get_loras", "get_hypernetworks",
                 "get_face_restorers", "get_realesrgan_models", "get_prompt_styles", "get_scripts", "get_embeddings", "get_memory", "get_progress", "interrupt", "skip",
                 "refresh_checkpoints", "controlnet_version", "controlnet_model_list", "controlnet_module_list"):
        try:
            getattr(api, name)()
        except Exception as e:
            check(name, False, repr(e))
    found = api.controlnet_detect(images=[answer.image], module="canny", processor_res=64)
    check("detect", found.image.size == (64, 64))
    return True


def sillytavern(s):
    """Its server asks /options before each picture, with a password or an empty one; its page sends these fields."""
    names = lambda path: [x["name"] for x in s.ask("GET", "/sdapi/v1/" + path)[1]]
    check("ping", s.ask("GET", "/sdapi/v1/options", headers={"Authorization": "Basic Og=="})[0] == 200)
    check("upscalers: the first is none", names("upscalers")[0] == "None" and names("latent-upscale-modes")[0] == "Latent")
    check("lists", names("samplers") and names("schedulers") and isinstance(s.ask("GET", "/sdapi/v1/sd-vae")[1], list))
    title = s.ask("GET", "/sdapi/v1/sd-models")[1][0]["title"]
    check("set-model", s.ask("POST", "/sdapi/v1/options", {"sd_model_checkpoint": title})[0] == 200)
    idle = s.ask("GET", "/sdapi/v1/progress")[1]
    check("it waits for this", idle["progress"] == 0 and idle["state"]["job_count"] == 0, idle)
    body = {"prompt": "best quality, a cat", "negative_prompt": "lowres", "sampler_name": "DDIM", "scheduler": "karras", **SIZE, "cfg_scale": 7,
            "restore_faces": False, "enable_hr": False, "hr_upscaler": "Latent", "hr_scale": 2, "hr_additional_modules": [], "denoising_strength": 0.7,
            "hr_second_pass_steps": 0, "seed": -1, "override_settings": {"CLIP_stop_at_last_layers": 1, "sd_vae": "Automatic"},
            "override_settings_restore_afterwards": True, "clip_skip": 1, "save_images": True, "send_images": True, "do_not_save_grid": False,
            "do_not_save_samples": False, "url": "http://127.0.0.1:7860", "auth": ""}
    for more in ({}, {"override_settings": {"CLIP_stop_at_last_layers": 1, "sd_vae": "None"}}, {"override_settings": {"CLIP_stop_at_last_layers": 1, "sd_vae": ""}},
                 {"enable_hr": True}, {"enable_hr": True, "hr_upscaler": "None"}, {"scheduler": "automatic"}):
        status, answer, _ = s.ask("POST", "/sdapi/v1/txt2img", {**body, **more}, headers={"Authorization": "Basic Og=="})
        check(f"SillyTavern {more}", status == 200 and is_png(answer["images"][0]), answer)
    status, answer, _ = s.ask("POST", "/v1/images/generations", {"prompt": "a cat", "model": "dall-e-3", "n": 1, "size": "64x64", "quality": "standard", "style": "vivid",
                                                                 "response_format": "b64_json"})
    check("its OpenAI source", status == 200 and is_png(answer["data"][0]["b64_json"]), answer)


def others(s):
    """ComfyUI's OpenAI nodes; nodes and bots that call A1111 with all of its fields at their defaults."""
    status, answer, _ = s.ask("POST", "/v1/images/generations", {"prompt": "a cat", "model": "gpt-image-1", "quality": "low", "background": "auto", "n": 1, "seed": 0,
                                                                 "size": "64x64", "moderation": "low"})
    check("ComfyUI's node", status == 200 and is_png(answer["data"][0]["b64_json"]), answer)
    status, answer, _ = s.ask("POST", "/v1/images/generations", {"prompt": "a cat", "model": "dall-e-2", "n": 1, "seed": 7, "size": "64x64"})
    check("its older one", status == 200, answer)
    everything = {"prompt": "a cat", "negative_prompt": "", "styles": [], "seed": -1, "subseed": -1, "subseed_strength": 0, "seed_resize_from_h": -1, "seed_resize_from_w": -1,
                  "sampler_name": "Euler a", "batch_size": 1, "n_iter": 1, **SIZE, "cfg_scale": 7, "restore_faces": False, "tiling": False, "do_not_save_samples": False,
                  "do_not_save_grid": False, "eta": 0, "denoising_strength": 0, "s_min_uncond": 0, "s_churn": 0, "s_tmax": 0, "s_tmin": 0, "s_noise": 1,
                  "override_settings": {}, "override_settings_restore_afterwards": True, "refiner_checkpoint": "", "refiner_switch_at": 0.8, "disable_extra_networks": False,
                  "comments": {}, "enable_hr": False, "firstphase_width": 0, "firstphase_height": 0, "hr_scale": 2, "hr_upscaler": "", "hr_second_pass_steps": 0,
                  "hr_resize_x": 0, "hr_resize_y": 0, "hr_checkpoint_name": "", "hr_sampler_name": "", "hr_prompt": "", "hr_negative_prompt": "", "sampler_index": "Euler",
                  "script_name": "", "script_args": [], "send_images": True, "save_images": False, "alwayson_scripts": {}}
    status, answer, _ = s.ask("POST", "/sdapi/v1/txt2img", everything)
    check("all of A1111's fields", status == 200, answer)
    status, answer, _ = s.ask("POST", "/sdapi/v1/img2img", {**everything, "init_images": [as_text(make_png(64, 64, lambda x, y: x))], "resize_mode": 0, "denoising_strength": 0.75,
                                                            "image_cfg_scale": 0, "mask": None, "mask_blur_x": 4, "mask_blur_y": 4, "mask_blur": 0, "inpainting_fill": 0,
                                                            "inpaint_full_res": True, "inpaint_full_res_padding": 0, "inpainting_mask_invert": 0, "initial_noise_multiplier": 0,
                                                            "latent_mask": "", "include_init_images": False})
    check("… and of img2img", status == 200 and answer["parameters"]["init_images"] is None, answer)
    check("the noise of churned steps", s.ask("POST", "/sdapi/v1/txt2img", {**everything, "s_noise": 1.01})[0] == 422)
    again = s.ask("POST", "/sdapi/v1/img2img", {"prompt": "x", **SIZE, "init_images": [as_text(make_png(64, 64, lambda x, y: x))], "include_init_images": True})[1]
    check("with what it began with", len(again["parameters"]["init_images"]) == 1, again["parameters"])
    info = json.loads(again["info"])
    check("all that A1111 says of pictures", {"prompt", "all_prompts", "negative_prompt", "all_negative_prompts", "seed", "all_seeds", "subseed", "all_subseeds", "subseed_strength",
                                             "width", "height", "sampler_name", "cfg_scale", "steps", "batch_size", "restore_faces", "face_restoration_model", "sd_model_name",
                                             "sd_model_hash", "sd_vae_name", "sd_vae_hash", "seed_resize_from_w", "seed_resize_from_h", "denoising_strength",
                                             "extra_generation_params", "index_of_first_image", "infotexts", "styles", "job_timestamp", "clip_skip",
                                             "is_using_inpainting_conditioning", "version"} <= set(info), sorted(info))
    status, answer, _ = s.ask("POST", "/sdapi/v1/txt2img", {"prompt": "x", **SIZE, "sampler_name": "DPM++ 2M Karras"})
    check("a sampler with its schedule in its name", status == 200 and "Schedule type: Karras" in json.loads(answer["info"])["infotexts"][0], answer)


def bot(s):
    """AIYA, a bot for Discord: it looks for /cmd-flags and for the page, and sends no style as a name, steps as half of others."""
    check("cmd-flags", s.ask("GET", "/sdapi/v1/cmd-flags")[1] == {"api": True} and s.ask("HEAD", "/")[0] == 200)
    body = {"prompt": "a cat", "negative_prompt": "", **SIZE, "cfg_scale": 7, "sampler_index": "Euler a", "seed": 5, "seed_resize_from_h": -1, "seed_resize_from_w": -1,
            "denoising_strength": None, "n_iter": 1, "batch_size": 1, "styles": ["None"], "override_settings": {"CLIP_stop_at_last_layers": 1}}
    for more in ({}, {"styles": [""]}, {"steps": 3, "enable_hr": True, "hr_upscaler": "Latent", "hr_scale": 2, "hr_second_pass_steps": 1.5, "denoising_strength": 0.5}):
        status, answer, _ = s.ask("POST", "/sdapi/v1/txt2img", {**body, **more})
        check(f"AIYA {more}", status == 200 and is_png(answer["images"][0]), answer)
    check("another style", s.ask("POST", "/sdapi/v1/txt2img", {**body, "styles": ["None", "noir"]})[0] == 422)
    said = s.ask("POST", "/sdapi/v1/png-info", {"image": "data:image/png;base64," + answer["images"][0]})[1]["info"]
    check("what it writes into its files", said.startswith("a cat\nSteps: 3"), said)
    status, answer, _ = s.ask("POST", "/sdapi/v1/extra-single-image", {"upscaling_resize": 2, "upscaler_1": "Lanczos", "image": "data:image/png;base64," + as_text(make_png(16, 16, lambda x, y: x)),
                                                                       "gfpgan_visibility": 0, "codeformer_visibility": 0, "upscale_first": False})
    check("its upscaling", status == 200 and is_png(answer["image"]), answer)


def open_webui(s):
    """It chooses a model by sending all settings back, and draws with few fields, or as OpenAI's clients do, with an edit's form."""
    title = s.ask("GET", "/sdapi/v1/sd-models")[1][0]["title"]
    settings = s.ask("GET", "/sdapi/v1/options", headers={"Authorization": ""})[1]
    check("its model", s.ask("POST", "/sdapi/v1/options", {**settings, "sd_model_checkpoint": title})[0] == 200)
    status, answer, _ = s.ask("POST", "/sdapi/v1/txt2img", {"prompt": "a cat", "batch_size": 2, **SIZE, "negative_prompt": "x"}, headers={"Authorization": ""})
    check("its pictures", status == 200 and len(answer["images"]) == 2 and "info" in answer, answer)
    body = {"model": "gpt-image-1", "prompt": "a cat", "n": 1, "size": "64x64", "response_format": "b64_json"}
    check("its other engine", is_png(s.ask("POST", "/v1/images/generations?api-version=2024", body)[1]["data"][0]["b64_json"]))
    raw, headers = form({**{k: str(v) for k, v in body.items()}, "image[]": make_png(64, 64, lambda x, y: x)})
    check("its edit", is_png(s.ask("POST", "/v1/images/edits", raw=raw, headers=headers)[1]["data"][0]["b64_json"]))


server = Server()
bot(server)
open_webui(server)
sillytavern(server)
others(server)
ran = [openai_client(server), webui_client(server)]
check("SIGTERM ends it", server.stop() == 0)
if not any(ran):
    print("neither openai nor webuiapi is installed: the requests of others alone were sent")
finish("clients")
