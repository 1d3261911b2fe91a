"""Options from Python into the library's structs."""
from __future__ import annotations

import ctypes
import difflib
import operator
import os
from typing import Any, Dict, List, Mapping, Type

from . import _abi
from ._errors import UsageError
from ._library import library


def text(value: object, name: str) -> bytes:
    """A str in UTF-8, or a path as the system spells it."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} is {value!r}, expected a str or a path")
    encoded = value.encode() if isinstance(value, str) else os.fsencode(value)
    if b"\0" in encoded:
        raise UsageError(f"{name} has a null character in it")
    return encoded


def struct(kind: Type[ctypes.Structure], values: Mapping[str, object], keep: List[object]) -> Any:
    """A struct of this kind with its defaults and these values; None leaves a default. keep: holds what the struct
    points to, as long as it is used."""
    made = kind()
    getattr(library, _abi.DEFAULTS[kind])(ctypes.byref(made), ctypes.sizeof(made))
    types: Dict[str, Any] = {name: of for name, of, *_ in kind._fields_}
    counts = _counts(types)
    for key, value in values.items():
        name = key[:-1] if key.endswith("_") else key
        if name not in types or name in ("size", "listener", "cancel", *counts.values()):
            near = difflib.get_close_matches(name, types, 1)
            raise TypeError(f"no option {key!r}" + (f": did you mean {near[0]!r}?" if near else ""))
        if value is None:
            continue
        if name in counts:
            if isinstance(value, (str, bytes, os.PathLike, Mapping)):
                raise TypeError(f"{key} is {value!r}, expected a list")
            items = list(value)  # type: ignore[call-overload]
            element = types[name]._type_
            array = (element * len(items))(*(_convert(item, element, key, keep) for item in items))
            keep.append(array)
            setattr(made, name, ctypes.cast(array, types[name]))
            setattr(made, counts[name], len(items))
        else:
            setattr(made, name, _convert(value, types[name], key, keep))
    return made


def _counts(types: Mapping[str, Any]) -> Dict[str, str]:
    """Members that are arrays, and those that say how many they hold, which stand behind them."""
    names = list(types)
    arrays = [n for n, of in types.items() if issubclass(of, ctypes._Pointer)
        and (of._type_ is ctypes.c_char_p or issubclass(of._type_, ctypes._Pointer))]
    return {name: names[names.index(name) + 1] for name in arrays}


def _convert(value: Any, kind: Any, name: str, keep: List[object]) -> Any:
    if kind is ctypes.c_char_p:
        return text(value, name)
    if kind is ctypes.c_bool:
        if value is not True and value is not False:
            raise TypeError(f"{name} is {value!r}, expected True or False")
        return value
    if kind is ctypes.c_double:
        try:
            return float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{name} is {value!r}, expected a number") from None
    if issubclass(kind, ctypes._SimpleCData):
        return _whole(value, kind, name)
    pointed = kind._type_
    made = _image(value, keep) if pointed is _abi.sumi_image else struct(pointed, value, keep)
    keep.append(made)
    return ctypes.pointer(made)


def _whole(value: Any, kind: Any, name: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, expected a whole number") from None
    if kind(number).value != number:
        raise UsageError(f"{name} is {number}, which is out of its range")
    return number


def _image(value: Any, keep: List[object]) -> _abi.sumi_image:
    from ._picture import Picture  # which needs the texts above

    picture = Picture.of(value)
    keep.append(picture)
    return picture._struct()
