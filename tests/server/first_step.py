"""first_step.py SUMI MODEL - how long after its arrival a request's first denoising step begins: of the first request, which
loads and compiles, of a second with the same prompt, and of two with others. docs/performance.md has what it printed."""
import http.client, json, sys, time
from client import Server, check, finish

server = Server("-m", sys.argv[2])


def first_step(prompt, seed):
    """Milliseconds until the event that says so."""
    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    begun = time.time()
    c.request("POST", "/sumi/draw", json.dumps({"prompt": prompt, "seed": seed, "steps": 1, "width": 0, "height": 0}), {"Content-Type": "application/json"})
    taken = None
    for line in c.getresponse():
        event = json.loads(line)
        if event.get("stage") == "denoise" and taken is None:
            taken = 1000 * (time.time() - begun)
    return taken


times = [first_step(*wish) for wish in (("a cat", 1), ("a cat", 2), ("a dog on a bicycle", 3), ("a bird", 4))]
print("first step after", ", ".join(f"{t:.0f}" for t in times), "ms: the first request, the same prompt, two others")
check("within 100 ms from the second request on", max(times[1:]) <= 100, times)
server.stop()
finish("first step")
