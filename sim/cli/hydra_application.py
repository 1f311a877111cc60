"""Hydra applications: started, guarded, and told apart from what a user can mend."""

from __future__ import annotations

import difflib
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.cli.choices import CONF, check_choices, drop_null_choices, flags_first, own_groups, setting_names
from sim.cli.command_line import guarded, mendable, plain_warning
from sim.cli.help_page import asks_for_help, help_text
from sim.errors import InputError

FAILED = "failed.txt"  # in the folder of a multirun's job: why it failed
_FAILURES: dict[str, str] = {}  # of the multirun that has just ended


@dataclass(frozen=True)
class HydraTask:
    """A Hydra application's function, guarded; it travels to the processes of launchers.

    Attributes:
        function: A module's function of the composed configuration.
        interrupted: The sentence after Ctrl-C.
    """

    function: Callable[[Any], Any]
    interrupted: str = "interrupted"

    @property
    def __wrapped__(self) -> Callable[[Any], Any]:
        """The function itself: Hydra asks for its module."""
        return self.function

    def __call__(self, config: Any) -> Any:
        """Runs the function; a job of a multirun that fails leaves ``FAILED`` in its folder, and the others run."""
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        chosen = HydraConfig.get()
        if chosen.mode != RunMode.MULTIRUN:
            with guarded(interrupted=self.interrupted):
                return self.function(config)
        folder = Path(chosen.runtime.output_dir)
        (folder / FAILED).unlink(missing_ok=True)
        try:
            return self.function(config)
        except Exception as error:
            sentence = mendable(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"
            own = " ".join(_own_overrides(Path(chosen.sweep.dir), list(chosen.overrides.task)))
            print(f"error: {sentence} (job {chosen.job.num}: {own})", file=sys.stderr)
            with suppress(OSError):  # a full disk, which the sentence may be about
                folder.mkdir(parents=True, exist_ok=True)
                (folder / FAILED).write_text(f"{sentence} ({own})\n" if own else f"{sentence}\n")
            if mendable(error) is None:
                traceback.print_exc()
            return None


def run_hydra(
    function: Callable[[Any], Any],
    config_name: str,
    *,
    words: Sequence[str] | None = None,
    program: str | None = None,
    interrupted: str = "interrupted; the same command goes on where it stopped",
) -> None:
    """Runs a Hydra application over ``conf/``; whatever a user can mend becomes one sentence and exit status 2.

    ``group=null`` leaves a choice out. Former names of choices answer with today's.

    Args:
        function: A module's function of the composed configuration (launchers send it to other processes).
        config_name: The YAML at the top of ``conf/``.
        words: The command line without the program; default ``sys.argv[1:]``.
        program: The program as its user types it, where it is not ``sys.argv[0]``.
        interrupted: The sentence after Ctrl-C.
    """
    import hydra
    from hydra.errors import ConfigCompositionException

    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints a wrong choice over many lines, and exits itself
    warnings.showwarning = plain_warning
    _FAILURES.clear()  # another command's, where one process runs several
    with guarded(interrupted=interrupted):
        arguments = list(sys.argv[1:] if words is None else words)
        check_choices(arguments, config_name)
        sys.argv[:] = [program or sys.argv[0], *flags_first(drop_null_choices(arguments))]
        application = hydra.main(version_base="1.3", config_path=f"pkg://{CONF}", config_name=config_name)
        try:
            if asks_for_help(arguments):
                print(help_text(config_name, arguments))
                return
            application(HydraTask(function, interrupted))()
        except ConfigCompositionException as error:
            raise _unknown_key(error, arguments, config_name) from None
        except ValueError as error:
            if not str(error).startswith("Only one of --run"):
                raise
            raise InputError("-m runs the jobs of a sweep, --cfg shows the settings of one; give one of them") from None
        except Exception as error:
            sentence = launchers_sentence(error)
            if sentence is None:
                raise
            raise InputError(sentence) from None
        if _FAILURES:
            jobs = "; ".join(f"{folder}: {sentence}" for folder, sentence in _FAILURES.items())
            raise InputError(f"{len(_FAILURES)} of the jobs failed, the others are whole; {jobs}")


def launchers_sentence(error: Exception) -> str | None:
    """Returns the sentence for a launcher of jobs that cannot start them, or that lost one; None of other errors."""
    kind, text = type(error).__name__, str(error)
    if isinstance(error, RuntimeError) and '"srun"' in text:
        return (
            "hydra/launcher=slurm submits its jobs by srun, which this machine does not have; run the command on the "
            "cluster's login node, or give hydra/launcher=cpus, or submitit_local, which tries it without Slurm"
        )
    if kind == "TerminatedWorkerError":  # joblib's
        return (
            "a job was killed, and the others with it: most often the memory was too little, then give "
            "hydra.launcher.n_jobs=1; what the jobs wrote is there"
        )
    if kind == "UncompletedJobError":  # submitit's
        told = " ".join(text.partition("\nError stream")[0].split()).rstrip(".")
        return f"a job left no result: {told}; what it printed lies beside that path, and what the jobs wrote is there"
    return None


def _own_overrides(sweep: Path, task: list[str]) -> list[str]:
    """Returns those of a job's overrides that its multirun varies; none where the multirun does not say.

    Args:
        sweep: Folder of the multirun.
        task: Overrides of the job.
    """
    from omegaconf import OmegaConf

    command = sweep / "multirun.yaml"
    if not command.is_file():
        return []
    given = {str(override).lower() for override in OmegaConf.load(command).hydra.overrides.task}
    return [override for override in task if override.lower() not in given]


def failed_jobs(folder: str | Path) -> dict[Path, str]:
    """Returns the folders of a multirun's jobs that failed, each with its sentence.

    Args:
        folder: Folder of the multirun, or one above it.
    """
    return {path.parent: path.read_text(errors="replace").strip() for path in sorted(Path(folder).rglob(FAILED))}


def gather_failures(sweep: str | Path) -> dict[str, str]:
    """Returns the jobs of a multirun that failed, a folder's name and its sentence each; the command ends by them.

    Args:
        sweep: Folder of the multirun.
    """
    _FAILURES.clear()
    for job, sentence in failed_jobs(sweep).items():
        _FAILURES[job.relative_to(sweep).as_posix()] = sentence
    return dict(_FAILURES)


def _unknown_key(error: Exception, arguments: Sequence[str], config_name: str) -> Exception:
    """Returns the sentence for an unknown setting, with the nearest known one; or the error, if it is another."""
    match = re.search(r"Could not override '([\w.@/]+)'", " ".join(str(error).split()))
    if match is None:
        return error
    key, known = match[1], setting_names(arguments, config_name)
    place, _, last = key.rpartition(".")
    beside = [name for name in known if name.rpartition(".")[0] == place]
    if key in known:
        choice = " or ".join(f"{place or 'its'}={name}" for name in _choices(arguments, place)) or "some of them"
        return InputError(f"not every job has the setting '{key}': leave out {choice}, or give ++{key}=...")
    if place in own_groups(config_name) and not beside:
        return InputError(f"{place} is left out, and so has no setting '{last}'; choose one first, {place}=...")
    close = difflib.get_close_matches(key, beside, n=1, cutoff=0.7) or difflib.get_close_matches(key, known, n=1)
    close += [name for name in known if name.rpartition(".")[2] == last]
    guess = f" (did you mean {close[0]}=?)" if close else ""
    return InputError(f"there is no setting '{key}'{guess}; --cfg job lists all, and +{key}=... adds it all the same")


def _choices(arguments: Sequence[str], group: str) -> list[str]:
    """Returns the choices of a group between which a multirun varies."""
    given = [word.partition("=")[2].split(",") for word in arguments if word.startswith(f"{group}=")]
    return given[-1] if given and len(given[-1]) > 1 else []
