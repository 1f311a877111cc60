"""Do the tests of the labels see a wrong kernel? Five deliberate mutations, each in a copy of the labeler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
TESTS = ROOT / "tests" / "labeler" / "pdg"

# The copy must be what is tested: the working tree stands on sys.path through the editable install.
RUN = """
import sys, pytest, labeler, labeler.pdg.kernels
assert labeler.pdg.kernels.__file__.startswith(sys.argv[1]), labeler.pdg.kernels.__file__
sys.exit(pytest.main(sys.argv[2:]))
"""


class Mutation(NamedTuple):
    """One wrong line.

    Attributes:
        module: File of the labeler.
        right: What stands there, exactly once.
        wrong: What the mutation makes of it.
        tests: Those that must see it, "file::test".
    """

    module: str
    right: str
    wrong: str
    tests: tuple[str, ...]


BOX_TWIN = "test_label_twins.py::test_twin_agrees_about_labels_of_every_kind_of_shape[box]"

# Few tests each, of whole views: the kernels are compiled once a mutation, no step of them apart. The
# relief's mutations come first: while kernels.py is as it was, its compiled code is taken from the cache.
MUTATIONS = {
    "angle seam": Mutation(
        "pdg/relief.py",
        "rest = angle - np.pi / 2 if quarter else angle - np.pi * (angle > np.pi / 2)",
        "rest = angle - np.pi / 2 if quarter else abs(angle - np.pi * (angle > np.pi / 2))",
        (
            "test_label_steps.py::test_turned_image_shows_the_nearest_pixels",
            "test_label_symmetry.py::test_turned_scene_gives_turned_labels[1]",
            BOX_TWIN,
        ),
    ),
    "min for max under a finger": Mutation(
        "pdg/images.py",
        "result[j] = c if c < b else b",
        "result[j] = c if c > b else b",
        (
            "test_label_steps.py::test_finger_meets_the_nearest_surface_of_its_footprint",
            "test_label_shapes.py::test_opened_fingers_of_a_label_meet_nothing[paper-truest]",
            BOX_TWIN,
        ),
    ),
    "sign": Mutation(
        "pdg/kernels.py",
        "return VALID, side * slope, height / n, coverage",
        "return VALID, slope, height / n, coverage",
        (BOX_TWIN,),
    ),
    "palm": Mutation(
        "pdg/kernels.py",
        "if top < tips - limits.finger_length:",
        "if top < tips - 2 * limits.finger_length:",
        ("test_label_shapes.py::test_palm_meets_a_tower_just_below_its_end_not_beyond[paper]",),
    ),
    "order of depths": Mutation(
        "pdg/kernels.py",
        "for level in range(found - 1, -1, -1):",
        "for level in range(found):",
        (
            "test_label_shapes.py::test_tips_go_no_deeper_than_the_finger_is_long[paper]",
            BOX_TWIN,
        ),
    ),
}


def run_tests(folder, tests):
    """Runs tests on the labeler in ``folder``; returns pytest's exit code and what it printed."""
    # One cache for all copies: a mutated file is compiled anew, the other one is not.
    environment = os.environ | {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "cache")}
    options = ["-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={ROOT}"]
    command = [sys.executable, "-c", RUN, str(folder), *options, *(str(TESTS / test) for test in tests)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A folder with a copy of the labeler, on which all tests below pass unmutated."""
    folder = tmp_path_factory.mktemp("mutant")
    shutil.copytree(ROOT / "labeler", folder / "labeler", ignore=shutil.ignore_patterns("__pycache__"))
    tests = sorted({test for mutation in MUTATIONS.values() for test in mutation.tests})
    code, printed = run_tests(folder, tests)
    assert code == 0, printed
    return folder


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_every_one_of_its_tests_red(copy, name):
    mutation = MUTATIONS[name]
    module = copy / "labeler" / mutation.module
    text = module.read_text()
    assert text.count(mutation.right) == 1, f"{mutation.module} has changed: mutate what stands there now"
    module.write_text(text.replace(mutation.right, mutation.wrong))
    try:
        code, printed = run_tests(copy, mutation.tests)
    finally:
        module.write_text(text)
    assert code == pytest.ExitCode.TESTS_FAILED, printed
    assert f"{len(mutation.tests)} failed" in printed, printed  # not an error while collecting, and none passes
    assert "AssertionError" in printed, printed
