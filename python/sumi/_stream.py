"""Work in a thread of its own, whose steps are given one by one."""
from __future__ import annotations

import queue
import threading
from types import TracebackType
from typing import Any, Callable, Iterator, List, Optional, Type, Union

from ._errors import Stopped, UsageError
from ._library import Handle
from ._picture import Picture
from ._watch import Step, Watch, tell


class Stream(Iterator[Step]):
    """The steps of a drawing as they are done; then its pictures. Made by Session.stream()."""

    def __init__(self, handle: Handle, draw: Callable[[Any, Watch], List[Picture]], previews: bool, latents: bool) -> None:
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        events = self._events
        self._watch = Watch(events.put, previews, lambda level, line: events.put((level, line)), latents)
        self._pictures: Optional[List[Picture]] = None
        self._failure: Optional[BaseException] = None
        # The thread does not hold the stream, so that one that is dropped stops.
        self._thread = threading.Thread(target=_work, args=(handle, handle.take(), draw, self._watch, events), name="sumi")
        self._thread.start()

    def __next__(self) -> Step:
        while self._pictures is None and self._failure is None:
            try:
                event = self._events.get()
            except BaseException:  # Ctrl-C
                self._watch.stop()
                raise
            if isinstance(event, Step):
                return event
            if isinstance(event, tuple):
                tell(*event)
            else:
                self._thread.join()
                if not isinstance(event, BaseException):
                    self._pictures = event
                else:
                    self._failure = event
                    raise event
        raise StopIteration

    @property
    def pictures(self) -> List[Picture]:
        """What was drawn: goes on to the end."""
        for _ in self:
            pass
        if self._pictures is None:
            raise self._failure or UsageError("nothing was drawn")
        return self._pictures

    @property
    def picture(self) -> Picture:
        """The first one."""
        return self.pictures[0]

    def close(self) -> None:
        """Stops the drawing if it has not ended, and waits until it has."""
        if self._pictures is None and self._failure is None:
            self._watch.stop()
            try:
                for _ in self:
                    pass
            except Stopped:
                pass

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], value: Optional[BaseException],
            trace: Optional[TracebackType]) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_thread", None) and self._thread.is_alive():
            self._watch.stop()


def _work(handle: Handle, pointer: Any, draw: Callable[[Any, Watch], List[Picture]], watch: Watch,
        events: queue.SimpleQueue[Any]) -> None:
    end: Union[List[Picture], BaseException]
    try:
        end = draw(pointer, watch)
    except BaseException as failure:  # given to whoever reads the events
        end = failure
    handle.give()
    events.put(end)
