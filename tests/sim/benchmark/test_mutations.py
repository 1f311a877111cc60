"""Do the tests of the benchmark see a wrong rule? Deliberate mutations, each in a copy of ``sim``."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
TESTS = ROOT / "tests" / "sim" / "benchmark"

# The copy must be what is tested: the working tree stands on sys.path through the editable install.
RUN = """
import sys, pytest, sim, sim.benchmark.runner
assert sim.benchmark.runner.__file__.startswith(sys.argv[1]), sim.benchmark.runner.__file__
sys.exit(pytest.main(sys.argv[2:]))
"""


class Mutation(NamedTuple):
    """One wrong line.

    Attributes:
        module: File, beside ``sim/benchmark/runner.py``.
        right: What stands there, exactly once.
        wrong: What the mutation makes of it.
        tests: Those that must see it, by name: each turns red.
    """

    module: str
    right: str
    wrong: str
    tests: tuple[str, ...]


CLEARING = "test_rules.py::test_a_clearing_ends_after_failures_in_a_row_and_a_success_begins_the_count_anew"
RANKS = "test_rules.py::test_ranked_grasps_are_tried_best_first_each_in_the_scene_as_it_was_and_a_missing_one_fails"
NOISE = "test_rules.py::test_each_attempt_of_a_scene_sees_noise_of_its_own_and_every_policy_the_same"
LEFT = "test_rules.py::test_a_failed_attempt_leaves_the_scene_as_it_left_it"
GONE = "test_rules.py::test_after_a_success_all_that_was_lifted_is_gone_and_after_a_failure_nothing"
SETTLED = "test_rules.py::test_after_an_attempt_what_hangs_in_the_air_comes_to_rest_and_what_left_the_tray_is_gone"
COUNTED = "test_rules.py::test_a_row_counts_what_was_lifted_with_the_held_one_and_nothing_after_a_failure"
FRICTION = "test_rules.py::test_each_row_is_executed_with_its_own_friction"
CARRIED = "test_rules.py::test_what_falls_out_of_the_hand_while_it_is_carried_is_a_failure"
RAISED = "test_rules.py::test_what_both_fingers_touch_but_do_not_raise_is_a_failure"
HALF = "test_rules.py::test_lifted_is_what_rises_by_half_the_lift"
TWIST = "test_rules.py::test_the_pads_resist_a_twist"
ONE_FINGER = "test_rules.py::test_an_object_that_one_finger_pushes_is_not_held"
SUMMARY = "test_statistics.py::test_summary_equals_the_definitions_and_keeps_its_columns"

MUTATIONS = {
    "failures never reset": Mutation(
        "runner.py",
        'failures = 0 if row["success"] else failures + 1',
        'failures += not row["success"]',
        (CLEARING,),
    ),
    "one failure more": Mutation(
        "runner.py", "failures < job.settings.max_failures", "failures <= job.settings.max_failures", (CLEARING,)
    ),
    "clean depth": Mutation("observation.py", "if settings.depth_noise is not None:", "if False:", (NOISE,)),
    "same noise each attempt": Mutation(
        "runner.py", "[job.settings.seed, job.number, asked]", "[job.settings.seed, job.number, 0]", (NOISE,)
    ),
    "same noise each scene": Mutation(
        "runner.py", "[job.settings.seed, job.number, asked]", "[job.settings.seed, 0, asked]", (NOISE,)
    ),
    "worst grasp first": Mutation(
        "runner.py", "record_grasp(answer.grasps[rank])", "record_grasp(answer.grasps[-1 - rank])", (RANKS,)
    ),
    "missing grasps are no failures": Mutation(
        "runner.py", "for rank in range(count)]", "for rank in range(min(count, len(answer.grasps)))]", (RANKS,)
    ),
    "ranks go on in the scene that the rank before left": Mutation(
        "grasp_attempt.py",
        "world.rebuild(list(state.models), list(state.poses))\n    if state.at_rest:",
        "world.objects or world.rebuild(list(state.models), list(state.poses))\n    if False:",
        (RANKS,),
    ),
    "success without the carry": Mutation(
        "grasp_attempt.py",
        "jaw.move(np.array([*s.carry, 0.0]), s.carry_steps)\n        held = jaw.held()",
        "held = jaw.held()\n        jaw.move(np.array([*s.carry, 0.0]), s.carry_steps)",
        (CARRIED, LEFT),
    ),
    "success without height": Mutation(
        "attempt_outcome.py", "[i for i in touched.held if high[i]]", "list(touched.held)", (RAISED, HALF)
    ),
    "a tenth of the height": Mutation("attempt_outcome.py", "lift / 2 ", "lift / 20 ", (HALF,)),
    "no torsional friction": Mutation(
        "parallel_jaw.py",
        "2 / 3 * self.settings.contact_radius * value if link != palm else 0.0",
        "0.0",
        (TWIST,),
    ),
    "one finger holds": Mutation(
        "parallel_jaw.py", "touched[0] & touched[1]", "touched[0] | touched[1]", (ONE_FINGER,)
    ),
    "one friction for all rows": Mutation(
        "runner.py", "job.settings.gripper, job.friction,", "job.settings.gripper, 0.9,", (FRICTION,)
    ),
    "no settling": Mutation("runner.py", "rest = world.settle(settings.settle_steps)", "rest = True", (SETTLED,)),
    "lifted objects stay": Mutation("runner.py", "if not (result.success and i in result.lifted)]", "]", (GONE,)),
    "a failure takes objects away": Mutation(
        "runner.py", "if not (result.success and i in result.lifted)", "if i not in result.lifted", (GONE,)
    ),
    "what left the tray stays": Mutation(
        "../physics.py",
        "abs(position[0]) < half and abs(position[1]) < half and position[2] > -0.01",
        "position[2] > -0.01",
        (SETTLED,),
    ),
    "the scene after a failure is the scene before": Mutation(
        "runner.py", "if result is not None:", 'if row["success"]:', (LEFT,)
    ),
    "SR of the ranks": Mutation(
        "statistics.py", "clear.success.sum(), clear.lifted", "rank.success.sum(), clear.lifted", (SUMMARY,)
    ),
    "PC counts attempts": Mutation(
        "statistics.py", "clear.lifted.sum(), rank", "clear.success.sum(), rank", (SUMMARY,)
    ),
    "PC of the attempts' number": Mutation(
        "statistics.py", "(clear.size(), present,", "(clear.size(), clear.size(),", (SUMMARY,)
    ),
    "AP of the clearing": Mutation("statistics.py", "rank.success.sum())]", "clear.success.sum())]", (SUMMARY,)),
    "PC counts one object a success": Mutation(
        "runner.py", "len(result.lifted) if result.success else 0", "int(result.success)", (COUNTED,)
    ),
    "PC counts what a failure raised": Mutation(
        "runner.py", "len(result.lifted) if result.success else 0", "len(result.lifted)", (COUNTED,)
    ),
}


def run_tests(folder, tests):
    """Runs tests on the ``sim`` in ``folder``; returns pytest's exit code and what it printed."""
    environment = os.environ | {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "cache")}
    options = ["-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={ROOT}"]
    command = [sys.executable, "-c", RUN, str(folder), *options, *(str(TESTS / test) for test in tests)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A folder with a copy of ``sim``, on which all tests below pass unmutated."""
    folder = tmp_path_factory.mktemp("mutant")
    shutil.copytree(ROOT / "sim", folder / "sim", ignore=shutil.ignore_patterns("__pycache__"))
    tests = sorted({test for mutation in MUTATIONS.values() for test in mutation.tests})
    code, printed = run_tests(folder, tests)
    assert code == 0, printed
    return folder


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_every_one_of_its_tests_red(copy, name):
    mutation = MUTATIONS[name]
    module = copy / "sim" / "benchmark" / mutation.module
    text = module.read_text()
    assert text.count(mutation.right) == 1, f"{mutation.module} has changed: mutate what stands there now"
    module.write_text(text.replace(mutation.right, mutation.wrong))
    try:
        code, printed = run_tests(copy, mutation.tests)
    finally:
        module.write_text(text)
    assert code == pytest.ExitCode.TESTS_FAILED, printed
    red = {line.split()[1].partition("[")[0] for line in printed.splitlines() if line.startswith("FAILED")}
    assert all(any(r.endswith(test) for r in red) for test in mutation.tests), printed  # not one of them passes
    assert "assert " in printed, printed
