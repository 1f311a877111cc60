"""Jobs on processes: loky on this machine by default, Dask or Ray where there is a cluster."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import joblib

from sim import InputError

Result = TypeVar("Result")

BACKENDS = ("loky", "multiprocessing", "threading", "dask", "ray")


def run_jobs(
    function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], workers: int, backend: str = "loky"
) -> Iterator[Result]:
    """Yields ``function(*job)`` of every job as soon as it is done, in whatever order.

    Args:
        function: A module's function: it travels to other processes.
        jobs: The arguments of each call.
        workers: Processes; 1 runs the jobs here. Dask and Ray take as many as the cluster has.
        backend: ``loky``, ``multiprocessing``, ``threading``; ``dask`` (the scheduler at
            ``DASK_SCHEDULER_ADDRESS``, else one on this machine); ``ray`` (the cluster at
            ``RAY_ADDRESS``, else one on this machine).

    Raises:
        InputError: Fewer than one worker, or a backend that is not known or not installed.
    """
    if workers < 1:
        raise InputError(f"workers is {workers}; give at least 1")
    if backend not in BACKENDS:
        raise InputError(f"backend '{backend}' is not known; choose one of {', '.join(BACKENDS)}")
    _connect(backend, workers)
    with warnings.catch_warnings(), joblib.parallel_config(backend=backend):
        # loky takes a worker that has just imported torch for one that leaks, and starts another.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
        yield from joblib.Parallel(n_jobs=workers, return_as="generator_unordered", pre_dispatch="2*n_jobs")(
            joblib.delayed(function)(*job) for job in jobs
        )


def _connect(backend: str, workers: int) -> None:
    """Connects to the cluster of a backend that needs one."""
    try:
        if backend == "dask":
            from dask.distributed import Client, default_client

            try:
                default_client()
            except ValueError:  # none yet
                # joblib finds the newest client by itself. A local cluster takes a process per worker.
                Client(**({} if _has_scheduler() else {"n_workers": workers, "threads_per_worker": 1}))
        elif backend == "ray":
            import ray
            from ray.util.joblib import register_ray

            if not ray.is_initialized():
                ray.init(**({} if _has_ray_cluster() else {"num_cpus": workers}), log_to_driver=False)
            register_ray()
    except ImportError as error:
        raise InputError(f"backend '{backend}' is not installed; pip install 'plgp[{backend}]'") from error


def _has_scheduler() -> bool:
    import dask

    return dask.config.get("scheduler-address", None) is not None


def _has_ray_cluster() -> bool:
    import os

    return bool(os.environ.get("RAY_ADDRESS"))
