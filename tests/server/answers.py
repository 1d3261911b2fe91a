"""answers.py SUMI - talks to `sumi serve` as clients do, well and badly: both APIs, streams, limits, keys, foreign
pages, clients that leave, many at once, and the end by a signal. Python's own library alone. Prints what differs; exits 1
if anything does."""
import base64, http.client, json, os, re, signal, socket, struct, subprocess, tempfile, threading, time
from client import SANITIZED, SUMI, Server, as_text, check, chunks, finish, form, make_png, wait

SMALL = {"prompt": "smiling cat", "steps": 2, "width": 64, "height": 64, "seed": 7, "sampler_name": "Euler", "cfg_scale": 2}
LONG = {**SMALL, "steps": 1000, "width": 128, "height": 128}


def openai(s):
    status, body, _ = s.ask("POST", "/v1/images/generations", {"prompt": "red heart", "seed": 5, "model": "gpt-image-1"})
    png = base64.b64decode(body["data"][0]["b64_json"])
    check("a picture of 128 x 128", status == 200 and chunks(png)[b"IHDR"][:8] == struct.pack(">II", 128, 128), status)
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/x.png"
        subprocess.run([SUMI, "generate", "-q", "-p", "red heart", "-s", "5", "-o", path], check=True, stdout=subprocess.DEVNULL)
        check("the pixels of sumi generate", chunks(open(path, "rb").read())[b"IDAT"] == chunks(png)[b"IDAT"])
    _, body, _ = s.ask("POST", "/v1/images/generations", {"prompt": "x", "n": 2, "size": "64x64", "output_format": "jpeg",
                                                          "response_format": "url"})
    paths = ["/" + d["url"].split("/", 3)[3] for d in body["data"]]
    for path in paths:
        status, jpeg, headers = s.ask("GET", path)
        check("a picture by its address", status == 200 and jpeg[:2] == b"\xff\xd8" and headers["Content-Type"] == "image/jpeg")
    check("another name is no picture", s.ask("GET", "/pictures/../../etc/passwd")[0] == 404)
    for wrong, field in (({}, "prompt"), ({"prompt": 5}, "prompt"), ({"prompt": "x", "n": 0}, "n"), ({"prompt": "x", "n": 1.5}, "n"),
                         ({"prompt": "x", "size": "64"}, "size"), ({"prompt": "x", "size": "999999x64"}, "size"),
                         ({"prompt": "x", "output_format": "gif"}, "output_format"), ({"prompt": "x", "stream": "yes"}, "stream"),
                         ({"prompt": "x", "background": "transparent"}, "background")):
        status, body, _ = s.ask("POST", "/v1/images/generations", wrong)
        check(f"refused: {wrong}", status == 400 and body["error"]["param"] == field, body)
    status, body, _ = s.ask("POST", "/v1/images/generations", {"prompt": "x", "model": "other"})
    check("an unknown model", status == 404 and body["error"]["code"] == "model_not_found", body)
    status, body, _ = s.ask("POST", "/v1/images/generations", {"prompt": "x", "model": "€" * 200})
    check("an unknown model whose name is cut", status == 404 and "€€" not in body["error"]["message"], body)
    check("another address is no model", s.ask("GET", "/pictures/none.png")[1]["error"]["code"] is None)
    check("models", s.ask("GET", "/v1/models")[1]["data"][0]["id"] == "emoji")
    _, text, headers = s.ask("POST", "/v1/images/generations", {"prompt": "x", "stream": True, "partial_images": 2, "size": "64x64"})
    events = re.findall(r"event: (\S+)\ndata: (.*)\n\n", text.decode())
    check("a stream", headers["Content-Type"] == "text/event-stream", headers)
    check("its events", [e[0] for e in events] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"], events)
    check("its pictures", all(base64.b64decode(json.loads(e[1])["b64_json"])[:4] == b"\x89PNG" for e in events))
    return png


def edits(s, png):
    raw, headers = form({"prompt": "a dog", "image": png, "size": "128x128"})
    status, body, _ = s.ask("POST", "/v1/images/edits", raw=raw, headers=headers)
    check("an edit", status == 200 and len(body["data"]) == 1, body)
    raw, headers = form({"prompt": "a dog", "image": png, "mask": png})
    status, body, _ = s.ask("POST", "/v1/images/edits", raw=raw, headers=headers)
    check("a mask without a transparent part", status == 400 and body["error"]["param"] == "mask", body)
    raw, headers = form({"prompt": "a dog", "image": b"no picture"})
    check("no picture", s.ask("POST", "/v1/images/edits", raw=raw, headers=headers)[0] == 400)
    check("a form cut short", s.ask("POST", "/v1/images/edits", raw=raw[:60], headers=headers)[0] == 400)


def as_the_program_draws(s, png):
    """A1111's fields draw what the options of `sumi generate` draw."""
    mask = make_png(128, 128, lambda x, y: 255 if 32 <= x < 72 and 40 <= y < 88 else 0)
    wide = make_png(192, 128, lambda x, y: x + y & 255)
    body = {**SMALL, "denoising_strength": 0.75}
    whole = {"inpaint_full_res": 0, "inpainting_fill": 1, "mask_blur": 0}
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (("init", png), ("mask", mask), ("wide", wide)):
            open(f"{folder}/{name}.png", "wb").write(data)
        painted = {"init_images": [as_text(png)], "mask": as_text(mask)}
        options = ["--mask", folder + "/mask.png"]
        only = ["--only-masked", "--mask-padding"]
        for fields, options in (
                (painted, [*options, "--mask-blur", "4", "--mask-fill", "fill", *only, "0"]),
                ({**painted, "mask_blur": 2, "inpainting_fill": 3, "inpaint_full_res": True, "inpaint_full_res_padding": 16},
                 [*options, "--mask-blur", "2", "--mask-fill", "latent nothing", *only, "16"]),
                ({**painted, **whole}, options),
                ({**painted, **whole, "inpainting_mask_invert": 1}, [*options, "--invert-mask"]),
                ({**painted, **whole, "inpainting_fill": 2, "mask_blur": None, "mask_blur_x": 3, "mask_blur_y": 3},
                 [*options, "--mask-fill", "latent noise", "--mask-blur", "3"]),
                ({"init_images": [as_text(wide)], "resize_mode": 0}, []),
                ({"init_images": [as_text(wide)], "resize_mode": 1}, ["--resize-mode", "crop"]),
                ({"init_images": [as_text(wide)], "resize_mode": 2}, ["--resize-mode", "pad"]),
                ({"enable_hr": True}, ["--hires-scale", "2", "--hires-denoise", "0.75"]),
                ({"enable_hr": True, "hr_scale": 1.5, "hr_upscaler": "Lanczos", "hr_second_pass_steps": 3, "denoising_strength": 0.5,
                  "hr_sampler_name": "Use same sampler"},
                 ["--hires-scale", "1.5", "--hires-upscaler", "lanczos", "--hires-steps", "3", "--hires-denoise", "0.5"])):
            status, answer, _ = s.ask("POST", "/sdapi/v1/" + ("img2img" if "init_images" in fields else "txt2img"), {**body, **fields})
            init = fields.get("init_images")
            init = ["--init-img", folder + ("/init.png" if init == [as_text(png)] else "/wide.png")] if init else []
            subprocess.run([SUMI, "generate", "-q", "-p", SMALL["prompt"], "--steps", "2", "-W", "64", "-H", "64", "-s", "7", "--sampler", "Euler",
                            "--cfg-scale", "2", *(["--strength", "0.75"] if init else []), *init, *options, "-o", folder + "/x.png"], check=True, stdout=subprocess.DEVNULL)
            drawn = chunks(open(folder + "/x.png", "rb").read())
            said = {k: v for k, v in fields.items() if k not in ("init_images", "mask")}
            seen = chunks(base64.b64decode(answer["images"][0])) if status == 200 else answer
            check(f"as sumi generate {options[-6:]}: {said}", status == 200 and seen[b"IDAT"] == drawn[b"IDAT"], seen)
    for wrong, field in (({"mask_round": False}, "mask_round"), ({"inpainting_fill": 4}, "inpainting_fill"), ({"resize_mode": 3}, "resize_mode"),
                         ({"mask_blur_x": 1}, "mask_blur_y"), ({"inpaint_full_res": 2}, "inpaint_full_res"), ({"enable_hr": True}, "enable_hr"),
                         ({"latent_mask": as_text(mask)}, "latent_mask"), ({"initial_noise_multiplier": 0.5}, "initial_noise_multiplier")):
        status, answer, _ = s.ask("POST", "/sdapi/v1/img2img", {**body, **painted, **wrong})
        check(f"refused: {wrong}", status == 422 and answer["detail"][0]["loc"] == ["body", field], answer)
    for wrong, field in (({"hr_upscaler": "/etc/passwd"}, "hr_upscaler"), ({"hr_upscaler": "R-ESRGAN 4x+"}, "hr_upscaler"),
                         ({"hr_resize_x": 512}, "hr_resize_x"), ({"hr_prompt": "x"}, "hr_prompt"), ({"hr_sampler_name": "DDIM"}, "hr_sampler_name"),
                         ({"hr_scale": 9}, "hr_scale")):
        status, answer, _ = s.ask("POST", "/sdapi/v1/txt2img", {**SMALL, "enable_hr": True, **wrong})
        check(f"refused: {wrong}", status == 422 and answer["detail"][0]["loc"] == ["body", field], answer)
    modes = [x["name"] for path in ("latent-upscale-modes", "upscalers") for x in s.ask("GET", "/sdapi/v1/" + path)[1]]
    check("upscalers", modes == ["Latent", "Latent (nearest-exact)", "None", "Lanczos"], modes)
    title = s.ask("GET", "/sdapi/v1/sd-models")[1][0]["title"]
    refined = {**SMALL, "steps": 4, "refiner_checkpoint": title, "refiner_switch_at": 0.5}
    status, answer, _ = s.ask("POST", "/sdapi/v1/txt2img", refined)
    check("refined", status == 200 and "Refiner switch at: 0.5" in json.loads(answer["info"])["infotexts"][0], answer)
    check("a refiner is no path", s.ask("POST", "/sdapi/v1/txt2img", {**refined, "refiner_checkpoint": "/etc/passwd"})[0] == 404)
    check("no refiner", s.ask("POST", "/sdapi/v1/txt2img", {**SMALL, "refiner_checkpoint": "None", "refiner_switch_at": 0})[0] == 200)
    info = json.loads(s.ask("POST", "/sdapi/v1/txt2img", {**SMALL, "batch_size": 2, "subseed": 3, "subseed_strength": 0.2})[1]["info"])
    check("variations of one seed", info["all_seeds"] == [7, 7] and info["all_subseeds"] == [3, 4] and
          all(f"Variation seed: {3 + i}" in info["infotexts"][i] for i in range(2)), info)


def a1111(s, png):
    status, body, _ = s.ask("POST", "/sdapi/v1/txt2img", {**SMALL, "batch_size": 2, "n_iter": 2})
    info = json.loads(body["info"])
    check("four pictures", status == 200 and len(body["images"]) == 4 and info["all_seeds"] == [7, 8, 9, 10], body)
    text = s.ask("POST", "/sdapi/v1/png-info", {"image": body["images"][2]})[1]
    check("what a picture says", text["parameters"]["Seed"] == "9" and text["info"] == info["infotexts"][2], text)
    one = s.ask("POST", "/sdapi/v1/txt2img", {**SMALL, "seed": 9})[1]["images"][0]
    check("the third of a batch is the picture of its seed", chunks(base64.b64decode(one))[b"IDAT"] == chunks(base64.b64decode(body["images"][2]))[b"IDAT"])
    latin = make_png(8, 8, lambda x, y: 0, (b"tEXt", b"parameters\0caf\xe9\nSteps: 3"))
    status, text, _ = s.ask("POST", "/sdapi/v1/png-info", {"image": as_text(latin)})
    check("a text of a picture that is not UTF-8", status == 200 and text["parameters"]["Steps"] == "3", text)
    picture = "data:image/png;base64," + as_text(png)
    status, body, _ = s.ask("POST", "/sdapi/v1/img2img", {**SMALL, "init_images": [picture], "denoising_strength": 0.5})
    check("image to image", status == 200 and len(body["images"]) == 1 and body["parameters"]["init_images"] is None, body)
    check("no picture to begin with", s.ask("POST", "/sdapi/v1/img2img", SMALL)[0] == 404)
    for wrong, field in (({"steps": "x"}, "steps"), ({"steps": 0}, "steps"), ({"width": 99999}, "width"), ({"batch_size": 65}, "batch_size"),
                         ({"restore_faces": True}, "restore_faces"), ({"alwayson_scripts": {"x": {}}}, "alwayson_scripts"),
                         ({"override_settings": {"eta_noise_seed_delta": 31337}}, "override_settings")):
        status, body, _ = s.ask("POST", "/sdapi/v1/txt2img", {**SMALL, **wrong})
        check(f"refused: {wrong}", status == 422 and body["detail"][0]["loc"] == ["body", field], body)
    status, body, _ = s.ask("POST", "/sdapi/v1/txt2img", {**SMALL, "sampler_name": "no such"})
    check("an unknown sampler", status == 400 and "no such" in body["detail"], body)
    check("samplers", any(x["name"] == "Euler a" for x in s.ask("GET", "/sdapi/v1/samplers")[1]))
    check("schedulers", any(x["label"].lower() == "karras" for x in s.ask("GET", "/sdapi/v1/schedulers")[1]))
    title = s.ask("GET", "/sdapi/v1/sd-models")[1][0]["title"]
    check("the model in use", s.ask("GET", "/sdapi/v1/options")[1]["sd_model_checkpoint"] == title)
    check("choosing it", s.ask("POST", "/sdapi/v1/options", {"sd_model_checkpoint": title})[0] == 200)
    check("an unknown setting", s.ask("POST", "/sdapi/v1/options", {"xyz": 1})[0] == 422)
    answer = []
    t = threading.Thread(target=lambda: answer.append(s.ask("POST", "/sdapi/v1/txt2img", LONG)))
    t.start()
    for _ in range(400):
        p = s.ask("GET", "/sdapi/v1/progress")[1]
        if p["progress"] > 0 and p["current_image"]:
            break
        time.sleep(0.02)
    check("progress with a picture", 0 < p["progress"] < 1 and base64.b64decode(p["current_image"])[:4] == b"\x89PNG", p)
    s.ask("POST", "/sdapi/v1/interrupt", {})
    t.join(600)
    check("interrupted", answer[0][0] == 200 and json.loads(answer[0][1]["info"])["interrupted"], answer)


def bad(s):
    check("no such address", s.ask("GET", "/nothing")[0] == 404)
    status, _, headers = s.ask("GET", "/v1/images/generations")
    check("another method", status == 405 and headers["Allow"] == "POST", headers)
    check("two methods", s.ask("PUT", "/sdapi/v1/options")[2]["Allow"] == "GET, POST, HEAD")
    check("a seed that is too large", s.ask("POST", "/v1/images/generations", {"prompt": "x", "seed": 2**62})[0] == 400)
    check("no object of settings", s.ask("POST", "/sdapi/v1/txt2img", {**SMALL, "override_settings": []})[0] == 422)
    for raw in (b"", b"x", b"[]", b"{", b'{"prompt":"\xff"}', b'{"prompt":"a","prompt":"b"}', b"[" * 100000):
        check(f"not JSON: {raw[:20]}", s.ask("POST", "/v1/images/generations", raw=raw)[0] == 400)
    raw = b'{"prompt":"' + b",[" * 20000 + b'\\",["}'
    check("a long prompt is text", s.ask("POST", "/v1/images/generations", raw=raw[:-1] + b',"n":0}')[1]["error"]["param"] == "n")
    status, body, _ = s.ask("POST", "/v1/images/generations", raw=b'{"prompt":[' + b"[]," * 20000 + b"[]]}")
    check("too many values", status == 400 and "values" in body["error"]["message"], body)
    check("a name that is not ours", s.ask("GET", "/health", headers={"Host": "evil.example"})[0] == 421)
    check("a name that looks like an address", s.ask("GET", "/health", headers={"Host": f"127.evil.example:{s.port}"})[0] == 421)
    for host in ("localhost:1", "127.0.0.2", "[::1]:7860", "[::1]"):
        check(f"our name {host}", s.ask("GET", "/health", headers={"Host": host})[0] == 200)
    for host in ("", ":", "[", "[]", "[::1", "::1", "10.0.0.1", "[::2]"):
        check(f"not our name: {host}", s.ask("GET", "/health", headers={"Host": host})[0] == 421)
    status, text, headers = s.ask("HEAD", "/style.css")
    check("HEAD", status == 200 and int(headers["Content-Length"]) > 100 and not text, headers)
    s.ask("GET", "/%ff")
    s.log.seek(0)
    lines = [json.loads(line) for line in s.log if line.startswith("{")]
    check("the log of a path that is not UTF-8", lines[-1]["path"] is None and lines[-1]["status"] == 404, lines[-1])
    raw = b'------sumi\r\nContent-Disposition: form-data\r\n\r\nabc\r\n------sumi--\r\n'
    status, body, _ = s.ask("POST", "/v1/images/edits", raw=raw, headers={"Content-Type": "multipart/form-data; boundary=----sumi"})
    check("a part of a form without a name", status == 400 and "form" in body["error"]["message"], body)
    check("a page of another site", s.ask("POST", "/sdapi/v1/txt2img", SMALL, {"Origin": "https://evil.example"})[0] == 403)
    check("a page of ours", s.ask("GET", "/health", headers={"Origin": f"http://127.0.0.1:{s.port}"})[0] == 200)
    check("too large, as it says", s.ask("POST", "/sdapi/v1/txt2img", raw=b"x", headers={"Content-Length": "99999999999"}, timeout=5)[0] == 413)
    for junk in (b"GET", b"\x00\x01\x02\r\n\r\n", b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
                 b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
        c = socket.create_connection(("127.0.0.1", s.port))
        c.sendall(junk)
        c.close()
    check("alive after all that", s.ask("GET", "/health")[0] == 200)


def leaving(s):
    for path, body in (("/sdapi/v1/txt2img", LONG), ("/v1/images/generations", {"prompt": "x", "size": "1024x1024", "stream": True})):
        before = s.metric('sumi_jobs_total{result="cancelled"}')
        c = http.client.HTTPConnection("127.0.0.1", s.port)
        c.request("POST", path, json.dumps(body))
        time.sleep(0.3)
        c.close()
        for _ in range(200):
            if s.metric('sumi_jobs_total{result="cancelled"}') > before:
                break
            time.sleep(0.05)
        check(f"cancelled when the client of {path} leaves", s.metric('sumi_jobs_total{result="cancelled"}') == before + 1)


def many(s):
    """16 clients; every request gets one answer, and nothing grows."""
    lock, answers = threading.Lock(), []
    s.make_networks(SMALL)

    def client(k):
        for i in range(4):
            body = {**SMALL, "seed": 100 * k + i}
            if k % 5 == 4:
                c = socket.create_connection(("127.0.0.1", s.port))
                c.sendall(b"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{")
                c.close()
            else:
                status = s.ask("POST", "/sdapi/v1/txt2img", body if k % 5 != 3 else {"steps": -1})[0]
                with lock:
                    answers.append((k % 5 == 3, status))

    for round in range(4):
        threads = [threading.Thread(target=client, args=(k,)) for k in range(16)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        if round == 0:
            rss = s.rss()
    right = all(status == (422 if wrong else 200) for wrong, status in answers)
    check("16 clients are all answered", right and len(answers) == 4 * 4 * 13, answers)
    check("memory stays within 2 %", s.rss() < 1.02 * rss or SANITIZED, (rss, s.rss()))  # load.py looks closer


def figures(s):
    """What /metrics and the log say."""
    text = s.ask("GET", "/metrics")[1].decode()
    types = dict(re.findall(r"^# TYPE (\w+) (counter|gauge)$", text, re.M))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    named = [re.fullmatch(r"(\w+)(\{\w+=\"\w+\"\})? (\d+(\.\d+)?)", line) for line in lines]
    check("Prometheus' text", len(lines) >= 10 and all(named) and {m[1] for m in named} == set(types), text)
    before = [s.metric(name) for name in ('sumi_jobs_total{result="done"}', "sumi_pictures_total", "sumi_batches_total", "sumi_drawing_seconds_total")]
    s.ask("POST", "/sdapi/v1/txt2img", {**SMALL, "batch_size": 3})
    after = [s.metric(name) for name in ('sumi_jobs_total{result="done"}', "sumi_pictures_total", "sumi_batches_total", "sumi_drawing_seconds_total")]
    check("a request of three pictures", [b - a for a, b in zip(before, after)][:3] == [1, 3, 1] and after[3] > before[3], (before, after))
    check("what sessions keep", s.metric("sumi_session_bytes") > 1e6 and s.metric("sumi_uptime_seconds") >= 0)
    s.log.seek(0)
    lines = [json.loads(line) for line in s.log if line.startswith("{")]
    last = [line for line in lines if line["path"] == "/sdapi/v1/txt2img"][-1]
    check("a line of the log", list(last) == ["time", "client", "method", "path", "status", "ms"] and last["client"] == "127.0.0.1" and last["method"] == "POST"
          and last["status"] == 200 and last["ms"] > 0 and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", last["time"]), last)


def together(s):
    """Requests of one shape that wait are drawn together: each has the picture that it has alone, and its own end."""
    def behind_a_long_one(bodies):
        """Sends the bodies while another is drawn, which then ends; their threads and answers."""
        answers = [None] * len(bodies)
        def send(i):
            answers[i] = s.ask("POST", "/sdapi/v1/txt2img", bodies[i])
        first = threading.Thread(target=lambda: s.ask("POST", "/sdapi/v1/txt2img", LONG))
        first.start()
        check("one is drawn", wait(lambda: s.metric("sumi_drawing") == 1))
        threads = [threading.Thread(target=send, args=(i,)) for i in range(len(bodies))]
        [t.start() for t in threads]
        check("the rest waits", wait(lambda: s.metric("sumi_queue_waiting") == len(bodies)))
        s.ask("POST", "/sdapi/v1/interrupt", {})
        first.join(600)
        return threads, answers

    bodies = [{**SMALL, "seed": 70 + i, "prompt": p} for i, p in enumerate(("red heart", "a dog", "smiling cat " * 30, "x"))]
    bodies += [{**SMALL, "steps": 3}, {**SMALL, "sampler_name": "DDIM"}]
    before = s.metric("sumi_batches_total")
    threads, answers = behind_a_long_one(bodies)
    [t.join(600) for t in threads]
    check("batches: the long one, four alike, two others", s.metric("sumi_batches_total") == before + 4, s.metric("sumi_batches_total") - before)
    for body, answer in zip(bodies, answers):
        alone = s.ask("POST", "/sdapi/v1/txt2img", body)
        check(f"the same bytes as alone: {body}", answer[0] == 200 and answer[1]["images"] == alone[1]["images"], answer[0])

    cancelled = s.metric('sumi_jobs_total{result="cancelled"}')
    threads, answers = behind_a_long_one([{**SMALL, "seed": i, "steps": 300} for i in range(2)])
    check("two are drawn together", wait(lambda: s.metric("sumi_drawing") == 2), s.metric("sumi_drawing"))
    s.ask("POST", "/sdapi/v1/interrupt", {})
    check("one ends at once", wait(lambda: sum(a is not None for a in answers) == 1, 5), [a and a[0] for a in answers])
    [t.join(600) for t in threads]
    stopped = [json.loads(a[1]["info"])["interrupted"] for a in answers]
    check("and the other is drawn", sorted(stopped) == [False, True] and s.metric('sumi_jobs_total{result="cancelled"}') == cancelled + 2, stopped)
    threads, answers = behind_a_long_one([{**SMALL, "sampler_name": "no such", "seed": i} for i in range(2)])
    [t.join(600) for t in threads]
    check("what is wrong with both is said to each", [a[0] for a in answers] == [400, 400], [a[0] for a in answers])


def limits():
    s = Server("--max-queue", "1", "--max-body", "10K", "--idle-unload", "0.001")
    results = []
    threads = []
    for _ in range(4):
        threads.append(threading.Thread(target=lambda: results.append(s.ask("POST", "/sdapi/v1/txt2img", LONG))))
        threads[-1].start()
        time.sleep(0.2)
    time.sleep(0.2)
    refused = [r for r in results if r[0] == 429]
    check("a full queue", len(refused) == 2 and refused[0][2]["Retry-After"] == "5", results)
    left = http.client.HTTPConnection("127.0.0.1", s.port)
    s.ask("POST", "/sdapi/v1/interrupt", {})
    for _ in range(100):  # until the one that waited is drawn
        if s.metric("sumi_queue_waiting") == 0:
            break
        time.sleep(0.05)
    left.request("POST", "/sdapi/v1/txt2img", json.dumps(LONG))
    time.sleep(0.2)
    check("one waits", s.metric("sumi_queue_waiting") == 1)
    left.close()
    for _ in range(100):
        if s.metric("sumi_queue_waiting") == 0:
            break
        time.sleep(0.05)
    check("it leaves the queue with its client", s.metric("sumi_queue_waiting") == 0 and s.metric("sumi_drawing") == 1)
    check("a large body", s.ask("POST", "/sdapi/v1/txt2img", {"prompt": "x" * 20000})[0] == 413)
    s.ask("POST", "/sdapi/v1/interrupt", {})
    time.sleep(0.3)
    s.ask("POST", "/sdapi/v1/interrupt", {})
    [t.join(600) for t in threads]
    for _ in range(100):
        if s.metric("sumi_session_bytes") == 0:
            break
        time.sleep(0.05)
    check("idle: what sessions keep is freed", s.metric("sumi_session_bytes") == 0)
    check("and drawn with again", s.ask("POST", "/sdapi/v1/txt2img", SMALL)[0] == 200)
    check("interrupted by SIGINT", s.stop(signal.SIGINT) == 0)


def none_may_wait():
    s = Server("--max-queue", "0")
    check("one is drawn where none may wait", s.ask("POST", "/sdapi/v1/txt2img", SMALL)[0] == 200)
    t = threading.Thread(target=lambda: s.ask("POST", "/sdapi/v1/txt2img", LONG))
    t.start()
    time.sleep(0.3)
    check("and a second refused", s.ask("POST", "/sdapi/v1/txt2img", SMALL)[0] == 429)
    check("ended while it draws", s.stop(signal.SIGINT) == 0)
    t.join(600)


def key_and_end():
    with tempfile.NamedTemporaryFile("w") as f:
        for text in ("", "\nsecond line\n", "x" * 600):
            f.seek(0)
            f.truncate()
            f.write(text)
            f.flush()
            wrong = subprocess.run([SUMI, "serve", "--api-key", f.name, "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=20)
            check(f"no key: {text[:20]!r}", wrong.returncode == 3 and "first line" in wrong.stderr, wrong)
    with tempfile.NamedTemporaryFile("w") as f:
        f.write("secret\n")
        f.flush()
        s = Server("--api-key", f.name)
    check("no key", s.ask("GET", "/v1/models")[0] == 401)
    check("a wrong key", s.ask("GET", "/v1/models", headers={"Authorization": "Bearer secret2"})[0] == 401)
    check("the key", s.ask("GET", "/v1/models", headers={"Authorization": "Bearer secret"})[0] == 200)
    basic = "Basic " + base64.b64encode(b"me:secret").decode()
    check("the key as a password", s.ask("GET", "/v1/models", headers={"Authorization": basic})[0] == 200)
    answer = []
    body = {**SMALL, "steps": 40, "width": 128, "height": 128}
    t = threading.Thread(target=lambda: answer.append(s.ask("POST", "/sdapi/v1/txt2img", body, {"Authorization": basic})))
    t.start()
    time.sleep(0.5)
    code = s.stop()
    t.join(600)
    check("SIGTERM loses no picture that is being drawn", code == 0 and answer and answer[0][0] == 200 and answer[0][1]["images"], answer)


server = Server()
first = openai(server)
edits(server, first)
a1111(server, first)
as_the_program_draws(server, first)
bad(server)
leaving(server)
many(server)
figures(server)
together(server)
check("SIGTERM ends it", server.stop() == 0)
limits()
none_may_wait()
key_and_end()
wrong = subprocess.run([SUMI, "serve", "--listen", "127.0.0.1"], capture_output=True, text=True)
check("an address without a port", wrong.returncode == 2 and "ADDRESS:PORT" in wrong.stderr, wrong)
wrong = subprocess.run([SUMI, "serve", "-m", "/nowhere.safetensors", "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=60,
                       env={**os.environ, "SUMI_MODEL": "/elsewhere.safetensors"})  # what is typed stands in its place
check("a model that is not there", wrong.returncode == 3 and "nowhere" in wrong.stderr, wrong)
finish("serve")
