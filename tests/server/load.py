"""load.py SUMI [PICTURES] - `sumi serve` under load, with the shipped model: 16 clients of whom some break off, send rubbish,
too much, or slowly; the process's memory over 2,000 pictures; and how fast 16 clients are served beside one batch of
`sumi generate`. Takes minutes, and wants a quiet machine for the last part. docs/performance.md has what it printed.
Under a sanitizer the 200 requests of every kind alone are sent."""
import http.client, json, random, socket, statistics, subprocess, sys, tempfile, threading, time
from client import SANITIZED, SUMI, Server, check, finish, wait

PICTURES = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
CLIENTS = 16
BODY = {"prompt": "smiling cat", "width": 128, "height": 128, "steps": 20, "cfg_scale": -1, "seed": 1}
SMALL = {**BODY, "width": 64, "height": 64, "steps": 2}


def by_clients(work, count):
    """Calls work(i) for each i, by 16 threads; what the calls gave."""
    given, numbers, lock = [], iter(range(count)), threading.Lock()

    def client():
        while True:
            with lock:
                i = next(numbers, None)
            if i is None:
                return
            answer = work(i)
            with lock:
                given.append(answer)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return given


def head(length):
    return f"POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()


def good_and_bad(s):
    """200 requests of every kind; each that is accepted is answered once, and what is not says why."""
    def good(i):
        status, body, _ = s.ask("POST", "/sdapi/v1/txt2img", {**BODY, "seed": i}, timeout=300)
        return status == 200 and len(body["images"]) == 1

    def breaks_off(i):  # with half of its request sent, or all of it
        c = socket.create_connection(("127.0.0.1", s.port))
        body = json.dumps({**BODY, "seed": i}).encode()
        c.sendall(head(len(body)) + (body if i // 10 % 2 else body[:20]))
        time.sleep(0.05)
        c.close()
        return True

    def rubbish(i):
        raw = random.Random(i).randbytes(2000)
        return s.ask("POST", "/sdapi/v1/txt2img", raw=raw, timeout=300)[0] == 400

    def too_much(i):
        try:
            return s.ask("POST", "/sdapi/v1/txt2img", raw=b" " * (70 << 20), timeout=300)[0] == 413
        except (BrokenPipeError, ConnectionResetError):
            return True  # refused before all of it was sent

    def out_of_range(i):
        return s.ask("POST", "/sdapi/v1/txt2img", {**BODY, "width": 8192, "height": 8192, "steps": 1001}, timeout=300)[0] == 422

    def slow(i):  # a byte at a time, for two seconds
        body = json.dumps({**BODY, "seed": i}).encode()
        c = socket.create_connection(("127.0.0.1", s.port), timeout=300)
        c.sendall(head(len(body)))
        for k in range(0, len(body), 10):
            c.sendall(body[k : k + 10])
            time.sleep(0.02)
        answer = http.client.HTTPResponse(c)
        answer.begin()
        fine = answer.status == 200 and len(json.loads(answer.read())["images"]) == 1
        c.close()
        return fine

    kinds = [good] * 5 + [breaks_off, rubbish, too_much, out_of_range, slow]
    answers = by_clients(lambda i: (kinds[i % 10].__name__, kinds[i % 10](i)), 200)
    wrong = [name for name, fine in answers if not fine]
    check("200 requests of 16 clients", len(answers) == 200 and not wrong, wrong)
    check("nothing is left", wait(lambda: s.metric("sumi_drawing") == 0 and s.metric("sumi_queue_waiting") == 0))
    done = s.metric('sumi_jobs_total{result="done"}')
    left = s.metric('sumi_jobs_total{result="cancelled"}')
    check("those that were accepted were drawn once", 120 <= done <= 130 and done + left <= 130, (done, left))
    print(f"200 requests: {done:.0f} drawn, {left:.0f} cancelled by clients that left, none unanswered")


def memory(s):
    s.make_networks(SMALL)
    sizes = []
    for part in range(6):
        fine = by_clients(lambda i: s.ask("POST", "/sdapi/v1/txt2img", {**SMALL, "seed": i}, timeout=300)[0] == 200, PICTURES // 5)
        check("all are drawn", all(fine) and len(fine) == PICTURES // 5)
        sizes.append(s.rss())
    print(f"resident after 64 x 64, each {PICTURES // 5} pictures:", ", ".join(f"{x / 1024:.1f}" for x in sizes), "MiB")
    check("resident size stays within 2 %", max(sizes) <= 1.02 * sizes[0], sizes)


def speed(s, count=256):
    """Pictures a minute, and the times of single requests, beside one batch of the program."""
    def one(i):
        begun = time.time()
        s.ask("POST", "/sdapi/v1/txt2img", {**BODY, "seed": i}, timeout=300)
        return time.time() - begun

    s.make_networks(BODY)
    rate, middle, slowest = [], [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.time()
            subprocess.run([SUMI, "generate", "-q", "-p", BODY["prompt"], "-b", str(count), "-o", folder + "/%d.png"], check=True, stdout=subprocess.DEVNULL)
            batch = time.time() - begun
        begun = time.time()
        times = sorted(by_clients(one, count))
        served = time.time() - begun
        turn = CLIENTS * batch / count  # in which a batch makes a picture for each client
        rate.append(served / batch)
        middle.append(times[count // 2] / turn)
        slowest.append(times[int(0.95 * count)] / turn)
        print(f"{count} pictures of 128 x 128: served {60 * count / served:.0f} a minute, p50 {times[count // 2]:.3f} s, p95 {times[int(0.95 * count)]:.3f} s; "
              f"a batch of the program {60 * count / batch:.0f} a minute, {turn:.3f} s for {CLIENTS}")
    for name, shares in (("pictures a minute", rate), ("p50", middle), ("p95", slowest)):
        print(name, "over a batch's:", ", ".join(f"{x:.3f}" for x in shares))
        check(f"as fast as a batch, within 5 %: {name}", statistics.median(shares) < 1.05, shares)


server = Server("--max-queue", "64")
good_and_bad(server)
if SANITIZED:
    check("SIGTERM ends it", server.stop() == 0)
    finish("load")
server.make_networks(BODY)
rss = server.rss()
by_clients(lambda i: server.ask("POST", "/sdapi/v1/txt2img", {**BODY, "seed": i}, timeout=300)[0], 200)
print(f"200 more of 128 x 128: resident {rss / 1024:.1f} MiB before, {server.rss() / 1024:.1f} MiB after")
memory(server)
speed(server)
check("SIGTERM ends it", server.stop() == 0)
finish("load")
