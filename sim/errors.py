"""The one error that a user can mend, and the check of numbers that raises it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import NamedTuple


class InputError(ValueError):
    """Input that a user can mend: its message names the thing and the cure.

    Command lines print it as one sentence, without a traceback (``sim.cli``).
    """


class Limits(NamedTuple):
    """Range of a setting.

    Attributes:
        cure: What to give, for the message.
        least: Least value.
        most: Greatest value.
        whole: Whether it counts something.
        without_least: Whether the least value itself is refused.
    """

    cure: str
    least: float = 0.0
    most: float = math.inf
    whole: bool = False
    without_least: bool = False


FINITE = Limits("a finite number", least=-math.inf)
POSITIVE = Limits("a positive number", without_least=True)
NOT_NEGATIVE = Limits("a number from 0 on")
COUNT = Limits("a whole number from 1 on", least=1, whole=True)
WHOLE = Limits("a whole number from 0 on", whole=True)
SHARE = Limits("a share between 0 and 1", most=1)


def check_numbers(group: str, settings: object, limits: Mapping[str, Limits]) -> None:
    """Checks numeric settings against their ranges.

    Args:
        group: Name of the settings in messages, for example "attempt".
        settings: Object with the settings as attributes.
        limits: Range of each, by its name.

    Raises:
        InputError: A setting is no number, not finite, or out of its range.
    """
    for name, limit in limits.items():
        value = getattr(settings, name)
        number = isinstance(value, Integral if limit.whole else Real) and not isinstance(value, bool)
        inside = number and math.isfinite(value) and limit.least <= value <= limit.most
        if not inside or (limit.without_least and value == limit.least):
            raise InputError(f"{group}.{name} is {value!r}; give {limit.cure}")
