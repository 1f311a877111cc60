"""Whole labels against their slow, plain NumPy twins (label_twins.py), which share no code with the kernels.

The kernels sample one turned image per angle, so their samples lie on a lattice turned about one
point. A twin that is told that point must agree exactly, label by label; one that samples
around each pixel's own aligned point agrees as well as with itself when its samples move.
"""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeler.labels import label_view
from labeler.pdg.candidates import find_candidates, prepare
from labeler.pdg.explain import explain_pixel
from labeler.pdg.relief import Turn
from labeler.settings import LabelSettings
from sim.gripper import GripperGeometry

GRIPPERS = {
    "paper": GripperGeometry(),
    "small": GripperGeometry(0.012, 0.008, 0.03, 0.07, 0.09, 0.05),
    "franka": GripperGeometry(0.0175, 0.0152, 0.046, 0.080, 0.204, 0.063),
}
# Lets odd contacts through, so that twin and kernels have something to agree about.
LOOSE = LabelSettings(
    relaxed={}, angles=2, min_coverage=0.5, max_normal_angle=0.6, max_wedge_angle=0.5, engagement=0.004
)
KINDS = ("box", "cylinder", "wedge", "plate", "sphere", "any")


def pivots(view, gripper, s):
    """Per bin, the parallel image's (row, col) about which the kernels turn their lattice of samples."""
    prepared = prepare(view, gripper, s)
    relief = prepared.relief
    _, _, rows, cols, _ = find_candidates(view, relief)
    points = []
    for k in range(s.angles):
        turn = Turn.around(relief, k * np.pi / s.angles, rows=rows, cols=cols, reach=prepared.reach)
        row, col = turn.pivot_row, turn.pivot_col
        if turn.quarter:
            row, col = relief.front.shape[0] - 1 - col, row
        points.append((row + relief.row0, col + relief.col0))
    return points


def kernel_labels(labels, s, pixels, bins=None):
    wanted = set(pixels)
    return {
        (int(r), int(c), int(k)): (round(float(d) / s.depth_step), pytest.approx(float(w), abs=1e-6))
        for r, c, k, d, w in zip(labels.row, labels.col, labels.angle_bin, labels.depth, labels.width, strict=True)
        if (int(r), int(c)) in wanted and (bins is None or k in bins)
    }


def sample_pixels(view, labels, rng, count=40):
    """Half labelled pixels (where there are some), half any object pixels."""
    rows, cols = np.nonzero(view.instance_mask)
    chosen = rng.permutation(len(rows))[: count // 2]
    pixels = {(int(rows[i]), int(cols[i])) for i in chosen}
    chosen = rng.permutation(len(labels))[: count // 2]
    return sorted(pixels | {(int(labels.row[i]), int(labels.col[i])) for i in chosen})


def compare(twins, view, gripper, s, count, bins=None, seed=0):
    """Asserts that twin and kernels agree on every label of some pixels; returns how many labels they have."""
    labels = label_view(view, gripper, s)
    pixels = sample_pixels(view, labels, np.random.default_rng(seed), count)
    found = twins.ViewTwin(view, gripper, s).labels(pixels, bins, pivots(view, gripper, s))
    assert found == kernel_labels(labels, s, pixels, bins)
    return len(found)


def test_twins_share_no_code_with_the_labeler():
    tree = ast.parse((Path(__file__).parents[1] / "label_twins.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"numpy", "types", "typing"}


@settings(max_examples=10, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 10**6),
    back=st.booleans(),
    strict=st.booleans(),
    gripper=st.sampled_from(sorted(GRIPPERS)),
)
def test_twin_agrees_where_nothing_is_resampled(synthetic, twins, kind, seed, back, strict, gripper):
    """At 0 and 90 degrees."""
    s = LabelSettings(relaxed={}, angles=2) if strict else LOOSE
    view = synthetic.scatter(kind, seed, back)
    if view.instance_mask.any():
        compare(twins, view, GRIPPERS[gripper], s, 24, seed=seed)


@settings(max_examples=6, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10**6), back=st.booleans())
def test_twin_agrees_on_the_kernels_lattice_at_every_angle(synthetic, twins, kind, seed, back):
    """Seven bins: at none of their angles does a sample fall half-way between two pixels."""
    view = synthetic.scatter(kind, seed, back)
    if view.instance_mask.any():
        s = LabelSettings(relaxed={}, angles=7, min_coverage=0.7, engagement=0.004)
        compare(twins, view, GripperGeometry(), s, 10, seed=seed)


@pytest.mark.parametrize(
    "kind", [k if k in ("box", "plate") else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]
)
def test_twin_agrees_about_labels_of_every_kind_of_shape(synthetic, twins, kind):
    """The agreement above is about something: every kind of shape carries labels, straight and turned ones."""
    s = LabelSettings(relaxed={}, angles=7, min_coverage=0.7, engagement=0.004, undercut=kind != "plate")
    assert sum(compare(twins, synthetic.scatter(kind, seed, True), GripperGeometry(), s, 8) for seed in (1, 2)) > 4


@pytest.mark.slow
@pytest.mark.parametrize("back", [False, True])
def test_twin_gives_the_same_answer_at_every_depth(synthetic, twins, back):
    """Which check says no, per depth, and the opening: explain_pixel against the twin, at 0 and 90 degrees."""
    said = set()
    for seed, s in ((6, LabelSettings(relaxed={}, angles=2)), (7, LOOSE), (8, LOOSE)):
        view = synthetic.scatter("any", seed, back)
        gripper = GripperGeometry()
        twin, points = twins.ViewTwin(view, gripper, s), pivots(view, gripper, s)
        for row, col in sample_pixels(view, label_view(view, gripper, s), np.random.default_rng(seed), 16):
            explanation = explain_pixel(view, row, col, gripper=gripper, settings=s)
            if twin.place(row, col) is None:
                assert (explanation.reasons == "hidden").all()
                continue
            for k in (0, 1):
                answers, widths = twin.answers(row, col, k * np.pi / 2, points[k])
                assert explanation.reasons[k].tolist() == answers
                answered = np.array(answers) != "contact"
                np.testing.assert_allclose(explanation.widths[k][answered], widths[answered], atol=1e-9)
                said |= set(answers)
    assert {"contact", "symmetry", "coverage", "wall", "valid"} <= said


@pytest.mark.slow
@pytest.mark.parametrize(("scenes", "least"), [(6, 75), (10, 125)])
def test_twin_agrees_as_well_as_with_itself(synthetic, twins, scenes, least):
    """Samples around each pixel's own aligned point, at turned angles; then moved by a third of a pixel."""
    bins = (1, 2, 7, 10, 14, 17)
    gripper, s, counts = GripperGeometry(), LabelSettings(relaxed={}, min_coverage=0.7), np.zeros(4)
    for seed in range(11, 11 + scenes):
        view = synthetic.scatter("box", seed, seed % 2 == 1)
        labels = label_view(view, gripper, s)
        pixels = sample_pixels(view, labels, np.random.default_rng(seed), 24)
        twin = twins.ViewTwin(view, gripper, s)
        own, moved = twin.labels(pixels, bins), twin.labels(pixels, bins, shift=0.35)
        for i, other in enumerate((kernel_labels(labels, s, pixels, bins), moved)):
            counts[2 * i] += len(own.keys() & other.keys())
            counts[2 * i + 1] += len(own.keys() | other.keys())
    assert counts[1] > least
    assert counts[0] / counts[1] > counts[2] / counts[3] - 0.06
    assert counts[0] / counts[1] > 0.7


@pytest.mark.parametrize(("name", "bins"), [("scene1", (0, 1, 3)), ("scene3", (0, 2, 5))])
def test_twin_agrees_on_the_authors_scenes(real_scene, twins, name, bins):
    """Rendered meshes at 5,000 px/m, 5 and 15 objects, at angles straight and turned."""
    assert compare(twins, real_scene(name), GripperGeometry(), LabelSettings(relaxed={}, angles=7), 10, bins) >= 3
