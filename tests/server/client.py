"""client.py - what the tests of `sumi serve` share: a server of its own, requests, pictures, and what fails."""
import atexit, base64, http.client, json, math, random, re, signal, struct, subprocess, sys, tempfile, time, zlib

SUMI = sys.argv[1]
SANITIZED = any(name in open(SUMI, "rb").read() for name in (b"__asan_init", b"__tsan_init"))  # memory is theirs then, and time
failures = []


def check(what, right, seen=""):
    if not right:
        failures.append(what)
        print("FAILED:", what, str(seen)[:300])


def wait(condition, seconds=20):
    end = time.time() + seconds * (10 if SANITIZED else 1)
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def finish(name):
    print(f"{name}:", "fine" if not failures else f"{len(failures)} failures")
    sys.exit(len(failures) > 0)


class Server:
    hidden = None  # what no answer may hold

    def __init__(self, *options):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([SUMI, "serve", "--listen", "127.0.0.1:0", *options], stderr=self.log, stdout=subprocess.DEVNULL)
        atexit.register(self.process.kill)  # where a test ends before it
        for _ in range(2000 if SANITIZED else 400):
            self.log.seek(0)
            found = re.search(r"http://127\.0\.0\.1:(\d+)", self.log.read())
            if found:
                break
            time.sleep(0.05)
        if not found:
            self.log.seek(0)
            sys.exit("the server does not start: " + self.log.read())
        self.port = int(found.group(1))

    def ask(self, method, path, body=None, headers={}, raw=None, timeout=300):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        data = raw if raw is not None else None if body is None else json.dumps(body)
        c.request(method, path, data, {"Content-Type": "application/json", **headers})
        r = c.getresponse()
        text = r.read()
        c.close()
        if self.hidden:
            check(f"{method} {path} shows nothing of where files are", self.hidden.encode() not in text, text)
        kind = r.getheader("Content-Type", "")
        return r.status, json.loads(text) if kind == "application/json" else text, dict(r.getheaders())

    def metric(self, name):
        text = self.ask("GET", "/metrics")[1].decode()
        return float(re.search("^" + re.escape(name) + r" (\S+)$", text, re.M).group(1))

    def make_networks(self, body):
        """Draws groups of each size that requests are drawn in together: later ones compile and allocate nothing."""
        for size in (1, 2, 4, 8):
            self.ask("POST", "/sdapi/v1/txt2img", {**body, "batch_size": size})

    def rss(self):
        return int(re.search(r"VmRSS:\s*(\d+)", open(f"/proc/{self.process.pid}/status").read()).group(1))

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(120)  # the machine may be busy


def chunks(png):
    at, found = 8, {}
    while at < len(png):
        n, kind = struct.unpack(">I4s", png[at : at + 8])
        found[kind] = found.get(kind, b"") + png[at + 8 : at + 8 + n]
        at += 12 + n
    return found


def make_png(width, height, grey, *more):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes(grey(x, y) for x in range(width)) for y in range(height))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")))


def write_safetensors(path, shapes):
    """Some values for {name: shape}."""
    entries, values = {}, b""
    for name, shape in shapes.items():
        count, draw = math.prod(shape), random.Random(name)
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(values), len(values) + 4 * count]}
        values += struct.pack(f"<{count}f", *(draw.uniform(-1, 1) / math.sqrt(shape[-1] if len(shape) > 1 else 4) for _ in range(count)))
    head = json.dumps(entries).encode()
    open(path, "wb").write(struct.pack("<Q", len(head)) + head + values)


def as_text(png):
    return base64.b64encode(png).decode()


def form(fields):
    """A body of multipart/form-data and its headers; bytes are files."""
    edge = b"----sumi"
    parts = [b'--%s\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
             % (edge, k.encode(), b'; filename="a.png"' if isinstance(v, bytes) else b"", v if isinstance(v, bytes) else v.encode())
             for k, v in fields.items()]
    return b"".join(parts) + b"--%s--\r\n" % edge, {"Content-Type": "multipart/form-data; boundary=" + edge.decode()}
