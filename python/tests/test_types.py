"""What type checkers see: mypy --strict finds nothing in the package, and finds what a user's program has wrong."""
import subprocess
import sys
from pathlib import Path

import pytest

import sumi

RIGHT = """
import sumi
with sumi.Model("m.safetensors", threads=2, loras=["a.safetensors"]) as model, model.session() as session:
    picture: sumi.Picture = session.generate("dog", steps=20, guidance=7, controls=[sumi.Control(path="c", strength=1)])
    for step in session.stream(["a", "b"], seeds=[1, 2]):
        if step.preview:
            step.preview.save("x.png")
"""
WRONG = ["model.generate('dog', steps='many')", "model.generate('dog', stepz=3)", "sumi.Model(threads='x')",
    "sumi.Control(strong=1)", "model.generate(3)", "x: str = model.generate('dog')"]


def mypy(folder, monkeypatch, *arguments):
    pytest.importorskip("mypy")
    if "site-packages" not in sumi.__file__:  # where mypy finds it by itself
        monkeypatch.setenv("MYPYPATH", str(Path(sumi.__file__).parents[1]))
    from mypy.version import __version__ as version

    if tuple(map(int, version.split(".")[:2])) < (1, 7):
        pytest.skip(f"mypy {version} does not know keyword arguments of a TypedDict: 1.7 does")
    return subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"),
        "--ignore-missing-imports", *map(str, arguments)], capture_output=True, text=True, cwd=folder)


def test_strict(tmp_path, monkeypatch):
    done = mypy(tmp_path, monkeypatch, "-p", "sumi")
    assert done.returncode == 0, done.stdout


def test_users_programs(tmp_path, monkeypatch):
    (tmp_path / "right.py").write_text(RIGHT)
    done = mypy(tmp_path, monkeypatch, "right.py")
    assert done.returncode == 0, done.stdout
    (tmp_path / "wrong.py").write_text("import sumi\nmodel = sumi.Model()\n" + "\n".join(WRONG) + "\n")
    done = mypy(tmp_path, monkeypatch, "wrong.py")
    for line in range(3, 3 + len(WRONG)):
        assert f"wrong.py:{line}: error" in done.stdout, done.stdout
