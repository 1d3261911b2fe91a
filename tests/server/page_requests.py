"""page_requests.py SUMI - what the page asks of `sumi serve` under /sumi/, asked well and badly: prompts read, pictures as they
grow, the gallery."""
import base64, http.client, json, os, random, re, shutil, tempfile, threading, time
from client import SUMI, Server, as_text, check, chunks, finish, make_png, wait

SMALL = {"prompt": "smiling cat", "steps": 4, "width": 64, "height": 64, "seed": 7, "cfg_scale": 2}


def events(s, body):
    status, text, headers = s.ask("POST", "/sumi/draw", body)
    if status != 200:
        return status, text
    check("lines of JSON", headers["Content-Type"] == "application/x-ndjson", headers)
    return status, [json.loads(line) for line in text.decode().splitlines()]


def reading(s):
    status, about, _ = s.ask("GET", "/sumi/about")
    check("about", status == 200 and about["model"] == "emoji" and about["width"] == 128 and about["most_pictures"] == 64, about)
    check("about another model", s.ask("GET", "/sumi/about?model=other")[0] == 404)
    status, said, _ = s.ask("POST", "/sumi/prompt", {"prompt": "a (cat:1.3) [dark] \\(x\\)"})
    weights = [(p["text"], round(p["weight"], 3)) for p in said["pieces"]]
    check("a prompt's weights", weights == [("a ", 1), ("cat", 1.3), (" ", 1), ("dark", 0.909), (" (x)", 1)], weights)
    check("and its tokens", status == 200 and said["tokens"] > 3 and said["room"] >= said["tokens"], said)
    more = s.ask("POST", "/sumi/prompt", {"prompt": "cat " * 30})[1]
    check("a longer prompt takes more chunks", more["tokens"] == 30 and more["room"] >= 30 and more["room"] % said["room"] == 0, more)
    for wrong in ({"prompt": 5}, {"prompt": "x" * 70000}):
        status, body, _ = s.ask("POST", "/sumi/prompt", wrong)
        check("a prompt that is none", status == 422 and "prompt" in body["detail"][0]["msg"], body)
    check("a model that is not there", s.ask("POST", "/sumi/prompt", {"prompt": "x", "model": "/etc/passwd"})[0] == 404)


def drawing(s):
    _, told = events(s, {**SMALL, "batch_size": 2, "steps": 8})
    steps = [e["step"] for e in told if e.get("stage") == "denoise"]
    check("steps", len(steps) > 1 and steps == sorted(steps), told)
    check("previews", any(base64.b64decode(e["preview"])[:4] == b"\x89PNG" for e in told if "preview" in e), told)
    made = [e for e in told if "image" in e]
    check("pictures with their seeds", [e["seed"] for e in made] == [7, 8] and "Seed: 7" in made[0]["text"], made)
    check("the end", told[-1] == {"done": "emoji"}, told[-1])
    status, body, _ = s.ask("POST", "/sdapi/v1/txt2img", {**SMALL, "steps": 8})
    check("the picture of A1111's API", body["images"][0] == made[0]["image"])
    picture = as_text(make_png(64, 64, lambda x, y: x * 4))
    _, told = events(s, {**SMALL, "init_images": [picture], "denoising_strength": 0.5})
    check("from a picture", "Denoising strength: 0.5" in [e for e in told if "image" in e][0]["text"], told[-1])
    check("a field that is wrong", events(s, {**SMALL, "steps": 0})[0] == 422)
    check("no body", s.ask("POST", "/sumi/draw")[0] == 422)
    _, told = events(s, {**SMALL, "width": 12})
    check("a refusal in words", "12" in told[-1].get("error", ""), told)


def listening(s):
    _, told = events(s, {**SMALL, "words": ["cat", "smiling"]})
    made = [e for e in told if "image" in e][0]
    maps = [base64.b64decode(m) for m in made["words"]["maps"]]
    places = made["words"]["width"] * made["words"]["height"]
    check("a map for each word", len(maps) == 2 and maps[0] != maps[1] and all(len(m) == places and max(m) == 255 for m in maps), made["words"])
    check("and the same picture", made["image"] == [e for e in events(s, SMALL)[1] if "image" in e][0]["image"])
    check("a word that is not there", "fox" in events(s, {**SMALL, "words": ["fox"]})[1][-1].get("error", ""))
    for wrong in (["x"] * 65, [5]):
        check("words that are none", events(s, {**SMALL, "words": wrong})[0] == 422)


def leaving(s):
    c = http.client.HTTPConnection("127.0.0.1", s.port)
    c.request("POST", "/sumi/draw", json.dumps({**SMALL, "steps": 1000, "width": 128, "height": 128}))
    r = c.getresponse()
    r.readline()
    told = []
    waiter = threading.Thread(target=lambda: told.extend(events(s, SMALL)[1]))
    waiter.start()
    check("it waits", wait(lambda: s.metric("sumi_queue_waiting") == 1))
    before = s.metric('sumi_jobs_total{result="cancelled"}')
    r.close()
    c.close()
    waiter.join(30)
    check("a client that leaves cancels", s.metric('sumi_jobs_total{result="cancelled"}') == before + 1)
    check("how many go before", told[0] == {"before": 1} and {"before": 0} in told and "done" in told[-1], told)


def nonsense(s):
    """Each field as anything: refused or done, and the server lives."""
    chance = random.Random(15)
    things = [None, True, 0, -1, 1.5, 1e308, 2**62, "", "x", "é\u0000", "9" * 400, [], [[]], {}, {"a": None}, ["x", 5], "data:image/png;base64,AAAA"]
    fields = ["prompt", "negative_prompt", "model", "words", "steps", "width", "height", "seed", "cfg_scale", "batch_size", "init_images",
              "mask", "override_settings", "alwayson_scripts", "sampler_name", "scheduler", "set", "kind", "options", "name"]
    for _ in range(250):
        path = chance.choice(["/sumi/draw", "/sumi/prompt", "/sumi/training", "/sumi/training/stop"])
        body = {**SMALL, "steps": 1, **{chance.choice(fields): chance.choice(things) for _ in range(chance.randint(1, 3))}}
        for name in ("steps", "batch_size"):  # what is right would take long
            body[name] = 1 if type(body.get(name, 1)) in (int, float) and body.get(name, 1) > 1 else body.get(name, 1)
        status, text, _ = s.ask("POST", path, body)
        check(f"{path} {body}", status in (200, 400, 404, 422), (status, text))
    check("it lives", s.ask("GET", "/health")[0] == 200)


def without_gallery(s):
    for method, path in (("GET", "/sumi/gallery"), ("GET", "/sumi/gallery/x.png"), ("DELETE", "/sumi/gallery/x.png")):
        status, body, _ = s.ask(method, path)
        check("no gallery", status == 404 and "--gallery" in body["detail"], body)
    status, body, _ = s.ask("GET", "/sumi/training")
    check("no training", status == 404 and "--training" in body["detail"], body)
    check("another method", s.ask("POST", "/sumi/gallery", {})[0] == 405)


def gallery():
    with tempfile.TemporaryDirectory() as top:
        folder = top + "/pictures"
        s = Server("--gallery", folder)
        empty = s.ask("GET", "/sumi/gallery")[1]
        check("an empty gallery", empty == {"pictures": [], "more": False}, empty)
        names = []
        for i in range(3):
            told = events(s, {**SMALL, "seed": i})[1]
            names.append([e for e in told if "image" in e][0]["name"])
            time.sleep(0.02)
        check("kept as files", sorted(os.listdir(folder)) == sorted(names), os.listdir(folder))
        listed = s.ask("GET", "/sumi/gallery?count=2")[1]
        check("newest first", [p["name"] for p in listed["pictures"]] == names[:0:-1] and listed["more"], listed)
        one = listed["pictures"][0]
        check("with their settings", one["values"]["Seed"] == "2" and one["values"]["Prompt"] == "smiling cat" and one["width"] == 64, one)
        rest = s.ask("GET", "/sumi/gallery?behind=" + names[1])[1]
        check("and so on", [p["name"] for p in rest["pictures"]] == [names[0]] and not rest["more"], rest)
        status, png, headers = s.ask("GET", "/sumi/gallery/" + names[0])
        check("a picture", status == 200 and headers["Content-Type"] == "image/png" and png == open(f"{folder}/{names[0]}", "rb").read())
        secret = top + "/secret.png"
        open(secret, "wb").write(png)
        os.symlink(secret, folder + "/link.png")
        open(folder + "/broken.png", "w").write("no picture")
        open(folder + "/notes.txt", "w").write("no picture")
        for path in ("../secret.png", "..%2fsecret.png", "%2e%2e/secret.png", "link.png", "notes.txt", "", ".", "x" * 5000 + ".png"):
            for method in ("GET", "DELETE"):
                check(f"not from outside: {method} {path[:40]}", s.ask(method, "/sumi/gallery/" + path)[0] == 404)
        check("nothing was deleted", os.path.exists(secret) and os.path.exists(folder + "/notes.txt"))
        listed = s.ask("GET", "/sumi/gallery")[1]
        check("what is no picture is not listed", sorted(p["name"] for p in listed["pictures"]) == sorted(names), listed)
        check("deleted", s.ask("DELETE", "/sumi/gallery/" + names[0])[0] == 200 and not os.path.exists(f"{folder}/{names[0]}"))
        check("once", s.ask("DELETE", "/sumi/gallery/" + names[0])[0] == 404)
        check("foreign pages do not delete", s.ask("DELETE", "/sumi/gallery/" + names[1], headers={"Origin": "http://x.example"})[0] == 403)
        s.stop()
    s = Server("--gallery", "/proc/nowhere")
    told = events(s, SMALL)[1]
    check("a picture that cannot be kept is given, and it is said", any(re.fullmatch(r"not kept in the gallery, \S+\.png: .+", e.get("not_kept", "")) and "nowhere" not in e["not_kept"]
                                                                          for e in told if "image" in e), told[-1])
    s.stop()


def training():
    with tempfile.TemporaryDirectory() as top:
        folder = top + "/sets"
        os.makedirs(folder + "/cats")
        os.makedirs(folder + "/empty")
        os.makedirs(top + "/outside")
        os.symlink(top + "/outside", folder + "/link")
        for i in range(3):
            open(f"{folder}/cats/{i}.png", "wb").write(make_png(128, 128, lambda x, y: (x * i + y) % 256))
        open(folder + "/cats/0.txt", "w").write("a cat")
        s = Server("--training", folder)
        told = s.ask("GET", "/sumi/training")[1]
        check("data sets", told["sets"] == [{"name": "cats", "pictures": 3, "captions": 1}, {"name": "empty", "pictures": 0, "captions": 0}], told["sets"])
        check("no runs yet", told["runs"] == [])
        names = [o["name"] for o in told["options"]["lora"]]
        check("options without paths", "max_train_steps" in names and not {"output", "model", "train_data_dir", "output_dir"} & set(names), names)
        optimizers = next(o for o in told["options"]["controlnet"] if o["name"] == "optimizer")
        check("what an option takes", optimizers["choices"] == ["adamw", "adamw8bit", "adafactor", "sgd"] and optimizers["standard"] == "adamw", optimizers)
        options = {"max_train_steps": "100000", "instance_prompt": "a cat", "network_dim": "2", "validation_prompts": "a cat|a dog",
                   "validation_steps": "2", "validation_inference_steps": "2", "seed": ""}
        ask = lambda **more: s.ask("POST", "/sumi/training", {"set": "cats", "kind": "lora", "model": "emoji", "options": options, **more})
        for what, more, word in (("a set from outside", {"set": "../outside"}, "outside"), ("a link", {"set": "link"}, "link"),
                                 ("a path", {"options": {"output": "/tmp/x"}}, "output"), ("a kind", {"kind": "upscaler"}, "upscaler"),
                                 ("a value", {"options": {"learning_rate": "fast"}}, "fast"), ("a model", {"model": "/etc/passwd"}, "passwd")):
            status, body, _ = ask(**more)
            check(f"refused: {what}", status >= 400 and word in json.dumps(body), (status, body))
            if "options" in more:
                check(f"at its field: {what}", body["detail"][0]["loc"] == ["body", *more["options"]], body)
        check("nothing was written", sorted(os.listdir(folder)) == ["cats", "empty", "link"], os.listdir(folder))
        status, body, _ = ask()
        check("it starts", status == 200, body)
        status, body, _ = ask(kind="embedding", set="empty")
        check("one at a time", status == 400 and "going on" in body["detail"], body)
        of = lambda name: s.ask("GET", "/sumi/training/" + name)[1]
        run = lambda: of("cats-lora")
        check("its curve grows", wait(lambda: len(run()["curve"]) > 2, 60), run())
        check("and its samples", wait(lambda: run()["samples"], 60), run())
        check("it says how far it is", run()["state"] == "running" and run()["steps"] == 100000 and run()["step"] > 1, run())
        sample = run()["samples"][0][1]
        check("a sample", s.ask("GET", "/sumi/training/cats-lora/" + sample)[1][:4] == b"\x89PNG")
        for path in ("cats-lora/../cats/0.png", "cats-lora/log.csv", "../outside", "cats-lora/..%2f..%2f..%2fetc%2fpasswd", "none", "x" * 400, "cats-lora/"):
            check(f"nothing else: {path[:40]}", s.ask("GET", "/sumi/training/" + path)[0] == 404)
        check("a picture meanwhile", "done" in events(s, SMALL)[1][-1])
        check("another run is not stopped", s.ask("POST", "/sumi/training/stop", {"name": "dogs-lora"})[0] == 409)
        check("stopped, also by who asks twice", [s.ask("POST", "/sumi/training/stop", {"name": "cats-lora"})[0] for _ in range(2)][0] == 200)
        check("with a checkpoint", wait(lambda: run()["state"] == "stopped", 60) and [f for f in os.listdir(folder + "/cats-lora.training") if f.startswith("checkpoint-")], run())
        before = run()["step"]
        check("it goes on", ask()[0] == 200 and wait(lambda: run()["step"] > before, 60) and run()["curve"][0][0] == 1, run())
        check("the server's end is its end too, with a checkpoint", s.stop() == 0 and os.path.exists(folder + "/cats-lora.training/log.csv"))
        s = Server("--training", folder)
        check("a run outlives its server", run()["state"] == "stopped" and run()["step"] > before, run())
        check("with other options it begins anew", ask(options={**options, "max_train_steps": "3"})[0] == 200 and wait(lambda: run()["state"] == "done", 60) and run()["step"] == 3, run())
        loras = [l["name"] for l in s.ask("GET", "/sdapi/v1/loras")[1]]
        check("its result is there to draw with", "cats-lora" in loras, loras)
        check("drawn with", "done" in events(s, {**SMALL, "prompt": "a cat <lora:cats-lora:1>"})[1][-1])
        draw = lambda: s.ask("POST", "/sdapi/v1/txt2img", {**SMALL, "prompt": "cats-embedding"})[1]["images"][0]
        before = draw()
        check("a word is learned by its file's name", ask(kind="embedding", options={"max_train_steps": "2", "initializer_token": "cat"})[0] == 200 and
              wait(lambda: of("cats-embedding")["state"] == "done", 60) and of("cats-embedding")["options"]["placeholder_token"] == "cats-embedding", of("cats-embedding"))
        check("and found by it", "cats-embedding" in s.ask("GET", "/sdapi/v1/embeddings")[1]["loaded"] and of("cats-embedding")["usable"])
        learned = draw()
        check("a model that is open reads the word, too", learned != before and draw() == learned)
        check("each file among those of its kind", [l["name"] for l in s.ask("GET", "/sdapi/v1/loras")[1]] == ["cats-lora"], s.ask("GET", "/sdapi/v1/loras")[1])
        for hints, word in (("", "no pictures to follow"), ("../outside", "../outside")):
            status, body, _ = ask(kind="controlnet", hints=hints, options={})
            check(f"refused at its field: hints '{hints}'", status == 422 and body["detail"][0]["loc"][-1] == "hints" and word in body["detail"][0]["msg"], body)
        shutil.copytree(folder + "/cats", folder + "/edges")
        check("a control network learns to follow", ask(kind="controlnet", hints="edges", options={"max_train_steps": "2", "validation_prompts": "a cat|a dog",
              "validation_steps": "2", "validation_inference_steps": "1"})[0] == 200 and wait(lambda: of("cats-controlnet")["state"] == "done", 60), of("cats-controlnet"))
        check("it says what it follows, and has samples", of("cats-controlnet")["hints"] == "edges" and len(of("cats-controlnet")["samples"]) == 1, of("cats-controlnet"))
        check("and is found", s.ask("GET", "/controlnet/model_list")[1]["model_list"] == ["None", "cats-controlnet"] and of("cats-controlnet")["usable"])
        open(folder + "/empty/0.png", "w").write("no picture")
        check("a run that fails says why", ask(set="empty")[0] == 200 and
              wait(lambda: s.ask("GET", "/sumi/training/empty-lora")[1]["state"] == "failed", 60) and "empty" in s.ask("GET", "/sumi/training/empty-lora")[1]["said"],
              s.ask("GET", "/sumi/training/empty-lora")[1])
        s.stop()


def with_key():
    with tempfile.NamedTemporaryFile("w") as key:
        key.write("secret\n")
        key.flush()
        s = Server("--api-key", key.name)
        for method, path in (("GET", "/sumi/about"), ("POST", "/sumi/prompt"), ("POST", "/sumi/draw"), ("GET", "/sumi/gallery"), ("GET", "/sumi/training"), ("POST", "/sumi/training")):
            check("the key is asked for", s.ask(method, path, {} if method == "POST" else None)[0] == 401)
        check("the page is open", all(s.ask("GET", path)[0] == 200 for path in ("/", "/app.js", "/style.css", "/seal.svg")))
        check("with the key", s.ask("GET", "/sumi/about", headers={"Authorization": "Bearer secret"})[0] == 200)
        s.stop()


server = Server()
reading(server)
drawing(server)
listening(server)
leaving(server)
nonsense(server)
without_gallery(server)
server.stop()
gallery()
training()
with_key()
finish("page's requests")
