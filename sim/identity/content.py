"""The canonical content of whatever decides a result, its hash, and where two contents differ.

Content is what JSON can hold: numbers by their shortest exact text, arrays by their bytes, files by theirs, objects by
their attributes and by the code of their class.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import pickle
import re
import sys
from collections.abc import Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sim.files import checksum
from sim.identity.code import describe_code, is_installed, is_shipped

_SMALL = 64  # entries up to which an array stands as numbers, so that a difference can be named
_DEEP = 6  # objects further within count by their hash: shared ones would be told again and again
_MISSING = "nothing"
_HASH = re.compile(r"[0-9a-f]{16,}")  # says nothing to a reader


class _Above(NamedTuple):
    """Where a value lies.

    Attributes:
        ids: Ids of the objects that hold it, outermost first.
        known: Objects that were described before, with their content, by their ids.
    """

    ids: tuple[int, ...]
    known: dict[int, tuple[Any, Any]]


def describe(value: Any) -> Any:
    """Returns the canonical content of a value, as JSON can hold it.

    Args:
        value: Anything: settings, containers, arrays and tensors, files, policies, functions. A path that names a file
            counts by that file's content. An object that defines ``__getstate__`` counts by what that returns.
            A part of an object that has neither attributes nor a pickle (a lock, an open file) counts by its type.
    """
    return _describe(value, _Above((), {}))


def digest(value: Any) -> str:
    """Returns the first 16 hexadecimal digits of the SHA-256 of a value's content."""
    return hashlib.sha256(json.dumps(describe(value), sort_keys=True).encode()).hexdigest()[:16]


def differences(ours: Any, theirs: Any, *, name: str = "") -> Iterator[str]:
    """Yields where two contents differ, as "name: 0.9, there 0.6".

    Args:
        ours: One content of ``describe``.
        theirs: The other.
        name: Dotted name of both.
    """
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in sorted({*ours, *theirs}):
            inner = f"{name}.{key}" if name else str(key)
            yield from differences(ours.get(key, _MISSING), theirs.get(key, _MISSING), name=inner)
    elif ours != theirs:
        here, there = (json.dumps(v) if not isinstance(v, str) else v for v in (ours, theirs))
        short = max(len(here), len(there)) <= 40 and not _HASH.fullmatch(here)
        yield f"{name}: {here}, there {there}" if short else name


def _describe(value: Any, above: _Above) -> Any:
    """Returns the content of a value that lies within the objects ``above``."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return _describe(value.item(), above) if not isinstance(value.item(), np.generic) else repr(value)
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if id(value) in above.ids:
        return "itself"
    within = _Above((*above.ids, id(value)), above.known)
    if isinstance(value, Path):
        return f"file {checksum(value)}" if value.is_file() else str(value)
    if isinstance(value, Mapping):
        return {_key(k, within): _describe(v, within) for k, v in value.items()}
    if isinstance(value, Set):
        return sorted((_describe(v, within) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    if isinstance(value, (list, tuple)):
        return [_describe(v, within) for v in value]
    if isinstance(value, np.ndarray):
        return _describe_array(value, within)
    if hasattr(value, "detach") and hasattr(value, "numpy"):  # a tensor, of whatever device
        return _describe(_to_array(value.detach().cpu()), within)
    if id(value) not in above.known:
        found = _describe_object(value, within)
        if len(above.ids) > _DEEP:
            found = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]
        above.known[id(value)] = value, found
    return above.known[id(value)][1]


def _key(key: Any, within: _Above) -> str:
    return key if isinstance(key, str) else json.dumps(_describe(key, within), sort_keys=True)


def _to_array(tensor: Any) -> Any:
    """Returns a tensor as an array; numbers of a type that NumPy lacks (bfloat16) as float32."""
    try:
        return tensor.numpy()
    except TypeError:
        return tensor.float().numpy()


def _describe_array(array: Any, within: _Above) -> Any:
    """Returns a small array as lists of numbers, a large one as type, shape and hash."""
    if array.dtype.hasobject:
        return [_describe(v, within) for v in array.ravel().tolist()]
    if array.size <= _SMALL:
        return _describe(array.tolist(), within)
    content = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
    return f"{array.dtype.str} {'x'.join(map(str, array.shape))} {content}"


def _describe_object(value: Any, within: _Above) -> Any:
    """Returns what a function, a class or an object is."""
    if isinstance(value, functools.partial):
        return {"partial": [_describe(v, within) for v in (value.func, value.args, value.keywords)]}
    if inspect.ismethod(value):
        return {"method": describe_code(value.__func__), "of": _describe(value.__self__, within)}
    if inspect.isclass(value) or inspect.ismodule(value):
        return describe_code(value)
    if inspect.isroutine(value):
        cells = [_describe(_held(c), within) for c in getattr(value, "__closure__", None) or ()]
        defaults = [getattr(value, "__defaults__", None), getattr(value, "__kwdefaults__", None)]
        return {**describe_code(value), "closure": cells, "defaults": _describe(defaults, within)}
    if is_dataclass(value) and is_shipped(type(value)):
        return {f.name: _describe(getattr(value, f.name), within) for f in fields(value)}
    return {"class": _describe_class(type(value)), **_state(value, within)}


def _describe_class(kind: type) -> Any:
    """Returns the code of a class and of those that it inherits from, itself first."""
    found = [describe_code(k) for k in kind.__mro__ if k is not object]
    return found[0] if len(found) == 1 or is_shipped(kind) else found


def _state(value: Any, within: _Above) -> dict[str, Any]:
    """Returns the state of an object: its own, its generator's, its tensors, its attributes, or its pickle's hash."""
    kind = type(value)
    if isinstance(value, np.random.Generator):
        return {"state": _describe(value.bit_generator.state, within)}
    try:
        if hasattr(value, "state_dict") and hasattr(value, "named_modules"):  # a network
            text = [f"{name} {type(part).__name__} {part.extra_repr()}" for name, part in value.named_modules()]
            own = {name: _plain_settings(part) for name, part in value.named_modules() if not _is_known(type(part))}
            said = {"settings": _describe(own, within)} if any(own.values()) else {}
            return {"state": _describe([value.state_dict(), text, value.training], within), **said}
        if any("__getstate__" in vars(k) for k in kind.__mro__ if k is not object):
            return {"state": _describe(value.__getstate__(), within)}
        slots = [n for k in kind.__mro__ for n in _slots(k) if hasattr(value, n)]
        state = {n: getattr(value, n) for n in slots if n not in ("__dict__", "__weakref__")} | _attributes(value)
        if state or not _is_opaque(kind):
            return {"state": _describe(state, within)}
        return {"pickle": hashlib.sha256(pickle.dumps(value, 4)).hexdigest()}
    except Exception:  # anyone's code runs here: what shows no state counts by its class
        return {}


def _plain_settings(module: Any) -> dict[str, Any]:
    """Returns a network's own attributes beside parameters, buffers and parts, which PyTorch keeps under a "_"."""
    return {name: value for name, value in vars(module).items() if not name.startswith("_") and name != "training"}


def _is_known(kind: type) -> bool:
    """Returns whether a class ships here or is installed: its version tells what it does."""
    return is_shipped(kind) or is_installed(sys.modules.get(kind.__module__))


def _held(cell: Any) -> Any:
    """Returns what a closure's cell holds, None where it is still empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _attributes(value: Any) -> dict[str, Any]:
    """Returns an object's own attributes, none where it has no dictionary."""
    found: dict[str, Any] = getattr(value, "__dict__", {})
    return found


def _slots(kind: type) -> list[str]:
    names = vars(kind).get("__slots__", ())
    return [names] if isinstance(names, str) else list(names)


def _is_opaque(kind: type) -> bool:
    """Returns whether objects of a class can hold state that Python does not show: the class is written in C."""
    return not any("__dict__" in vars(k) or "__slots__" in vars(k) for k in kind.__mro__)
