"""Pictures."""
from __future__ import annotations

import ctypes
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Optional, Sequence

from . import _abi
from ._errors import UsageError, raise_if
from ._library import library
from ._marshal import text
from ._types import ImageLike, Text

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image


@dataclass(frozen=True)
class Attention:
    """Where the words of the option attention_words are heard: a map for each, of `height` rows of `width` numbers. 0 … 1:
    how much of its attention to the words a place gives to this one's tokens."""

    count: int
    height: int
    width: int
    """The latent's size: 1/8 of the picture's for most models."""
    values: bytes
    """count · height · width float32."""

    def numpy(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """A new array, float32 of shape (count, height, width)."""
        import numpy as np

        return np.frombuffer(self.values, np.float32).reshape(self.count, self.height, self.width).copy()


@dataclass(frozen=True)
class Picture:
    """Pixels of 8 bits, with what they were made of. It does not change and holds memory of its own."""

    width: int
    height: int
    pixels: bytes
    """width · height · 3 bytes: red, green, blue; rows from the top."""
    alpha: Optional[bytes] = None
    """width · height bytes, 0 transparent … 255 opaque; None: opaque everywhere. pixels are on white then."""
    seed: int = -1
    """What it was drawn from; -1: it was not."""
    parameters: Optional[str] = None
    """How it was made, as A1111 writes it into files, or ComfyUI's graph; None: unknown. See read_parameters()."""

    attention: Optional[Attention] = None
    """Where words are heard, where attention_words asked for it."""

    def __post_init__(self) -> None:
        positions = self.width * self.height
        if self.width < 1 or self.height < 1:
            raise UsageError(f"a picture of {self.width} × {self.height} pixels")
        if len(self.pixels) != 3 * positions:
            raise UsageError(f"{self.width} × {self.height} pixels need {3 * positions} bytes, not {len(self.pixels)}")
        if self.alpha is not None and len(self.alpha) != positions:
            raise UsageError(f"alpha has {len(self.alpha)} bytes, expected {positions}")

    # ── from files and other libraries ──

    @classmethod
    def read(cls, path: Text) -> Picture:
        """A PNG, JPEG, WebP or uncompressed BMP file, recognised by content, with its parameters."""
        error = _abi.sumi_error()
        return cls._take(library.sumi_image_read(text(path, "path"), ctypes.byref(error)), error)

    @classmethod
    def decode(cls, data: bytes) -> Picture:
        """The same from memory."""
        error = _abi.sumi_error()
        return cls._take(library.sumi_image_decode(bytes(data), len(data), ctypes.byref(error)), error)

    @classmethod
    def from_pil(cls, image: PIL.Image.Image) -> Picture:
        """Pillow's, of any mode. What is transparent is put on white; alpha keeps its opacity."""
        clear = "A" in image.getbands() or "transparency" in image.info
        png = io.BytesIO()
        image.convert("RGBA" if clear else "RGB").save(png, "png", compress_level=1)
        made = cls.decode(png.getvalue())
        parameters = image.info.get("parameters")
        return cls(made.width, made.height, made.pixels, made.alpha,
            parameters=parameters if isinstance(parameters, str) else None)

    @classmethod
    def from_numpy(cls, array: np.ndarray[Any, Any]) -> Picture:
        """uint8 of shape (height, width, 3), with alpha (height, width, 4), or grey (height, width); a bool array is a
        mask: True is white."""
        import numpy as np

        array = np.asarray(array)
        if array.dtype == bool:
            array = array.astype(np.uint8) * np.uint8(255)
        if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.ndim == 3 and array.shape[2] not in (3, 4):
            raise UsageError(f"an array of {array.dtype} and shape {array.shape}, expected uint8 of (height, width, 3), "
                "(height, width, 4) or (height, width)")
        height, width = array.shape[:2]
        if array.ndim == 2:
            array = np.repeat(array[:, :, None], 3, 2)
        if array.shape[2] == 3:
            return cls(width, height, array.tobytes())
        alpha = array[:, :, 3:].astype(np.uint16)
        white = (array[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
        return cls(width, height, white.astype(np.uint8).tobytes(), array[:, :, 3].tobytes())

    @classmethod
    def of(cls, value: ImageLike) -> Picture:
        """Whatever is meant: a Picture itself, a path, Pillow's, or an array."""
        if isinstance(value, Picture):
            return value
        if isinstance(value, str) or hasattr(value, "__fspath__"):
            return cls.read(value)
        if hasattr(value, "getbands"):
            return cls.from_pil(value)  # type: ignore[arg-type]
        if hasattr(value, "__array_interface__") or hasattr(value, "__array__"):
            return cls.from_numpy(value)
        raise TypeError(f"{value!r} is not a picture: expected a sumi.Picture, a path, Pillow's Image or an array")

    # ── to files and other libraries ──

    def save(self, path: Text) -> None:
        """Writes PNG, or JPEG or WebP by the name's extension, with the parameters in it; complete or not at all."""
        error, image = _abi.sumi_error(), self._struct()
        library.sumi_image_write(ctypes.byref(image), text(path, "path"), ctypes.byref(error))
        raise_if(error)

    def encode(self, format: str = "png", quality: int = 90) -> bytes:
        """The bytes of such a file. format: "png", "jpeg" or "webp". quality, of JPEG and WebP: 1 … 100; WebP at 100 is
        lossless."""
        error, image = _abi.sumi_error(), self._struct()
        data, count = ctypes.POINTER(ctypes.c_ubyte)(), ctypes.c_size_t()
        library.sumi_image_encode(ctypes.byref(image), text(format, "format"), quality, ctypes.byref(data),
            ctypes.byref(count), ctypes.byref(error))
        raise_if(error)
        try:
            return ctypes.string_at(data, count.value)
        finally:
            library.sumi_free(ctypes.cast(data, ctypes.c_void_p))

    def to_pil(self) -> PIL.Image.Image:
        """Pillow's Image: RGBA where there is alpha, else RGB; the parameters are in its info."""
        from PIL import Image

        image = Image.frombytes("RGB", (self.width, self.height), self.pixels)
        if self.alpha is not None:
            image.putalpha(Image.frombytes("L", (self.width, self.height), self.alpha))
        if self.parameters is not None:
            image.info["parameters"] = self.parameters
        return image

    def numpy(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """A new array, uint8 of shape (height, width, 3): red, green, blue."""
        import numpy as np

        return np.frombuffer(self.pixels, np.uint8).reshape(self.height, self.width, 3).copy()

    def resize(self, width: int, height: int) -> Picture:
        """The picture at another size, by Lanczos as Pillow does it; seed and parameters are kept, alpha is not."""
        error, image = _abi.sumi_error(), self._struct()
        return Picture._take(library.sumi_image_resize(ctypes.byref(image), width, height, ctypes.byref(error)), error)

    def edges(self, low: int = 100, high: int = 200) -> Picture:
        """White edges on black, as OpenCV's Canny() finds them: what many ControlNets follow. They begin where the
        gradient is above `high`, and go on while it is above `low`."""
        error, image = _abi.sumi_error(), self._struct()
        return Picture._take(library.sumi_image_edges(ctypes.byref(image), low, high, ctypes.byref(error)), error)

    def attention_over(self, map: int) -> Picture:
        """The picture with one of its maps over it: from dark blue where the word is heard least, over red and orange, to
        light yellow where it is heard most."""
        error, image = _abi.sumi_error(), self._struct()
        return Picture._take(library.sumi_image_attention(ctypes.byref(image), map, ctypes.byref(error)), error)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return self.encode()

    def __repr__(self) -> str:
        return f"<sumi.Picture {self.width} × {self.height}" + (f", seed {self.seed}>" if self.seed >= 0 else ">")

    # ── the library's ──

    def _struct(self) -> _abi.sumi_image:
        """The library's struct, which points into this picture: it must live as long."""
        image = _abi.sumi_image(size=ctypes.sizeof(_abi.sumi_image), width=self.width, height=self.height, seed=self.seed)
        bytes_of = ctypes.POINTER(ctypes.c_ubyte)
        image.pixels = ctypes.cast(ctypes.c_char_p(self.pixels), bytes_of)
        if self.alpha is not None:
            image.alpha = ctypes.cast(ctypes.c_char_p(self.alpha), bytes_of)
        if self.attention is not None:
            maps = self.attention
            image.attention_count, image.attention_height, image.attention_width = maps.count, maps.height, maps.width
            image.attention = ctypes.cast(ctypes.c_char_p(maps.values), ctypes.POINTER(ctypes.c_float))
        if self.parameters is not None:
            image.parameters = text(self.parameters, "parameters")
        return image

    @classmethod
    def _copy(cls, pointer: Any) -> Picture:
        image = pointer.contents
        positions = image.width * image.height
        maps = None
        if image.attention:
            shape = image.attention_count, image.attention_height, image.attention_width
            maps = Attention(*shape, ctypes.string_at(image.attention, 4 * shape[0] * shape[1] * shape[2]))
        return cls(image.width, image.height, ctypes.string_at(image.pixels, 3 * positions),
            ctypes.string_at(image.alpha, positions) if image.alpha else None, image.seed,
            image.parameters.decode("utf-8", "replace") if image.parameters else None, maps)

    @classmethod
    def _take(cls, pointer: Any, error: _abi.sumi_error) -> Picture:
        """What a function of the library returned, or its error."""
        raise_if(error)
        try:
            return cls._copy(pointer)
        finally:
            library.sumi_image_free(pointer)


def grid(pictures: Sequence[ImageLike], columns: int, gap: int = 4) -> Picture:
    """Pictures in rows of `columns`, on white, `gap` pixels between them; smaller ones stand in the middle of their
    cells."""
    error, count = _abi.sumi_error(), len(pictures)
    whole = [Picture.of(p) for p in pictures]
    structs = [p._struct() for p in whole]
    array = (ctypes.POINTER(_abi.sumi_image) * count)(*map(ctypes.pointer, structs))
    return Picture._take(library.sumi_image_grid(array, count, columns, gap, ctypes.byref(error)), error)


def parameters_of(path: Text) -> str:
    """The parameters of a picture file, without decoding its pixels: "" where it has none."""
    error = _abi.sumi_error()
    found = library.sumi_image_parameters(text(path, "path"), None, None, ctypes.byref(error))
    raise_if(error)
    try:
        return ctypes.string_at(found).decode("utf-8", "replace")
    finally:
        library.sumi_free(found)


def read_parameters(parameters: str) -> Dict[str, str]:
    """A picture's parameters taken apart: "Prompt", "Negative prompt" where there is one, and A1111's names of the
    values ("Steps", "Sampler", …). Reads A1111's text, whichever tool wrote it, and ComfyUI's graph as far as it is one
    KSampler. FileError for what says nothing of the kind."""
    error, found = _abi.sumi_error(), {}

    def each(context: Any, name: bytes, value: bytes) -> None:
        found[name.decode()] = value.decode("utf-8", "replace")

    library.sumi_parameters_read(text(parameters, "parameters"), _abi.sumi_parameter_fn(each), None, ctypes.byref(error))
    raise_if(error)
    return found
