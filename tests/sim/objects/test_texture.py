"""Textures and colours within faces, against a ray caster that looks every texel up by itself."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from sim.camera import PinholeCamera, offset_pose
from sim.geometry import make_pose
from sim.objects import ObjectModel, ObjectSet
from sim.objects.surfaces import load_surface
from sim.physics import pybullet
from sim.render import Appearance, render_depth
from sim.scene import SceneState

HOUSEHOLD = Path(__file__).parents[4] / "shared" / "objects" / "household"
LOOK = Appearance(light=(0.3, -0.2, 0.9), ambient=0.4)
# A sheet of two triangles, 10 x 8 cm, seen from +z; u runs along x, v along y.
SHEET = """mtllib a.mtl
v -0.05 -0.04 0
v 0.05 -0.04 0
v 0.05 0.04 0
v -0.05 0.04 0
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl paint
f 1/1 2/2 3/3
f 1/1 3/3 4/4
"""
MATERIAL = "newmtl paint\nKd 0.2 0.4 0.6\nmap_Kd a.png\n"


def write(folder, obj=SHEET, mtl=MATERIAL, image=None, material="", mesh="a.obj"):
    """Writes an object's files and returns its URDF."""
    folder.mkdir(parents=True, exist_ok=True)
    if mesh == "a.obj":
        (folder / "a.obj").write_text(obj)
        (folder / "a.mtl").write_text(mtl)
    if image is not None:
        Image.fromarray(image).save(folder / "a.png")
    urdf = folder / "a.urdf"
    urdf.write_text(
        f'<robot name="a"><link name="a"><visual><geometry><mesh filename="{mesh}"/></geometry>{material}'
        "</visual></link></robot>"
    )
    return urdf


def colour(rgb):
    return f'<material name="m"><color rgba="{rgb} 1"/></material>'


def place(urdf, rotation=(0, 0, 0), position=(0, 0, 0.05)):
    pose = make_pose(Rotation.from_euler("xyz", rotation).as_matrix(), position)
    return ObjectModel(str(urdf), urdf), pose


def scene(*placed):
    return SceneState(tuple(m for m, _ in placed), np.array([p for _, p in placed]))


def ray_cast_colours(state, camera, looks):
    """Returns (H W, 3) float colours and mask: embree's hit, trimesh's barycentrics, one texel each.

    ``looks``: for every object its mesh file, its texture (or None: corner colours) and its URDF colour.
    """
    meshes = []
    for pose, (path, _, _) in zip(state.poses, looks, strict=True):
        meshes.append(trimesh.load(path, force="mesh", process=False).apply_transform(pose))
    whole = trimesh.util.concatenate([trimesh.Trimesh(m.vertices, m.faces, process=False) for m in meshes])
    rows, cols = (a.ravel() for a in np.mgrid[: camera.height, : camera.width])
    directions = camera.deproject(rows, cols, 1.0) @ camera.pose[:3, :3].T
    origins = np.broadcast_to(camera.pose[:3, 3], directions.shape)
    points, ray, face = whole.ray.intersects_location(origins, directions, multiple_hits=False)
    ends = np.cumsum([len(m.faces) for m in meshes])
    owner = np.searchsorted(ends, face, side="right")
    result, mask = np.zeros((len(rows), 3)), np.zeros(len(rows), int)
    for i, (mesh, (_, texture, tint)) in enumerate(zip(meshes, looks, strict=True)):
        mine = owner == i
        local = face[mine] - (ends[i] - len(mesh.faces))
        weights = trimesh.triangles.points_to_barycentric(mesh.triangles[local], points[mine])
        if texture is None:
            corner = np.asarray(mesh.visual.vertex_colors, float)[mesh.faces[local]][..., :3]
            own = np.einsum("nk,nkc->nc", weights, corner)
        else:
            uv = np.einsum("nk,nkc->nc", weights, mesh.visual.uv[mesh.faces[local]])
            height, width = texture.shape[:2]
            column = np.floor(uv[:, 0] * width).astype(int) % width
            row = (height - 1 - np.floor(uv[:, 1] * height).astype(int)) % height
            own = texture[row, column].astype(float)
        normal = mesh.face_normals[local]
        normal = normal * np.sign(np.sum(normal * -directions[ray[mine]], axis=1))[:, None]
        light = np.array(LOOK.light) / np.linalg.norm(LOOK.light)
        lambert = LOOK.ambient + (1 - LOOK.ambient) * np.clip(normal @ light, 0, 1)
        result[ray[mine]] = own * tint * lambert[:, None]
        mask[ray[mine]] = i + 1
    return result, mask


def check_against_rays(state, camera, looks, share=1e-3):
    _, mask, rgb = render_depth(state, camera, LOOK)
    truth, true_mask = ray_cast_colours(state, camera, looks)
    # Where an object is in front of the tray both ways; a tray in front of it is no matter of colours.
    both = (mask.ravel() == true_mask) & (true_mask > 0)
    assert both.sum() > 0.9 * (true_mask > 0).sum() > 1000
    difference = np.abs(rgb.reshape(-1, 3)[both] - truth[both]).max(axis=1)
    # A ray that falls on the border of two texels may be rounded to either.
    assert np.mean(difference > 1.01) <= share


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (37, 53, 3)).astype(np.uint8)


@pytest.mark.parametrize("offset", [(0, 0), (0.2, -0.13)])
def test_texture_equals_a_ray_caster(tmp_path, noise, offset):
    urdf = write(tmp_path, image=noise, material=colour("0.5 1 0.8"))
    state = scene(place(urdf, (0.4, -0.5, 0.3), (0.02, 0.03, 0.08)), place(urdf, (-0.3, 0.2, 2.0), (-0.08, -0.05, 0.1)))
    camera = PinholeCamera.from_fov(pose=offset_pose(0.6, offset))
    check_against_rays(state, camera, [(tmp_path / "a.obj", noise, (0.5, 1, 0.8))] * 2)


@pytest.mark.parametrize("offset", [(0, 0), (0.2, -0.13)])
def test_corner_colours_equal_a_ray_caster(tmp_path, offset):
    mesh = trimesh.creation.icosphere(subdivisions=1, radius=0.05)
    mesh.visual.vertex_colors = np.random.default_rng(1).integers(0, 256, (len(mesh.vertices), 4)).astype(np.uint8)
    mesh.export(tmp_path / "a.ply")
    state = scene(place(write(tmp_path, mesh="a.ply", material=colour("1 0.7 0.9"))))
    camera = PinholeCamera.from_fov(pose=offset_pose(0.6, offset))
    check_against_rays(state, camera, [(tmp_path / "a.ply", None, (1, 0.7, 0.9))])


@pytest.mark.parametrize("offset", [(0, 0), (0.2, -0.13)])
def test_household_objects_equal_a_ray_caster(offset):
    if not HOUSEHOLD.is_dir():
        pytest.skip(f"{HOUSEHOLD} is not there")
    names, textures = ("conditioner", "glue_1", "mini_claw_hammer_1"), []
    for name in names:
        with Image.open(next((HOUSEHOLD / name).glob("texture_map.*"))) as image:
            textures.append(np.asarray(image.convert("RGB")))
    places = ((0.06, 0.06, 0.08), (-0.06, 0.05, 0.08), (0, -0.06, 0.08))
    angles = ((1.4, 0.2, 0.5), (1.5, 0, 2.0), (0, 0, 0))
    urdfs = [HOUSEHOLD / name / "model.urdf" for name in names]
    state = scene(*(place(*options) for options in zip(urdfs, angles, places, strict=True)))
    looks = [(u.parent / "textured.obj", t, (1, 1, 1)) for u, t in zip(urdfs, textures, strict=True)]
    # Some 20,000 triangles of half a pixel: two that meet in a pixel may swap it.
    check_against_rays(state, PinholeCamera.from_fov(pose=offset_pose(0.6, offset)), looks, share=0.02)


def test_the_picture_lies_as_pybullet_lays_it(tmp_path):
    """Quarters of red, green, blue and yellow: neither mirrored nor upside down."""
    quarters = np.zeros((64, 64, 3), np.uint8)
    quarters[:32, :32], quarters[:32, 32:], quarters[32:, :32], quarters[32:, 32:] = (
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 0),
    )
    urdf = write(tmp_path, image=quarters, material=colour("1 1 1"))
    camera = PinholeCamera.from_fov(160, 120, pose=offset_pose(0.3, (0, 0)))
    rgb = render_depth(scene(place(urdf)), camera)[2]
    client = pybullet.connect(pybullet.DIRECT)
    try:
        pybullet.loadURDF(str(urdf), [0, 0, 0.05], useFixedBase=True, physicsClientId=client)
        view = np.linalg.inv(camera.pose @ np.diag([1.0, -1, -1, 1])).T.ravel().tolist()
        lens = pybullet.computeProjectionMatrixFOV(60, 160 / 120, 0.05, 2)
        theirs = pybullet.getCameraImage(
            160, 120, view, lens, renderer=pybullet.ER_TINY_RENDERER, physicsClientId=client
        )[2]
    finally:
        pybullet.disconnect(client)
    theirs = np.reshape(theirs, (120, 160, 4))
    seen = []
    for row in (50, 70):
        for column in (68, 92):
            ours = rgb[row, column].astype(int)
            assert ((ours > 60) == (theirs[row, column, :3] > 60)).all()
            seen.append(tuple(ours > 60))
    assert len(set(seen)) == 4


def test_materials_of_one_mesh_keep_their_own_texture_and_tiling(tmp_path):
    """One sheet repeats its texture three times, the other has a colour only; a second visual is green."""
    stripes = np.zeros((2, 8, 3), np.uint8)
    stripes[:, :4] = (200, 0, 0)
    second = SHEET.replace("usemtl paint", "usemtl flat").replace("v -0.05 -0.04 0\n", "v -0.05 -0.04 0.03\n")
    second = "\n".join(line for line in second.splitlines() if not line.startswith(("mtllib", "f ")))
    tiled = SHEET.replace("vt 1 0\nvt 1 1", "vt 3 0\nvt 3 1")
    obj = f"{tiled}{second}\nf 5/5 6/6 7/7\n"
    urdf = write(tmp_path, obj, MATERIAL + "newmtl flat\nKd 0.2 0.4 0.6\n", stripes, colour("1 1 1"))
    green = "<visual><geometry><box size='0.01 0.01 0.01'/></geometry>" + colour("0 1 0") + "</visual></link>"
    urdf.write_text(urdf.read_text().replace("</link>", green))
    mesh = load_surface(urdf, 1.0)
    assert [t.shape for t in mesh.textures] == [(2, 8, 3)]
    assert np.bincount(mesh.texture + 1).tolist() == [13, 2]
    np.testing.assert_allclose(
        np.unique(mesh.colours[mesh.texture < 0], axis=0), [[0, 1, 0], [0.2, 0.4, 0.6]], atol=0.01
    )
    sheet = write(tmp_path / "tiled", tiled, image=stripes)
    camera = PinholeCamera.from_fov(pose=offset_pose(0.3, (0, 0)))
    _, mask, rgb = render_depth(scene(place(sheet)), camera)
    red = rgb[240, mask[240] == 1, 0].astype(int)
    assert np.count_nonzero(np.abs(np.diff(red)) > 100) == 5  # three red and three black bands


@pytest.mark.parametrize("content", [None, b"no picture", "cut"])
def test_an_unreadable_texture_is_named_and_its_material_stands_in(tmp_path, noise, content):
    urdf = write(tmp_path, image=noise, material=colour("1 0.5 1"))
    texture = tmp_path / "a.png"
    whole = texture.read_bytes()
    texture.unlink()
    if content is not None:
        texture.write_bytes(whole[: len(whole) // 2] if content == "cut" else content)
    with pytest.warns(UserWarning, match=r"a\.png.*colour") as caught:
        mesh = load_surface(urdf, 1.0)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_surface(urdf, 0.5)
    assert mesh.textures == ()
    assert mesh.is_plain
    np.testing.assert_allclose(mesh.colours, np.tile([0.2, 0.2, 0.6], (2, 1)), atol=0.01)


def test_a_urdf_can_name_the_texture(tmp_path, noise):
    urdf = write(
        tmp_path,
        mtl="newmtl other\n",
        image=noise,
        material='<material name="m"><texture filename="a.png"/></material>',
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mesh = load_surface(urdf, 1.0)
    np.testing.assert_array_equal(mesh.textures[0], noise)
    urdf = write(tmp_path / "lost", mtl="", material='<material name="m"><texture filename="b.png"/></material>')
    with pytest.warns(UserWarning, match=r"b\.png"):
        assert load_surface(urdf, 1.0).textures == ()


def test_textures_are_kept_once_and_not_larger_than_needed(tmp_path):
    urdf = write(tmp_path, image=np.full((100, 3000, 3), 77, np.uint8))
    one, two = load_surface(urdf, 1.0), load_surface(urdf, 2.0)
    assert one.textures[0] is two.textures[0]
    assert one.textures[0].shape == (34, 1024, 3)
    np.testing.assert_array_equal(2 * one.vertices, two.vertices)


def test_pybullets_objects_have_one_colour_each():
    for model in ObjectSet.pybullet(0, 20).models:
        mesh = model.mesh()
        assert mesh.is_plain
        assert mesh.textures == ()
