"""wire.py SUMI - requests to `sumi serve` byte by byte, as programs that are broken, hostile or merely old send them; clients that
leave, signals that come, and models that change at each moment of a picture."""
import base64, http.client, json, os, re, shutil, signal, socket, struct, tempfile, threading, time, zlib
from client import SANITIZED, Server, as_text, check, chunks, finish, make_png, wait

ASK = {"prompt": "smiling cat", "steps": 2, "width": 64, "height": 64, "seed": 7, "sampler_name": "Euler", "cfg_scale": 2}
LONG = {**ASK, "steps": 1000, "width": 128, "height": 128}
DRAW = "/sdapi/v1/txt2img"


def send(s, data, seconds=10):
    """What is answered to these bytes: the status, the body, and whether the server closed the connection behind it."""
    c = socket.create_connection(("127.0.0.1", s.port), timeout=seconds)
    c.sendall(data)
    r = http.client.HTTPResponse(c)
    try:
        r.begin()
        return r.status, r.read(), r.will_close
    finally:
        c.close()


def request(method, path, body=b"", *headers, host="localhost"):
    lines = [f"{method} {path} HTTP/1.1", *([f"Host: {host}"] if host else []), *([f"Content-Length: {len(body)}"] if body else []), *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def framing(s):
    """Requests that two servers could read in two ways are answered by none."""
    body = json.dumps(ASK).encode()
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    for what, data, status in (
            ("chunked", request("POST", DRAW) [:-2] + b"Transfer-Encoding: chunked\r\n\r\n" + chunked, 200),
            ("broken chunks", request("POST", DRAW)[:-2] + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", 400),
            ("an endless chunk", request("POST", DRAW)[:-2] + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc\r\n", 413),
            ("a length and chunks", request("POST", DRAW, b"", "Content-Length: 5", "Transfer-Encoding: chunked") + chunked, 400),
            ("two lengths", request("POST", DRAW, b"", "Content-Length: 5", "Content-Length: 6") + b"{}", 400),
            ("a negative length", request("POST", DRAW, b"", "Content-Length: -5"), 400), ("no number", request("POST", DRAW, b"", "Content-Length: x"), 400),
            ("an endless length", request("POST", DRAW, b"", "Content-Length: 99999999999999999999999"), 413),
            ("compressed chunks", request("POST", DRAW, b"", "Transfer-Encoding: gzip") + b"x", 400),
            ("a compressed body", request("POST", DRAW, body, "Content-Encoding: gzip"), 415), ("one that is not", request("POST", DRAW, body, "Content-Encoding: identity"), 200),
            ("no host", request("GET", "/health", host=None), (400, 421)), ("two hosts", request("GET", "/health", b"", "Host: evil.example"), 400),
            ("two origins", request("GET", "/health", b"", "Origin: http://localhost", "Origin: http://evil.example"), 400), ("no origin", request("GET", "/health", b"", "Origin: null"), 403),
            ("a whole address", request("GET", f"http://localhost:{s.port}/health"), 200), ("of another", request("GET", "http://evil.example/health"), 421),
            ("a long address", request("GET", "/" + "a" * 200000), 414), ("a long header", request("GET", "/health", b"", "X: " + "a" * 200000), 431),
            ("many headers", request("GET", "/health", b"", *(f"X{i}: a" for i in range(9000))), 431), ("an unknown method", request("FOO", "/"), 405),
            ("before others", request("OPTIONS", DRAW, b"", "Origin: http://evil.example", "Access-Control-Request-Method: POST"), 403),
            ("GET with a body", request("GET", "/health", b"abc"), 200), ("a wait for its body", request("POST", DRAW, body, "Expect: 100-continue"), 100),
            ("one that is too large", request("POST", DRAW, b"", "Content-Length: 999999999", "Expect: 100-continue"), 413)):
        try:
            seen = send(s, data)
        except (ConnectionResetError, BrokenPipeError, http.client.BadStatusLine, TimeoutError) as e:
            seen = (repr(e), b"", True)
        expected = status if isinstance(status, tuple) else (200,) if status == 100 else (status,)
        check(f"{what}: {status}", seen[0] in expected, seen)
        if seen[0] in (400, 413) and b"Content-Length" in data:
            check(f"{what}: what follows is not read", seen[2], seen)
    c = socket.create_connection(("127.0.0.1", s.port), timeout=20)
    c.sendall(request("POST", DRAW, body) + request("GET", "/health") + request("POST", DRAW, json.dumps({"steps": 0}).encode()))
    seen = b""
    while seen.count(b"HTTP/1.1 ") < 3:
        seen += c.recv(65536) or b"HTTP/1.1 end " * 3
    check("three at once, answered one by one", re.findall(rb"HTTP/1.1 (\w+)", seen) == [b"200", b"200", b"422"] and seen.find(b'"images"') < seen.find(b'"status"'), seen[-200:])
    c.close()


def bodies(s):
    """JSON that is not, and what is nearly."""
    for raw, said in ((b'{"steps":NaN}', "line 1"), (b'{"steps":1e999}', "real number overflow"), (b'{"seed":99999999999999999999999}', "too big integer"),
                      (b'{"steps":1,"steps":2}', "duplicate object key"), (b'{"prompt":"a\\u0000b"}', "column"), (b'{"prompt":"\\ud800"}', "Unicode"),
                      (b'{"a":' * 3000 + b"1" + b"}" * 3000, "maximum parsing depth"), (json.dumps(ASK).encode() + b"x", "end of file expected"),
                      (json.dumps(ASK).encode("utf-16"), "not JSON"), (b"5", "not an object"), (b'"x"', "not an object")):
        status, answer, _ = s.ask("POST", DRAW, raw=raw)
        check(f"not JSON: {raw[:40]}", status == 400 and said in answer["detail"], answer)
    check("a byte order mark", s.ask("POST", DRAW, raw=b"\xef\xbb\xbf" + json.dumps(ASK).encode())[0] == 200)
    check("null, where nothing is to be said", s.ask("POST", "/sdapi/v1/interrupt", raw=b"null")[0] == 200 and s.ask("POST", DRAW, raw=b"null")[0] == 422)
    for field, value in (("steps", 1e308), ("seed", -2), ("seed", 7.5), ("width", "64"), ("width", True), ("width", -64), ("prompt", 5), ("prompt", ["a"]), ("cfg_scale", "7"),
                         ("width", 8192), ("batch_size", 65), ("init_images", "x"), ("batch_size", 2**53)):
        body = {**ASK, field: value, **({"height": 8192} if value == 8192 else {})}
        status, answer, _ = s.ask("POST", "/sdapi/v1/img2img" if field == "init_images" else DRAW, body)
        check(f"refused: {field} {value}", status in (404, 422) and len(json.dumps(answer)) < 400, answer)
    status, answer, _ = s.ask("POST", "/v1/images/generations", {"prompt": "x", "size": "4096x2048"})
    check("too many pixels", status == 400 and answer["error"]["param"] == "size" and "4194304" in answer["error"]["message"], answer)
    check("and by a second pass", s.ask("POST", DRAW, {**ASK, "width": 1024, "height": 1024, "enable_hr": True, "hr_scale": 4})[0] == 422)
    check("and by many", s.ask("POST", DRAW, {**ASK, "width": 2048, "height": 2048, "batch_size": 17})[0] == 422)


def pictures(s):
    """Base64 as clients write it, and pictures that are larger than they look."""
    png = as_text(make_png(64, 64, lambda x, y: x))
    ask = lambda text: s.ask("POST", "/sdapi/v1/img2img", {**ASK, "init_images": [text], "denoising_strength": 0.5})
    for text in (png, "data:image/png;base64," + png, "data:image/png;base64, " + png, "DATA:image/png;charset=utf-8;base64," + png, " " + png + "\n", png[:50] + " \t\r\n" + png[50:],
                 png.rstrip("="), png + "=="):
        check(f"base64: {text[:30]!r}", ask(text)[0] == 200)
    for text, said in (("", "no bytes"), ("!!!!", "not base64"), (png[:200], "too early"), ("http://127.0.0.1:1/x.png", "an address"), ("/etc/passwd", ""), ("file:///etc/passwd", "not base64"),
                       ("data:image/png," + png, "not base64")):
        status, answer, _ = ask(text)
        check(f"no picture: {text[:30]!r}", status in (400, 422) and said in json.dumps(answer) and "root:" not in json.dumps(answer), answer)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    for width, height in ((20000, 20000), (65000, 65000), (16384, 8192), (2**31 - 1, 1)):
        bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(bytes(10000))) + chunk(b"IEND", b"")
        before, begun = s.rss(), time.time()
        status, answer, _ = ask(as_text(bomb))
        check(f"{width} x {height} are refused before memory is taken", status in (400, 422) and (SANITIZED or s.rss() < before + 20000) and time.time() - begun < 5, answer)


def leave(s, path, body, when):
    """A client that sends this and leaves once `when` is so; what it asked for ends."""
    c = http.client.HTTPConnection("127.0.0.1", s.port)
    c.request("POST", path, json.dumps(body))
    check(f"{path}: the moment comes", wait(when))
    c.close()


def leaving(s):
    cancelled = lambda: s.metric('sumi_jobs_total{result="cancelled"}')
    before = cancelled()
    first = http.client.HTTPConnection("127.0.0.1", s.port)
    first.request("POST", DRAW, json.dumps(LONG))
    check("one is drawn", wait(lambda: s.metric("sumi_drawing") == 1))
    for path, body in ((DRAW, LONG), ("/v1/images/generations", {"prompt": "x", "stream": True}), ("/sumi/draw", LONG)):
        leave(s, path, body, lambda: s.metric("sumi_queue_waiting") == 1)
        check(f"{path}: out of the queue", wait(lambda: s.metric("sumi_queue_waiting") == 0) and s.metric("sumi_drawing") == 1)
    first.close()
    check("and the one that is drawn", wait(lambda: cancelled() == before + 4), cancelled() - before)
    large = {"image": as_text(make_png(64, 64, lambda x, y: x * y & 255)), "upscaler_1": "Lanczos", "upscaling_resize": 8 if SANITIZED else 40}
    done = s.metric('sumi_jobs_total{result="done"}')
    leave(s, "/sdapi/v1/extra-single-image", large, lambda: s.metric('sumi_jobs_total{result="done"}') == done + 1)  # it is encoded now
    check("alive", s.ask("POST", DRAW, ASK)[0] == 200)


def ends():
    """SIGTERM while pictures wait, are drawn, are encoded: each request is answered, and the process ends in time."""
    large = {"image": as_text(make_png(64, 64, lambda x, y: x * y & 255)), "upscaler_1": "Lanczos", "upscaling_resize": 8 if SANITIZED else 32}
    for what in ("waits", "is drawn", "is encoded", "is streamed"):
        s = Server()
        answers = []

        def ask(path, body):
            answers.append(s.ask("POST", path, body))

        body = {**ASK, "steps": 30, "width": 128, "height": 128}
        jobs = [("/sdapi/v1/extra-single-image", large)] if what == "is encoded" else [("/sumi/draw", body)] if what == "is streamed" else [(DRAW, body)]
        threads = [threading.Thread(target=ask, args=job) for job in jobs]
        [t.start() for t in threads]
        if what == "is encoded":
            check("it is done", wait(lambda: s.metric('sumi_jobs_total{result="done"}') == 1, 60))
        else:
            check("it is drawn", wait(lambda: s.metric("sumi_drawing") == 1))
        if what == "waits":
            threads.append(threading.Thread(target=ask, args=(DRAW, {**body, "steps": 31})))
            threads[-1].start()
            check("one waits", wait(lambda: s.metric("sumi_queue_waiting") == 1))
        code = s.stop()
        [t.join(600) for t in threads]
        statuses = sorted(a[0] for a in answers)
        check(f"SIGTERM while one {what}", code == 0 and statuses == [200] * len(threads), (code, statuses))
        texts = sorted(b'"done"' in a[1] if isinstance(a[1], bytes) else len(a[1].get("images", [a[1].get("image")])) for a in answers)
        check(f"its picture is there: {what}", texts[-1] == 1 and (what != "waits" or texts == [0, 1]), texts)


def models():
    """Two models, asked for by turns from many sides, while what they keep is freed again and again."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../models/emoji.safetensors")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("one", "two"):
            shutil.copy(source, f"{folder}/{name}.safetensors")
        s = Server("--models", folder, "--idle-unload", "0.0002", "--max-queue", "64")
        pixels = lambda answer: chunks(base64.b64decode(answer[1]["images"][0]))[b"IDAT"] if answer[0] == 200 else answer
        alone = pixels(s.ask("POST", DRAW, ASK))
        wrong = []

        def client(k):
            for i in range(6):
                name = ("one", "two")[(k + i) % 2]
                answer = s.ask("POST", DRAW, {**ASK, "override_settings": {"sd_model_checkpoint": name}})
                if pixels(answer) != alone or json.loads(answer[1]["info"])["sd_model_name"] != name:
                    wrong.append(answer)
                if k == 0:
                    s.ask("POST", "/sdapi/v1/unload-checkpoint")
                if k == 1:
                    s.ask("POST", "/sdapi/v1/options", {"sd_model_checkpoint": name})

        threads = [threading.Thread(target=client, args=(k,)) for k in range(8)]
        [t.start() for t in threads]
        [t.join(600) for t in threads]
        check("each has its model's picture", not wrong, wrong[:1])
        check("SIGTERM ends it", s.stop() == 0)


server = Server()
framing(server)
bodies(server)
pictures(server)
leaving(server)
check("SIGTERM ends it", server.stop() == 0)
ends()
models()
finish("wire")
