"""Training: options by their names, as `sumi train JOB --help` lists them."""
from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path
from typing import Any, Callable, List, Optional, Sequence, Tuple, Union

from . import _abi
from ._errors import raise_if
from ._interrupt import interrupts_into
from ._library import Handle, library
from ._marshal import text
from ._types import Text
from ._watch import logger

Value = Union[Text, bool, int, float, Sequence[Text], None]


@dataclass(frozen=True)
class TrainingStep:
    """Where a run is."""

    step: int
    """Done."""
    steps: int
    """Of the whole run; 0: not known."""
    loss: float
    """Of the last step."""
    smoothed_loss: float
    """Exponential mean over about 50 steps."""
    learning_rate: float
    gradient_norm: float
    images_per_second: float
    seconds_left: float
    waited: float
    """Share of the time that was spent waiting for data, 0 … 1."""
    rank: int
    """Of this process among those that mpirun started, from 0."""


@dataclass(frozen=True)
class TrainingOption:
    """An option of a job."""

    name: str
    value: str
    """What kind of value it takes."""
    default: str
    """"" where it depends on others."""
    help: str
    heading: str
    """What it is listed under."""
    flag: bool
    """Its value is True or False."""
    choices: Tuple[str, ...] = ()
    """The words that it takes; () where any text will do, or where it is no text."""


class Training:
    """A run that trains a model, of a job: "autoencoder", "diffusion" (text encoder and denoiser, from nothing or from a
    checkpoint), "lora", "embedding" (a new word: textual inversion), "controlnet"; or "cache", which encodes a training
    set once.

        run = sumi.Training("lora", model="v1-5.safetensors", train_data_dir="pictures", output="mine.safetensors")
        run.set("learning_rate", 1e-4)
        run.run(lambda at: print(at.step, at.smoothed_loss))

    One thread at a time."""

    def __init__(self, job: str, **options: Value) -> None:
        error = _abi.sumi_error()
        pointer = library.sumi_training_new(text(job, "job"), ctypes.byref(error))
        if pointer:
            self._handle = Handle("training run", pointer, library.sumi_training_free, alone=True)
        raise_if(error)
        for name, value in options.items():
            if value is not None:
                self.set(name, value)

    def set(self, name: str, value: Value) -> None:
        """Sets an option; the names of diffusers' and kohya's scripts are known. UsageError: an unknown name or a value
        out of its range."""
        error = _abi.sumi_error()
        with self._handle.use() as pointer:
            library.sumi_training_set(pointer, text(name, "name"), _spelled(value, name), ctypes.byref(error))
        raise_if(error)

    def get(self, name: str) -> str:
        """The value that an option has, as text."""
        error, value = _abi.sumi_error(), ctypes.create_string_buffer(65536)
        with self._handle.use() as pointer:
            library.sumi_training_get(pointer, text(name, "name"), value, len(value), ctypes.byref(error))
        raise_if(error)
        return value.value.decode("utf-8", "replace")

    def load(self, path: Text) -> None:
        """Sets what a JSON file names: {"learning_rate": 1e-4, "validation_prompts": ["a", "b"]}."""
        error = _abi.sumi_error()
        with self._handle.use() as pointer:
            library.sumi_training_load(pointer, text(path, "path"), ctypes.byref(error))
        raise_if(error)

    def run(self, progress: Optional[Callable[[TrainingStep], object]] = None,
            note: Optional[Callable[[str], object]] = None) -> Path:
        """Trains to the end and writes the model, whose path it returns.

        progress: called after each step. What it raises, and Ctrl-C, saves a checkpoint and comes out of this call;
        with resume_from_checkpoint="latest" a later run goes on from there and ends with the same bytes.
        note: called with what there is to say, a line each; None: it goes to the log "sumi" at level INFO."""
        listener = _Listener(progress, note or (lambda line: logger.info("%s", line)))
        error = _abi.sumi_error()
        with self._handle.use() as pointer, interrupts_into(listener):
            library.sumi_training_run(pointer, ctypes.byref(listener.struct), ctypes.byref(error))
        if listener.failure:
            raise listener.failure
        raise_if(error)
        return Path(self.get("output"))

    def close(self) -> None:
        """Frees it; so does collection."""
        self._handle.close()


def train(job: str, *, progress: Optional[Callable[[TrainingStep], object]] = None,
        note: Optional[Callable[[str], object]] = None, **options: Value) -> Path:
    """Trains: Training(job, **options).run(progress, note).

        sumi.train("lora", model="v1-5.safetensors", train_data_dir="pictures", output="mine.safetensors")
    """
    run = Training(job, **options)
    try:
        return run.run(progress, note)
    finally:
        run.close()


def training_options(job: str) -> List[TrainingOption]:
    """The options of a job."""
    found: List[TrainingOption] = []
    heading, one = "", _abi.sumi_training_option(size=ctypes.sizeof(_abi.sumi_training_option))
    for i in count():
        if not library.sumi_training_option_at(text(job, "job"), i, ctypes.byref(one)):
            return found
        if one.heading:
            heading = one.name.decode()
        else:
            found.append(TrainingOption(one.name.decode(), one.value.decode(), one.standard.decode(), one.help.decode(),
                heading, one.flag, _choices(one.choices)))
    return found


def _choices(listed: Optional[bytes]) -> Tuple[str, ...]:
    """Of "no=f32=fp32|bf16" ("no", "bf16"): behind "=" stand other words for the same."""
    return tuple(one.split("=")[0] for one in listed.decode().split("|")) if listed else ()


def _spelled(value: Value, name: str) -> bytes:
    """A value as the library reads it."""
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, (int, float)):
        return repr(value).encode()
    if isinstance(value, (str, os.PathLike)):
        return text(value, name)
    if isinstance(value, Sequence):
        return b"|".join(text(item, name) for item in value)
    raise TypeError(f"{name} is {value!r}, expected a text, a path, a number, True or False, or a list of texts")


class _Listener:
    def __init__(self, progress: Optional[Callable[[TrainingStep], object]], note: Callable[[str], object]) -> None:
        self.failure: Optional[BaseException] = None
        self._progress, self._note = progress, note
        self.struct = _abi.sumi_training_listener()
        library.sumi_training_listener_init(ctypes.byref(self.struct), ctypes.sizeof(self.struct))
        types = dict(_abi.sumi_training_listener._fields_)  # type: ignore[arg-type]
        self.struct.progress = types["progress"](self._on_progress)
        self.struct.note = types["note"](self._on_note)

    def _on_progress(self, context: Any, at: Any) -> int:
        if self._progress and not self.failure:
            p = at.contents
            try:
                self._progress(TrainingStep(**{f.name: getattr(p, f.name) for f in fields(TrainingStep)}))
            except BaseException as failure:
                self.failure = failure
        return self.failure is not None

    def _on_note(self, context: Any, line: bytes) -> None:
        try:
            self._note(line.decode("utf-8", "replace"))
        except BaseException as failure:
            self.failure = self.failure or failure
