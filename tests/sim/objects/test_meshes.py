"""Folders of bare meshes: cleaned, weighed, split into convex parts, cached."""

import importlib.util
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import trimesh
import yaml
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from sim.benchmark.grasp_attempt import attempt
from sim.camera import ParallelCamera, PinholeCamera, offset_pose
from sim.drawing.object_sheet import collision_parts
from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet, meshes
from sim.objects.settings import MeshSettings, SizeRule
from sim.physics import PhysicsSettings, TraySettings, World, pybullet
from sim.render import render_view
from sim.scene import Scene, SceneState

HOUSEHOLD = Path(__file__).parents[4] / "shared" / "objects" / "household"
CONF = Path(__file__).parents[3] / "conf" / "objects" / "folder.yaml"
COARSE = MeshSettings(resolution=20_000)
BOX = (0.03, 0.04, 0.06)


def load(folder, **options):
    return ObjectSet.from_folder(folder, workers=1, **{"meshes": COARSE, **options})


def bracket():
    """An L of two boxes, 20 mm wide: concave, watertight, 32 cm^3."""
    outline = np.array([[0, 0], [0.06, 0], [0.06, 0.02], [0.02, 0.02], [0.02, 0.06], [0, 0.06]])
    tops = outline + 0.0
    vertices = np.vstack([np.c_[outline, np.zeros(6)], np.c_[tops, np.full(6, 0.016)]])
    caps = [(0, 1, 2), (0, 2, 3), (0, 3, 4), (0, 4, 5)]
    faces = [(c, b, a) for a, b, c in caps] + [(a + 6, b + 6, c + 6) for a, b, c in caps]
    for i in range(6):
        j = (i + 1) % 6
        faces += [(i, j, j + 6), (i, j + 6, i + 6)]
    return trimesh.Trimesh(vertices, faces, process=False)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "plgp" / "meshes"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "things"
    made.mkdir()
    return made


@pytest.mark.parametrize("ending", ["obj", "ply", "stl", "glb", "gltf"])
def test_every_format_gives_the_same_centred_object(folder, ending):
    box = trimesh.creation.box(BOX, transform=trimesh.transformations.translation_matrix([1, 2, 3]))
    (folder / "thing").mkdir()
    box.export(folder / "thing" / f"brick.{ending}")
    objects = load(folder)
    assert objects.names == ["thing"]
    mesh = objects.models[0].mesh()
    np.testing.assert_allclose(mesh.vertices.min(axis=0), -np.array(BOX) / 2, atol=1e-6)
    np.testing.assert_allclose(mesh.vertices.max(axis=0), np.array(BOX) / 2, atol=1e-6)
    assert len(mesh.faces) == 12


def test_mass_and_inertia_come_from_the_shape(folder):
    trimesh.creation.box(BOX).export(folder / "box.stl")
    world = World(PhysicsSettings(), TraySettings())
    model = load(folder).models[0]
    body = pybullet.loadURDF(str(model.urdf), flags=pybullet.URDF_USE_INERTIA_FROM_FILE, physicsClientId=world.client)
    mass, _, inertia = pybullet.getDynamicsInfo(body, -1, physicsClientId=world.client)[:3]
    world.close()
    assert mass == pytest.approx(500 * np.prod(BOX))
    a, b, c = np.square(BOX)
    np.testing.assert_allclose(np.sort(inertia), np.sort(mass / 12 * np.array([b + c, a + c, a + b])), rtol=1e-3)


@pytest.mark.parametrize(("density", "mass"), [(1.0, 0.02), (500.0, 0.036), (1e5, 1.0)])
def test_mass_stays_within_its_limits(folder, density, mass):
    trimesh.creation.box(BOX).export(folder / "box.stl")
    urdf = load(folder, meshes=MeshSettings(density=density)).models[0].urdf.read_text()
    assert float(urdf.split('mass value="')[1].split('"')[0]) == pytest.approx(mass)


def test_a_hollow_shape_becomes_convex_parts_that_hold_in_the_hand(folder):
    bracket().export(folder / "bracket.ply")
    model = load(folder, meshes=MeshSettings(resolution=100_000)).models[0]
    parts = trimesh.load(model.urdf.parent / "parts.obj", force="mesh", process=False).split(only_watertight=False)
    assert len(parts) >= 2
    assert all(p.is_convex for p in parts)
    assert sum(p.volume for p in parts) == pytest.approx(bracket().volume, rel=0.15)
    pose = np.eye(4)
    pose[2, 3] = -model.mesh().vertices[:, 2].min()
    # Across the bracket's standing leg: a convex hull of the whole would be in the fingers' way.
    leg = model.mesh().vertices[:, :2].min(axis=0) + np.array([0.01, 0.045])
    grasp = GraspPoses(np.array([[*leg, 0.003]]), np.diag([1.0, -1, -1])[None], np.full(1, 0.04), np.ones(1), "world")
    world = World(PhysicsSettings(), TraySettings())
    result = attempt(world, SceneState((model,), pose[None]), grasp, GripperGeometry(), 0.8)
    world.close()
    assert result.success


def test_bad_winding_and_doubled_faces_are_mended(folder):
    box = bracket()
    faces = np.vstack([box.faces, box.faces[:3], [[0, 0, 1]]])
    faces[::3] = faces[::3, ::-1]
    trimesh.Trimesh(box.vertices, faces, process=False).export(folder / "wild.ply")
    mesh = load(folder).models[0].mesh()
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces)
    assert len(mesh.faces) == len(box.faces)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(box.volume, rel=1e-4)


def sphere_mass(folder, kept):
    sphere = trimesh.creation.icosphere(3, 0.03)
    sphere.update_faces(kept(sphere.triangles_center))
    sphere.export(folder / "open.ply")
    return float(load(folder).models[0].urdf.read_text().split('mass value="')[1].split('"')[0])


def test_coacd_splits_as_well(folder):
    pytest.importorskip("coacd")
    bracket().export(folder / "bracket.ply")
    vhacd, coacd = (load(folder, meshes=MeshSettings(method=m, resolution=100_000)) for m in ("vhacd", "coacd"))
    assert vhacd.models[0].urdf != coacd.models[0].urdf
    parts = collision_parts(coacd.models[0])
    assert len(parts) >= 2
    assert sum(p.volume for p in parts) == pytest.approx(bracket().volume, rel=0.15)


def test_a_missing_coacd_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'plgp\[coacd\]'"):
        MeshSettings(method="coacd")
    with pytest.raises(InputError, match="choose vhacd or coacd"):
        MeshSettings(method="hull")


def test_options_count_for_the_cache_only_where_they_matter():
    assert MeshSettings().shaping() == MeshSettings(coacd_threshold=0.2, seconds=5).shaping()
    assert MeshSettings().shaping() != MeshSettings(concavity=0.2).shaping()


def test_small_holes_are_closed_and_wide_openings_stay(folder):
    full = 500 * 4 / 3 * np.pi * 0.03**3
    hole, bowl = (sphere_mass(folder, lambda c, up=up: c[:, 2] < up) for up in (0.0293, 0.0))
    assert hole == pytest.approx(full, rel=0.05)
    assert bowl < 0.4 * full  # a shell: half a sphere filled up would be 0.5


@settings(max_examples=40, deadline=None)
@given(sides=st.tuples(*[st.floats(0.005, 0.5)] * 3), fit=st.floats(0.01, 0.3), seed=st.integers(0, 2**32 - 1))
def test_the_second_smallest_side_fits_however_the_object_lies(sides, fit, seed):
    turn = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    corners = trimesh.creation.box(sides).vertices @ turn.T
    factor = SizeRule(fit=fit).factor(corners)
    assert factor * sorted(sides)[1] <= fit * 1.001
    assert factor == 1 or factor * sorted(sides)[1] == pytest.approx(fit, rel=1e-3)
    assert SizeRule(scale=3.0).factor(corners) == 3
    long = SizeRule(length=0.1).factor(corners)
    assert long * max(sides) == pytest.approx(0.1, rel=1e-3)
    assert SizeRule(length=0.1, fit=fit).factor(corners) == pytest.approx(min(long, fit / sorted(sides)[1]), rel=1e-3)


def test_scale_and_fit_serve_meshes_and_urdfs(folder):
    trimesh.creation.box((100, 200, 300)).export(folder / "crate.stl")  # millimetres
    (folder / "urdf").mkdir()
    shape = '<geometry><box size="100 200 300"/></geometry>'
    (folder / "urdf" / "crate.urdf").write_text(
        f'<robot name="r"><link name="l"><visual>{shape}</visual><collision>{shape}</collision></link></robot>'
    )
    for model in load(folder, scale=0.001, fit=0.08).models:
        np.testing.assert_allclose(np.ptp(model.mesh().vertices, axis=0), [0.04, 0.08, 0.12], rtol=1e-5)


def test_a_urdfs_meshes_are_not_taken_twice(folder):
    for name in ("cup", "cup/parts", "bare"):
        (folder / name).mkdir()
    for name in ("cup/beside.obj", "cup/parts/named.obj", "bare/a.obj", "bare/b.stl", "bare/b.ply", "bare/._b.ply"):
        trimesh.creation.box(BOX).export(folder / name, file_type=name[-3:])
    visual = '<visual><geometry><mesh filename="parts/named.obj"/></geometry></visual>'
    (folder / "cup" / "cup.urdf").write_text(f'<robot name="r"><link name="l">{visual}</link></robot>')
    assert load(folder).names == ["bare/a", "bare/b.ply", "bare/b.stl", "cup"]
    assert load(folder, pattern="**/beside.obj").names == ["cup"]
    with pytest.raises(InputError, match="pattern"):
        load(folder, pattern="../*")


def test_broken_meshes_are_named_and_skipped(folder):
    trimesh.creation.box(BOX).export(folder / "good.obj")
    (folder / "junk.glb").write_bytes(bytes(range(256)))
    (folder / "empty.ply").write_bytes(b"")
    (folder / "nan.obj").write_text("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (folder / "flat.obj").write_text(
        "v 0 0 0\nv .1 0 0\nv .1 .1 0\nv 0 .1 0\nv 0 .2 0\nf 1 2 3\nf 1 3 4\nf 3 4 5\nf 2 3 5\n"
    )
    trimesh.creation.box((30, 40, 60)).export(folder / "millimetres.stl")
    with pytest.warns(UserWarning, match="skipped 5 of 6 objects") as caught:
        assert load(folder).names == ["good"]
    said = str(caught[0].message)
    for name in (
        "junk.glb",
        "empty.ply",
        "nan.obj",
        "flat.obj: it is flat",
        "millimetres.stl: it is 60 m long (objects.scale=0.001 if it is in millimetres)",
    ):
        assert name in said
    assert "\n" not in said
    (folder / "good.obj").unlink()
    with pytest.raises(InputError, match=r"no usable object.*junk\.glb"):
        load(folder)


def test_the_cache_is_used_mended_and_told_apart(folder, cache, monkeypatch):
    trimesh.creation.box(BOX).export(folder / "box.obj")
    made = []
    real = meshes._write_entry
    monkeypatch.setattr(meshes, "_write_entry", lambda *a, **k: (made.append(a[0].name), real(*a, **k)))
    first = load(folder).models[0].urdf
    assert first.parent.parent == cache
    assert load(folder).models[0].urdf == first
    assert len(made) == 1
    before = {f.name: f.read_bytes() for f in first.parent.iterdir()}
    for name in before:
        (first.parent / name).write_bytes(b"broken")
        assert load(folder).models[0].urdf == first
        assert {f.name: f.read_bytes() for f in first.parent.iterdir()} == before
    assert len(made) == 1 + len(before)
    other = load(folder, meshes=MeshSettings(density=800.0)).models[0].urdf
    shutil.copytree(folder, folder.parent / "moved")
    assert other != first
    assert load(folder.parent / "moved").models[0].urdf == first
    assert len(made) == 2 + len(before)
    assert sorted(f.name for f in cache.iterdir()) == sorted({first.parent.name, other.parent.name})


def test_a_texture_colours_its_faces_and_counts_for_the_cache(folder):
    quad = trimesh.creation.box(BOX)
    uv = np.where(quad.vertices[:, :1] > 0, [[0.9, 0.5]], [[0.1, 0.5]])
    for name, right in (("a", (0, 0, 255)), ("b", (0, 255, 0))):
        image = Image.new("RGB", (8, 8), (255, 0, 0))
        image.paste(right, (4, 0, 8, 8))
        visual = trimesh.visual.TextureVisuals(uv=uv, image=image)
        (folder / name).mkdir()
        trimesh.Trimesh(quad.vertices, quad.faces, visual=visual, process=False).export(folder / name / "box.obj")
    a, b = (m.mesh() for m in load(folder).models)
    assert (folder / "a" / "box.obj").read_bytes() == (folder / "b" / "box.obj").read_bytes()
    side = a.vertices[a.faces].mean(axis=1)[:, 0]
    np.testing.assert_array_equal(a.colours[side > 0.014], np.tile([0, 0, 1], (2, 1)))
    np.testing.assert_array_equal(b.colours[side > 0.014], np.tile([0, 1, 0], (2, 1)))
    np.testing.assert_array_equal(a.colours[side < -0.014], np.tile([1, 0, 0], (2, 1)))


@pytest.mark.parametrize("ending", ["ply", "glb"])
def test_face_colours_survive(folder, ending):
    box = trimesh.creation.box(BOX)
    colours = np.tile([[10, 200, 30, 255]], (12, 1))
    if ending == "ply":
        colours[:6] = [200, 10, 30, 255]
    box.visual = trimesh.visual.ColorVisuals(box, face_colors=colours)
    box.export(folder / f"box.{ending}")
    found = load(folder).models[0].mesh().colours
    np.testing.assert_allclose(found, colours[:, :3] / 255, atol=2 / 255)


def test_bad_options_are_refused(folder, tmp_path):
    trimesh.creation.box(BOX).export(folder / "box.obj")
    for options, message in (({"scale": 0}, "scale"), ({"fit": -1}, "fit"), ({"cache": folder / "box.obj"}, "cache")):
        with pytest.raises(InputError, match=message):
            load(folder, **options)
    with pytest.raises(InputError, match="min_mass"):
        MeshSettings(min_mass=1, max_mass=0.5)
    with pytest.raises(InputError, match="density"):
        MeshSettings(density=-1)


def test_the_config_says_the_defaults(folder):
    trimesh.creation.box(BOX).export(folder / "box.obj")
    config = yaml.safe_load(CONF.read_text())
    assert instantiate(config["meshes"]) == MeshSettings()
    assert instantiate({**config, "path": str(folder)}) == ObjectSet.from_folder(folder)


def test_household_meshes_settle_and_are_seen(tmp_path):
    if not HOUSEHOLD.is_dir():
        pytest.skip(f"{HOUSEHOLD} is not there")
    folder = tmp_path / "bare"
    for name in ("plastic_apple", "soap", "mini_claw_hammer_1"):
        (folder / name).mkdir(parents=True)
        for file in (*(HOUSEHOLD / name).glob("textured.*"), *(HOUSEHOLD / name).glob("texture_map.*")):
            (folder / name / file.name).write_bytes(file.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bare = load(folder)
    assert bare.names == ["mini_claw_hammer_1", "plastic_apple", "soap"]
    for objects in (bare, ObjectSet.from_folder(HOUSEHOLD)):
        with Scene(objects) as scene:
            scene.drop(3, np.random.default_rng(0))
            assert scene.settle()
            view = render_view(scene, PinholeCamera.from_fov(pose=offset_pose(0.6, (0.0, 0.0))), ParallelCamera())
        assert set(np.unique(view.instance_mask)) == {0, 1, 2, 3}
        assert all(len(np.unique(m.mesh().colours, axis=0)) > 100 for m in scene.models)
