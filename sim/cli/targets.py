"""What a user can mend in a ``_target_`` of the configuration: its name, and the settings that it is given."""

from __future__ import annotations

import difflib
import inspect
import re
from typing import Any

_LOCATED = re.compile(r"Error locating target '([^']+)'")
_CALLED = re.compile(r"Error in call to target '([^']+)'")
_UNKNOWN = re.compile(r"([\w.<>]+)\(\) got an unexpected keyword argument '(\w+)'")
_LACKING = re.compile(r"([\w.<>]+)\(\) missing \d+ required .*?arguments?: (.*)")
_NONE = re.compile(r"([\w.<>]+)\(\) takes no arguments")
_KEY = re.compile(r"full_key: (\S+)")


def wrong_target(error: BaseException) -> str | None:
    """Returns the sentence of a target that is not there, or that is given other settings than it has.

    None where it failed for a reason of its own: its traceback is worth more than a sentence.

    Args:
        error: Hydra's InstantiationException.
    """
    root, text = error, str(error)
    while root.__cause__ is not None:
        root = root.__cause__
    located, called = _LOCATED.search(text), _CALLED.search(text)
    if located and isinstance(root, ModuleNotFoundError) and root.name:
        return _not_there(located[1], root.name)
    if called is None or not isinstance(root, TypeError):
        return None
    target, key = called[1], _KEY.search(text)
    place = f"{key[1]}: " if key else ""
    known, names = _signature(target)
    for pattern in (_UNKNOWN, _LACKING, _NONE):
        match = pattern.match(str(root))
        if match is None or match[1] not in names:  # else something that the target calls was given too much
            continue
        if pattern is _UNKNOWN:
            close = difflib.get_close_matches(match[2], known, n=1)
            guess = f" (did you mean {close[0]}?)" if close else ""
            return f"{place}{target} has no setting '{match[2]}'{guess}; it has {', '.join(known) or 'none'}"
        return f"{place}{target} " + (f"needs {match[2]} in its settings" if pattern is _LACKING else "has no settings")
    return None


def _not_there(target: str, missing: str) -> str | None:
    """Returns the sentence of a target of which a module, or the thing in it, is missing; None for another module."""
    if not f"{target}.".startswith(f"{missing}."):
        return None
    inside, _, name = missing.rpartition(".")
    if not inside:
        return f"'{target}' cannot be imported: there is no module {missing}; its folder must be on PYTHONPATH"
    return f"'{target}' cannot be imported: {inside} has no '{name}'"


def _signature(target: str) -> tuple[list[str], set[str]]:
    """Returns the names of a target's settings, and those by which Python calls it in its messages."""
    from hydra.utils import get_object

    found: Any = get_object(target)
    named = {getattr(f, "__qualname__", "") for f in (found, getattr(found, "__init__", None))}
    try:
        parameters = inspect.signature(found).parameters.values()
    except (ValueError, TypeError):
        return [], named
    return [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)], named
