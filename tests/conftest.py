"""For all tests."""

import gc
import io
import os
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings

# A test run repeats itself; HYPOTHESIS_PROFILE=search draws new examples each time.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Files that take more than a hundredth of the whole, the longest first: one that is left over at the end keeps one of
# several processes busy alone. A file that is not here comes after them.
LONGEST = (
    *("labeler/pdg/test_label_twins.py", "test_docs.py"),  # one compiles the kernels, the other needs none of them
    *("plgp/test_train.py", "plgp/test_runs.py", "plgp/test_benchmark_command.py"),
    *("robot/calibration/test_hand_eye.py", "plgp/methods/test_dexnet_training.py", "plgp/test_experiments.py"),
    *("labeler/dataset/test_generate.py", "plgp/networks/test_overfit.py", "plgp/test_predict.py"),
    *("sim/benchmark/test_runner.py", "plgp/runs/test_ended.py", "plgp/evaluation/test_report.py"),
    *("labeler/dataset/test_pull_again.py", "robot/picking/test_faults.py", "plgp/policy/test_network.py"),
    *("test_wheel.py", "robot/cell/test_simulated_cell.py", "plgp/methods/test_dexnet.py", "test_golden.py"),
    *("labeler/dataset/test_hub.py", "labeler/dataset/test_kill.py", "plgp/test_input_contract.py"),
    *("plgp/runs/test_resume.py", "sim/benchmark/test_identity.py", "sim/objects/test_meshes.py"),
)


def pytest_collection_modifyitems(items):
    """Puts the longest files first, for several processes; see the Makefile."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda test: ranks.get(test.path, len(ranks)))


def pytest_collection_finish():
    """Takes what is loaded by now out of the garbage collector's rounds: a tenth of the time went into those."""
    gc.collect()
    gc.freeze()


def pytest_configure():
    """Lets the programs that tests start be interrupted: under `nohup` or `&` they would inherit a deaf SIGINT.

    The garbage collector's rounds become rare: with Python's 700 objects, half of what Hydra takes went into them.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.set_threshold(50_000, 10, 10)


@pytest.fixture
def command_line(monkeypatch, tmp_path):
    """A caller of ``python -m MODULE WORDS`` within this process, which has its libraries at hand.

    (module, words, cwd) -> status and output. A process of its own takes seconds to load torch or numba: each program
    has one test in which it is started as its users start it.
    """

    def run(module, *words, cwd=tmp_path):
        main = import_module(module if "." in module else f"{module}.__main__").main
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", [module, *words])
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                status = main()
            except SystemExit as end:
                status = end.code
        return SimpleNamespace(returncode=status or 0, stdout=out.getvalue(), stderr=err.getvalue())

    return run
