"""page_requests.py SUMI - what the page asks of `sumi serve` under /sumi/, asked well and badly: prompts read, pictures as they
grow, the gallery."""
import base64, http.client, json, os, signal, subprocess, tempfile, threading, time
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


def without_gallery(s):
    for method, path in (("GET", "/sumi/gallery"), ("GET", "/sumi/gallery/x.png"), ("DELETE", "/sumi/gallery/x.png")):
        status, body, _ = s.ask(method, path)
        check("no gallery", status == 404 and "--gallery" in body["detail"], body)
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
    check("a picture that cannot be kept is given, and it is said", any("nowhere" in e.get("not_kept", "") for e in told if "image" in e), told[-1])
    s.stop()


def with_key():
    with tempfile.NamedTemporaryFile("w") as key:
        key.write("secret\n")
        key.flush()
        s = Server("--api-key", key.name)
        for method, path in (("GET", "/sumi/about"), ("POST", "/sumi/prompt"), ("POST", "/sumi/draw"), ("GET", "/sumi/gallery")):
            check("the key is asked for", s.ask(method, path, {} if method == "POST" else None)[0] == 401)
        check("the page is open", all(s.ask("GET", path)[0] == 200 for path in ("/", "/app.js", "/style.css", "/seal.svg")))
        check("with the key", s.ask("GET", "/sumi/about", headers={"Authorization": "Bearer secret"})[0] == 200)
        s.stop()


server = Server()
reading(server)
drawing(server)
leaving(server)
without_gallery(server)
server.stop()
gallery()
with_key()
finish("page's requests")
