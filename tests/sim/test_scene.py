import numpy as np
import pytest

from sim.errors import InputError
from sim.geometry import transform
from sim.objects import ObjectSet
from sim.physics import PhysicsSettings, TraySettings, World
from sim.scene import Scene, SceneSettings, SceneState

OBJECTS = ObjectSet.pybullet(900, 999)


def drop(seed, count=5):
    with Scene(OBJECTS) as scene:
        scene.drop(count, np.random.default_rng(seed))
        rest = scene.settle()
        return rest, scene.state("novel-5", seed)


def test_the_same_seed_gives_the_same_bits():
    (rest, a), (_, b), (_, c) = drop(1), drop(1), drop(2)
    assert rest
    assert a.names == b.names
    np.testing.assert_array_equal(a.poses, b.poses)
    assert a.names != c.names


def test_fifteen_objects_come_to_real_rest_in_the_tray():
    rest, state = drop(4, 15)
    assert rest
    assert len(state.models) == 15
    assert all(state.tray.contains(p[:3, 3]) for p in state.poses)
    world = World(PhysicsSettings(solver_residual=0), TraySettings())
    world.rebuild(list(state.models), list(state.poses))
    world.step(480)
    shift = np.linalg.norm(np.array(world.poses())[:, :3, 3] - state.poses[:, :3, 3], axis=1)
    world.close()
    assert np.median(shift) < 5e-4
    assert shift.max() < 5e-3


def test_what_falls_out_is_dropped_again_and_else_recorded(tmp_path):
    """Dropped around the tray's edge some fall beside it."""

    def fall(drops):
        with Scene(OBJECTS, SceneSettings(drop_area=0.27, wave=5, drops=drops)) as scene:
            scene.drop(5, np.random.default_rng(3))
            return scene.settle(), scene.state("wide", 3)

    settled, state = fall(0)
    assert not settled
    assert state.fallen
    assert len(state.fallen) + len(state.names) == 5
    assert not set(state.fallen) & set(state.names)
    state.save(tmp_path / "scene.json")
    assert SceneState.load(tmp_path / "scene.json", OBJECTS).fallen == state.fallen
    (_, again), (_, twice) = fall(3), fall(3)
    assert len(again.names) > len(state.names)
    np.testing.assert_array_equal(again.poses, twice.poses)


def test_objects_stand_on_the_visible_floor():
    _, state = drop(1)
    lowest = [transform(p, m.mesh().vertices)[:, 2].min() for m, p in zip(state.models, state.poses, strict=True)]
    assert min(lowest) == pytest.approx(0, abs=1e-3)


def test_save_and_load(tmp_path):
    _, state = drop(1)
    state.save(tmp_path / "scene.json")
    back = SceneState.load(tmp_path / "scene.json", OBJECTS)
    assert back.names == state.names
    assert (back.category, back.seed, back.at_rest, back.tray) == ("novel-5", 1, True, state.tray)
    np.testing.assert_allclose(back.poses, state.poses, atol=1e-12)
    with Scene.load(tmp_path / "scene.json", OBJECTS) as scene:
        np.testing.assert_allclose(scene.state().poses, state.poses, atol=1e-6)


def test_bad_scenes_are_named(tmp_path):
    (tmp_path / "broken.json").write_text('{"objects": [')
    with pytest.raises(InputError, match=r"broken\.json"):
        SceneState.load(tmp_path / "broken.json", OBJECTS)
    with Scene(OBJECTS) as scene, pytest.raises(InputError, match="cannot drop 101"):
        scene.drop(101, np.random.default_rng(0))


def test_default_sets():
    seen = ObjectSet.pybullet()
    assert len(seen) == 899  # one of the 900 files is broken
    assert "random_urdfs/168" not in seen.names
    assert not set(seen.names) & set(OBJECTS.names)
    mesh = OBJECTS.models[0].mesh()
    assert 0.01 < np.ptp(mesh.vertices, axis=0).min() < np.ptp(mesh.vertices, axis=0).max() < 0.25


URDF = """<robot name="r"><link name="l"><inertial><mass value="0.1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0"
iyz="0"/></inertial>{}</link></robot>"""
BOX = '<geometry><box size="0.04 0.04 0.06"/></geometry>'
MESH = '<geometry><mesh filename="{}"/></geometry>'


@pytest.mark.parametrize(
    ("urdf", "message"),
    [
        ("not xml", "cannot be read"),
        (URDF.format(""), "no visual mesh"),
        (URDF.format("<visual>" + MESH.format("gone.obj") + "</visual>"), "does not exist"),
        (URDF.format("<visual>" + MESH.format("junk.obj") + "</visual>"), "junk.obj"),
        (URDF.format("<visual>" + MESH.format("nan.obj") + "</visual>"), "not finite"),
    ],
)
def test_unreadable_meshes_end_in_one_sentence(tmp_path, urdf, message):
    (tmp_path / "bad.urdf").write_text(urdf)
    (tmp_path / "junk.obj").write_bytes(bytes(range(256)))
    (tmp_path / "nan.obj").write_text("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(InputError, match=message) as caught:
        ObjectSet.from_folder(tmp_path)
    assert "bad.urdf" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_of_urdfs(tmp_path):
    for name in ("cup", "spoon"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.urdf").write_text(URDF.format(f"<visual>{BOX}</visual><collision>{BOX}</collision>"))
    objects = ObjectSet.from_folder(tmp_path, scale=0.5)
    assert objects.names == ["cup", "spoon"]
    np.testing.assert_allclose(np.ptp(objects.models[0].mesh().vertices, axis=0), [0.02, 0.02, 0.03])
    with pytest.raises(InputError, match=r"holds no \.urdf"):
        ObjectSet.from_folder(_empty(tmp_path))
    with pytest.raises(InputError, match="does not exist"):
        ObjectSet.from_folder(tmp_path / "nowhere")


def _empty(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder
