"""requests.py SUMI - talks to `sumi serve` as clients do, well and badly: both APIs, streams, limits, keys, foreign
pages, clients that leave, many at once, and the end by a signal. Python's own library alone. Prints what differs; exits 1
if anything does."""
import base64, http.client, json, os, re, signal, socket, struct, subprocess, sys, tempfile, threading, time

SUMI = sys.argv[1]
failures = 0


def check(what, right, seen=""):
    global failures
    if not right:
        failures += 1
        print("FAILED:", what, str(seen)[:300])


class Server:
    def __init__(self, *options):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([SUMI, "serve", "--listen", "127.0.0.1:0", *options], stderr=self.log, stdout=subprocess.DEVNULL)
        for _ in range(200):
            self.log.seek(0)
            found = re.search(r"http://127\.0\.0\.1:(\d+)", self.log.read())
            if found:
                break
            time.sleep(0.05)
        self.port = int(found.group(1))

    def ask(self, method, path, body=None, headers={}, raw=None, timeout=60):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        data = raw if raw is not None else None if body is None else json.dumps(body)
        c.request(method, path, data, {"Content-Type": "application/json", **headers})
        r = c.getresponse()
        text = r.read()
        c.close()
        kind = r.getheader("Content-Type", "")
        return r.status, json.loads(text) if kind == "application/json" else text, dict(r.getheaders())

    def metric(self, name):
        text = self.ask("GET", "/metrics")[1].decode()
        return float(re.search("^" + re.escape(name) + r" (\S+)$", text, re.M).group(1))

    def rss(self):
        return int(re.search(r"VmRSS:\s*(\d+)", open(f"/proc/{self.process.pid}/status").read()).group(1))

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(30)


def chunks(png):
    at, found = 8, {}
    while at < len(png):
        n, kind = struct.unpack(">I4s", png[at : at + 8])
        found[kind] = found.get(kind, b"") + png[at + 8 : at + 8 + n]
        at += 12 + n
    return found


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
    check("models", s.ask("GET", "/v1/models")[1]["data"][0]["id"] == "emoji")
    _, text, headers = s.ask("POST", "/v1/images/generations", {"prompt": "x", "stream": True, "partial_images": 2, "size": "64x64"})
    events = re.findall(r"event: (\S+)\ndata: (.*)\n\n", text.decode())
    check("a stream", headers["Content-Type"] == "text/event-stream", headers)
    check("its events", [e[0] for e in events] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"], events)
    check("its pictures", all(base64.b64decode(json.loads(e[1])["b64_json"])[:4] == b"\x89PNG" for e in events))
    return png


def form(fields):
    edge = b"----sumi"
    parts = [b'--%s\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
             % (edge, k.encode(), b'; filename="a.png"' if isinstance(v, bytes) else b"", v if isinstance(v, bytes) else v.encode())
             for k, v in fields.items()]
    return b"".join(parts) + b"--%s--\r\n" % edge, {"Content-Type": "multipart/form-data; boundary=" + edge.decode()}


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


def a1111(s, png):
    status, body, _ = s.ask("POST", "/sdapi/v1/txt2img", {**SMALL, "batch_size": 2, "n_iter": 2})
    info = json.loads(body["info"])
    check("four pictures", status == 200 and len(body["images"]) == 4 and info["all_seeds"] == [7, 8, 9, 10], body)
    text = s.ask("POST", "/sdapi/v1/png-info", {"image": body["images"][2]})[1]
    check("what a picture says", text["parameters"]["Seed"] == "9" and text["info"] == info["infotexts"][2], text)
    one = s.ask("POST", "/sdapi/v1/txt2img", {**SMALL, "seed": 9})[1]["images"][0]
    check("the third of a batch is the picture of its seed", chunks(base64.b64decode(one))[b"IDAT"] == chunks(base64.b64decode(body["images"][2]))[b"IDAT"])
    picture = "data:image/png;base64," + base64.b64encode(png).decode()
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
    t.join(30)
    check("interrupted", answer[0][0] == 200 and json.loads(answer[0][1]["info"])["interrupted"], answer)


def bad(s):
    check("no such address", s.ask("GET", "/nothing")[0] == 404)
    check("another method", s.ask("GET", "/v1/images/generations")[0] == 405)
    for raw in (b"", b"x", b"[]", b"{", b'{"prompt":"\xff"}', b'{"prompt":"a","prompt":"b"}', b"[" * 100000):
        check(f"not JSON: {raw[:20]}", s.ask("POST", "/v1/images/generations", raw=raw)[0] == 400)
    check("a name that is not ours", s.ask("GET", "/health", headers={"Host": "evil.example"})[0] == 421)
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
    before = s.metric('sumi_jobs_total{result="cancelled"}')
    c = http.client.HTTPConnection("127.0.0.1", s.port)
    c.request("POST", "/sdapi/v1/txt2img", json.dumps(LONG))
    time.sleep(0.3)
    c.close()
    for _ in range(200):
        if s.metric('sumi_jobs_total{result="cancelled"}') > before:
            break
        time.sleep(0.05)
    check("cancelled when the client leaves", s.metric('sumi_jobs_total{result="cancelled"}') == before + 1)


def many(s):
    """16 clients; every request gets one answer, and nothing grows."""
    lock, answers = threading.Lock(), []

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

    for round in range(3):
        threads = [threading.Thread(target=client, args=(k,)) for k in range(16)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        if round == 0:
            rss = s.rss()
    right = all(status == (422 if wrong else 200) for wrong, status in answers)
    check("16 clients are all answered", right and len(answers) == 3 * 4 * 13, answers)
    check("memory stays", s.rss() < 1.05 * rss + 4096, (rss, s.rss()))


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
    check("a large body", s.ask("POST", "/sdapi/v1/txt2img", {"prompt": "x" * 20000})[0] == 413)
    s.ask("POST", "/sdapi/v1/interrupt", {})
    time.sleep(0.3)
    s.ask("POST", "/sdapi/v1/interrupt", {})
    [t.join(30) for t in threads]
    for _ in range(100):
        if s.metric("sumi_session_bytes") == 0:
            break
        time.sleep(0.05)
    check("idle: what sessions keep is freed", s.metric("sumi_session_bytes") == 0)
    check("and drawn with again", s.ask("POST", "/sdapi/v1/txt2img", SMALL)[0] == 200)
    check("interrupted by SIGINT", s.stop(signal.SIGINT) == 0)


def key_and_end():
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
    t.join(30)
    check("SIGTERM loses no picture that is being drawn", code == 0 and answer and answer[0][0] == 200 and answer[0][1]["images"], answer)


server = Server()
first = openai(server)
edits(server, first)
a1111(server, first)
bad(server)
leaving(server)
many(server)
check("SIGTERM ends it", server.stop() == 0)
limits()
key_and_end()
wrong = subprocess.run([SUMI, "serve", "--listen", "127.0.0.1"], capture_output=True, text=True)
check("an address without a port", wrong.returncode == 2 and "ADDRESS:PORT" in wrong.stderr, wrong)
wrong = subprocess.run([SUMI, "serve", "-m", "/nowhere.safetensors", "--listen", "127.0.0.1:0"], capture_output=True, text=True)
check("a model that is not there", wrong.returncode == 3 and "nowhere" in wrong.stderr, wrong)
print("serve:", "fine" if not failures else f"{failures} failures")
sys.exit(failures > 0)
