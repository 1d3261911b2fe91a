"""Training: the program's bytes, stopping and going on, what is refused."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sumi


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(2):
        sumi.Picture(32, 32, bytes((j * (i + 3)) % 256 for j in range(32 * 32 * 3))).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(f"picture {i}")
    return folder


@pytest.fixture
def options(tiny, pictures):
    return {"model": tiny, "train_data_dir": pictures, "resolution": 32, "train_batch_size": 1, "network_dim": 2,
        "learning_rate": 1e-2, "seed": 7, "max_train_steps": 4}


def tensors(path):
    """A safetensors file's numbers, without its header."""
    data = path.read_bytes()
    return data[8 + int.from_bytes(data[:8], "little"):]


def test_the_programs_bytes(options, program, tmp_path, caplog):
    program("train", "lora", "--output", "program.safetensors",
        *(word for name, value in options.items() for word in (f"--{name}", value)))
    seen = []
    with caplog.at_level("INFO", "sumi"):
        made = sumi.train("lora", output=tmp_path / "package.safetensors", progress=seen.append, **options)
    assert made == tmp_path / "package.safetensors"
    assert tensors(made) == tensors(tmp_path / "program.safetensors")
    assert [s.step for s in seen] == [1, 2, 3, 4] and seen[-1].steps == 4 and seen[-1].loss > 0
    assert caplog.records


def test_stopped_and_resumed(options, tmp_path):
    whole = sumi.train("lora", output=tmp_path / "whole.safetensors", **options)

    def stop(at):
        if at.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sumi.train("lora", output=tmp_path / "pieces.safetensors", progress=stop, **options)
    pieces = sumi.train("lora", output=tmp_path / "pieces.safetensors", resume_from_checkpoint="latest", **options)
    assert tensors(pieces) == tensors(whole)
    with sumi.Model(options["model"], loras=[whole]) as model, sumi.Model(options["model"]) as plain:
        short = {"width": 32, "height": 32, "steps": 1}
        assert model.generate("picture 1", **short) != plain.generate("picture 1", **short)


def test_options(tmp_path):
    run = sumi.Training("lora", learning_rate=1e-4, network_conv=True, validation_prompts=["a", "b"], output=tmp_path / "x")
    assert (run.get("learning_rate"), run.get("network_conv"), run.get("validation_prompts")) == ("0.0001", "true", "a|b")
    (tmp_path / "more.json").write_text('{"seed": 5}')
    run.load(tmp_path / "more.json")
    assert run.get("seed") == "5"
    run.set("lora_rank", 3)  # diffusers' word
    assert run.get("network_dim") == "3"
    for call, message in ((lambda: run.set("networkdim", 4), "did you mean --network_dim"),
            (lambda: run.set("learning_rate", "fast"), "a number"), (lambda: sumi.Training("lorra"), "lorra"), (run.run, "missing")):
        with pytest.raises(sumi.UsageError, match=message):
            call()
    with pytest.raises(TypeError, match="seed"):
        run.set("seed", object())
    run.close()
    with pytest.raises(sumi.UsageError, match="closed"):
        run.run()
    listed = {o.name: o for o in sumi.training_options("lora")}
    assert listed["mixed_precision"].choices == ("no", "bf16") and listed["output"].choices == listed["network_dim"].choices == ()
    assert listed["network_dim"].help and listed["network_conv"].flag and listed["output"].heading == "Files"
    assert "placeholder_token" in {o.name for o in sumi.training_options("embedding")}


def test_signals_meanwhile(options, tmp_path):
    """Handlers run on the thread that computes: they change nothing of it."""
    made = sumi.train("lora", output=tmp_path / "quiet.safetensors", **options)
    program = f"""
import signal, sys
import sumi
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 2e-4, 2e-4)
sumi.train("lora", output=sys.argv[1], **eval(sys.argv[2]))
signal.setitimer(signal.ITIMER_REAL, 0)
"""
    given = repr({name: value if isinstance(value, (int, float)) else str(value) for name, value in options.items()})
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "disturbed.safetensors", given], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(sumi.__file__).parents[1])})
    assert done.returncode == 0, done.stderr
    assert tensors(tmp_path / "disturbed.safetensors") == tensors(made)
