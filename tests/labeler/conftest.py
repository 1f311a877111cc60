"""Synthetic scenes for the labels' tests, seen by a small camera; the labels' slow twins; a small data set."""

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import create_autospec

import numpy as np
import pytest

from labeler.dataset.generate import generate
from labeler.dataset.recipe import DataSetRecipe
from labeler.settings import LabelSettings
from sim.camera import ParallelCamera, PinholeCamera
from sim.objects import ObjectSet
from sim.view import SceneView

FLOOR = 0.6
ETA = 2500
SIZE = 750


def grid(eta=ETA, size=SIZE):
    """x right and y down of every parallel pixel, metres."""
    axis = (np.arange(size) - (size - 1) / 2) / eta
    return np.meshgrid(axis, axis)


def make_view(height, mask, back=None, eta=ETA, camera=None):
    """A view of a height field: ``height`` metres above the floor, (n, n); the camera image by ray marching."""
    size = height.shape[0]
    depth = np.round((FLOOR - height) / 1e-5).astype(np.float64) * 1e-5
    camera = camera or PinholeCamera(160, 160, np.array([[300, 0, 79.5], [0, 300, 79.5], [0, 0, 1.0]]))
    parallel = ParallelCamera(eta, size, size)
    rows, cols = np.mgrid[: camera.height, : camera.width]
    seen = np.full(rows.shape, FLOOR)
    seen_mask = np.zeros(rows.shape, np.uint8)
    done = np.zeros(rows.shape, bool)
    for z in np.arange(depth.min(), FLOOR + 1e-9, 1e-3):
        r, c, _ = parallel.project(camera.deproject(rows.ravel(), cols.ravel(), np.full(rows.size, z)))
        r = np.clip(np.rint(r).astype(int), 0, size - 1).reshape(rows.shape)
        c = np.clip(np.rint(c).astype(int), 0, size - 1).reshape(rows.shape)
        hit = ~done & (depth[r, c] <= z)
        seen[hit], seen_mask[hit] = depth[r, c][hit], mask[r, c][hit]
        done |= hit
    return SceneView(
        seen.astype(np.float32),
        seen_mask,
        camera,
        depth.astype(np.float32),
        mask.astype(np.uint8),
        parallel,
        parallel_back_depth=None if back is None else back.astype(np.float32),
    )


def turned_box(x, y, centre, size, angle):
    """Where a box's footprint lies; ``angle`` counter-clockwise as seen (y is down)."""
    dx, dy = x - centre[0], y - centre[1]
    u, v = dx * np.cos(angle) - dy * np.sin(angle), dx * np.sin(angle) + dy * np.cos(angle)
    return (np.abs(u) <= size[0] / 2) & (np.abs(v) <= size[1] / 2)


def _box(rng, u, v):
    size = rng.uniform(0.012, 0.07, 2)
    top = rng.uniform(0.008, 0.06)
    return np.where((np.abs(u) <= size[0] / 2) & (np.abs(v) <= size[1] / 2), top, 0), top


def _cylinder(rng, u, v):
    """Upright or lying; a lying one is round above and below its middle."""
    radius, length = rng.uniform(0.008, 0.03), rng.uniform(0.02, 0.08)
    if rng.random() < 0.5:
        return np.where(np.hypot(u, v) <= radius, length, 0), length
    bulge = np.sqrt(np.maximum(radius**2 - u**2, 0))
    inside = (np.abs(u) < radius) & (np.abs(v) <= length / 2)
    return np.where(inside, radius + bulge, 0), np.where(inside, 2 * bulge, 0)


def _wedge(rng, u, v):
    """A trapezium as seen from above: its sides lean by up to 15 degrees each; or a roof that falls along v."""
    top, lean = rng.uniform(0.015, 0.05), np.tan(rng.uniform(-0.26, 0.26, 2))
    half, length = rng.uniform(0.008, 0.025), rng.uniform(0.02, 0.06)
    inside = (u < half + lean[0] * v) & (u > -half + lean[1] * v) & (np.abs(v) <= length / 2)
    height = np.where(inside, top + rng.choice([0.0, 0.3]) * v, 0)
    return height, height


def _plate(rng, u, v):
    """A thin plate that leans on nothing: hollow below."""
    size, thick, lean = rng.uniform(0.02, 0.07, 2), rng.uniform(0.002, 0.012), rng.uniform(-0.5, 0.5)
    inside = (np.abs(u) <= size[0] / 2) & (np.abs(v) <= size[1] / 2)
    return np.where(inside, 0.03 + lean * u, 0), thick


def _sphere(rng, u, v):
    radius = rng.uniform(0.008, 0.03)
    bulge = np.sqrt(np.maximum(radius**2 - u**2 - v**2, 0))
    return np.where(bulge > 0, radius + bulge, 0), 2 * bulge


SHAPES = {"box": _box, "cylinder": _cylinder, "wedge": _wedge, "plate": _plate, "sphere": _sphere}


def scatter(kind, seed, back=False):
    """A view of 2-5 random shapes of one ``kind`` ("any": mixed), some upon or beside each other, often aligned.

    ``back`` adds the back layer: where the front object ends below, seen from above.
    """
    rng = np.random.default_rng(seed)
    x, y = grid()
    height, below, mask = np.zeros(x.shape), np.zeros(x.shape), np.zeros(x.shape, int)
    for value in range(1, rng.integers(3, 7)):
        centre = rng.uniform(-0.08, 0.08, 2)
        angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
        dx, dy = x - centre[0], y - centre[1]
        u, v = dx * np.cos(angle) - dy * np.sin(angle), dx * np.sin(angle) + dy * np.cos(angle)
        shape = SHAPES[rng.choice(list(SHAPES)) if kind == "any" else kind]
        top, thick = shape(rng, u, v)
        higher = top > height
        height[higher], mask[higher] = top[higher], value
        below[higher] = np.broadcast_to(top - thick, x.shape)[higher]
    steps = [np.round(part / 1e-5) * 1e-5 for part in (height, FLOOR - below)]
    return make_view(steps[0], mask, steps[1] if back else None)


@pytest.fixture(scope="session")
def twins():
    """The module label_twins.py beside this file (tests/ has no packages to import it from)."""
    spec = importlib.util.spec_from_file_location("label_twins", Path(__file__).with_name("label_twins.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def real_scene():
    """Returns a function: the SceneView of one of the scenes in ../shared/peer, or skips where there is none."""
    peer = Path(__file__).resolve().parents[3] / "shared" / "peer"

    def load(name):
        if not (peer / f"{name}.npz").is_file():
            pytest.skip(f"needs ../shared/peer/{name}.npz beside the repository")
        content = np.load(peer / f"{name}.npz")
        masks = (np.where(content[k] < 3, 0, content[k]).astype(np.uint8) for k in ("mask", "parallel_mask"))
        mask, parallel_mask = masks
        camera = PinholeCamera(640, 480, content["K"])
        front = content["parallel_depth"]
        return SceneView(content["camera_depth"], mask, camera, front, parallel_mask, ParallelCamera())

    return load


@pytest.fixture(scope="session")
def synthetic():
    """The functions above."""
    result = SimpleNamespace()
    result.grid, result.make_view, result.turned_box, result.scatter = grid, make_view, turned_box, scatter
    result.floor, result.eta, result.size = FLOOR, ETA, SIZE
    return result


@pytest.fixture(scope="session")
def small_recipe():
    """Returns a function: a recipe whose data set takes seconds, with the changes that are asked for."""
    recipe = DataSetRecipe(
        objects=ObjectSet.pybullet(0, 20),
        camera=PinholeCamera.from_fov(160, 120),
        pixels_per_metre=1000.0,
        labels=LabelSettings(angles=6),
        scenes=4,
        views=2,
        object_counts=(1, 2),
        seed=5,
    )
    return lambda **changes: replace(recipe, **changes)


@pytest.fixture(scope="session")
def made_once(small_recipe, tmp_path_factory):
    """Two scenes of two or three objects, two views each."""
    recipe = small_recipe(scenes=2, object_counts=(2, 3))
    return generate(recipe, tmp_path_factory.mktemp("data") / "tiny", progress=False)


@pytest.fixture(scope="module")
def data_set(made_once, tmp_path_factory):
    """The module's own copy: figures that it keeps in the manifest are its own."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    shutil.copytree(made_once, folder)
    return folder


@pytest.fixture
def played_hub(tmp_path, monkeypatch):
    """HfApi with its own signatures, whose repositories are folders: a wrong keyword is a TypeError."""
    from huggingface_hub import HfApi

    remote, api = tmp_path / "remote", create_autospec(HfApi, instance=True)

    def upload(*, repo_id, repo_type, folder_path, allow_patterns, delete_patterns, commit_message):
        assert repo_type == "dataset"
        for old in (remote / repo_id).glob(delete_patterns):
            old.unlink()
        for name in allow_patterns:
            shutil.copyfile(Path(folder_path) / name, remote / repo_id / name)

    def download(*, repo_id, filename, repo_type, local_dir):
        shutil.copyfile(remote / repo_id / filename, Path(local_dir) / filename)

    def snapshot(*, repo_id, repo_type, local_dir, allow_patterns):
        for name in allow_patterns:
            if (remote / repo_id / name).is_file():
                shutil.copyfile(remote / repo_id / name, Path(local_dir) / name)

    api.create_repo.side_effect = lambda *, repo_id, **_: (remote / repo_id).mkdir(parents=True, exist_ok=True)
    api.upload_folder.side_effect = upload
    api.hf_hub_download.side_effect = download
    api.snapshot_download.side_effect = snapshot
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
    return api, remote
