"""What the tests share. SUMI_PROGRAM: the program, SUMI_GOLDENS: tests/golden; tests that need them are skipped without."""
import os
import subprocess
from pathlib import Path

import pytest

import sumi

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def at_home_nowhere(tmp_path, monkeypatch):
    """Nothing of this machine's user reaches the tests."""
    monkeypatch.delenv("SUMI_MODEL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(scope="session")
def goldens():
    folder = Path(os.environ.get("SUMI_GOLDENS") or ROOT / "tests/golden")
    if not folder.is_dir():
        pytest.skip("no tests/golden")
    return folder


@pytest.fixture(scope="session")
def tiny(goldens):
    """The file of a complete, tiny Stable Diffusion 1."""
    return goldens / "sd1/model.safetensors"


@pytest.fixture
def program(tmp_path):
    """Runs the program."""
    path = os.environ.get("SUMI_PROGRAM")
    if not path:
        pytest.skip("SUMI_PROGRAM names no program to compare with")

    def run(*arguments):
        done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def emoji():
    """The model that comes with the package."""
    with sumi.Model() as model:
        yield model


@pytest.fixture
def session(emoji):
    with emoji.session() as session:
        yield session


@pytest.fixture
def photo(tmp_path):
    """A picture file of 48 × 32 with something on it."""
    pixels = bytes((x * 5 + y * 3 * c) % 256 for y in range(32) for x in range(48) for c in range(3))
    sumi.Picture(48, 32, pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"
