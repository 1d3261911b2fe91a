"""Model files, and what the library knows."""
from __future__ import annotations

import ctypes
from itertools import count
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence, Tuple

from . import _abi
from ._abi import ConvertOptions, ExtractOptions
from ._errors import raise_if
from ._interrupt import interrupts_into
from ._library import library
from ._marshal import struct, text
from ._types import Text
from ._watch import Step, Watch

if TYPE_CHECKING:
    from typing_extensions import Unpack


def version() -> str:
    """Of the library that runs: "0.2.0"."""
    return str(library.sumi_version().decode())


def devices() -> str:
    """The GPUs and their libraries that were found, and what is missing, in lines."""
    return str(library.sumi_devices().decode())


def _names(function: Any) -> List[str]:
    names: List[str] = []
    for i in count():
        name = function(i)
        if name is None:
            return names
        names.append(name.decode())
    return names


def samplers() -> List[str]:
    """The names that the option `sampler` takes, in any spelling."""
    return _names(library.sumi_sampler_name)


def schedules() -> List[str]:
    """The names that the option `schedule` takes, in any spelling."""
    return _names(library.sumi_schedule_name)


def guidances() -> List[str]:
    """The names that the option `guidance_method` takes, in any spelling."""
    return _names(library.sumi_guidance_name)


def families() -> List[str]:
    """The families of models that init() knows by name."""
    return _names(library.sumi_family_name)


def types() -> List[str]:
    """The element types of init() and convert()."""
    return _names(library.sumi_type_name)


def hash(path: Text) -> str:
    """The SHA-256 of a model's file, 64 hexadecimal digits, remembered by path, size and time."""
    error, digits = _abi.sumi_error(), ctypes.create_string_buffer(65)
    library.sumi_hash(text(path, "path"), digits, ctypes.byref(error))
    raise_if(error)
    return digits.value.decode()


def info(path: Text) -> Tuple[bool, str]:
    """Whether a file is a model that can be used; and what it is: family, parameters, types, and every missing,
    unexpected and misshaped tensor, in lines. FileError: it cannot be read at all."""
    error, report = _abi.sumi_error(), ctypes.c_char_p()
    usable = bool(library.sumi_info(text(path, "path"), ctypes.byref(report), ctypes.byref(error)))
    if report.value is None:
        raise_if(error)
    try:
        return usable, (report.value or b"").decode("utf-8", "replace")
    finally:
        library.sumi_free(ctypes.cast(report, ctypes.c_void_p))


def init(family: Text, path: Text, *, seed: int = 0, type: str = "f32", zeros: bool = True,
        progress: Optional[Callable[[Step], object]] = None) -> None:
    """Writes a new model with random weights: full size, in the published layout. The same seed gives the same bytes.

    family: a name, or the path of a JSON file that describes one. type: see types(). zeros: the layers that training
    starts at zero are zero, so that the model draws nothing yet; False: they are random too."""
    _file(library.sumi_init, progress, text(family, "family"), seed, text(type, "type"), zeros, text(path, "path"))


def convert(source: Text, to: Text, *, progress: Optional[Callable[[Step], object]] = None,
        **options: Unpack[ConvertOptions]) -> None:
    """Copies a model. options: see ConvertOptions. type: of the float tensors; None: as they are. Values that are too large
    for it are a FileError; with clamp they become the largest that it has. layout: "single" file or "diffusers" folder;
    None: a folder where `to` ends in "/"."""
    watch, error, keep = Watch(progress), _abi.sumi_error(), []  # type: Watch, _abi.sumi_error, List[object]
    made = struct(_abi.sumi_convert_options, options, keep)
    made.listener = watch.pointer()
    with interrupts_into(watch):
        library.sumi_convert_as(text(source, "source"), text(to, "to"), ctypes.byref(made), ctypes.byref(error))
    watch.check(error)


def merge(source: Text, to: Text, loras: Sequence[Text], *, type: Optional[str] = None, layout: Optional[str] = None,
        clamp: bool = False, progress: Optional[Callable[[Step], object]] = None) -> None:
    """The same, with LoRA files of any kind worked into the weights for good: each is "FILE" or "FILE:WEIGHT"."""
    options: ConvertOptions = {"loras": loras, "clamp": clamp}
    if type is not None:
        options["type"] = type
    if layout is not None:
        options["layout"] = layout
    convert(source, to, progress=progress, **options)


def extract_lora(tuned: Text, base: Text, path: Text, *, progress: Optional[Callable[[Step], object]] = None,
        **options: Unpack[ExtractOptions]) -> str:
    """Writes what a fine-tuned model differs in from its base as a LoRA file, and says in lines what share of the
    difference it holds. options: see ExtractOptions. Needs LAPACK (libopenblas0)."""
    watch, error, keep = Watch(progress), _abi.sumi_error(), []  # type: Watch, _abi.sumi_error, List[object]
    made = struct(_abi.sumi_extract_options, options, keep)
    made.listener = watch.pointer()
    report = ctypes.c_char_p()
    with interrupts_into(watch):
        library.sumi_lora_extract(text(tuned, "tuned"), text(base, "base"), text(path, "path"), ctypes.byref(made),
            ctypes.byref(report), ctypes.byref(error))
    try:
        watch.check(error)
        return (report.value or b"").decode("utf-8", "replace")
    finally:
        library.sumi_free(ctypes.cast(report, ctypes.c_void_p))


def _file(function: Any, progress: Optional[Callable[[Step], object]], *arguments: Any) -> None:
    watch, error = Watch(progress), _abi.sumi_error()
    with interrupts_into(watch):
        function(*arguments, watch.pointer(), ctypes.byref(error))
    watch.check(error)
