"""What a user can mend in a ``_target_`` of the configuration: its name, and the settings that it is given."""

from __future__ import annotations

import difflib
import inspect
import re
from typing import Any

_LOCATED = re.compile(r"Error locating target '([^']+)'")
_CALLED = re.compile(r"Error in call to target '([^']+)'")
_UNKNOWN = re.compile(r"([\w.]+)\(\) got an unexpected keyword argument '(\w+)'")
_LACKING = re.compile(r"([\w.]+)\(\) missing \d+ required .*?arguments?: (.*)")
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
    if located and isinstance(root, (ImportError, AttributeError)):
        return f"'{located[1]}' cannot be imported ({root}); check its name, and that its folder is on PYTHONPATH"
    if called is None or not isinstance(root, TypeError):
        return None
    target, key = called[1], _KEY.search(text)
    place = f"{key[1]}: " if key else ""
    unknown, lacking = _UNKNOWN.match(str(root)), _LACKING.match(str(root))
    if unknown and _is_call_of(unknown[1], target):
        known = _settings(target)
        close = difflib.get_close_matches(unknown[2], known, n=1)
        guess = f" (did you mean {close[0]}?)" if close else ""
        return f"{place}{target} has no setting '{unknown[2]}'{guess}; it has {', '.join(known) or 'none'}"
    if lacking and _is_call_of(lacking[1], target):
        return f"{place}{target} needs {lacking[2]}; give it as a setting"
    return None


def _is_call_of(name: str, target: str) -> bool:
    """Whether Python's name of a callable is the target's own, not that of something that it calls."""
    return target.endswith("." + name.removesuffix(".__init__"))


def _settings(target: str) -> list[str]:
    """Returns the names of a target's parameters; none where it has no signature."""
    from hydra.utils import get_object

    try:
        found: Any = inspect.signature(get_object(target)).parameters
    except (ValueError, TypeError, ImportError):
        return []
    return [name for name in found if name not in ("args", "kwargs")]
