import base64
import dataclasses
import json
import types

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sim.drawing.hands import gripper_lines
from sim.drawing.scene_page import scene_figure, write_scene_page
from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet
from sim.render import scene_surface
from sim.scene import SceneState

GRIPPER = GripperGeometry()


@pytest.fixture(scope="module")
def state():
    models = ObjectSet.pybullet(900, 905).models[:3]
    poses = np.stack([np.eye(4)] * 3)
    poses[:, :3, :3] = Rotation.random(3, rng=np.random.default_rng(0)).as_matrix()
    poses[:, :3, 3] = [[0.05, 0, 0.03], [-0.06, 0.04, 0.03], [0, -0.08, 0.03]]
    return SceneState(models, poses, category="novel-5")


def make_grasps(count, frame="world", seed=0):
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(count, rng=rng).as_matrix()
    width = rng.uniform(0, 0.1, count)
    return GraspPoses(rng.uniform(-0.1, 0.1, (count, 3)), rotation, width, rng.uniform(0, 1, count), frame)


def ranked(outcomes):
    rows = {"attempt": range(len(outcomes)), "success": [not o for o in outcomes], "reason": outcomes}
    return pd.DataFrame(rows).assign(protocol="rank")


def numbers(values):
    """An array as it stands in the page: a list, or base64 of its bytes."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])
    return np.asarray(values, np.float64)


def points(trace):
    return np.stack([numbers(trace[axis]) for axis in "xyz"], axis=1)


def page_data(figure):
    return json.loads(figure.to_json())


@given(st.integers(0, 10_000))
def test_a_grippers_lines_in_the_grasp_frame(seed):
    grasps = make_grasps(3, seed=seed)
    lines = gripper_lines(grasps, GRIPPER)
    for i in range(3):
        half = grasps.width[i] / 2
        local = (lines[i] - grasps.translation[i]) @ grasps.rotation[i]
        slow = [[-half, 0, 0], [-half, 0, -0.05], [half, 0, -0.05], [half, 0, 0]]
        np.testing.assert_allclose(local, slow, atol=1e-12)


def test_the_page_holds_the_scenes_surface(state):
    # Through the page's own JSON: what a browser gets is what the renderer draws.
    page = page_data(scene_figure(state, make_grasps(4), GRIPPER))
    meshes = [t for t in page["data"] if t["type"] == "mesh3d"]
    assert [t["name"] for t in meshes] == ["tray", *(f"{i + 1}: {n}" for i, n in enumerate(state.names))]
    surface = scene_surface(state)
    for number, trace in enumerate(meshes[1:], 1):
        faces = np.stack([numbers(trace[c]).astype(int) for c in "ijk"], axis=1)
        expected = surface.vertices[surface.faces[surface.ids == number]]
        np.testing.assert_allclose(points(trace)[faces], expected, atol=1e-5)
        assert trace["hovertemplate"].startswith(trace["name"])
        colours = np.round(surface.colours[surface.ids == number] * 255).astype(int)
        shown = trace.get("facecolor") or [trace["color"]] * len(faces)
        assert [tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in shown] == [tuple(c) for c in colours]
    tray = points(meshes[0])
    assert tray[:, 2].max() == pytest.approx(state.tray.wall_height, abs=0.005)
    assert np.abs(tray[:, :2]).max() == pytest.approx(state.tray.floor / 2 + state.tray.wall_lean, abs=0.01)
    scene = page["layout"]["scene"]
    assert scene["aspectmode"] == "data"
    assert [scene[f"{a}axis"]["title"]["text"] for a in "xyz"] == ["x, m", "y, m", "z, m"]


def test_faces_of_many_colours_keep_them(state):
    mesh = state.models[0].mesh()
    many = np.random.default_rng(0).uniform(0, 1, mesh.colours.shape).astype(np.float32)
    model = types.SimpleNamespace(name="painted", mesh=lambda: dataclasses.replace(mesh, colours=many))
    painted = dataclasses.replace(state, models=(model,), poses=state.poses[:1])
    trace = scene_figure(painted, GraspPoses.empty("world"), GRIPPER).data[1]
    red, green, blue = np.round(many[7] * 255).astype(int)
    assert len(trace.facecolor) == len(mesh.faces)
    assert trace.facecolor[7] == f"#{red:02x}{green:02x}{blue:02x}"


def test_grasps_are_coloured_by_quality_and_say_their_numbers(state):
    grasps = make_grasps(4)
    page = page_data(scene_figure(state, grasps, GRIPPER))
    (trace,) = [t for t in page["data"] if t["type"] == "scatter3d"]
    drawn = points(trace).reshape(4, 5, 3)
    np.testing.assert_allclose(drawn[:, :4], gripper_lines(grasps, GRIPPER), rtol=1e-6)
    assert np.isnan(drawn[:, 4]).all()
    np.testing.assert_allclose(numbers(trace["line"]["color"]), np.repeat(grasps.quality, 5))
    assert trace["text"][5] == f"rank 2<br>quality {grasps.quality[1]:.3f}<br>width {1000 * grasps.width[1]:.1f} mm"


def test_results_colour_the_grasps_and_name_the_reason(state):
    grasps = make_grasps(5)
    figure = scene_figure(state, grasps, GRIPPER, results=ranked(["", "blocked", "", "slipped"]))
    traces = {t.name: t for t in figure.data if t.type == "scatter3d"}
    assert list(traces) == ["success (2)", "failure (2)", "not tried (1)"]
    assert len({t.line.color for t in traces.values()}) == 3
    lines = gripper_lines(grasps, GRIPPER)
    np.testing.assert_allclose(points(traces["failure (2)"]).reshape(2, 5, 3)[:, :4], lines[[1, 3]])
    texts = [t.text[0].split("<br>")[-1] for t in traces.values()]
    assert texts == ["success", "blocked", "not tried"]
    assert traces["failure (2)"].text[5].startswith("rank 4<br>")


def test_a_page_needs_no_internet_and_repeats(state, tmp_path):
    path = write_scene_page(state, make_grasps(2), tmp_path / "deep" / "scene.html")
    page = path.read_text()
    assert page.count("rank 2") >= 1
    assert all(name.split("/")[-1] in page for name in state.names)
    assert 'src="http' not in page
    assert len(page) > 3_000_000
    write_scene_page(state, make_grasps(2), tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == page
    small = write_scene_page(state, GraspPoses.empty("world"), tmp_path / "small.html", plotlyjs="directory")
    assert small.stat().st_size < 1_000_000
    assert (tmp_path / "plotly.min.js").exists()


def test_bad_input_is_named(state):
    with pytest.raises(InputError, match="world frame"):
        scene_figure(state, make_grasps(1, "camera"), GRIPPER)
    twice = pd.concat([ranked([""]), ranked(["missed"])])
    for rows in (twice, ranked([""]).assign(protocol="clear")):
        with pytest.raises(InputError, match="ranked attempts"):
            scene_figure(state, make_grasps(1), GRIPPER, results=rows)


def test_an_empty_tray_has_a_page(state):
    empty = dataclasses.replace(state, models=(), poses=np.zeros((0, 4, 4)))
    figure = scene_figure(empty, GraspPoses.empty("world"), GRIPPER)
    assert [t.name for t in figure.data] == ["tray"]
