"""A run's record, config.yaml: the settings that what lies in its folder was trained with."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning
from omegaconf import DictConfig, OmegaConf

from plgp.runs.ended import begin
from plgp.runs.what_was_trained import what_was_trained

_FILE = "config.yaml"
_TOLD = 5  # differences that are named


class Record(lightning.Callback):
    """Writes a run's settings when its first step is about to be made, and takes the mark of an earlier end away.

    A command that fails before, or finds nothing left to train, leaves the record as it is: that of the weights in the
    folder. Only a folder without a record has one from the start.

    Attributes:
        begun: Whether this command trains.
        former: Settings that the folder's record held; None where there was none, or a broken one.
        settings: Settings of now, resolved.
    """

    def __init__(self, config: DictConfig, *, first: bool) -> None:
        """Reads the record.

        Args:
            config: The composed conf/train.yaml.
            first: Whether this is the first process of the training, which writes and speaks.
        """
        self.begun, self._first, self._path = False, first, Path(config.output) / _FILE
        self.former = _read(self._path)
        self.take(config)

    def take(self, config: DictConfig) -> None:
        """Takes the settings as they are by now."""
        self.settings = _plain(config)
        if self.former is None:
            self._write(self.settings)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Writes the settings: from here on the folder's weights are theirs."""
        self.begun = True
        if self._first:
            begin(self._path.parent)
        self._write(self.settings)

    def of_ended(self) -> dict[str, Any]:
        """Returns the settings of a run that had ended; says on stderr which of those of now it was not trained with.

        They are those of now where the folder has no record.
        """
        if self.former is None:
            return self.settings
        changes = list(_differences(_trained(self.former), _trained(self.settings)))
        if changes and self._first:
            more = f"; {len(changes) - _TOLD} more" if len(changes) > _TOLD else ""
            print(
                f"'{self._path.parent}' holds a training that has ended, nothing of it is trained again: it had "
                f"{'; '.join(changes[:_TOLD])}{more}. Its record stays; to train with these give another folder, "
                "hydra.run.dir=FOLDER (of a multirun hydra.sweep.dir=FOLDER)",
                file=sys.stderr,
            )
        return self.former

    def add_benchmark(self) -> None:
        """Puts the final benchmark of now into the record of a run that this command did not train, but measured."""
        if not self.begun and self.former is not None:
            self._write({**self.former, "final_benchmark": self.settings.get("final_benchmark")})

    def _write(self, settings: Mapping[str, Any]) -> None:
        if self._first:
            OmegaConf.save(OmegaConf.create(dict(settings)), self._path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        known: Any = OmegaConf.to_container(OmegaConf.load(path))
    except Exception:  # no file, or whatever a broken one leads to
        return None
    return {str(key): value for key, value in known.items()} if isinstance(known, dict) and known else None


def _plain(config: DictConfig) -> dict[str, Any]:
    content: Any = OmegaConf.to_container(config, resolve=True)
    return {str(key): value for key, value in content.items()}


def _trained(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what tells one training from another, its seed too, but not how its network was measured at the end."""
    try:
        found = what_was_trained(OmegaConf.create(dict(settings)))
    except Exception:  # a record of another program's
        found = {}
    return {key: value for key, value in found.items() if key != "policy"} | {"seed": settings.get("seed")}


def _differences(former: Any, now: Any, name: str = "") -> Iterator[str]:
    """Yields in words what differs between two settings; what one of them lacks is at its default there."""
    if isinstance(former, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*former, *now)):
            yield from _differences(former.get(key), now.get(key), f"{name}.{key}".removeprefix(".module."))
    elif former != now:
        old, new = ("its default" if value is None else value for value in (former, now))
        yield f"{name.lstrip('.')} {old}, not {new}"
