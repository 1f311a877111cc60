"""An arm's URDF as its maker gives it: the same arm as with capsules, and a sentence where it cannot be had."""

import re
import warnings
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import trimesh

from robot.arms.hulls import hull_file, read_hull
from robot.arms.model import OWN, ArmModel
from robot.arms.shapes import LinkShape, body_parts, placed_shapes
from robot.cell.settings import CellSettings
from robot.motion.clearance import Clearance
from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.gripper import GripperGeometry
from sim.physics import TraySettings, pybullet

GRIPPER = GripperGeometry(frames={"flange": {"xyz": [0, 0, 0.2203], "rpy": [0, 0, 0]}})
CELL = CellSettings()
READY = {"ur5e": (0.0, -1.57, 1.57, -1.57, -1.57, 0.0), "kinova_gen2": (0.0, 2.9, 0.0, 1.3, 0.0, 4.2, 0.0)}
READY |= {"xarm6": (0.0, -0.3, -1.2, 0.0, 1.5, 0.0)} | dict.fromkeys(
    ("panda", "fr3"), (0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785)
)
PLAIN = (OWN / "ur5e.urdf").read_text()
DAE = """<COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1"><asset>
<unit meter="0.001"/><up_axis>Y_UP</up_axis></asset><library_geometries><geometry id="g"><mesh><source id="p">
<float_array id="n" count="{}">{}</float_array><technique_common><accessor source="#n" count="{}" stride="3">
<param name="X" type="float"/><param name="Y" type="float"/><param name="Z" type="float"/></accessor></technique_common>
</source><vertices id="v"><input semantic="POSITION" source="#p"/></vertices><triangles count="{}">
<input semantic="VERTEX" source="#v" offset="0"/><p>{}</p></triangles></mesh></geometry></library_geometries>
</COLLADA>"""


@pytest.fixture
def clear():
    """Opens clearances, and closes them."""
    opened = []

    def make(urdf, ready=READY["ur5e"], flange="flange"):
        arm = ArmModel(urdf=str(urdf), ready=ready, flange=flange)
        around, base, camera = CELL.obstacles(TraySettings()), CELL.base_pose, CELL.camera_mount
        rules = {"clearance": 0.01, "finger_clearance": 0.001}
        opened.append(Clearance(arm, GRIPPER, around, base=base, camera=camera, **rules))
        return opened[-1]

    yield make
    for clearance in opened:
        clearance.close()


def write_mesh(mesh, path):
    if path.suffix == ".dae":  # millimetres, and an up axis at which RViz and MoveIt do not look
        points, faces = 1000 * mesh.vertices, mesh.faces
        numbers = " ".join(f"{v:.6g}" for v in points.ravel())
        indices = " ".join(map(str, faces.ravel()))
        path.write_text(DAE.format(points.size, numbers, len(points), len(faces), indices))
    else:
        mesh.export(path)


def makers_urdf(folder):
    """Writes the UR5e as a maker would: a package of meshes, links in any order and with names that the hand's have."""
    meshes, root = folder / "my_description" / "meshes", ElementTree.fromstring(PLAIN)
    meshes.mkdir(parents=True)
    for i, geometry in enumerate(root.iter("geometry")):
        radius, length = (float(geometry[0].get(key)) for key in ("radius", "length"))
        mesh = trimesh.creation.capsule(height=length, radius=radius, count=(32, 32))
        mesh.apply_translation(-mesh.bounds.mean(axis=0))
        suffix, scale = (".stl", ".obj", ".dae")[i % 3], 1.0
        if suffix == ".stl":
            scale = 0.001
            mesh.apply_scale(1000)
        write_mesh(mesh, meshes / f"{i}{suffix}")
        name = f"package://my_description/meshes/{i}{suffix}" if i % 2 else f"../meshes/{i}{suffix}"
        geometry[0] = ElementTree.Element("mesh", filename=name, scale=f"{scale} {scale} {scale}")
    links = root.findall("link")
    for link in links:
        root.remove(link)
        inertial = '<inertial><origin xyz="0.1 0.2 0.3"/><mass value="2"/><inertia ixx="1" iyy="1" izz="1"/></inertial>'
        if link.find("collision") is not None:
            link.append(ElementTree.fromstring(inertial))
            link.append(ElementTree.fromstring('<visual><geometry><mesh filename="lost.dae"/></geometry></visual>'))
    root.extend(reversed(links))
    text = ElementTree.tostring(root, encoding="unicode")
    for old, new in (("base", "base_link"), ("forearm", "palm"), ("wrist_1", "camera"), ("wrist_2", "base")):
        text = text.replace(f'"{old}"', f'"{new}"')
    more = '<link name="world"/><joint name="camera_fixed" type="fixed"><parent link="world"/><child link="base_link"/>'
    more += '</joint><transmission name="t"><joint name="elbow_joint"/></transmission>'
    path = folder / "my_description" / "urdf" / "arm.urdf"
    path.parent.mkdir()
    path.write_text(text.replace("</robot>", f"{more}</robot>"))
    return path


def test_a_makers_urdf_is_the_same_arm(tmp_path, clear):
    """Distances, the camera's picture and what lies inside agree with the arm of capsules that the meshes were."""
    plain, own = clear("ur5e"), clear(makers_urdf(tmp_path))
    chains = [ArmModel(urdf=str(u), ready=()).chain() for u in ("ur5e", tmp_path / "my_description/urdf/arm.urdf")]
    assert len(own._pairs) == len(plain._pairs) == 35
    assert own._standing == {-1, 0, 1}  # world, base_link and shoulder
    rng = np.random.default_rng(0)
    seen = rng.uniform(-0.6, 0.6, (20_000, 3))
    for q in rng.uniform(-2, 2, (20, 6)):
        assert chains[1].forward(q) == pytest.approx(chains[0].forward(q), abs=1e-9)
        far, shares, inside = [], [], []
        for space in (plain, own):
            space._arm.place(q, 0.05)
            table = space._things[1][1]
            points = pybullet.getClosestPoints(space._arm.body, table, 5.0, physicsClientId=space.client)
            far.append(min(p[8] for p in points))
            eye = CELL.base_pose @ chains[0].forward(READY["ur5e"]) @ CELL.camera_mount
            shares.append(space.outline(replace(PinholeCamera.from_fov(160, 120), pose=eye), q, 0.05))
            space._arm.place(q, 0.05)
            depths = [s.depth_inside(seen) for s in placed_shapes(space._arm, space._shapes)]
            inside.append(np.clip(np.max(depths, axis=0), 0, None))
        assert far[1] == pytest.approx(far[0], abs=0.0015)  # Bullet adds 1 mm to a hull
        assert (shares[0] != shares[1]).mean() < 0.01
        assert np.abs(inside[0] - inside[1]).max() < 0.0015


def test_own_arms_are_as_they_were(clear):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pairs = {name: len(clear(name, ready)._pairs) for name, ready in READY.items()}
    assert pairs == {"ur5e": 35, "kinova_gen2": 35, "panda": 45, "fr3": 45, "xarm6": 35}


@pytest.mark.parametrize("variable", ["ROS_PACKAGE_PATH", "AMENT_PREFIX_PATH"])
def test_a_package_elsewhere_is_found_by_ros_own_variables(tmp_path, monkeypatch, clear, variable):
    package = tmp_path / "there" / ("share" if variable.startswith("AMENT") else "") / "my_description"
    package.mkdir(parents=True)
    trimesh.creation.box((0.1, 0.1, 0.1)).export(package / "box.STL")
    text = PLAIN.replace(
        '<capsule radius="0.05" length="0.372"/>', '<mesh filename="package://my_description/box.STL"/>'
    )
    (tmp_path / "arm.urdf").write_text(text)
    with pytest.raises(InputError, match=r"arm\.urdf: link 'forearm': mesh package://.*set ROS_PACKAGE_PATH to the"):
        clear(tmp_path / "arm.urdf")
    monkeypatch.setenv(variable, str(tmp_path / "there"))
    hulls = [shape.hull for shape in clear(tmp_path / "arm.urdf")._shapes if shape.hull is not None]
    assert [np.ptp(hull.vertices, axis=0) == pytest.approx(0.1) for hull in hulls] == [True]


UPPER = '<capsule radius="0.06" length="0.425"/>'
JOINED = '<joint name="k" type="fixed"><parent link="{}"/><child link="{}"/></joint></robot>'
REFUSED = {
    "no shapes": (lambda t: re.sub("<collision>.*</collision>", "", t), "no link that moves has a shape"),
    "a mesh that is not there": (lambda t: t.replace(UPPER, '<mesh filename="no.stl"/>'), r"'upper_arm': mesh no\.stl"),
    "a broken mesh": (lambda t: t.replace(UPPER, '<mesh filename="bad.dae"/>'), r"mesh .*bad\.dae is no COLLADA"),
    "a mesh in millimetres": (lambda t: t.replace(UPPER, '<mesh filename="mm.stl"/>'), "425 m long, as if in millim"),
    "an unknown shape": (lambda t: t.replace(UPPER, "<plane/>"), "'upper_arm': a <plane> shape is not known here"),
    "a box without a size": (lambda t: t.replace(UPPER, "<box/>"), "'upper_arm': a <box> has the size ''"),
    "a loose link": (lambda t: t.replace("</robot>", '<link name="x"/></robot>'), "base, x hang at nothing"),
    "a joint to nothing": (lambda t: t.replace("</robot>", JOINED.format("base", "x")), "'k' does not join"),
    "a name twice": (lambda t: t.replace("</robot>", '<link name="base"/></robot>'), "two of its links have the same"),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_had_is_refused(tmp_path, clear, change, words):
    (tmp_path / "bad.dae").write_text("<COLLADA><asset/>")
    trimesh.creation.box((425, 100, 100)).export(tmp_path / "mm.stl")
    (tmp_path / "arm.urdf").write_text(change(PLAIN))
    with pytest.raises(InputError, match=rf"arm\.urdf: .*{words}"):
        clear(tmp_path / "arm.urdf")


FINGER = (
    '<link name="f"><collision><geometry><sphere radius="0.01"/></geometry></collision></link><joint name="fj" '
    'type="prismatic"><parent link="flange"/><child link="f"/><mimic joint="other"/></joint></robot>'
)
PALM = FINGER.replace("prismatic", "fixed")
FOREARM = re.compile(r'(<link name="forearm">\s*)<collision>(.*?)</collision>')
DOUBTED = {
    "visuals only": (lambda t: FOREARM.sub(r"\1<visual>\2</visual>", t), "no <collision> for forearm: .*<visual>", 35),
    "a long link without a shape": (lambda t: FOREARM.sub(r"\1", t), "no shape for forearm", 26),
    "a heavy link without a shape": (
        lambda t: t.replace('"flange"></link>', '"flange"><inertial><mass value="1"/></inertial></link>'),
        "no shape for flange",
        35,
    ),
    "a hand of its own": (lambda t: t.replace("</robot>", FINGER), r"flange \(fj\) are taken to stand still", 39),
    "a hand that is fixed": (lambda t: t.replace("</robot>", PALM), "f at the flange counts as a part of the arm", 39),
    "no speed": (
        lambda t: t.replace('"3.14159"', '"100"', 1),
        "velocity of shoulder_pan_joint stands for none, so 1",
        35,
    ),
}


@pytest.mark.parametrize(("change", "words", "pairs"), DOUBTED.values(), ids=DOUBTED)
def test_what_is_doubtful_is_said(tmp_path, clear, change, words, pairs):
    (tmp_path / "arm.urdf").write_text(change(PLAIN))
    with pytest.warns(UserWarning, match=rf"arm\.urdf: .*{words}"):
        space = clear(tmp_path / "arm.urdf")
    assert len(space._pairs) == pairs


@pytest.mark.parametrize(
    "shape", ['<sphere radius="0"/>', '<box size="0 0 0"/>', '<cylinder radius="0" length="0.0"/>']
)
def test_a_shape_without_extent_is_left_out(tmp_path, clear, shape):
    marker = PALM.replace('<sphere radius="0.01"/>', shape)
    (tmp_path / "arm.urdf").write_text(PLAIN.replace("</robot>", marker))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(clear(tmp_path / "arm.urdf")._pairs) == 35


def test_links_that_touch_when_ready_are_named(clear):
    with pytest.warns(UserWarning, match=r"touches itself at arm\.ready \(the shoulder and the wrist 1; "):
        assert len(clear("ur5e", (0, -1.57, 2.9, -1.57, -1.57, 0))._pairs) == 30


def test_a_cylinder_has_flat_ends(tmp_path, clear):
    (tmp_path / "arm.urdf").write_text(PLAIN.replace(UPPER, UPPER.replace("capsule", "cylinder")))
    space = clear(tmp_path / "arm.urdf")
    (shape,) = (s for s in space._shapes if s.kind == pybullet.GEOM_CYLINDER)
    shape = LinkShape(shape.link, shape.kind, shape.size, np.eye(4), shape.colour)
    points = np.array([[0, 0, 0], [0.05, 0, 0], [0, 0, 0.2], [0, 0, 0.22], [0.07, 0, 0]])
    assert shape.depth_inside(points) == pytest.approx([0.06, 0.01, 0.0125, -0.0075, -0.01])
    sides = [np.ptp(part.vertices, axis=0) for part in body_parts(space._arm)]
    assert min(abs(np.linalg.norm(side) - np.linalg.norm((0.425, 0.12, 0.12))) for side in sides) < 0.03


def test_hulls_hold_their_mesh(tmp_path):
    bowl = trimesh.creation.icosphere(subdivisions=2, radius=0.1)
    bowl.update_faces(bowl.triangles_center[:, 2] < 0)
    bowl.remove_unreferenced_vertices()
    flat = trimesh.Trimesh([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0]], [[0, 1, 2]])
    for name, mesh, scale in (("bowl", bowl, (1, 1, -1)), ("flat", flat, (1, 2, 1))):
        mesh.export(tmp_path / f"{name}.stl")
        hull = read_hull(str(hull_file(tmp_path / f"{name}.stl", np.array(scale, np.float64))))
        assert hull.depth_inside(mesh.vertices * scale).min() > -1e-6
        solid = trimesh.Trimesh(hull.vertices, hull.faces)
        assert solid.is_watertight
        assert solid.volume > 0  # wound outwards
        inside = solid.triangles_center.mean(axis=0)[None]
        assert hull.depth_inside(inside)[0] > 0
        assert hull.depth_inside(inside + 1)[0] < 0


def test_a_fine_hull_has_few_sides_that_hold_it_within_a_millimetre(tmp_path):
    """So that the camera's points are compared with hundreds of planes, and what is outside one with no more."""
    capsule = trimesh.creation.capsule(height=0.4, radius=0.06, count=(48, 48))
    disc = trimesh.creation.cylinder(radius=0.08, height=0.001, sections=400)
    for name, mesh, margin in (("capsule", capsule, 0.001), ("disc", disc, 0.001 / 16)):
        mesh.export(tmp_path / f"{name}.stl")
        hull = read_hull(str(hull_file(tmp_path / f"{name}.stl", np.ones(3))))
        assert len(hull.planes) < 400 < len(hull.faces)
        assert hull.depth_inside(mesh.vertices).min() > -1e-6
        points = np.random.default_rng(0).uniform(*mesh.bounds, (4000, 3))
        middles, normals = mesh.triangles_center, mesh.face_normals
        truth = -(points @ normals.T - (middles * normals).sum(axis=1)).max(axis=1)
        found = hull.depth_inside(points)
        assert (found[truth > 0] >= truth[truth > 0] - 1e-6).all()
        assert (found - np.maximum(truth, 0) < margin).all()


@pytest.fixture
def lone(tmp_path, monkeypatch):
    """Writes a URDF whose upper arm is a mesh of a package, and returns where its shape is looked up."""
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    monkeypatch.delenv("ROS_PACKAGE_PATH", raising=False)
    urdf = tmp_path / "arm_a" / "urdf" / "arm.urdf"
    urdf.parent.mkdir(parents=True)
    urdf.write_text(PLAIN.replace(UPPER, '<mesh filename="package://ur_x/meshes/b.stl"/>'))
    return urdf


def put_mesh(package, name=""):
    """Puts a package's mesh, a box, into a folder; a name gives the folder a package.xml."""
    (package / "meshes").mkdir(parents=True)
    trimesh.creation.box((0.1, 0.1, 0.1)).export(package / "meshes" / "b.stl")
    if name:
        (package / "package.xml").write_text(f"<package><name> {name} </name></package>")


def test_a_package_is_found_anywhere_in_a_workspace(tmp_path, lone, clear, monkeypatch):
    """As ROS does: by the name in package.xml, at any depth, but not within another package or what is ignored."""
    source = tmp_path / "ws" / "src"
    put_mesh(source / "other" / "ur_x", name="other")
    put_mesh(source / "old" / "ur_x", name="ur_x")
    put_mesh(source / "other" / "inner", name="ur_x")
    (source / "old" / "CATKIN_IGNORE").touch()
    (source / "other" / "package.xml").write_text("<package><name>other</name></package>")
    monkeypatch.setenv("ROS_PACKAGE_PATH", f"{source}:/opt/ros/none/share")
    with pytest.raises(InputError, match="set ROS_PACKAGE_PATH to the folder that holds ur_x"):
        clear(lone)
    (source / "loop").symlink_to(source)
    put_mesh(source / "universal_robot" / "a_clone", name="ur_x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(clear(lone)._pairs) == 35


def test_a_mesh_of_a_package_that_is_found_nowhere_may_be_another_arms(tmp_path, lone, clear):
    put_mesh(tmp_path / "arm_a")
    taken = r"package ur_x is found nowhere, and for its meshes \S*/arm_a/meshes/b\.stl are taken"
    with pytest.warns(UserWarning, match=taken):
        clear(lone)
    (tmp_path / "arm_a" / "package.xml").write_text("<package><name>ur_x</name></package>")
    lone.write_text(lone.read_text() + " ")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clear(lone)
