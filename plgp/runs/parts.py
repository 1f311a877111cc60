"""Parts of the user's own that a training is built from: why one cannot be built, and which networks are trusted."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from sim.cli.targets import wrong_target
from sim.errors import InputError

TRUSTED = "PLGP_NETWORKS"  # environment: packages, with commas between, whose networks checkpoints may name
_NO_SHAPE = ("prior", "encoder_weights")  # arguments of a network that only its first weights depend on


def reason_of(error: BaseException) -> str:
    """Returns in one line why Hydra could not build something: its first line only says what, or how to learn more."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    if "Error locating target" in str(error) and root is not error:
        return f"its import fails: {type(root).__name__}: {' '.join(str(root).split())}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("full_key")]
    return " ".join(lines[:2]) or type(error).__name__


def built(part: str, build: Callable[[], Any]) -> Any:
    """Returns what ``build`` returns, an object of the configuration.

    Args:
        part: Its name for the sentence, as "loss".
        build: A call of Hydra's ``instantiate``.

    Raises:
        InputError: It cannot be built; the sentence says why.
    """
    from hydra.errors import InstantiationException

    try:
        return build()
    except Exception as error:  # an object of the user's own raises whatever it likes
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError):
            cause = cause.__cause__
        found = wrong_target(error) if isinstance(error, InstantiationException) else None
        raise cause or InputError(f"{part} cannot be built: {found or reason_of(error)}") from None


def is_trusted(target: str) -> bool:
    """Returns whether a checkpoint may have a network of this ``_target_`` built: one of plgp's, or one named trusted.

    A checkpoint from anywhere must not run code of its choice. Networks of one's own are trusted by their package's
    name in the environment's ``PLGP_NETWORKS``.
    """
    named = [name.strip() for name in os.environ.get(TRUSTED, "").split(",") if name.strip()]
    return any(target.startswith(f"{name}.") for name in ("plgp.networks", *named))


def doubt_about_network(target: str) -> str:
    """Returns a sentence about a network whose checkpoints would open nowhere; "" of any other."""
    if is_trusted(target) or target.startswith("plgp."):  # GQ-CNN has commands of its own
        return ""
    package = target.partition(".")[0]
    return (
        f"network {target} is not one of plgp.networks: its checkpoints open only where the environment says "
        f"{TRUSTED}={package}, in the final benchmark too"
    )


def network_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Returns in words the arguments of two networks that differ, but for those of their first weights."""
    names = {"_target_": "network", **{key: f"network.{key}" for key in (*before, *now) if key != "_target_"}}
    keys = [key for key in names if key not in _NO_SHAPE and before.get(key) != now.get(key)]
    return [f"{names[key]} {before.get(key)}, this run {now.get(key)}" for key in keys]


def same_sizes(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Returns whether one network's weights fit another: all of ``now`` are in ``before``, of the same sizes."""
    return all(key in before and getattr(before[key], "shape", None) == getattr(now[key], "shape", None) for key in now)
