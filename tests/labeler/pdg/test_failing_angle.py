"""An error within one angle reaches the caller, with any number of threads."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import numba
import labeler.pdg.candidates as candidates
from labeler.labels import label_view

numba.set_num_threads({threads})
made, real = [], candidates.make_images

def broken(*arguments):
    made.append(1)
    if len(made) in {failing}:
        raise RuntimeError("this angle")
    return real(*arguments)

candidates.make_images = broken
view = candidates_view()
try:
    label_view(view)
except RuntimeError as error:
    print("raised:", error)
"""

VIEW = """
from sim.benchmark import BenchmarkSettings
from sim.benchmark.observation import noiseless_view
from sim.benchmark.scene_sets import load_scene_set

def candidates_view():
    return noiseless_view(load_scene_set("plgp-320")["novel-5"][0], BenchmarkSettings())
"""


def threads_of(count):
    return {**os.environ, "NUMBA_NUM_THREADS": str(count)}


@pytest.mark.parametrize(("threads", "failing"), [(1, [1]), (2, [1, 2, 3])])
def test_an_error_within_an_angle_is_raised(threads, failing):
    text = VIEW + PROGRAM.format(threads=threads, failing=failing)
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=100, check=False, env=threads_of(threads)
    )
    assert done.stdout == "raised: this angle\n", done.stderr
