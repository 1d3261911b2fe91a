"""Ctrl-C while the library works."""
from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from types import FrameType
from typing import Iterator, Optional, Protocol


class Listener(Protocol):
    failure: Optional[BaseException]


@contextmanager
def interrupts_into(listener: Listener) -> Iterator[None]:
    """Where Ctrl-C raises KeyboardInterrupt, it becomes what the listener raised: that ends the call at its next step.
    Raised at the first line of one of its functions, where nothing catches it, it would be printed by ctypes and lost."""
    if (threading.current_thread() is not threading.main_thread()
            or signal.getsignal(signal.SIGINT) is not signal.default_int_handler):
        yield
        return

    def keep(number: int, frame: Optional[FrameType]) -> None:
        listener.failure = listener.failure or KeyboardInterrupt()

    signal.signal(signal.SIGINT, keep)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
