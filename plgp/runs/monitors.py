"""The metrics that a training logs, which way round they are better, and who watches them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sim.errors import InputError

_TRAINED = dict.fromkeys(("loss", "quality", "angle", "width", "bin_entropy"), "min")
_VALIDATED = {"loss": "min", "width_error": "min"}
_VALIDATED |= dict.fromkeys(("quality_ap", "hit_rate", "angle_accuracy", "angle_within_one", "rectangle_rate"), "max")
_BENCHMARK = dict.fromkeys((f"benchmark/{name}" for name in ("SR", "PC", "AP")), "max")
_OF_MAPS = {f"train/{k}": v for k, v in _TRAINED.items()} | {f"val/{k}": v for k, v in _VALIDATED.items()}
# Whether less or more of a metric is better.
BETTER = _OF_MAPS | _BENCHMARK | dict.fromkeys(("test/SR", "test/PC", "test/AP"), "max")
BETTER |= dict.fromkeys(("val/average_precision", "val/balanced_accuracy"), "max")  # GQ-CNN's
_WATCHING = ("ModelCheckpoint", "EarlyStopping")
_COUNTED = ("epoch", "step")  # what ModelCheckpoint watches beside the metrics, either way round
_PLATEAU = "ReduceLROnPlateau"
_OWN = ("plgp.", "lightning.")  # callbacks that log nothing but what is named here


def check_monitors(config: DictConfig) -> None:
    """Looks at what checkpoint, early stopping and schedule watch.

    Raises:
        InputError: A metric is watched the wrong way round, by which the worst would count as the best, or is none that
            the training logs.
    """
    names = known_names(config)
    for place, monitor, mode in _watched(config):
        if names is not None and monitor not in names and not monitor.startswith("lr-"):
            cure = "; callbacks=none leaves the benchmark out and watches val/loss" if monitor in _BENCHMARK else ""
            key = "scheduler.monitor" if place.startswith("scheduler") else f"{place}.monitor"
            raise InputError(
                f"{key}={monitor} is no metric of this training{nearest(monitor, names)}; "
                f"it logs {', '.join(sorted(names))}{cure}"
            )
        better = BETTER.get(monitor)
        if better is not None and mode in ("min", "max") and mode != better:
            word = "least" if mode == "min" else "greatest"
            raise InputError(
                f"{place} takes the {word} {monitor} for the best (mode {mode}), which is the worst; "
                f"give {place}.mode={better}"
            )


def known_names(config: DictConfig) -> set[str] | None:
    """Returns the names of the metrics that a training logs; None where parts of the user's own may log others."""
    chosen = [c for c in _plain(config.get("callbacks")).values() if isinstance(c, Mapping) and "_target_" in c]
    parts = [_target(config, "module"), _target(config, "module.loss")]
    if parts[0] != "plgp.module.GraspModule" or parts[1] not in ("", "plgp.losses.GraspLoss"):
        return None
    if not all(str(c["_target_"]).startswith(_OWN) for c in chosen):
        return None
    grasps = any(str(c["_target_"]).endswith(".BenchmarkCallback") for c in chosen)
    return {*_OF_MAPS, *(_BENCHMARK if grasps else ())}


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns " (did you mean ...?)" where one of some names is near to a name, else ""."""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    return f" (did you mean {close[0]}?)" if close else ""


@contextmanager
def told_what_is_logged() -> Iterator[None]:
    """Turns Lightning's error about a monitor that was not logged into a sentence; raises InputError."""
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split())
        watched = re.search(r"(?:conditioned on metric |ModelCheckpoint\(monitor=)[`']?([^`' ]+)", text)
        listed = re.search(r"(?:any of the following: |Available metrics are: |returned metrics: )(.*)", text)
        if watched is None or listed is None:
            raise
        names = sorted(set(re.findall(r"[`']([^`', ]+)[`']", listed[1])) - {"monitor", watched[1]})
        raise InputError(
            f"monitor={watched[1]} was not logged{nearest(watched[1], names)}; what was logged: {', '.join(names)}"
        ) from None


def _watched(config: DictConfig) -> Iterator[tuple[str, str, str]]:
    """Yields place, metric and mode of everything that watches a metric."""
    for name, callback in _plain(config.get("callbacks")).items():
        if not isinstance(callback, Mapping) or callback.get("monitor") is None:
            continue
        if str(callback.get("_target_")).endswith("ModelCheckpoint") and callback["monitor"] in _COUNTED:
            continue
        if str(callback.get("_target_")).endswith(_WATCHING):
            yield f"callbacks.{name}", str(callback["monitor"]), str(callback.get("mode", "min"))
    schedule = _plain(OmegaConf.select(config, "module.scheduler"))
    partial = schedule.get("partial") or {}
    if str(partial.get("_target_")).endswith(_PLATEAU):
        yield "scheduler.partial", str(schedule.get("monitor", "val/loss")), str(partial.get("mode", "min"))


def _target(config: DictConfig, place: str) -> str:
    return str(_plain(OmegaConf.select(config, place)).get("_target_", ""))


def _plain(part: Any) -> dict[str, Any]:
    content: Any = OmegaConf.to_container(part, resolve=True) if isinstance(part, DictConfig) else part or {}
    return {str(key): value for key, value in content.items()}
