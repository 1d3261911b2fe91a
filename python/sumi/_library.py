"""The shared library: found, opened, and handles to what it makes."""
from __future__ import annotations

import ctypes
import os
import threading
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional

from . import _abi
from ._errors import UsageError

FOLDER = Path(__file__).resolve().parent


def _load() -> ctypes.CDLL:
    path = os.environ.get("SUMI_LIBRARY") or FOLDER / "libsumi.so"
    library = ctypes.CDLL(str(path))
    _abi.declare(library)
    return library


library = _load()


class Handle:
    """A thing of the library's, which is freed once: by close(), or when nothing holds the handle, or at exit. In use it
    cannot be freed, and freed it cannot be used: both raise UsageError.

    parent: must outlive this one. alone: one use at a time."""

    def __init__(self, what: str, pointer: Any, free: Callable[[Any], object], parent: Optional[Handle] = None,
            alone: bool = False) -> None:
        self._what, self._alone = what, alone
        self._lock = threading.Lock()
        self._users = 0
        self._children: List[weakref.ref[Handle]] = []
        self._pointer = pointer
        # The finalizer's arguments keep the parent until this one is freed.
        self._finalizer = weakref.finalize(self, _free, free, pointer, parent)
        if parent:
            with parent._lock:
                parent._children = [c for c in parent._children if c()] + [weakref.ref(self)]

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def take(self) -> Any:
        """The pointer, which is in use until give()."""
        with self._lock:
            if self.closed:
                raise UsageError(f"the {self._what} is closed")
            if self._alone and self._users:
                raise UsageError(f"the {self._what} is at work; open another one for another thread")
            self._users += 1
            return self._pointer

    def give(self) -> None:
        with self._lock:
            self._users -= 1

    @contextmanager
    def use(self) -> Iterator[Any]:
        pointer = self.take()
        try:
            yield pointer
        finally:
            self.give()

    def close(self) -> None:
        """Closes what depends on it, too."""
        for child in [c() for c in self._children]:
            if child:
                child.close()
        with self._lock:
            if self._users:
                raise UsageError(f"the {self._what} is at work and cannot be closed")
            self._finalizer()


def _free(free: Callable[[Any], object], pointer: Any, parent: object) -> None:
    del parent
    free(pointer)
