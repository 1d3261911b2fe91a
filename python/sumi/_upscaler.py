"""Networks that make a picture larger."""
from __future__ import annotations

import ctypes
from types import TracebackType
from typing import TYPE_CHECKING, Callable, List, Optional, Type

from . import _abi
from ._abi import UpscaleOptions, UpscalerOptions
from ._errors import raise_if
from ._interrupt import interrupts_into
from ._library import Handle, library
from ._marshal import struct, text
from ._picture import Picture
from ._types import ImageLike, Text
from ._watch import Cancel, Step, Watch

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Upscaler:
    """RRDBNet (ESRGAN, Real-ESRGAN) or SRVGGNetCompact, in any of its layouts. It does not change: any number of threads
    may use it."""

    def __init__(self, path: Text, **options: Unpack[UpscalerOptions]) -> None:
        error, keep = _abi.sumi_error(), []  # type: _abi.sumi_error, List[object]
        made = struct(_abi.sumi_upscaler_options, options, keep)
        pointer = library.sumi_upscaler_open(text(path, "path"), ctypes.byref(made), ctypes.byref(error))
        if pointer:
            self._handle = Handle("upscaler", pointer, library.sumi_upscaler_close)
        raise_if(error)

    @property
    def scale(self) -> int:
        """How much larger a side becomes: 4, say."""
        with self._handle.use() as pointer:
            return int(library.sumi_upscaler_scale(pointer))

    def upscale(self, image: ImageLike, *, progress: Optional[Callable[[Step], object]] = None,
            cancel: Optional[Cancel] = None, **options: Unpack[UpscaleOptions]) -> Picture:
        """The enlarged picture, opaque; its parameters say how it was made and enlarged. progress: stage "upscale",
        counted in tiles."""
        watch, error, keep = Watch(progress), _abi.sumi_error(), []  # type: Watch, _abi.sumi_error, List[object]
        made = struct(_abi.sumi_upscale_options, options, keep)
        made.listener = watch.pointer()
        if cancel:
            made.cancel = cancel.pointer
        source = Picture.of(image)
        small = source._struct()
        with self._handle.use() as pointer, interrupts_into(watch):
            large = library.sumi_upscale(pointer, ctypes.byref(small), ctypes.byref(made), ctypes.byref(error))
        try:
            watch.check(error)
            return Picture._copy(large)
        finally:
            library.sumi_image_free(large)

    def close(self) -> None:
        """Frees it. UsageError while it is at work. It may be closed again."""
        self._handle.close()

    def __enter__(self) -> Upscaler:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
            trace: Optional[TracebackType]) -> None:
        self.close()
