"""Table V: which objects lie where, what counts, and that a killed run goes on."""

import json
import os
import signal

import numpy as np
import pytest

from robot.picking.attempt import PickAttempt
from robot.picking.picker import PickRecord
from robot.protocol.crew import Operator
from robot.protocol.scenes import ProtocolSettings, SceneTask, scene_tasks
from robot.protocol.summary import summarise_picks
from robot.protocol.table5 import clear_scene, read_scenes, run_table5
from sim.errors import InputError
from sim.objects import ObjectSet


def test_the_papers_scenes():
    tasks = scene_tasks(ObjectSet.pybullet(900, 999), ProtocolSettings())
    assert [sum(t.size == size for t in tasks) for size in (1, 5, 10)] == [400, 80, 40]
    for size in (1, 5, 10):
        placed = [m.name for t in tasks if t.size == size for m in t.models]
        names, counts = np.unique(placed, return_counts=True)
        assert len(names) == 40
        assert set(counts) == {10}
        assert all(len({m.name for m in t.models}) == size for t in tasks if t.size == size)
    chosen = {m.name for t in tasks for m in t.models}
    assert len(chosen) == 40  # the same for every size


def test_more_rounds_keep_the_scenes_of_before():
    objects = ObjectSet.pybullet(900, 999)
    few = scene_tasks(objects, ProtocolSettings(sizes=(5,), rounds=2))
    assert scene_tasks(objects, ProtocolSettings(sizes=(5,), rounds=3))[: len(few)] == few


@pytest.mark.parametrize("sizes", [(), (0,), (3,), (5, 5), (1.5,), "15"])
def test_sizes_that_do_not_fit_are_named(sizes):
    with pytest.raises(InputError, match="sizes"):
        ProtocolSettings(sizes=sizes)


def test_too_few_objects_are_named(boxes):
    with pytest.raises(InputError, match=r"protocol\.objects=3"):
        scene_tasks(boxes, ProtocolSettings())


def without_times(scenes):
    rows = json.loads(json.dumps(scenes))
    for scene in rows:
        scene.pop("identity", None)
        for attempt in scene["attempts"]:
            attempt.pop("policy_seconds")
            attempt.pop("plan_seconds")
    return rows


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on(station, boxes, highest, tmp_path):
    """kill -9 in the middle of the second scene: the first is not run again, the second from its start."""
    rules, out, flag = ProtocolSettings(objects=2, sizes=(1,), rounds=1), tmp_path / "out", tmp_path / "killed"

    class Deadly(highest):
        def __call__(self, observation, count):
            if list(out.glob("scene-*")) and not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__call__(observation, count)

    child = os.fork()
    if child == 0:
        run_table5(station, Deadly(), boxes, settings=rules, out=out)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    (kept,) = out.glob("scene-*.json")
    then = kept.stat().st_mtime_ns
    (out / ".scene-01-0001.json.123.part").write_text("half")
    done = run_table5(station, Deadly(), boxes, settings=rules, out=out)
    assert [s["cleared"] for s in done] == [1, 1], done
    assert kept.stat().st_mtime_ns == then
    assert without_times(read_scenes(out)) == without_times(done)
    kept.unlink()  # in another process the same scene was the same
    assert without_times(run_table5(station, Deadly(), boxes, settings=rules, out=out)) == without_times(done)
    with pytest.raises(InputError, match="other settings"):
        run_table5(station, highest(aside=0.01), boxes, settings=rules, out=out)
    kept.write_text("{}")
    with pytest.raises(InputError, match="remove it"):
        run_table5(station, Deadly(), boxes, settings=rules, out=out)


@pytest.mark.slow
def test_the_oracle_clears_the_tray(station, boxes, tmp_path):
    from labeler.oracle import LabelOracle

    rules = ProtocolSettings(objects=3, sizes=(3,), rounds=1)
    (scene,) = run_table5(station, LabelOracle(station.gripper), boxes, settings=rules, out=tmp_path)
    assert scene["cleared"] == 3, scene


def test_an_unknown_kind_of_recording_is_named(station, boxes, highest, tmp_path):
    with pytest.raises(InputError, match="record is 'some'"):
        run_table5(
            station, highest(), boxes, settings=ProtocolSettings(objects=2, sizes=(1,)), out=tmp_path, record="some"
        )


class ScriptedPicker:
    """Attempts that end as a script says."""

    def __init__(self, ends):
        self.policy, self.ends, self.record = object(), list(ends), PickRecord()

    def pick(self, landed):
        attempt = PickAttempt()
        if self.ends.pop(0):
            attempt.objects = landed()
            attempt.success = True
        else:
            attempt.fail("missed")
        return attempt


class Counting:
    """A crew whose picks land one object each."""

    def __init__(self, names):
        self.names = list(names)

    def landed(self):
        return [self.names.pop()]

    def tidy(self):
        return []

    def left(self):
        return len(self.names)


def scripted(boxes, ends, size=3):
    task = SceneTask(size, 0, boxes.models[:size])
    crew = Counting([m.name for m in task.models])
    return clear_scene(ScriptedPicker(ends), crew, task, settings=ProtocolSettings())


def test_a_scene_ends_when_the_tray_is_empty_or_after_five_failures_in_a_row(boxes):
    assert scripted(boxes, [1, 0, 1, 1])["cleared"] == 3
    ended = scripted(boxes, [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1])
    assert (ended["cleared"], len(ended["attempts"])) == (1, 10)


def test_the_summary_counts_as_the_paper_does(boxes):
    scenes = [scripted(boxes, [1, 0, 1, 1]), {**scripted(boxes, [0] * 5), "number": 1}]
    row = summarise_picks(scenes).iloc[0]
    assert (row["attempts"], row["failures"], row["reasons"]) == (9, 6, "6 missed")
    assert row["sr"] == pytest.approx(100 * 3 / 9)
    assert row["pc"] == pytest.approx(50)
    assert row["sr_low"] <= row["sr"] <= row["sr_high"]


def test_an_operator_counts_what_the_cell_cannot_see():
    said = iter(["", "two", "7", "2", "0"])
    operator = Operator(["cup", "ball", "key"], ask=lambda line: next(said))
    assert operator.landed() == ["cup", "ball"]
    assert operator.landed() == []
    assert operator.left() == 1


def test_an_operator_who_cannot_type_is_one_sentence():
    def closed(line):
        raise EOFError

    with pytest.raises(InputError, match="standard input is closed"):
        Operator(["cup"], ask=closed)


def test_no_failure_is_no_certainty(boxes):
    """40 scenes without a failure leave 8.8 %: 0.025 ** (1 / 40) = 0.912."""
    scenes = [{**scripted(boxes, [1], size=1), "number": i} for i in range(40)]
    row = summarise_picks(scenes).iloc[0]
    assert row["sr_low"] == pytest.approx(91.19, abs=0.01)
    assert (row["sr"], row["sr_high"]) == (100, 100)
    nothing = [{**scripted(boxes, [0] * 5, size=1), "number": i} for i in range(2)]
    assert summarise_picks(nothing).iloc[0]["sr_high"] == pytest.approx(84.19, abs=0.01)
