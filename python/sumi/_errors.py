"""The exceptions: one for each status of the library, with its message, which is one line that names the thing, what was
found and what was expected."""
from __future__ import annotations

from typing import Dict, Type

from . import _abi


class Error(Exception):
    """What all exceptions of the library have in common."""

    status: int = 1
    """What the program `sumi` would exit with."""


class UsageError(Error, ValueError):
    """An argument: a size, a name, a number out of its range; a use that is not allowed, such as after close()."""

    status = int(_abi.Status.BAD_USAGE)


class FileError(Error):
    """A model, a picture or any other file: not there, not readable, not what it should be."""

    status = int(_abi.Status.BAD_FILE)


class OutOfMemory(Error, MemoryError):
    """Would not fit. Found before the work starts wherever it can be known."""

    status = int(_abi.Status.NO_MEMORY)


class NotFinite(Error, ArithmeticError):
    """A number that is NaN or infinite where none may be: a training run that diverges."""

    status = int(_abi.Status.NOT_FINITE)


class DeviceError(Error, RuntimeError):
    """A GPU, its driver or one of its libraries failed at work."""

    status = int(_abi.Status.DEVICE_FAILED)


class Stopped(Error):
    """Stopped by a Cancel."""

    status = int(_abi.Status.STOPPED)


BY_STATUS: Dict[int, Type[Error]] = {
    kind.status: kind for kind in (UsageError, FileError, OutOfMemory, NotFinite, DeviceError, Stopped)}


def raise_if(error: _abi.sumi_error) -> None:
    """Raises what a call of the library left in its error."""
    if error.status:
        raise BY_STATUS.get(error.status, Error)(error.text.decode("utf-8", "replace"))
