"""Jobs on workers: every result once, errors as they are, nothing left running."""

import operator
import os
import pickle
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.jobs import WorkerLost, run_jobs

LOCAL = ("loky", "threading", "multiprocessing")
CLUSTERS = [
    pytest.param(name, marks=[*more, pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is an extra")])
    for name, more in (("dask", []), ("ray", [pytest.mark.slow]))
]
SLOW_CLUSTERS = [pytest.param(*cluster.values, marks=[*cluster.marks, pytest.mark.slow]) for cluster in CLUSTERS]
JOBS = [(i, 7) for i in range(40)]


@pytest.mark.parametrize("backend", [*LOCAL, *CLUSTERS])
def test_every_result_comes_once(backend):
    assert sorted(run_jobs(operator.mul, iter(JOBS), 2, backend=backend)) == [7 * i for i in range(40)]
    assert list(run_jobs(operator.mul, [], 2, backend=backend)) == []


@pytest.mark.parametrize("backend", LOCAL)
def test_one_worker_runs_here_and_in_order(backend):
    seen = []
    assert list(run_jobs(seen.append, [(i,) for i in range(5)], 1, backend=backend)) == [None] * 5
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("backend", [*LOCAL, *SLOW_CLUSTERS])
def test_a_jobs_error_is_the_callers(backend):
    with pytest.raises(ZeroDivisionError) as divided:
        list(run_jobs(operator.floordiv, [(1, 1), (1, 0), (2, 1)], 2, backend=backend))
    # os.mkdir(path) that exists: the errno must survive the way back, generation looks at it.
    with pytest.raises(FileExistsError) as caught:
        list(run_jobs(os.mkdir, [("/",)] * 3, 2, backend=backend))
    assert caught.value.errno is not None
    if backend == "multiprocessing":  # brought home as a result: its pool is never ended while it has jobs
        assert any("ZeroDivisionError" in note for note in divided.value.__notes__)


def test_results_come_before_all_jobs_are_drawn():
    drawn = []

    def jobs():
        for i in range(100):
            drawn.append(i)
            yield (0.01,)

    results = run_jobs(time.sleep, jobs(), 2)
    next(results)
    assert len(drawn) < 50
    results.close()


def alive(pid):
    """Whether a process runs; one that has ended and was not yet asked for counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids, seconds=20):
    """Waits until the processes have ended; returns whether they did."""
    end = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.05)
    return not any(map(alive, pids))


# Sleeps that tell who sleeps: eval travels to any process without a module of these tests.
NAP = ("(__import__('time').sleep(0.2), __import__('os').getpid())[1]",)


def test_closing_ends_the_workers():
    results = run_jobs(eval, [NAP] * 100, 2)
    pids = {next(results) for _ in range(6)}
    assert os.getpid() not in pids
    assert all(map(alive, pids))
    results.close()
    assert gone(pids)


def test_a_killed_worker_is_said_and_the_next_call_has_new_ones():
    suicide = ("__import__('os').kill(__import__('os').getpid(), 9)",)
    with pytest.raises(WorkerLost, match="worker process ended"):
        list(run_jobs(eval, [NAP, suicide, NAP], 2))
    assert len(list(run_jobs(eval, [NAP] * 3, 2))) == 3
    assert isinstance(pickle.loads(pickle.dumps(WorkerLost("lost"))), InputError)


@pytest.mark.parametrize("backend", CLUSTERS)
def test_a_killed_worker_of_a_cluster_costs_only_a_second_try(backend, tmp_path):
    """The job kills its worker the first time that it runs."""
    once = f"open({str(tmp_path / 'ran')!r}, 'x') and __import__('os').kill(__import__('os').getpid(), 9)"
    code = f'exec("try:\\n    {once}\\nexcept FileExistsError:\\n    pass")'
    assert list(run_jobs(eval, [NAP, (code,), NAP], 2, backend=backend)).count(None) == 1


SCRIPT = """
import sys, time
from sim.jobs import run_jobs

if __name__ == "__main__":
    for pid in run_jobs(eval, [(sys.argv[2],)] * 1000, 2, backend=sys.argv[1]):
        print(pid, flush=True)
"""


@pytest.mark.parametrize("backend", ["loky", *SLOW_CLUSTERS])
def test_ctrl_c_leaves_no_worker(backend, tmp_path):
    (tmp_path / "program.py").write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "program.py"), backend, *NAP],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as program:
        pids = {int(program.stdout.readline()) for _ in range(6)}
        program.send_signal(signal.SIGINT)
        try:
            program.wait(20)
        except subprocess.TimeoutExpired:  # Python drops what a finaliser raises, a KeyboardInterrupt too: seen once
            program.send_signal(signal.SIGINT)
            program.wait(20)
    assert program.returncode != 0
    assert gone(pids)


@pytest.mark.parametrize(("workers", "backend", "words"), [(0, "loky", "workers is 0"), (2, "abacus", "'abacus'")])
def test_impossible_choices_are_named_at_once(workers, backend, words):
    with pytest.raises(InputError, match=words):
        run_jobs(operator.mul, JOBS, workers, backend=backend)


@pytest.mark.parametrize(("backend", "module"), [("dask", "dask.distributed"), ("ray", "ray")])
def test_a_missing_package_is_named_with_its_cure(backend, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)  # import now raises ImportError
    with pytest.raises(InputError, match=rf"pip install 'plgp\[{backend}\]'"):
        run_jobs(operator.mul, JOBS, 2, backend=backend)


def test_a_dask_scheduler_that_does_not_answer_is_named(monkeypatch):
    dask = pytest.importorskip("dask")
    pytest.importorskip("distributed")
    options = {"scheduler-address": "tcp://127.0.0.1:9", "distributed.comm.timeouts.connect": "300ms"}
    with dask.config.set(options), pytest.raises(InputError, match=r"127\.0\.0\.1:9"):
        list(run_jobs(operator.mul, JOBS, 2, backend="dask"))


def test_a_programs_own_dask_client_is_used_and_kept():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        (pid,) = client.run(os.getpid).values()
        assert set(run_jobs(eval, [NAP] * 3, 2, backend="dask")) == {pid}
        assert client.submit(operator.mul, 6, 7).result() == 42
