"""A run's record, config.yaml: the settings that what lies in its folder was trained with."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning
from omegaconf import DictConfig, OmegaConf

from plgp.runs.ended import begin, ends_alike
from plgp.runs.held_back import RECORD, hold_back, in_force, let_go, stamps, write_record
from plgp.runs.resume import AUTO
from plgp.runs.what_was_trained import what_was_trained

_TOLD = 5  # differences that are named
_LEARNT = ("network", "loss", "optimizer", "scheduler")  # settings of the module that a checkpoint holds, too


class Record(lightning.Callback):
    """Writes a run's settings when its first checkpoint is there, and takes the mark of an earlier end away.

    A command that fails before, or finds nothing left to train, leaves record and mark as they are: those of the
    weights in the folder. A folder without a record has one from the start, one without checkpoints from the first
    step. Until the first checkpoint the settings are held back, see ``plgp.runs.held_back``.

    Attributes:
        begun: Whether this command trains.
        stands: Whether the folder's record is that of this command.
        former: Settings that the folder's record held; None where there was none, or a broken one.
        settings: Settings of now, resolved.
    """

    def __init__(self, config: DictConfig, *, first: bool) -> None:
        """Reads the record.

        Args:
            config: The composed conf/train.yaml.
            first: Whether this is the first process of the training, which writes and speaks.
        """
        self.begun, self.stands, self._first, self._folder = False, False, first, Path(config.output)
        self._stamps: dict[str, int] = {}
        self.former = in_force(self._folder) or _read(self._folder / RECORD)
        if first:
            self._settle_former()
        if first and self.former is not None and str(config.get("resume")) == AUTO:
            self._believe_checkpoint(self.former)
        self.take(config)

    def take(self, config: DictConfig) -> None:
        """Takes the settings as they are by now."""
        self.settings = _plain(config)
        if self.former is None:
            self._write(self.settings)
            self.stands = True

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Writes the settings, or holds them back where the folder's checkpoints are a former training's."""
        self.begun = True
        if not self._first:
            return
        self._stamps = stamps(self._folder)
        if self._stamps and not self.stands:
            hold_back(self._folder, self.settings)
            return
        self._put_in_force(self.settings)
        self.stands = True

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Puts the settings in force when an epoch before has left a checkpoint."""
        self._settle()

    def close(self) -> None:
        """Puts the settings in force, or lets go of them where no checkpoint was written; after the training."""
        self._settle()
        if self._first and self.begun and not self.stands:
            let_go(self._folder)

    def takes_mark(self, config: DictConfig) -> bool:
        """Returns whether the end of this command is that of what the record tells; says on stderr where it is not.

        One that trained nothing may mark only what it was to go on with, and only if that was to end as it says.
        """
        if self.begun:
            if not self.stands:
                print(f"no checkpoint was written: '{self._folder}' keeps the record of those in it", file=sys.stderr)
            return self.stands
        known = self.former is not None and str(config.get("resume")) == AUTO
        return known and ends_alike(OmegaConf.create(self.former), config)

    def _settle(self) -> None:
        if self._first and self.begun and not self.stands:
            written = stamps(self._folder)
            if any(self._stamps.get(name) != stamp for name, stamp in written.items()):
                self._put_in_force(self.settings)
                self.stands = True

    def _put_in_force(self, settings: Mapping[str, Any]) -> None:
        begin(self._folder)
        write_record(self._folder, settings)
        let_go(self._folder)

    def _settle_former(self) -> None:
        """Puts in force, or removes, what a killed training held back."""
        held = in_force(self._folder)
        if held is not None:
            self._put_in_force(held)
        let_go(self._folder)

    def _believe_checkpoint(self, former: dict[str, Any]) -> None:
        """Corrects a record by what the checkpoint in its folder says of its training, and says so on stderr."""
        path, module = self._folder / "checkpoints" / "last.ckpt", former.get("module")
        learnt = _learnt(path)
        if not isinstance(module, dict):
            return
        wrong = {key: learnt[key] for key in _LEARNT if key in learnt and key in module and learnt[key] != module[key]}
        if not wrong:
            return
        changes = list(_differences({key: module[key] for key in wrong}, wrong))
        print(
            f"'{self._folder / RECORD}' had {'; '.join(changes[:_TOLD])}: '{path}' was trained with the latter, which "
            "the record now says",
            file=sys.stderr,
        )
        same = {key: value for key, value in wrong.items() if former.get(key) == module[key]}  # at the top as well
        self.former = {**former, **same, "module": {**module, **wrong}}
        self._write(self.former)

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
                f"'{self._folder}' holds a training that has ended, nothing of it is trained again: it had "
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
            write_record(self._folder, settings)


def _learnt(path: Path) -> dict[str, Any]:
    """Returns the settings that a checkpoint holds; empty where there is none, or a broken one."""
    import torch

    try:
        known: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["hyper_parameters"]
    except Exception:  # whatever a broken file leads to: a resumed run says it
        return {}
    return {str(key): value for key, value in known.items()} if isinstance(known, dict) else {}


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
