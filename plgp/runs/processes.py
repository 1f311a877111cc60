"""The processes of ``trainer=ddp``: how Lightning starts those beside the first, and what it leaves behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from hydra.core.hydra_config import HydraConfig

_PROGRAM = "plgp.train"
_LAUNCHERS = ("joblib", "submitit")  # in whose own programs hydra/launcher= runs the jobs of a multirun
_SET = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # by Lightning, in the environment


@contextmanager
def clean_end() -> Iterator[list[Any]]:
    """Yields a list for the trainer; afterwards nothing of it is left that the next run of a multirun would see.

    Lightning starts the other processes of ``trainer=ddp`` with this process's own program and command line. Those of
    a multirun are the whole sweep, or a launcher's: for the while they become the one run's. Where Slurm's srun has
    started all processes, Lightning starts none.
    """
    from hydra.types import RunMode
    from omegaconf import read_write
    from torch import distributed

    main: Any = sys.modules["__main__"]
    arguments, names, trainers, spec = sys.argv[:], set(os.environ), list[Any](), main.__spec__
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        chosen: Any = HydraConfig.get()
        sys.argv[1:] = _words(chosen)
        if spec is not None and spec.name.partition(".")[0] in _LAUNCHERS:
            main.__spec__ = find_spec(_PROGRAM)
        with read_write(chosen.run):
            chosen.run.dir = chosen.runtime.output_dir
    try:
        yield trainers
        for trainer in trainers:
            for process in getattr(trainer.strategy.launcher, "procs", ()):
                process.wait()
    finally:
        sys.argv[:], main.__spec__ = arguments, spec
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
        for name in _SET:
            if name not in names:  # with them the next run would wait for processes of this one
                os.environ.pop(name, None)
        if "wandb" in sys.modules:
            sys.modules["wandb"].finish()  # runs of one multirun stay separate runs


def _words(chosen: Any) -> list[str]:
    """Returns the command line of a multirun's one job: where its choices are searched, and what it is given."""
    searched = [word for word in chosen.overrides.hydra if word.startswith("hydra.searchpath=")]
    own = [s.path for s in chosen.runtime.config_sources if s.provider == "command-line"]
    return [*(f"--config-dir={path}" for path in own), *searched, *chosen.overrides.task]
