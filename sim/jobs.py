"""Jobs on processes: joblib on this machine by default, Dask or Ray where there is a cluster."""

from __future__ import annotations

import contextlib
import importlib
import logging
import multiprocessing
import os
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

import joblib

from sim.errors import InputError

Result = TypeVar("Result")

BACKENDS = ("loky", "multiprocessing", "threading", "dask", "ray")
_PACKAGES = {"dask": "dask.distributed", "ray": "ray"}
_LOST = "a worker process ended before its job was done (killed, crashed or out of memory); try again"
_BLOCK = 8  # jobs per worker between two waits, for a backend that gives its results only all at once


class WorkerLost(InputError):
    """A worker process ended before its job: killed, out of memory or crashed."""


def run_jobs(
    function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], workers: int, *, backend: str = "loky"
) -> Generator[Result, None, None]:
    """Yields ``function(*job)`` of every job as soon as it is done, in whatever order.

    Jobs are taken as workers come free, a few ahead. Closing the generator ends the workers and whatever
    cluster was started here; so do an error and Ctrl-C.

    Args:
        function: Function of a module, so that it can travel to other processes.
        jobs: Arguments of each call.
        workers: Number of processes; 1 runs the jobs in this one. Dask and Ray take as many as the cluster has.
        backend: Name of what runs the jobs. ``loky``, ``multiprocessing`` and ``threading`` are joblib's. ``dask``
            takes the program's client, else the scheduler at ``DASK_SCHEDULER_ADDRESS``, else one on this machine.
            ``ray`` takes the cluster at ``RAY_ADDRESS``, else one on this machine.

    Raises:
        InputError: There is less than one worker, the backend is not known or not installed, or a cluster
            does not answer.
        WorkerLost: A worker died; with Dask and Ray, four times over the same job. ``multiprocessing``
            does not notice and waits; there a job's error comes when the few jobs drawn with it have ended.
    """
    if workers < 1:
        raise InputError(f"workers is {workers}; give at least 1")
    if backend not in BACKENDS:
        raise InputError(f"backend '{backend}' is not known; choose one of {', '.join(BACKENDS)}")
    try:
        importlib.import_module(_PACKAGES.get(backend, "joblib"))
    except ImportError as error:
        raise InputError(f"backend '{backend}' is not installed; pip install 'plgp[{backend}]'") from error
    run = {"dask": _run_on_dask, "ray": _run_on_ray}.get(backend)
    if run is None:
        return _run_on_joblib(function, jobs, workers, backend=backend)
    return run(function, iter(jobs), workers)


def _run_on_joblib(
    function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], workers: int, *, backend: str
) -> Generator[Result, None, None]:
    """Yields the results of jobs that joblib runs on this machine."""
    if workers == 1:
        yield from (function(*job) for job in jobs)
        return
    # loky mistakes a worker that has just imported torch for one that leaks, and starts another.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
    warnings.filterwarnings(
        "ignore", message=".*have been cancelled. You could benefit"
    )  # said where the generator is closed early, as it may be
    # Jobs are seconds long: a larger batch would hold back results that are done.
    options: dict[str, Any] = {"n_jobs": workers, "backend": backend, "batch_size": 1}
    if backend == "multiprocessing":
        # An error is brought home as a result: a pool that is ended while it has jobs may wait forever.
        caught = (joblib.delayed(_caught)(function, *job) for job in jobs)
        while block := list(islice(caught, _BLOCK * workers)):
            for result, error in joblib.Parallel(**options)(block):
                if error is not None:
                    raise error
                yield result
        return
    calls = (joblib.delayed(_call)(function, *job) for job in jobs)
    results = joblib.Parallel(**options, return_as="generator_unordered", pre_dispatch="2*n_jobs")(calls)
    try:
        yield from results
    except BrokenProcessPool as error:
        raise WorkerLost(_LOST) from error


def _run_on_dask(
    function: Callable[..., Result], jobs: Iterator[tuple[Any, ...]], workers: int
) -> Generator[Result, None, None]:
    """Yields the results of jobs that Dask runs.

    Dask is asked directly: joblib's Dask backend waits forever for a job that has lost its workers.
    """
    distributed: Any = importlib.import_module("dask.distributed")
    with _dask_client(workers) as client:
        ahead = 2 * max(sum(client.ncores().values()), 1)
        running = distributed.as_completed([client.submit(function, *job, pure=False) for job in islice(jobs, ahead)])
        try:
            for future in running:
                try:
                    result = future.result()
                except distributed.KilledWorker as error:
                    raise WorkerLost(_LOST) from error
                running.update([client.submit(function, *job, pure=False) for job in islice(jobs, 1)])
                yield result
        finally:
            client.cancel(list(running.futures))


@contextlib.contextmanager
def _dask_client(workers: int) -> Iterator[Any]:
    """Yields the program's client, or one for as long as the jobs run."""
    import dask

    distributed: Any = importlib.import_module("dask.distributed")
    try:
        client = distributed.default_client()
    except ValueError:  # the program has none yet
        address = dask.config.get("scheduler-address", None)
        quiet = logging.CRITICAL  # errors reach the caller anyway, and a restarted worker is no news
        local = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": quiet}
        logger = logging.getLogger("distributed")
        level = logger.level
        logger.setLevel(quiet)
        try:
            with _dask_connection(**({"address": address} if address else local)) as client:
                yield client
        finally:
            logger.setLevel(level)
    else:
        yield client


def _dask_connection(**options: Any) -> Any:
    """Returns a Dask client of these options; raises InputError where no scheduler answers."""
    distributed: Any = importlib.import_module("dask.distributed")
    try:
        return distributed.Client(**options)
    except OSError as error:
        address = options.get("address", "this machine")
        raise InputError(f"no Dask scheduler answers at {address}; start it or unset DASK_SCHEDULER_ADDRESS") from error


def _run_on_ray(
    function: Callable[..., Result], jobs: Iterator[tuple[Any, ...]], workers: int
) -> Generator[Result, None, None]:
    """Yields the results of jobs that Ray runs.

    Ray is asked directly: joblib's Ray backend gives its results only all at once.
    """
    ray: Any = importlib.import_module("ray")
    with _ray_cluster(workers):
        task = ray.remote(_call)  # Ray refuses functions without Python source
        ahead = 2 * max(int(ray.cluster_resources().get("CPU", 1)), 1)
        running = [task.remote(function, *job) for job in islice(jobs, ahead)]
        try:
            while running:
                done, running = ray.wait(running)
                running += [task.remote(function, *job) for job in islice(jobs, 1)]
                try:
                    result = ray.get(done[0])
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from error
                except ray.exceptions.WorkerCrashedError as error:
                    raise WorkerLost(_LOST) from error
                yield result
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def _call(function: Callable[..., Result], *job: Any) -> Result:
    """Runs a job in a worker, which leaves Ctrl-C to the process that it works for."""
    if multiprocessing.parent_process() is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return function(*job)


def _caught(function: Callable[..., Result], *job: Any) -> tuple[Result | None, Exception | None]:
    """Runs a job in a worker; returns its result, or the error that it raised."""
    try:
        return _call(function, *job), None
    except Exception as error:  # raised again where the results are read
        error.add_note(f"in a worker:\n{traceback.format_exc()}")
        return None, error


@contextlib.contextmanager
def _ray_cluster(workers: int) -> Iterator[None]:
    """Connects to the program's or RAY_ADDRESS's cluster, or to one for as long as the jobs run."""
    ray: Any = importlib.import_module("ray")
    if ray.is_initialized():
        yield
        return
    local = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(**local, log_to_driver=False, logging_level="warning")
    except ConnectionError as error:
        raise InputError("no Ray cluster answers at RAY_ADDRESS; start it or unset the variable") from error
    try:
        yield
    finally:
        ray.shutdown()
