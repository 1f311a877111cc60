"""The bodies of a mesh: wound one way as trimesh winds them, and doubted where they reach into each other."""

import time
import warnings

import numpy as np
import pytest
import trimesh

from sim.objects import ObjectSet
from sim.objects.reading.bodies import overlap, wind_one_way


def box(x, depth=0.04):
    return trimesh.creation.box(bounds=[[x[0], -depth / 2, -depth / 2], [x[1], depth / 2, depth / 2]])


def inside_out(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces[:, ::-1], process=False)


ball = trimesh.creation.icosphere
HEAPS = {
    "two thirds of two boxes": ([box((0, 0.06)), box((0.02, 0.08), 0.0399)], 0.498),
    "boxes side by side": ([box((0, 0.06)), box((0.061, 0.08))], 0.0),
    "a lid over most of a can": (
        [trimesh.creation.cylinder(0.03, 0.08), trimesh.creation.cylinder(0.031, 0.08)],
        0.937,
    ),
    "a ball in a hollow": ([ball(3, 0.05), inside_out(ball(3, 0.04)), ball(3, 0.02)], 0.0),
    "one box": ([box((0, 0.06))], 0.0),
}


@pytest.mark.parametrize("case", HEAPS)
def test_overlap_is_the_share_that_counts_again(case):
    meshes, share = HEAPS[case]
    assert overlap(trimesh.util.concatenate(meshes)) == pytest.approx(share, abs=0.03)


def test_a_mesh_whose_parts_overlap_is_doubted(tmp_path):
    (tmp_path / "set").mkdir()
    trimesh.util.concatenate(HEAPS["two thirds of two boxes"][0]).export(tmp_path / "set" / "a.stl")
    with pytest.warns(UserWarning, match="a: its parts overlap, so what overlaps weighs twice; unite them, or give"):
        model = ObjectSet.from_folder(tmp_path / "set", cache=tmp_path / "cache", workers=1).models[0]
    assert model.mass_properties()[0] == pytest.approx(500 * 0.04**2 * 0.12, rel=0.01)  # as it weighed before


def heap(rng):
    """Some bodies, open and closed, some of whose faces are wound wrongly."""
    meshes = []
    for _ in range(rng.integers(1, 6)):
        mesh = (ball(2, 0.03), trimesh.creation.box((0.03, 0.04, 0.05)), trimesh.creation.torus(0.05, 0.01))
        chosen = mesh[rng.integers(3)].apply_translation(rng.uniform(-0.2, 0.2, 3))
        faces = np.array(chosen.faces)[rng.random(len(chosen.faces)) < rng.choice([0.95, 1.0])]
        wrong = rng.random(len(faces)) < rng.choice([0, 0.01, 0.3])
        faces[wrong] = faces[wrong][:, ::-1]
        meshes.append(trimesh.Trimesh(chosen.vertices, faces, process=False))
    return trimesh.util.concatenate(meshes)


def strip():
    """A Moebius strip, which has one side."""
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    edges = [(0.05 + s * np.cos(turn / 2), s * np.sin(turn / 2)) for s in (-0.01, 0.01)]
    vertices = np.stack([np.stack([r * np.cos(turn), r * np.sin(turn), z], axis=1) for r, z in edges], axis=1)
    ends = [(2 * i + 2, 2 * i + 3) if i < 19 else (1, 0) for i in range(20)]
    faces = [face for i, (c, d) in enumerate(ends) for face in ((2 * i, c, 2 * i + 1), (2 * i + 1, c, d))]
    return trimesh.Trimesh(vertices.reshape(-1, 3), faces, process=False)


@pytest.mark.parametrize("seed", [*range(12), None])
def test_faces_are_wound_as_trimesh_winds_them(seed):
    mesh = strip() if seed is None else heap(np.random.default_rng(seed))
    twin = mesh.copy()
    wind_one_way(mesh)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trimesh.repair.fix_winding(twin)
    np.testing.assert_array_equal(mesh.faces, twin.faces)


def test_one_wrong_face_costs_little():
    """In which trimesh takes ten times as long, and 80 s for 300,000 faces."""
    mesh = ball(4, 0.05)
    faces = np.array(mesh.faces)
    faces[17] = faces[17][::-1]
    mesh = trimesh.Trimesh(mesh.vertices, faces, process=False)
    twin = mesh.copy()
    start = time.process_time()
    wind_one_way(mesh)
    middle = time.process_time()
    trimesh.repair.fix_winding(twin)
    assert mesh.is_winding_consistent
    assert middle - start < (time.process_time() - middle) / 3
