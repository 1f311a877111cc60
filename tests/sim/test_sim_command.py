"""``python -m sim``: the table, the contact sheet, and what it says of wrong input."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from sim.drawing.object_sheet import collision_parts, draw_contact_sheet, measure, spread
from sim.errors import InputError
from sim.objects import ObjectModel, ObjectSet

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "shapes"
    made.mkdir()
    trimesh.creation.box((0.03, 0.04, 0.06)).export(made / "small.stl")
    trimesh.creation.box((0.03, 0.11, 0.12)).export(made / "wide.stl")
    return made


def run(tmp_path, *arguments):
    command = [sys.executable, "-m", "sim", *arguments, f"output={tmp_path}/out/sheet.png"]
    environment = {"PATH": "/usr/bin", "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "xdg")}
    return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)


def test_it_shows_a_set(tmp_path, folder):
    (folder / "broken.obj").write_text("nothing")
    done = run(tmp_path, "objects=folder", f"objects.path={folder}", "preview=true", "parts=true", "limit=1")
    assert done.returncode == 0, done.stderr
    small, wide = (line for line in done.stdout.splitlines() if "│" in line)
    assert " ".join(small.replace("│", "").split()) == "0 small 36 60 x 40 x 30 30 x 40 x 60 1 yes"
    assert wide.split()[-2] == "no"
    assert "2 objects, 1 of them fit an opening of 100 mm" in done.stdout
    assert "sheet.png: 1 of 2 objects" in done.stdout
    assert done.stderr.startswith("warning: skipped 1 of 3 objects")
    assert len(done.stderr.splitlines()) == 1
    picture = np.asarray(Image.open(tmp_path / "out" / "sheet.png").convert("RGB"))
    assert picture.shape[1] > picture.shape[0] > 100
    assert sorted(f.name for f in tmp_path.iterdir()) == ["out", "shapes", "xdg"]  # no litter of Hydra's


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["objects=folder"], "error: objects.path is not given; say objects.path=..."),
        (["objects=folder", "objects.path=gone"], "gone does not exist"),
        (["objects=nonsense"], "nonsense"),
        (["colour=red"], "colour"),
        (["objects.last=3", "preview=true", "limit=0"], "limit is 0"),
        (["objects=folder", "objects.path=.", "objects.meshes.method=hull"], "choose vhacd or coacd"),
    ],
)
def test_wrong_input_ends_in_one_sentence(tmp_path, command_line, arguments, message):
    done = command_line("sim", *arguments, f"output={tmp_path}/out/sheet.png")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


def test_help_is_for_newcomers(command_line):
    top = command_line("sim", "--help")
    assert (top.returncode, "python -m sim scene-set FILE" in top.stdout) == (0, True)
    done = command_line("sim", "objects", "--help")
    assert done.returncode == 0
    for words in ("Shows an object set", "objects=folder objects.path=DIR", "ycb", "limit: 60"):
        assert words in done.stdout


def test_facts_and_parts_are_those_of_the_urdf(tmp_path):
    two = [trimesh.creation.box((2, 2, 2)), trimesh.creation.box((1, 1, 1))]
    two[1].apply_translation([3, 0, 0])
    lines, start = [], 1
    for i, box in enumerate(two):
        lines += [f"o part_{i}", *(f"v {x} {y} {z}" for x, y, z in box.vertices)]
        lines += [f"f {a}//1 {b}//1 {c}//1" for a, b, c in box.faces + start]
        start += 8
    (tmp_path / "two.obj").write_text("\n".join(lines))
    mesh = '<geometry><mesh filename="two.obj" scale="0.01 0.01 0.01"/></geometry>'
    ball = '<collision><origin xyz="0 0 0.05"/><geometry><sphere radius="0.01"/></geometry></collision>'
    (tmp_path / "two.urdf").write_text(
        '<robot name="r"><link name="l"><inertial><mass value="0.25"/><inertia ixx="1" iyy="1" izz="1" ixy="0" '
        f'ixz="0" iyz="0"/></inertial><visual>{mesh}</visual><collision>{mesh}</collision>{ball}</link></robot>'
    )
    model = ObjectModel("two", tmp_path / "two.urdf", 0.5)
    parts = collision_parts(model)
    assert [p.volume for p in parts[:2]] == pytest.approx([1e-6, 1.25e-7])
    np.testing.assert_allclose(parts[1].centroid, [0.015, 0, 0], atol=1e-9)
    np.testing.assert_allclose(parts[2].centroid, [0, 0, 0.025], atol=1e-9)
    (fact,) = measure([model])
    assert fact.parts == 3
    assert fact.mass == pytest.approx(0.25)
    np.testing.assert_allclose(fact.bounds, [0.0225, 0.01, 0.01])
    np.testing.assert_allclose(fact.box, [0.01, 0.01, 0.0225], rtol=1e-6)
    assert [fact.fits(opening) for opening in (0.009, 0.011)] == [False, True]


def test_pictures_show_the_whole_object_whatever_its_size(tmp_path):
    for name, size in (("speck", 0.01), ("plank", 0.9)):
        box = trimesh.creation.box((size, size / 4, size / 9))
        box.visual = trimesh.visual.ColorVisuals(box, face_colors=np.tile([255, 0, 0, 255], (12, 1)))
        box.export(tmp_path / f"{name}.ply")
    models = ObjectSet.from_folder(tmp_path, workers=1).models
    figure = draw_contact_sheet(models, measure(models), 0.1)
    shown = []
    for axes in figure.axes:
        picture = np.asarray(axes.images[0].get_array()).astype(int)
        red = picture[..., 0] > picture[..., 1] + 40
        assert 0.1 < red.mean() < 0.8
        assert red.sum() == red[1:-1, 1:-1].sum()
        shown.append(red)
    assert (shown[0] != shown[1]).mean() < 0.01
    assert [axes.texts[0].get_text().rpartition(": ")[2] for axes in figure.axes] == ["too wide", "fits"]


def test_a_long_set_is_shown_evenly():
    assert spread(3, 60) == [0, 1, 2]
    assert spread(1001, 3) == [0, 500, 1000]
    assert len(set(spread(899, 60))) == 60
    with pytest.raises(InputError, match="limit"):
        spread(5, 0)
