"""While the library works: progress, previews, notes and stopping it."""
from __future__ import annotations

import ctypes
import logging
import sys
import warnings
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

from . import _abi
from ._errors import OutOfMemory, Stopped, UsageError, raise_if
from ._library import FOLDER, library
from ._picture import Picture

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger("sumi")


class SumiWarning(UserWarning):
    """An input or option was not used, or not as requested."""


@dataclass(frozen=True)
class Latent:
    """A latent on its way: noisy is about signal · the picture's latent + noise · what a normal distribution gives."""

    height: int
    width: int
    channels: int
    noisy: bytes
    """What the sampler has now: height · width · channels float32."""
    clean: Optional[bytes]
    """What the denoiser took for the picture's latent in the last step; None before the first."""
    time: float
    """That the denoiser reads: 1000 is noise alone, 0 the picture."""
    signal: float
    noise: float

    def numpy(self, clean: bool = False) -> np.ndarray[Any, np.dtype[np.float32]]:
        """A new array of what is noisy, or clean: float32 of shape (height, width, channels)."""
        import numpy as np

        values = self.clean if clean else self.noisy
        if values is None:
            raise UsageError("before the first step nothing is known of the clean latent")
        return np.frombuffer(values, np.float32).reshape(self.height, self.width, self.channels).copy()

    @classmethod
    def _copy(cls, pointer: Any) -> Latent:
        at = pointer.contents
        size = 4 * at.height * at.width * at.channels
        return cls(at.height, at.width, at.channels, ctypes.string_at(at.noisy, size),
            ctypes.string_at(at.clean, size) if at.clean else None, at.time, at.signal, at.noise)


@dataclass(frozen=True)
class Step:
    """Where a call is. A stage begins with step 0."""

    stage: str
    """"load", "encode", "denoise", "decode"; "write" of files; "upscale", in tiles."""
    step: int
    """Steps of the stage that are done, 0 … steps."""
    steps: int
    """Of the stage; 0: not known."""
    previews: Dict[int, Picture] = field(default_factory=dict)
    """What pictures will be, by their numbers in the batch, from 0: after each step of "denoise" but the last, where
    previews were asked for. Made as the option `preview` says: "linear" gives one pixel for each latent position."""
    latents: Dict[int, Latent] = field(default_factory=dict)
    """Where pictures are, as "denoise" begins and after each of its steps, where latents were asked for."""

    @property
    def preview(self) -> Optional[Picture]:
        """The first of the previews."""
        return self.previews[min(self.previews)] if self.previews else None


class Cancel:
    """Stops calls from another thread: each call that it was given to raises Stopped at its next step. For good: make a
    new one for later calls."""

    def __init__(self) -> None:
        pointer = library.sumi_cancel_new()
        if not pointer:
            raise OutOfMemory("no memory for a request to stop")
        self.pointer = pointer
        """The library's."""
        weakref.finalize(self, library.sumi_cancel_free, pointer)
        self._asked = False

    def ask(self) -> None:
        """Stops them. It cannot be withdrawn."""
        self._asked = True
        library.sumi_cancel_ask(self.pointer)

    @property
    def asked(self) -> bool:
        return self._asked


def _outer_level() -> int:
    """The stack level of the caller of the package, which a warning is about."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(str(FOLDER)):
        level, frame = level + 1, frame.f_back
    return level


def tell(level: int, line: str) -> None:
    """A note: a warning, or a line of the log at level DEBUG."""
    if level == _abi.Level.WARNING:
        warnings.warn(line, SumiWarning, stacklevel=_outer_level())
    else:
        logger.debug("%s", line)


class Watch:
    """A listener. What its functions raise, KeyboardInterrupt included, ends the call at its next step, and is raised
    by check()."""

    def __init__(self, progress: Optional[Callable[[Step], object]] = None, previews: bool = False,
            note: Callable[[int, str], object] = tell, latents: bool = False) -> None:
        self.failure: Optional[BaseException] = None
        self._progress, self._note = progress, note
        self._seen: Dict[int, Picture] = {}
        self._latents: Dict[int, Latent] = {}
        self.struct = _abi.sumi_listener()
        library.sumi_listener_init(ctypes.byref(self.struct), ctypes.sizeof(self.struct))
        types = dict(_abi.sumi_listener._fields_)  # type: ignore[arg-type]
        self.struct.progress = types["progress"](self._on_progress)
        self.struct.note = types["note"](self._on_note)
        if previews:
            self.struct.preview = types["preview"](self._on_preview)
        if latents:
            self.struct.latent = types["latent"](self._on_latent)

    def pointer(self) -> Any:
        return ctypes.pointer(self.struct)

    def stop(self) -> None:
        """Ends the call at its next step with Stopped."""
        self.failure = self.failure or Stopped("stopped")

    def check(self, error: _abi.sumi_error) -> None:
        """Raises what the listener raised, or else what the library says."""
        if self.failure:
            raise self.failure
        raise_if(error)

    def _try(self, call: Callable[[], object]) -> None:
        if self.failure:
            return
        try:
            call()
        except BaseException as failure:  # KeyboardInterrupt comes here, too
            self.failure = failure

    def _on_progress(self, context: Any, stage: bytes, step: int, steps: int) -> int:
        previews, self._seen = self._seen, {}
        latents: Dict[int, Latent] = {}
        if stage == b"denoise":  # the first ones come while it is made ready
            latents, self._latents = self._latents, {}
        if self._progress:
            made = Step(stage.decode(), step, steps, previews, latents)
            self._try(lambda: self._progress and self._progress(made))
        return self.failure is not None

    def _on_note(self, context: Any, level: int, line: bytes) -> None:
        self._try(lambda: self._note(level, line.decode("utf-8", "replace")))

    def _on_preview(self, context: Any, index: int, step: int, picture: Any) -> None:
        self._try(lambda: self._seen.__setitem__(index, Picture._copy(picture)))

    def _on_latent(self, context: Any, index: int, step: int, latent: Any) -> None:
        self._try(lambda: self._latents.__setitem__(index, Latent._copy(latent)))
