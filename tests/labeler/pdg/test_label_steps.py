"""Each step of the labels by itself against its slow, plain NumPy twin (label_twins.py), on random reliefs."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labeler.pdg import kernels, reasons
from labeler.pdg.candidates import find_candidates, finger_rows, label_width, limits_in_pixels, palm_rows, prepare
from labeler.pdg.images import find_spans, make_images
from labeler.pdg.limits import BLOCK, Images, Limits, Lookup, make_scratch
from labeler.pdg.relief import Turn, make_relief
from labeler.settings import LabelSettings
from sim.gripper import GripperGeometry
from sim.view import SceneView

SEEDS = st.integers(0, 10**6)
FEW = settings(max_examples=25, deadline=None)
SHAPE, MIDDLE = (61, 161), (30, 80)


def random_relief(rng, shape=SHAPE):
    """Steps: rough blocks and leaning plates of several owners before a floor at 6,000; some unknown specks.

    The first block stands about the middle: something to hold.
    """
    front, mask = np.full(shape, 6000, np.int64), np.zeros(shape, np.int64)
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    for value in range(1, rng.integers(3, 7)):
        r, c, angle = rng.uniform(0, shape[0]), rng.normal(shape[1] / 2, 25), rng.choice([0, rng.normal(0, 0.3)])
        half, top = rng.uniform((3, 5), (25, 60)), rng.uniform(2500, 5500)
        if value == 1:
            r, c, half, top = *rng.normal(np.array(shape) / 2, 2), rng.uniform((4, 8), (22, 60)), rng.uniform(500, 3500)
        u = (cols - c) * np.cos(angle) - (rows - r) * np.sin(angle)
        v = (cols - c) * np.sin(angle) + (rows - r) * np.cos(angle)
        heights = top + rng.choice([0, rng.normal(0, 60)]) * u
        inside = (np.abs(u) < half[0]) & (np.abs(v) < half[1]) & (heights < front)
        front[inside], mask[inside] = heights[inside].clip(1, 5900), value
    front += rng.integers(0, 3, shape)
    front[rng.random(shape) < rng.choice([0, 0.001])] = 0
    return front, mask


def images_of(image, half, length):
    """The images of an angle at which nothing is resampled."""
    images = Images(
        *(np.zeros_like(image) for _ in range(2)), np.zeros((len(image), -(-image.shape[1] // BLOCK)), "u2")
    )
    make_images(image, (1.0, 0.0, 0, 0, 0, 0), whole(image.shape, half), half, length, *images)
    return images


def whole(shape, half):
    """Spans by which every column matters."""
    return np.tile([0, shape[1]], (-(-shape[0] // (2 * half + 1)), 1))


def scene(twins, seed, **changes):
    """A random patch with its back layer, the thresholds of twin and kernels, and what the kernels read."""
    rng = np.random.default_rng(seed)
    front, mask = random_relief(rng)
    hollow = front + rng.integers(200, 3000, SHAPE)
    back = np.where(rng.random(SHAPE) < 0.5, hollow, 6100).clip(0, 65535)
    # Odd numbers: edges on whole pixels never meet a threshold exactly, where float arithmetic decides.
    values = {"levels": 12, "step": 300, "farthest": 30, "footprint": 6, "asymmetry": 8, "band": 12, "wall": 2}
    values |= {"engagement": 400, "length": 3000, "palm_along": 45, "slope": 0.487, "wedge": 0.313, "flatness": 6.037}
    values |= {"coverage": 0.6, "walls": 0.6, "undercut": bool(rng.random() < 0.5), "half": 5, "palm_across": 11}
    values |= {"rows": np.arange(-4, 5)}
    n = SimpleNamespace(**values | changes)
    limits = Limits(
        half=n.half,
        levels=n.levels,
        level_step=n.step,
        farthest=n.farthest,
        footprint=n.footprint,
        asymmetry=n.asymmetry,
        band=n.band,
        wall=n.wall,
        engagement=n.engagement,
        finger_length=n.length,
        palm_half=n.palm_along,
        normal=n.slope,
        wedge=n.wedge,
        flatness=n.flatness,
        coverage=n.coverage,
        wall_share=n.walls,
        undercut=n.undercut,
        clearance=7,
    )
    patch = twins.Patch(front, mask, back, *MIDDLE)
    images = images_of(front.astype(np.uint16), n.half, n.footprint)
    scratch = make_scratch(n.levels, len(n.rows))
    lookup = Lookup(mask.astype(np.uint16), back.astype(np.uint16), False, 1.0, 0.0, 0, 0, 0, 0)
    surface = int(front[MIDDLE]) or 3000
    met = twins.met_by_finger(front, MIDDLE[0], n.half)
    return SimpleNamespace(**locals(), value=int(mask[MIDDLE]))


# ---- the relief ------------------------------------------------------------------------------


@pytest.mark.parametrize("far", [0.0, 0.9])
def test_relief_holds_the_crop_in_steps(synthetic, twins, far):
    """Missing pixels stay 0; a scene deeper than 0.65 m takes longer steps; the crop reaches around the objects."""
    view = synthetic.scatter("any", 5, True)
    depth = view.parallel_depth.copy()
    depth[300:320, 200:500] = 0
    depth[700:] += far
    deep = SceneView(**{**vars(view), "parallel_depth": depth})
    relief = make_relief(deep, 0.03)
    rows, cols = np.nonzero(view.parallel_mask)
    border = 0.03 * view.parallel_camera.pixels_per_metre
    assert relief.row0 <= max(0, rows.min() - border)
    assert relief.col0 <= max(0, cols.min() - border)
    height, width = relief.front.shape
    assert relief.row0 + height > min(749, rows.max() + border)
    assert relief.col0 + width > min(749, cols.max() + border)
    crop = slice(relief.row0, relief.row0 + height), slice(relief.col0, relief.col0 + width)
    shown = depth[crop].astype(float)
    assert relief.nearest == shown[shown > 0].min()
    assert relief.unit == max(1e-5, (shown.max() - relief.nearest) / 65534)
    np.testing.assert_array_equal(relief.front, twins.to_steps(shown, relief.nearest, relief.unit))
    steps = twins.to_steps(view.parallel_back_depth[crop].astype(float), relief.nearest, relief.unit)
    np.testing.assert_array_equal(relief.back, steps)
    np.testing.assert_array_equal(relief.mask, view.parallel_mask[crop])
    np.testing.assert_array_equal(relief.front_quarter, np.rot90(relief.front, -1))
    assert (relief.front[shown == 0] == 0).all()


def test_candidates_are_the_aligned_points_of_pixels_that_the_parallel_image_shows(synthetic, twins):
    view = synthetic.scatter("any", 9)
    relief = make_relief(view, 0.03)
    rows, cols, crop_rows, crop_cols, surfaces = find_candidates(view, relief)
    got = dict(zip(zip(rows.tolist(), cols.tolist(), strict=True), range(len(rows)), strict=True))
    hidden = 0
    for row, col in zip(*np.nonzero(view.instance_mask), strict=True):
        z = float(view.depth[row, col])
        eta, shape = view.parallel_camera.pixels_per_metre, view.parallel_depth.shape
        r, c = twins.aligned_point(row, col, z, view.camera.intrinsics, eta, shape)
        if view.parallel_mask[int(np.rint(r)), int(np.rint(c))] != view.instance_mask[row, col]:
            hidden += 1
            assert (row, col) not in got
            continue
        i = got[(row, col)]
        assert (crop_rows[i] + relief.row0, crop_cols[i] + relief.col0) == pytest.approx((r, c), abs=1e-6)
        assert surfaces[i] == twins.to_steps(np.array(z), relief.nearest, relief.unit)
    assert len(got) + hidden == np.count_nonzero(view.instance_mask)
    assert len(got) > 500


@FEW
@given(seed=SEEDS, degrees=st.integers(0, 179))
def test_turned_image_shows_the_nearest_pixels(twins, seed, degrees):
    """At every angle, on both sides of 45, 90, 135 and of the seam; samples on a tie between pixels left out."""
    rng = np.random.default_rng(seed)
    image, _ = random_relief(rng, tuple(rng.integers(20, 90, 2)))
    relief = SimpleNamespace(front=image, front_quarter=np.rot90(image, -1))
    theta = np.radians(degrees)
    points = rng.uniform(0, 1, (2, 5)) * np.array(image.shape)[:, None]
    turn = Turn.around(relief, theta, rows=points[0], cols=points[1], reach=(30, 10))
    source = np.ascontiguousarray(relief.front_quarter if turn.quarter else image).astype(np.uint16)
    # As in Prepared.images, more memory follows.
    memory = np.full(turn.height * turn.width + 20_000, 7, np.uint16)
    result = memory[: turn.height * turn.width].reshape(turn.height, turn.width)
    geometry = turn.cosine, turn.sine, turn.pivot_row, turn.pivot_col, turn.left, turn.top
    make_images(source, geometry, whole(result.shape, 0), 0, 1, result, np.zeros_like(result), np.zeros_like(result))

    row, col = turn.pivot_row, turn.pivot_col
    pivot = (image.shape[0] - 1 - col, row) if turn.quarter else (row, col)
    # Beyond 135 degrees the kernels turn by half a turn less: the same grasp.
    theta -= np.pi * (degrees > 135)
    u, v = np.arange(turn.width) - turn.left, np.arange(turn.height) - turn.top
    wanted = twins.turned_image(image, pivot, theta, u, v)
    r = pivot[0] - u[None, :] * np.sin(theta) + v[:, None] * np.cos(theta) + 0.5
    c = pivot[1] + u[None, :] * np.cos(theta) + v[:, None] * np.sin(theta) + 0.5
    clear = (np.abs(r - np.rint(r)) > 1e-5) & (np.abs(c - np.rint(c)) > 1e-5)
    assert clear.any()
    np.testing.assert_array_equal(result[clear], wanted[clear])

    v, u = turn.place(relief, *points)
    assert ((u >= 30) & (u < turn.width - 30)).all()
    assert ((v >= 10) & (v < turn.height - 10)).all()
    r = pivot[0] - (u - turn.left) * np.sin(theta) + (v - turn.top) * np.cos(theta)
    c = pivot[1] + (u - turn.left) * np.cos(theta) + (v - turn.top) * np.sin(theta)
    assert (np.hypot(r - points[0], c - points[1]) < 0.7072).all()


def test_turned_image_writes_nowhere_else():
    source, memory = np.full((40, 40), 5, np.uint16), np.full(40_000, 7, np.uint16)
    result, other = memory[:6400].reshape(80, 80), np.full((3, 80, 80), 7, np.uint16)
    geometry = np.cos(0.02), np.sin(0.02), 20, 20, 40, 40
    make_images(source, geometry, whole((80, 80), 5), 5, 3, result, other[0], np.full((80, 5), 7, np.uint16))
    assert (memory[6400:] == 7).all()
    assert (other[1] == 7).all()
    assert (other[0, [*range(5), *range(75, 80)]] == 7).all()


@FEW
@given(seed=SEEDS, half=st.integers(0, 20), length=st.integers(1, 40))
def test_finger_meets_the_nearest_surface_of_its_footprint(seed, half, length):
    """The minimum over a finger's width and thickness, whatever the window and the image's size."""
    rng = np.random.default_rng(seed)
    shape = rng.integers(2 * half + 1, 2 * half + 80), rng.integers(length, length + 200)
    image = rng.integers(0, 65536, shape).astype(np.uint16)
    turned, standing, deepest = images_of(image, half, length)
    np.testing.assert_array_equal(turned, image)
    for i in range(half, shape[0] - half):
        met = image[i - half : i + half + 1].min(axis=0)
        wanted = [met[j : j + length].min() for j in range(shape[1])]
        np.testing.assert_array_equal(standing[i], wanted)
        blocks = [max(wanted[j : j + BLOCK]) for j in range(0, shape[1], BLOCK)]
        np.testing.assert_array_equal(deepest[i], blocks)


@FEW
@given(seed=SEEDS, half=st.integers(0, 12), length=st.integers(1, 20))
def test_images_are_whole_wherever_a_candidate_reaches(seed, half, length):
    """Whatever lies beyond the spans, here full of other values, is never asked for."""
    rng = np.random.default_rng(seed)
    reach = length + int(rng.integers(0, 30)), half + int(rng.integers(1, 12))
    shape = 2 * reach[1] + 1 + int(rng.integers(1, 150)), 2 * reach[0] + 1 + int(rng.integers(1, 200))
    image = rng.integers(0, 65536, shape).astype(np.uint16)
    full = images_of(image, half, length)
    rows = rng.integers(reach[1], shape[0] - reach[1], 4)
    cols = rng.integers(reach[0], shape[1] - reach[0], 4)
    spans = find_spans(rows, cols, reach, shape, half)
    part = Images(*(np.full_like(a, 77) for a in full))
    make_images(image, (1.0, 0.0, 0, 0, 0, 0), spans, half, length, *part)
    assert np.diff(spans, axis=1).sum() <= len(spans) * shape[1]
    palm = reach[1] - half
    for row, col in zip(rows, cols, strict=True):
        around = slice(row - reach[1], row + reach[1] + 1), slice(col - reach[0], col + reach[0] + 1)
        np.testing.assert_array_equal(part.turned[around], full.turned[around])
        standing = slice(row - palm, row + palm + 1), slice(col - reach[0], col + reach[0] + 2 - length)
        np.testing.assert_array_equal(part.standing[standing], full.standing[standing])
        blocks = range((col - reach[0]) // BLOCK, (col + reach[0] + 1 - length) // BLOCK + 1)
        for block in blocks:
            inside = full.standing[
                row, max(col - reach[0], block * BLOCK) : min(col + reach[0] + 2 - length, block * BLOCK + BLOCK)
            ]
            assert part.deepest[row, block] >= inside.max(initial=0)


# ---- fingers and palm --------------------------------------------------------------------------


@FEW
@given(seed=SEEDS, side=st.sampled_from([-1, 1]))
def test_one_walk_finds_the_contacts_of_all_depths(twins, seed, side):
    s = scene(twins, seed)
    contacts = np.full(s.n.levels, -1, np.int32)
    found = kernels.find_contacts(s.images, *MIDDLE, side, s.surface, s.limits, contacts)
    for level in range(s.n.levels):
        wanted = twins.first_contact(s.met, MIDDLE[1], side, s.surface + level * s.n.step, s.n)
        assert wanted == (contacts[level] if level < found else None)


@FEW
@given(seed=SEEDS, near=st.integers(0, 30), far=st.integers(0, 30), level=st.integers(0, 10))
def test_symmetry_approach_and_closing_sweep(twins, seed, near, far, level):
    """The opened fingers come down free and travel free to any two contacts."""
    s = scene(twins, seed)
    tips, widest = s.surface + level * s.n.step, max(near, far)
    answer = kernels.check_clearance(s.images.standing, *MIDDLE, near, far, tips, s.limits)
    assert (answer != reasons.SYMMETRY) == twins.is_symmetric(near, far, s.n)
    left = twins.closing_is_free(s.met, MIDDLE[1], -1, near, widest, tips, s.n)
    right = twins.closing_is_free(s.met, MIDDLE[1], 1, far, widest, tips, s.n)
    assert kernels.sweep_is_free(s.images.standing, *MIDDLE, -1, near, widest, tips, s.limits) == left
    assert kernels.sweep_is_free(s.images.standing, *MIDDLE, 1, far, widest, tips, s.limits) == right
    if answer == reasons.VALID:
        assert left
        assert right
        assert twins.approach_is_free(s.met, MIDDLE[1], widest, tips, s.n)
    elif answer == reasons.SWEEP:
        assert not (left and right)


@FEW
@given(seed=SEEDS, half=st.integers(0, 8), millimetres=st.integers(1, 40), level=st.integers(0, 11))
def test_palm_meets_the_nearest_surface_below_it(twins, seed, half, millimetres, level):
    """Whatever its thickness beside the finger's width: eroded rows cover it, neither less nor more."""
    eta, thickness = 1000, 0.00097 * millimetres
    across = max(half, int(np.ceil(thickness / 2 * eta - 0.5)))
    s = scene(twins, seed, half=half, palm_across=across)
    rows = palm_rows(GripperGeometry(palm_thickness=thickness), half, eta)
    top = kernels.palm_top(s.images, rows, *MIDDLE, s.limits)
    tips = s.surface + level * s.n.step
    assert (top >= tips - s.n.length) == twins.palm_is_free(s.patch, tips, s.n)
    covered = np.unique((rows[:, None] + np.arange(-half, half + 1)).ravel())
    assert covered.tolist() == list(range(-across, across + 1))


def test_thresholds_are_the_twins(synthetic, twins):
    """Settings in pixels, for every scale and gripper: metres are rounded the same way."""
    view = synthetic.scatter("box", 1, True)
    for settings_, gripper in (
        (LabelSettings(), GripperGeometry()),
        (LabelSettings(max_width=0.1, undercut=False, engagement=0.004), GripperGeometry(0.022, 0.008, 0.0375, 0.085)),
        (LabelSettings(palm_margin=0.002), GripperGeometry()),
    ):
        limits = limits_in_pixels(view, gripper, settings_)
        n = twins.numbers(2500, gripper, settings_, True)
        names = ["levels", "farthest", "footprint", "band", "wall", "flatness", "coverage", "wedge", "undercut"]
        for name in names:
            assert getattr(limits, name) == getattr(n, name), name
        assert limits.asymmetry == int(n.asymmetry)
        assert (limits.palm_half, limits.normal, limits.wall_share) == (n.palm_along, n.slope, n.walls)
        limits = prepare(view, gripper, settings_).limits
        assert (limits.level_step, limits.engagement, limits.finger_length) == (n.step, n.engagement, n.length)
        half, rows = finger_rows(gripper, settings_, 2500)
        assert half == n.half
        assert rows.tolist() == n.rows.tolist()
        contacts = np.arange(1, 50)
        assert label_width(contacts, 2500, settings_).tolist() == twins.opening(contacts, 2500, 0.005).tolist()


# ---- the contact area --------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, side=st.sampled_from([-1, 1]), level=st.integers(1, 10), normal=st.integers(1, 60))
def test_coverage_normal_flatness_wall_and_undercut(twins, seed, side, level, normal):
    """One contact, where a finger really stops: the same check says no, else the same edge."""
    s = scene(twins, seed, slope=0.02003 * normal)
    tips = s.surface + level * s.n.step
    contact = twins.first_contact(s.met, MIDDLE[1], side, tips, s.n) or 15
    answer, slope, _, coverage = kernels.contact_edge(
        s.images.turned, s.lookup, s.n.rows, *MIDDLE, side, contact, tips, s.value, s.limits, s.scratch
    )
    wanted, angle = twins.judge_contact(s.patch, side, contact, tips, s.value, s.n)
    assert reasons.REASONS[answer] == wanted
    if wanted == "valid":
        assert np.arctan(slope) == pytest.approx(angle, abs=1e-9)
        rows = [twins.edge_distance(s.patch, v, side, contact, tips, s.value, s.n) for v in s.n.rows]
        assert coverage == np.mean([distance is not None for distance in rows])


def test_every_answer_about_a_contact_occurs(twins):
    """The comparison above is about something: all five answers, with and without the back layer."""
    said = {True: set(), False: set()}
    for seed in range(150):
        s = scene(twins, seed, slope=0.2537, flatness=0.5037)
        for level in (2, 5):
            tips = s.surface + level * s.n.step
            contact = twins.first_contact(s.met, MIDDLE[1], 1, tips, s.n)
            if contact is not None:
                said[s.n.undercut].add(twins.judge_contact(s.patch, 1, contact, tips, s.value, s.n)[0])
    assert said[True] == said[False] == {"coverage", "normal", "flatness", "wall", "valid"}


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, lean=st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)), wedge=st.floats(0.0, 0.4))
def test_wedge_angle_between_the_two_edges(twins, seed, lean, wedge):
    """A clean block whose two sides lean: parallel sides pass whichever way they lean, a wedge does not."""
    s = scene(twins, seed, wedge=wedge, undercut=False, coverage=0.9, band=14, half=13, rows=np.arange(-12, 13))
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    v, u = rows - MIDDLE[0], cols - MIDDLE[1]
    inside = (u < 18 + lean[1] * v) & (u > -18 + lean[0] * v)
    patch = s.patch._replace(front=np.where(inside, 2000, 6000), mask=inside.astype(int))
    images = images_of(patch.front.astype(np.uint16), s.n.half, s.n.footprint)
    lookup = s.lookup._replace(mask=patch.mask.astype(np.uint16))
    met, tips = twins.met_by_finger(patch.front, MIDDLE[0], s.n.half), 4000
    near, far = (twins.first_contact(met, MIDDLE[1], side, tips, s.n) for side in (-1, 1))
    answer, score = kernels.check_surfaces(
        images, lookup, s.n.rows, *MIDDLE, near, far, tips, 1, s.limits, make_scratch(1, len(s.n.rows))
    )
    sides = [twins.judge_contact(patch, side, contact, tips, 1, s.n) for side, contact in ((-1, near), (1, far))]
    assert [answer_ for answer_, _ in sides] == ["valid", "valid"]
    between = abs(sides[0][1] - sides[1][1])
    # The rows' edges lie on whole pixels: a line through 25 of them leans by up to 0.06 rad more or less.
    assert between == pytest.approx(abs(np.arctan(lean[0]) - np.arctan(lean[1])), abs=0.13)
    if abs(between - wedge) > 1e-9:
        assert (answer == reasons.WEDGE) == (between > wedge)
    assert 0 <= score <= 1


@FEW
@given(seed=SEEDS, widest=st.integers(1, 30), level=st.integers(0, 10))
def test_free_room_is_the_first_hindrance_beyond_the_footprints(twins, seed, widest, level):
    s = scene(twins, seed)
    tips, outer = s.surface + level * s.n.step, widest + s.n.footprint
    left = s.met[MIDDLE[1] - outer - np.arange(s.limits.clearance)] < tips
    right = s.met[MIDDLE[1] + outer + np.arange(s.limits.clearance)] < tips
    stands = s.images.standing[MIDDLE[0], MIDDLE[1] + np.array([1 - outer, widest])]
    assume((stands >= tips).all())
    hindered = np.flatnonzero(left | right)
    wanted = hindered[0] / s.limits.clearance if len(hindered) else 1.0
    assert kernels.free_room(s.images.standing, *MIDDLE, widest, tips, s.limits) == wanted


# ---- one pixel ---------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, length=st.integers(500, 4000))
def test_deepest_valid_depth_is_kept(twins, seed, length):
    """And without one, the furthest check that any depth reached."""
    s = scene(twins, seed, length=length)
    palm = palm_rows(GripperGeometry(palm_thickness=0.023), s.n.half, 1000)
    reason, level, contact, _ = kernels.deepest_label(
        s.images, s.lookup, s.n.rows, palm, *MIDDLE, s.surface, s.value, s.limits, s.scratch
    )
    levels = range(s.n.levels)
    answers = [twins.judge_level(s.patch, s.surface + i * s.n.step, s.value, s.n)[0] for i in levels]
    assert reasons.REASONS[reason] == max(answers, key=reasons.REASONS.index)
    wanted = twins.deepest_label(s.patch, s.surface, s.value, s.n)
    assert wanted == (None if reason != reasons.VALID else (level, contact))


def test_random_pixels_hold_several_valid_depths(twins):
    """The comparison above is about something."""
    several = 0
    for seed in range(80):
        s = scene(twins, seed)
        levels = range(s.n.levels)
        answers = [twins.judge_level(s.patch, s.surface + i * s.n.step, s.value, s.n)[0] for i in levels]
        several += answers.count("valid") > 1
    assert several >= 8
