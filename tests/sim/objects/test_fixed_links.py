"""Fixed links: a URDF split into them renders, weighs and collides as its merged twin."""

import numpy as np
import pytest
import trimesh
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sim.errors import InputError
from sim.judge.convex_bodies import convex_parts
from sim.objects import ObjectSet
from sim.objects.surfaces import load_surface
from sim.objects.urdf import check_urdf, read_base_link, write_copy
from sim.physics import PhysicsSettings, TraySettings, World, pybullet

SHAPES = {
    "box": '<box size="0.03 0.04 0.05"/>',
    "cylinder": '<cylinder radius="0.02" length="0.06"/>',
    "sphere": '<sphere radius="0.02"/>',
    "mesh": '<mesh filename="wedge.obj"/>',
    "mirrored mesh": '<mesh filename="wedge.obj" scale="-1 2 0.5"/>',
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def origin(xyz, rpy):
    return f'<origin xyz="{" ".join(map(repr, xyz))}" rpy="{" ".join(map(repr, rpy))}"/>'


def pose_of(xyz, rpy):
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = trimesh.transformations.euler_matrix(*rpy, axes="sxyz")[:3, :3], xyz
    return pose


def wedge(folder):
    """A solid without any symmetry, so that a mirrored one differs."""
    corners = np.array([[0, 0, 0], [0.05, 0, 0], [0, 0.03, 0], [0, 0, 0.02]])
    trimesh.convex.convex_hull(corners).export(folder / "wedge.obj")
    return trimesh.load(folder / "wedge.obj", force="mesh", process=False)


def own_mesh(kind, folder):
    if kind == "box":
        return trimesh.creation.box((0.03, 0.04, 0.05))
    if kind == "cylinder":
        return trimesh.creation.cylinder(0.02, 0.06)
    if kind == "sphere":
        return trimesh.creation.icosphere(subdivisions=3, radius=0.02)
    return wedge(folder).apply_transform(np.diag([-1, 2, 0.5, 1] if kind == "mirrored mesh" else [1, 1, 1, 1]))


ANGLES = st.tuples(*[st.sampled_from([0.0, np.pi / 2, -np.pi / 2, np.pi]) | st.floats(-3.1, 3.1)] * 3)
PLACES = st.tuples(*[st.floats(-0.05, 0.05)] * 3)
LINKS = st.lists(
    st.tuples(st.sampled_from(list(SHAPES)), PLACES, ANGLES, PLACES, ANGLES, st.floats(0.01, 1), st.integers(0, 9)),
    min_size=2,
    max_size=5,
)


def split(folder, links):
    """Writes the URDF of links, each joined to an earlier one; returns the file and each link's T_root_link."""
    text, poses = "", []
    for i, (kind, shape_xyz, shape_rpy, xyz, rpy, mass, parent) in enumerate(links):
        shape = f"{origin(shape_xyz, shape_rpy)}<geometry>{SHAPES[kind]}</geometry>"
        inertia = '<inertia ixx="1e-4" iyy="2e-4" izz="3e-4" ixy="0" ixz="0" iyz="0"/>'
        inertial = f'<inertial>{origin(shape_xyz, shape_rpy)}<mass value="{mass!r}"/>{inertia}</inertial>'
        text += f'<link name="l{i}">{inertial}<visual>{shape}</visual><collision>{shape}</collision></link>'
        if i:
            ends = f'<parent link="l{parent % i}"/><child link="l{i}"/>'
            text = f'<joint name="j{i}" type="fixed">{ends}{origin(xyz, rpy)}</joint>' + text
        poses.append(poses[parent % i] @ pose_of(xyz, rpy) if i else np.eye(4))
    path = folder / "split.urdf"
    path.write_text(f'<robot name="r">{text}</robot>')
    return path, poses


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(links=LINKS)
def test_split_bodies_look_and_weigh_as_their_merged_twins(tmp_path, links):
    wedge(tmp_path)
    path, poses = split(tmp_path, links)
    (tmp_path / "copy").mkdir(exist_ok=True)
    write_copy(path, tmp_path / "copy" / "copy.urdf")
    twins = []
    for (kind, xyz, rpy, *_), pose in zip(links, poses, strict=True):
        twins.append(own_mesh(kind, tmp_path).apply_transform(pose @ pose_of(xyz, rpy)))
    for file in (path, tmp_path / "copy" / "copy.urdf"):
        seen = load_surface(file, 1.0)
        np.testing.assert_allclose(seen.vertices, np.vstack([t.vertices for t in twins]), atol=1e-9)
        volume = trimesh.Trimesh(seen.vertices, seen.faces, process=False).volume  # mirrored faces stay outside out
        assert volume == pytest.approx(sum(t.volume for t in twins))
        link = read_base_link(file)
        for part, (_, xyz, rpy, *_), pose in zip(link.collisions, links, poses, strict=True):
            np.testing.assert_allclose(part.pose, pose @ pose_of(xyz, rpy), atol=1e-9)
        masses = [mass for *_, mass, _ in links]
        frames = [pose @ pose_of(xyz, rpy) for (_, xyz, rpy, *_), pose in zip(links, poses, strict=True)]
        centre = np.average([f[:3, 3] for f in frames], axis=0, weights=masses)
        np.testing.assert_allclose(link.inertial[:3, 3], centre, atol=1e-9)


def test_fixed_links_weigh_and_collide_as_one_in_bullet(tmp_path):
    wedge(tmp_path)
    (tmp_path / "set").mkdir()
    wedge(tmp_path / "set")
    turned = (0.3, -0.4, np.pi / 2)
    links = [("box", (0.0, 0, 0), (0.0, 0, 0), (0.0, 0, 0), (0.0, 0, 0), 0.1, 0)]
    links += [("mirrored mesh", (0.01, 0.0, 0.0), turned, (0.0, 0.0, 0.05), turned, 0.3, 0)]
    _, poses = split(tmp_path / "set", links)
    (model,) = ObjectSet.from_folder(tmp_path / "set").models
    world = World(PhysicsSettings(), TraySettings())
    body = pybullet.loadURDF(str(model.urdf), physicsClientId=world.client)
    assert pybullet.getNumJoints(body, physicsClientId=world.client) == 0
    mass, _, _, centre, *_ = pybullet.getDynamicsInfo(body, -1, physicsClientId=world.client)
    shapes = pybullet.getCollisionShapeData(body, -1, physicsClientId=world.client)
    low, high = pybullet.getAABB(body, physicsClientId=world.client)
    world.close()
    assert len(shapes) == len(convex_parts(model)) == 2
    assert mass == pytest.approx(0.4)
    place = poses[1] @ [0.01, 0, 0, 1]
    np.testing.assert_allclose(centre, 0.75 * place[:3], atol=1e-6)
    whole = own_mesh("mirrored mesh", tmp_path).apply_transform(poses[1] @ pose_of((0.01, 0, 0), turned))
    bounds = np.vstack([trimesh.creation.box((0.03, 0.04, 0.05)).vertices, whole.vertices])
    parts = np.vstack(convex_parts(model))
    np.testing.assert_allclose(
        [parts.min(axis=0), parts.max(axis=0)], [bounds.min(axis=0), bounds.max(axis=0)], atol=1e-6
    )
    assert (np.array(low) <= bounds.min(axis=0)).all()  # Bullet's box is that of the parts' turned boxes
    assert (np.array(high) >= bounds.max(axis=0)).all()


def test_a_body_fixed_to_the_world_falls_and_its_bare_link_collides(tmp_path):
    shape = '<visual><geometry><box size="0.03 0.04 0.05"/></geometry></visual>'
    solid = shape + shape.replace("visual", "collision")
    joints = "".join(
        f'<joint name="{child}" type="fixed"><parent link="{parent}"/><child link="{child}"/>'
        f'<origin xyz="0 0 0.05"/></joint>'
        for parent, child in (("world", "body"), ("body", "lid"))
    )
    links = f'<link name="lid">{shape}</link><link name="body">{solid}</link><link name="world"/>'
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.urdf").write_text(f'<robot name="r">{links}{joints}</robot>')
    (tmp_path / "set" / "b.urdf").write_text(f'<robot name="r"><link name="world">{solid}</link></robot>')
    two, one = ObjectSet.from_folder(tmp_path / "set").models
    parts = np.vstack(convex_parts(two))
    np.testing.assert_allclose([parts.min(axis=0), parts.max(axis=0)], [[-0.015, -0.02, 0.025], [0.015, 0.02, 0.125]])
    world = World(PhysicsSettings(), TraySettings())
    for model in (one, two):
        body = pybullet.loadURDF(str(model.urdf), physicsClientId=world.client)
        assert pybullet.getDynamicsInfo(body, -1, physicsClientId=world.client)[0] > 0
    world.close()


BOX = '<link name="{}"><visual><geometry><box size="1 1 1"/></geometry></visual></link>'
JOINT = '<joint name="j" type="fixed"><parent link="{}"/><child link="{}"/></joint>'
LOOSE = {
    "no joint": (BOX.format("a") + BOX.format("b"), "it has 2 links that do not hang together"),
    "a circle": (BOX.format("a") + BOX.format("b") + JOINT.format("a", "b") + JOINT.format("b", "a"), "in a circle"),
    "a circle beside": (
        "".join(map(BOX.format, "abc")) + JOINT.format("c", "b") + JOINT.format("b", "c"),
        "in a circle",
    ),
    "a link of two parents": (
        "".join(map(BOX.format, "abc")) + JOINT.format("a", "c") + JOINT.format("b", "c"),
        "a parent of its own",
    ),
    "a link that is not there": (BOX.format("a") + JOINT.format("a", "b"), "a parent of its own"),
    "one name twice": (BOX.format("a") * 2 + JOINT.format("a", "a"), "the same name"),
    "no type": (BOX.format("a") + '<joint name="j"/>', "joint 'j' has no type"),
    "a hinge": (BOX.format("a") + BOX.format("b") + JOINT.format("a", "b").replace("fixed", "continuous"), "'j' moves"),
    "a number that is none": (
        BOX.format("a") + BOX.format("b") + JOINT.format("a", "b").replace("<child", '<origin xyz="1 2 nan"/><child'),
        "is not finite",
    ),
}


@pytest.mark.parametrize("case", LOOSE)
def test_links_that_are_no_body_are_said_in_a_sentence(tmp_path, case):
    text, reason = LOOSE[case]
    (tmp_path / "a.urdf").write_text(f'<robot name="r">{text}</robot>')
    for read in (check_urdf, read_base_link):
        with pytest.raises(InputError, match=reason):
            read(tmp_path / "a.urdf")


def test_a_changed_mesh_is_seen(tmp_path):
    shape = '<geometry><mesh filename="box.obj"/></geometry>'
    (tmp_path / "a.urdf").write_text(f'<robot name="r"><link name="l"><visual>{shape}</visual></link></robot>')
    for sides in ((0.03, 0.04, 0.05), (0.06, 0.02, 0.011)):
        trimesh.creation.box(sides).export(tmp_path / "box.obj")
        np.testing.assert_allclose(np.ptp(load_surface(tmp_path / "a.urdf", 1.0).vertices, axis=0), sides, atol=1e-6)
    assert load_surface(tmp_path / "a.urdf", 1.0) is load_surface(tmp_path / "a.urdf", 1.0)


@pytest.mark.parametrize("rpy", [(0.1, 0.2, 0.3), (1.0, np.pi / 2, 0.4), (np.pi, -np.pi / 2, 0.0)])
def test_an_origin_turns_as_scipy_says(tmp_path, rpy):
    wedge(tmp_path)
    path, _ = split(tmp_path, [("mesh", (0.01, 0.02, 0.03), rpy, (0.0,) * 3, (0.0,) * 3, 0.1, 0)])
    turned = Rotation.from_euler("xyz", rpy).apply(wedge(tmp_path).vertices) + np.array([0.01, 0.02, 0.03])
    np.testing.assert_allclose(load_surface(path, 1.0).vertices, turned, atol=1e-9)
