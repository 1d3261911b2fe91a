"""gpu_torch.py - PyTorch's times for shapes that the operation test times, and for one large product, for comparison on the
same GPU: each the median of 5 replays of a CUDA graph of 20 runs."""
import statistics
import time

import torch
import torch.nn.functional as F

torch.backends.cudnn.benchmark = True
bf16, device = torch.bfloat16, "cuda"


def timed(name, flop, fn, unit="TFLOP/s"):
    try:
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                fn()
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                for _ in range(20):
                    fn()
        times = []
        for _ in range(5):
            torch.cuda.synchronize()
            start = time.perf_counter()
            graph.replay()
            torch.cuda.synchronize()
            times.append((time.perf_counter() - start) / 20)
        t = statistics.median(times)
        print(f"{name:44s} {1e3 * t:8.4f} ms {1e-12 * flop / t:8.1f} {unit}", flush=True)
    except Exception as e:  # one shape must not cost the others
        print(f"{name:44s} failed: {e}", flush=True)


def randn(*shape):
    return torch.randn(*shape, device=device, dtype=bf16)


print(torch.__version__, torch.cuda.get_device_name(0), "cudnn", torch.backends.cudnn.version())
for m, k, n in [(8192, 8192, 8192), (4096, 320, 320), (8192, 320, 2560), (512, 1280, 10240), (154, 768, 320)]:
    a, w, b = randn(m, k), randn(n, k), randn(n)
    timed(f"linear {m} {k} {n}", 2 * m * k * n, lambda: F.linear(a, w, b))
for n, h, c, o, s in [(2, 64, 320, 320, 1), (2, 32, 640, 640, 1), (2, 16, 1280, 1280, 1), (2, 8, 1280, 1280, 1), (1, 512, 128, 128, 1)]:
    x = randn(n, c, h, h).to(memory_format=torch.channels_last)
    w = randn(o, c, 3, 3).to(memory_format=torch.channels_last)
    b = randn(o)
    timed(f"conv {n}x{h}x{h} {c} {o}", 2 * n * h * h * c * o * 9, lambda: F.conv2d(x, w, b, padding=1))
for n, q, k, h, d in [(2, 4096, 4096, 8, 40), (2, 1024, 1024, 8, 80), (2, 4096, 77, 8, 40), (1, 4096, 4096, 1, 512), (2, 4250, 4250, 24, 64)]:
    a, b, c = randn(n, h, q, d), randn(n, h, k, d), randn(n, h, k, d)
    timed(f"attention {n} {q} {k} {h} {d}", 4 * n * h * q * k * d, lambda: F.scaled_dot_product_attention(a, b, c))
for n, h, c in [(2, 64, 320), (1, 512, 128)]:
    x, g, b = randn(n, c, h, h).to(memory_format=torch.channels_last), randn(c), randn(c)
    timed(f"group norm + silu {n}x{h}x{h} {c}", 4 * n * h * h * c, lambda: F.silu(F.group_norm(x, 32, g, b)), "TB/s")
x = randn(2, 4096, 320)
timed("layer norm 2 4096 320", 4 * x.numel(), lambda: F.layer_norm(x, (320,)), "TB/s")
