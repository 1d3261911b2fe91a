"""Models and the sessions that draw from them."""
from __future__ import annotations

import ctypes
import json
import os
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Type, Union

from . import _abi
from ._abi import EvaluationOptions, ModelOptions, Options
from ._errors import UsageError, raise_if
from ._interrupt import interrupts_into
from ._library import FOLDER, Handle, library
from ._marshal import struct, text
from ._picture import Picture
from ._stream import Stream
from ._types import Text
from ._watch import Cancel, Step, Watch

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Request(Options, total=False):
    """One picture of a batch: a prompt, and the options that differ from the batch's."""

    prompt: str


Prompts = Union[str, Sequence[Union[str, Request]]]
Progress = Callable[[Step], object]


@dataclass(frozen=True)
class Evaluation:
    """How well a model draws: the figures, as text and as JSON has them, and a grid of samples beside real pictures."""

    table: str
    figures: Dict[str, Any]
    grid: Optional[Picture]


@dataclass(frozen=True)
class PromptReading:
    """How a model reads a prompt."""

    tokens: int
    """Of the text; where AND parts prompts, of the longest."""
    room: int
    """Tokens that fit into the chunks which it takes, 75 to a chunk, or into the one piece that T5 reads."""
    parts: List[Tuple[str, float]]
    """Each stretch of text that has one weight, in order, without brackets, weights and escapes; and its weight."""


@dataclass(frozen=True)
class Token:
    """A token of a text, as one of a model's text encoders reads it."""

    encoder: int
    """0, 1, 2: in the order in which the model has them."""
    id: int
    text: str
    """As the tokenizer's table has it: CLIP's "cat</w>" ends a word, BERT's "##ing" goes on with one, T5's "▁cat" begins
    one; of a learned word its name. Bytes that are no UTF-8 are replaced."""


class Model:
    """A model, open. It does not change: any number of sessions, each in a thread of its own, may draw from it.

    path: a .safetensors file (or the index of a sharded one), a .gguf, .ckpt or .pt file, or a diffusers folder; None: what
    the variable SUMI_MODEL names, or else the model that comes with the package, which draws emoji.
    progress: called while it is opened.
    options: see ModelOptions. device="cuda", type="bf16", threads=4, max_memory=8 << 30, vae="vae.safetensors", …

    Weights stay in the file, mapped: do not change it while the model is open."""

    def __init__(self, path: Optional[Text] = None, *, progress: Optional[Progress] = None,
            **options: Unpack[ModelOptions]) -> None:
        path = path or os.environ.get("SUMI_MODEL") or FOLDER / "emoji.safetensors"
        watch, error, keep = Watch(progress), _abi.sumi_error(), []  # type: Watch, _abi.sumi_error, List[object]
        made = struct(_abi.sumi_model_options, options, keep)
        made.listener = watch.pointer()
        with interrupts_into(watch):
            pointer = library.sumi_open(text(path, "path"), ctypes.byref(made), ctypes.byref(error))
        if pointer:
            self._handle = Handle("model", pointer, library.sumi_close)
        watch.check(error)

    @property
    def size(self) -> Tuple[int, int]:
        """The width and height that it was made for, in pixels."""
        width, height = ctypes.c_int(), ctypes.c_int()
        with self._handle.use() as pointer:
            library.sumi_model_size(pointer, ctypes.byref(width), ctypes.byref(height))
        return width.value, height.value

    @property
    def family(self) -> str:
        """Its name: "sd1", "sdxl", …"""
        with self._handle.use() as pointer:
            return str(library.sumi_model_family(pointer).decode())

    def session(self, *, max_memory: int = 0) -> Session:
        """A session for one thread. max_memory: bytes that the process may take while it draws; 0: the model's."""
        return Session(self, max_memory=max_memory)

    def generate(self, prompt: str, *, progress: Optional[Progress] = None, cancel: Optional[Cancel] = None,
            **options: Unpack[Options]) -> Picture:
        """One picture by a session for this call alone, in which each network is freed before the next is allocated: the
        least memory. See Session.generate()."""
        with self._handle.use() as pointer:
            return _draw(library.sumi_generate, pointer, prompt, progress, cancel, options)

    def evaluate(self, data: Text, *, progress: Optional[Progress] = None, **options: Unpack[EvaluationOptions]) -> Evaluation:
        """Measures it with real pictures: a folder with a metadata.jsonl whose lines hold "file_name" and "text".
        Stages: "look", "rebuild", "check" and "draw", counted in pictures. docs/evaluation.md says what is measured."""
        watch, error, keep = Watch(progress), _abi.sumi_error(), []  # type: Watch, _abi.sumi_error, List[object]
        made = struct(_abi.sumi_evaluation_options, {**options, "data": data}, keep)
        made.listener = watch.pointer()
        with self._handle.use() as pointer, interrupts_into(watch):
            found = library.sumi_evaluate(pointer, ctypes.byref(made), ctypes.byref(error))
        try:
            watch.check(error)
            grid = Picture._copy(found.contents.grid) if found.contents.grid else None
            return Evaluation(found.contents.table.decode(), json.loads(found.contents.json), grid)
        finally:
            library.sumi_evaluation_free(found)

    def read_prompt(self, prompt: str) -> PromptReading:
        """How it reads a prompt in the first step, LoRAs left out."""
        error, tokens, room, parts = _abi.sumi_error(), ctypes.c_int(), ctypes.c_int(), []
        data = text(prompt, "prompt")

        def each(context: Any, part: Any, length: int, weight: float) -> None:
            parts.append((ctypes.string_at(part, length).decode("utf-8", "replace"), weight))

        with self._handle.use() as pointer:
            library.sumi_prompt_read(pointer, data, ctypes.byref(tokens), ctypes.byref(room), _abi.sumi_prompt_fn(each), None,
                ctypes.byref(error))
        raise_if(error)
        return PromptReading(tokens.value, room.value, parts)

    def tokens(self, words: str) -> List[Token]:
        """The tokens of a text as each of its text encoders reads them, without start, end and padding. Brackets and the
        like are characters here."""
        error, found = _abi.sumi_error(), []  # type: _abi.sumi_error, List[Token]

        def each(context: Any, encoder: int, id: int, piece: bytes) -> None:
            found.append(Token(encoder, id, piece.decode("utf-8", "replace")))

        with self._handle.use() as pointer:
            library.sumi_prompt_tokens(pointer, text(words, "words"), _abi.sumi_token_fn(each), None, ctypes.byref(error))
        raise_if(error)
        return found

    def dump(self, part: str = "denoise", *, profile: bool = False, **options: Unpack[Options]) -> str:
        """A network as it would run for these options, a line for each node: shape, place in memory, kernel. part:
        "encode", "denoise" or "decode". profile: it is run, and each line and a table have the times."""
        error, keep, written = _abi.sumi_error(), [], bytearray()  # type: _abi.sumi_error, List[object], bytearray
        made = struct(_abi.sumi_options, options, keep)

        def write(context: Any, data: int, count: int) -> bool:
            written.extend(ctypes.string_at(data, count))
            return True

        with self._handle.use() as pointer:
            library.sumi_dump(pointer, ctypes.byref(made), text(part, "part"), profile, _abi.sumi_write_fn(write), None,
                ctypes.byref(error))
        raise_if(error)
        return written.decode("utf-8", "replace")

    def close(self) -> None:
        """Frees it and its sessions. UsageError while one of them is at work. It may be closed again."""
        self._handle.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
            trace: Optional[TracebackType]) -> None:
        self.close()


class Session:
    """Draws from a model and keeps what it has compiled and packed, so that the next picture of the same shape starts at
    once. One thread at a time: a call while another is at work raises UsageError."""

    def __init__(self, model: Model, *, max_memory: int = 0) -> None:
        error, keep = _abi.sumi_error(), []  # type: _abi.sumi_error, List[object]
        made = struct(_abi.sumi_session_options, {"max_memory": max_memory}, keep)
        watch = Watch()
        with model._handle.use() as parent:
            pointer = library.sumi_session_open(parent, ctypes.byref(made), ctypes.byref(error))
            if pointer:
                self._handle = Handle("session", pointer, library.sumi_session_close, model._handle, alone=True)
        watch.check(error)

    def generate(self, prompt: str, *, progress: Optional[Progress] = None, cancel: Optional[Cancel] = None,
            **options: Unpack[Options]) -> Picture:
        """Makes one picture. The same model, options and seed give the same bytes, from run to run and for any number of
        threads.

        prompt: text, with A1111's syntax: (more:1.2) [less] [from:to:0.5] [a|b] this AND that BREAK <lora:name:0.8>
        progress: called with a Step as stages begin and after each of their steps; what it raises ends the call, and
        comes out of it.
        options: see Options. steps=20, guidance=7.5, width=512, height=512 (pixels), seed=42, sampler="dpm++2m",
        negative_prompt="", init="photo.png", strength=0.75, controls=[sumi.Control(path=…, image=…)], …

        What will not fit into memory raises OutOfMemory before the first step. Ctrl-C ends it at the next step."""
        with self._handle.use() as pointer:
            return _draw(library.sumi_session_draw, pointer, prompt, progress, cancel, options)

    def batch(self, prompts: Prompts, *, seeds: Optional[Sequence[int]] = None, progress: Optional[Progress] = None,
            cancel: Optional[Cancel] = None, **options: Unpack[Options]) -> List[Picture]:
        """Makes 1 … 4096 pictures, those that are alike in size, steps, sampler and prompt length together. Each has the
        bytes that generate() gives.

        prompts: one for each picture, or one for all; instead of a str, a Request has options of its picture's own.
        seeds: one for each picture."""
        with self._handle.use() as pointer:
            return _draw_batch(pointer, _requests(prompts, seeds, options), Watch(progress), cancel)

    def stream(self, prompts: Prompts, *, seeds: Optional[Sequence[int]] = None, previews: bool = True, latents: bool = False,
            cancel: Optional[Cancel] = None, **options: Unpack[Options]) -> Stream:
        """Draws in a thread of its own, and gives each Step as it is done, with previews:

            with session.stream("a red fox") as steps:
                for step in steps:
                    if step.preview: show(step.preview)
            steps.picture.save("fox.png")

        prompts, seeds: as batch() has them. latents: each Step has the latents, too. Leaving the block before the end
        stops the drawing. Until it has ended, the session is at work."""
        requests = _requests(prompts, seeds, options)
        return Stream(self._handle, lambda pointer, watch: _draw_batch(pointer, requests, watch, cancel), previews,
            latents)

    def at_once(self, **options: Unpack[Options]) -> int:
        """How many pictures of this size a batch draws at once at most; more are drawn group by group."""
        keep: List[object] = []
        made = struct(_abi.sumi_options, options, keep)
        with self._handle.use() as pointer:
            return int(library.sumi_session_at_once(pointer, ctypes.byref(made)))

    def trim(self, max_bytes: int = 0) -> None:
        """Frees what it keeps, least recently used first, until at most so many bytes are left."""
        with self._handle.use() as pointer:
            library.sumi_session_trim(pointer, max_bytes)

    @property
    def bytes_kept(self) -> int:
        """What it keeps, in bytes."""
        with self._handle.use() as pointer:
            return int(library.sumi_session_bytes(pointer))

    def close(self) -> None:
        """Frees it. UsageError while it is at work. It may be closed again."""
        self._handle.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
            trace: Optional[TracebackType]) -> None:
        self.close()


# ── drawing ──


def _given(options: Mapping[str, object], watch: Watch, cancel: Optional[Cancel], keep: List[object]) -> Any:
    made = struct(_abi.sumi_options, options, keep)
    made.listener = watch.pointer()
    if cancel:
        made.cancel = cancel.pointer
    return made


def _draw(function: Any, pointer: Any, prompt: str, progress: Optional[Progress], cancel: Optional[Cancel],
        options: Mapping[str, object]) -> Picture:
    watch, error, keep = Watch(progress), _abi.sumi_error(), []  # type: Watch, _abi.sumi_error, List[object]
    made = _given({**options, "prompt": prompt}, watch, cancel, keep)
    with interrupts_into(watch):
        picture = function(pointer, ctypes.byref(made), ctypes.byref(error))
    try:
        watch.check(error)
        return Picture._copy(picture)
    finally:
        library.sumi_image_free(picture)


def _requests(prompts: Prompts, seeds: Optional[Sequence[int]], options: Mapping[str, object]) -> List[Dict[str, object]]:
    """The options of each picture."""
    listed = [prompts] * (1 if seeds is None else len(seeds)) if isinstance(prompts, str) else list(prompts)
    requests: List[Dict[str, object]] = []
    for one in listed:
        own: Mapping[str, object] = {"prompt": one} if isinstance(one, str) else one
        requests.append({**options, **own})
    if seeds is not None and len(seeds) != len(requests):
        raise UsageError(f"{len(requests)} prompts and {len(seeds)} seeds")
    for request, seed in zip(requests, seeds or ()):
        request["seed"] = seed
    if not requests:
        raise UsageError("no prompts")
    return requests


def _draw_batch(pointer: Any, requests: Sequence[Mapping[str, object]], watch: Watch, cancel: Optional[Cancel]) -> List[Picture]:
    error, keep, count = _abi.sumi_error(), [], len(requests)  # type: _abi.sumi_error, List[object], int
    made = [_given(request, watch, cancel, keep) for request in requests]
    options = (ctypes.POINTER(_abi.sumi_options) * count)(*map(ctypes.pointer, made))
    drawn = (ctypes.POINTER(_abi.sumi_image) * count)()
    with interrupts_into(watch):
        library.sumi_session_draw_batch(pointer, options, count, drawn, ctypes.byref(error))
    try:
        watch.check(error)
        return [Picture._copy(picture) for picture in drawn]
    finally:
        for picture in drawn:
            library.sumi_image_free(picture)
