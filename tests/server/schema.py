"""schema.py SUMI [EXAMPLES] - schemathesis asks `sumi serve` what openapi.json says that it answers, and much that it says it
refuses. Skips (77) where that package is not installed. With SCHEMATHESIS_HOOKS it reads this file again, as its hooks:
pictures that would take long are made small, which changes nothing of whether a request is right."""
import os, sys

try:
    import schemathesis
except ImportError:
    print("skipped: no schemathesis, which makes requests from a schema")
    sys.exit(77)


def smaller(body):
    for name, most, small in (("width", 64, 64), ("height", 64, 64), ("steps", 2, 2), ("batch_size", 1, 1), ("n_iter", 1, 1), ("n", 2, 1)):
        value = body.get(name)
        if type(value) in (int, float) and most < value <= {"steps": 1000, "n": 10}.get(name, 8192 if name in ("width", "height") else 64):
            body[name] = small
    for name in ("width", "height"):
        if body.get(name, 512) in (None, 512):
            body[name] = 64
    if body.get("steps", 50) in (None, 50):
        body["steps"] = 2
    if isinstance(body.get("size"), str) and body["size"].count("x") == 1 and all(s.isdigit() and 0 < int(s) < 8193 for s in body["size"].split("x")):
        body["size"] = "64x64"
    for name in ("upscaling_resize", "upscaling_resize_w", "upscaling_resize_h"):
        if type(body.get(name)) in (int, float) and 64 < body[name] <= 16384:
            body[name] = 64


if __name__ != "__main__":

    @schemathesis.hook
    def before_call(context, case, kwargs):
        if isinstance(case.body, dict) and case.path.startswith(("/sdapi/v1/txt2img", "/sdapi/v1/img2img", "/sdapi/v1/extra", "/v1/images")):
            smaller(case.body)

else:
    import subprocess, tempfile
    from client import Server, check, finish

    examples = sys.argv[2] if len(sys.argv) > 2 else "5"  # of each address, besides what is made from the schema's limits
    server = Server("--max-queue", "64", "--max-body", "8M")
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run([sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{server.port}/openapi.json", "--max-examples", examples, "--checks", "all",
                              "--exclude-checks", "positive_data_acceptance",  # what a schema cannot say: that base64 is a picture, that a size suits a model
                              "--generation-deterministic", "--continue-on-failure", "--warnings", "off", "--no-color", "--request-timeout", "60"],
                             capture_output=True, text=True, cwd=folder, env={**os.environ, "SCHEMATHESIS_HOOKS": "schema", "PYTHONPATH": os.path.dirname(os.path.abspath(__file__))})
    check("what openapi.json says is so", run.returncode == 0, "")
    print(run.stdout[-20000:] if run.returncode else run.stdout[run.stdout.rfind("SUMMARY") :], run.stderr[-3000:])
    check("nothing went wrong within", server.metric('sumi_jobs_total{result="done"}') > 0)
    check("alive", server.stop() == 0)
    finish("schema")
