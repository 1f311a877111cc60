"""What the one reader of URDF files takes from a file, and the sentences with which it refuses one."""

import os
import re
import warnings
from contextlib import closing
from dataclasses import replace

import numpy as np
import pybullet
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from sim.errors import InputError
from sim.objects import ObjectSet
from sim.objects.meshes import density_doubt
from sim.objects.surfaces import load_surface
from sim.objects.urdf import mesh_files, read_base_link, read_mass, write_copy
from sim.physics import PhysicsSettings, TraySettings, World

WHOLE = """<?xml version="1.0"?>
<robot name="one link">
<material name="paint"><color rgba="0.1 0.2 0.3 1"/><texture filename="paint.png"/></material>
<link name="base">
  <inertial><origin xyz="0.01 0.02 0.03" rpy="0 0 1.5"/><mass value="1"/></inertial>
  <visual><origin xyz="1 2 3" rpy="0.1 0.2 0.3"/><geometry><mesh filename="seen/a.obj" scale="0.1 0.2 0.3"/></geometry>
    <material name="paint"/></visual>
  <visual><geometry><cylinder radius="0.5" length="2"/></geometry><material><color rgba="1 0 0"/></material></visual>
  <collision><geometry><mesh filename="b.obj" scale="0.001"/></geometry></collision>
  <collision/>
</link>
</robot>
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "object.urdf"
        path.write_text(text)
        return path

    return write


def test_a_link_is_read(write, tmp_path):
    link = read_base_link(write(WHOLE))
    mesh, cylinder = link.visuals
    np.testing.assert_array_equal(mesh.pose[:3, 3], [1, 2, 3])
    # roll about the fixed x first, then pitch about y, then yaw about z
    turn = [Rotation.from_rotvec(np.eye(3)[i] * a).as_matrix() for i, a in enumerate((0.1, 0.2, 0.3))]
    np.testing.assert_allclose(mesh.pose[:3, :3], turn[2] @ turn[1] @ turn[0], atol=1e-15)
    assert mesh.shape.kind == "mesh"
    assert mesh.shape.file == tmp_path / "seen" / "a.obj"
    np.testing.assert_array_equal(mesh.shape.scale, [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(mesh.colour, [0.1, 0.2, 0.3])
    assert mesh.texture == tmp_path / "paint.png"
    assert (cylinder.shape.kind, cylinder.shape.radius, cylinder.shape.length) == ("cylinder", 0.5, 2.0)
    assert cylinder.shape.file is None
    np.testing.assert_array_equal(cylinder.colour, [1, 0, 0])
    np.testing.assert_array_equal(cylinder.pose, np.eye(4))
    np.testing.assert_array_equal(link.inertial[:3, 3], [0.01, 0.02, 0.03])
    np.testing.assert_allclose(link.inertial[:3, 0], [np.cos(1.5), np.sin(1.5), 0], atol=1e-15)


def test_one_scale_stands_for_all_axes_and_a_collision_may_be_empty(write):
    scaled, empty = read_base_link(write(WHOLE)).collisions
    np.testing.assert_array_equal(scaled.shape.scale, np.full(3, 0.001))
    assert scaled.colour is None
    assert empty.shape is None


def weighted(name, side, mass, xyz):
    """A cube of a mass, both moved in its link."""
    shape = f'<origin xyz="{xyz}"/><geometry><box size="{side} {side} {side}"/></geometry>'
    inertial = f'<inertial><origin xyz="{xyz}"/><mass value="{mass}"/></inertial>'
    return f'<link name="{name}">{inertial}<visual>{shape}</visual><collision>{shape}</collision></link>'


@pytest.mark.parametrize(
    ("mass", "said"),
    [
        (150, "object: its mass is more than 25,000 kg/m^3 of its convex hull"),
        (0.01, "object: its mass is less than 20 kg/m^3 of its convex hull"),
        (10, ""),
    ],
)
def test_a_mass_that_does_not_go_with_the_size_is_told(write, mass, said):
    """150 kg on a box of a tenth of a metre passed without a word."""
    path = write(f'<robot name="r">{weighted("base", 0.1, mass, "0 0 0")}</robot>')
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ObjectSet.from_folder(path.parent)
    told = " ".join(str(warning.message) for warning in caught)
    assert said in told
    assert bool(told) == bool(said)


def test_what_has_no_hull_is_not_weighed_against_it():
    assert density_doubt(np.eye(3), 1.0) == ""
    assert density_doubt(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]), 1.0) == ""


TWO = weighted("base", 0.1, 1, "0 0 0.05") + weighted("lid", 0.2, 3, "0.1 0 0")
JOINT = (
    '<joint name="j" type="fixed"><parent link="base"/><child link="lid"/>'
    '<origin xyz="0.5 0 0" rpy="0 0 1.5707963267948966"/></joint>'
)


def test_two_links_without_a_joint_are_refused_by_name(write):
    path = write(f'<robot name="r">{TWO}</robot>')
    sentence = f"object file {path}: it has 2 links that do not hang together; join them by fixed joints"
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_base_link(path)


@pytest.mark.parametrize("first", [True, False])
def test_a_fixed_joint_merges_two_links_as_trimesh_composes_them(write, tmp_path, first):
    path = write(f'<robot name="r">{JOINT + TWO if first else TWO + JOINT}</robot>')
    joint = trimesh.transformations.rotation_matrix(np.pi / 2, [0, 0, 1])
    joint[:3, 3] = 0.5, 0, 0
    base = trimesh.creation.box((0.1, 0.1, 0.1)).apply_translation((0, 0, 0.05))
    lid = trimesh.creation.box((0.2, 0.2, 0.2)).apply_translation((0.1, 0, 0)).apply_transform(joint)
    base.density, lid.density = 1 / base.volume, 3 / lid.volume
    whole = trimesh.util.concatenate([base, lid])
    seen = load_surface(path, 1.0)
    mesh = trimesh.Trimesh(seen.vertices, seen.faces)
    assert mesh.volume == pytest.approx(whole.volume)
    np.testing.assert_allclose(mesh.bounds, whole.bounds, atol=1e-12)
    assert mesh.body_count == whole.body_count == 2
    link = read_base_link(path)
    assert len(link.visuals) == len(link.collisions) == 2
    centre = (base.mass * base.center_mass + lid.mass * lid.center_mass) / (base.mass + lid.mass)
    np.testing.assert_allclose(link.inertial[:3, 3], centre, atol=1e-12)
    write_copy(path, tmp_path / "copy.urdf")
    (mass,) = re.findall(r'<mass value="(.+?)"', (tmp_path / "copy.urdf").read_text())
    assert float(mass) == pytest.approx(base.mass + lid.mass)


def test_a_file_without_links_has_no_parts(write):
    link = read_base_link(write('<robot name="none"/>'))
    assert link.visuals == link.collisions == ()


def test_meshes_of_every_link_are_named(write, tmp_path):
    other = '<link name="other"><visual><geometry><mesh filename="c.obj" scale="none"/></geometry></visual></link>'
    names = mesh_files(write(WHOLE.replace("</robot>", f"{other}</robot>")))
    assert names == {(tmp_path / name).resolve() for name in ("seen/a.obj", "b.obj", "c.obj")}


@pytest.mark.parametrize(
    ("shape", "bounds"),
    [
        ('<box size="1 2 3"/>', [[-0.5, -1, -1.5], [0.5, 1, 1.5]]),
        ('<sphere radius="2"/>', [[-2, -2, -2], [2, 2, 2]]),
        ('<cylinder radius="1" length="4"/>', [[-1, -1, -2], [1, 1, 2]]),
    ],
)
def test_primitives_have_their_size(write, shape, bounds):
    link = read_base_link(write(f"<robot><link><visual><geometry>{shape}</geometry></visual></link></robot>"))
    np.testing.assert_allclose(link.visuals[0].shape.primitive().bounds, bounds, atol=0.01)


def test_an_unknown_primitive_is_named(write):
    link = read_base_link(write("<robot><link><visual><geometry><torus/></geometry></visual></link></robot>"))
    with pytest.raises(InputError, match="a <torus> shape is not known here"):
        link.visuals[0].shape.primitive()


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ('<box size="1 2"/>', 'size="1 2" of <box> is not 3 numbers; mend or remove it'),
        ('<sphere radius="wide"/>', 'radius="wide" of <sphere> is not 1 number; mend or remove it'),
        ('<mesh filename="a.obj" scale="1 2 3 4"/>', 'scale="1 2 3 4" of <mesh> is not 3 numbers; mend or remove it'),
    ],
)
def test_a_number_that_is_none_is_said_in_a_sentence(write, shape, sentence):
    path = write(f"<robot><link><visual><geometry>{shape}</geometry></visual></link></robot>")
    with pytest.raises(InputError, match=re.escape(f"object file {path}: {sentence}")):
        read_base_link(path)


def test_a_file_that_is_no_xml_is_said_in_a_sentence(write, tmp_path):
    for read in (read_base_link, mesh_files):
        with pytest.raises(InputError, match=r"object\.urdf cannot be read: "):
            read(write("<robot>"))
        with pytest.raises(InputError, match=r"missing\.urdf cannot be read: "):
            read(tmp_path / "missing.urdf")


def test_mass_and_centre_are_those_that_bullet_takes():
    """PyBullet's own objects, at their scale."""
    objects = ObjectSet.pybullet(0, 20)
    with closing(World(PhysicsSettings(), TraySettings())) as world:
        for model in (replace(m, scale=1.7) for m in objects.models):
            body = world.objects[world.add(model, np.eye(4))]
            info = pybullet.getDynamicsInfo(body, -1, physicsClientId=world.client)
            mass, centre = model.mass_properties()
            assert mass == pytest.approx(info[0], rel=1e-9)
            np.testing.assert_allclose(centre, info[3], atol=1e-9)


def test_a_file_without_a_mass_weighs_a_kilogram_and_a_changed_one_is_read_again(write):
    path = write('<robot name="r"><link name="a"/></robot>')
    assert read_mass(path)[0] == 1.0
    path.write_text(WHOLE.replace('<mass value="1"/>', '<mass value="0.25"/>'))
    os.utime(path, ns=(1, 1))
    mass, centre = read_mass(path)
    assert mass == 0.25
    np.testing.assert_array_equal(centre, [0.01, 0.02, 0.03])
    with pytest.raises(InputError, match="mend or remove it"):
        read_mass(path.with_name("absent.urdf"))
