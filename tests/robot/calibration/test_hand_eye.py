"""Calibration through rendered pictures of the board, its error, and what is wrong with bad input."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from robot.calibration import Board, CalibrationSettings, HandEye, draw_residuals, propose_poses, sample_picture
from robot.calibration.park import board_scale, fit_jointly, park
from robot.calibration.samples import Sample
from robot.calibration.views import board_poses, views_of
from sim.errors import InputError
from sim.geometry import make_pose, transform

FIELD = np.array([[x, y, 0.6] for x in (-0.25, 0, 0.25) for y in (-0.2, 0, 0.2)])


def worst_point(found, true):
    """Metres by which points of the tray, 0.6 m away, are off."""
    return np.linalg.norm(transform(found, FIELD) - transform(true, FIELD), axis=1).max()


def test_twenty_pictures_place_the_tray_within_a_millimetre(camera_world, pictures):
    found = HandEye.fit(pictures)
    assert worst_point(found.pose, camera_world.camera) < 0.001
    assert 0.0002 < found.error_at((0, 0, 0.6)) < 0.001
    assert 0.0004 < np.median(found.held_out) < 0.0025
    assert found.corner_px < 0.2
    assert not found.doubts


@pytest.mark.slow
def test_the_mean_over_eight_seeds_is_within_a_millimetre(camera_world):
    fits = [HandEye.fit(camera_world.take_pictures(seed)) for seed in range(8)]
    worst = [worst_point(f.pose, camera_world.camera) for f in fits]
    assert np.mean(worst) < 0.001
    errors = [np.linalg.norm((transform(f.pose, FIELD) - transform(camera_world.camera, FIELD))[4]) for f in fits]
    claimed = np.mean([f.error_at((0, 0, 0.6)) for f in fits])
    assert 0.5 < np.sqrt(np.mean(np.square(errors))) / claimed < 2


def test_a_perfect_robot_shows_how_good_the_corners_are(camera_world):
    found = HandEye.fit(camera_world.take_pictures(3, count=10, metres=0, radians=0))
    assert worst_point(found.pose, camera_world.camera) < 0.0005


def test_a_camera_beside_the_arm(camera_world):
    pictures = camera_world.take_pictures(1, count=12, mount="base")
    found = HandEye.fit(pictures, "base")
    # The board rides on the flange, so that the roles of the true poses stay as they are.
    assert worst_point(found.pose, camera_world.camera) < 0.0015
    with pytest.raises(InputError, match="mount=base, or with every pose inverted"):
        HandEye.fit(pictures, "flange")


def test_a_saved_calibration_reads_back(tmp_path, pictures):
    found = HandEye.fit(pictures)
    back = HandEye.load(found.save(tmp_path / "hand_eye.yaml"))
    np.testing.assert_array_equal(back.pose, found.pose)
    np.testing.assert_array_equal(back.covariance, found.covariance)
    np.testing.assert_array_equal(back.held_out, found.held_out)
    assert (back.names, back.mount) == (found.names, "flange")
    assert back.board_scale == found.board_scale
    assert draw_residuals(found, tmp_path / "residuals.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "T_flange_camera: 3",
        "T_flange_camera: [[2,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]",
        "T_flange_camera: [[1,0,0,300],[0,1,0,0],[0,0,1,0],[0,0,0,1]]",
        "T_flange_camera: [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]\ncovariance: [1, 2]",
        "a: [",
        "other: 1",
    ],
)
def test_a_file_without_a_pose_is_refused(tmp_path, text):
    path = tmp_path / "hand_eye.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"hand_eye\.yaml"):
        HandEye.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        HandEye.load(tmp_path / "none.yaml")


def test_too_few_pictures_or_too_little_tilt_are_named(camera_world, pictures):
    with pytest.raises(InputError, match="7 pictures show the board; give at least 8"):
        HandEye.fit(pictures[:7])
    flat = camera_world.take_pictures(0, count=8, tilt=(0.0, 0.02))
    with pytest.raises(InputError, match="from one direction"):
        HandEye.fit(flat)
    little = HandEye.fit(camera_world.take_pictures(0, count=8, tilt=(0.1, 0.2)))
    assert "multiplies the error" in little.doubts[0]


def arc_of_pictures(camera_world, seed, *, wobble, count=20):
    """Samples along one arc over the board; ``wobble`` in radians is how far the hand leaves it."""
    rng, board = np.random.default_rng(seed), Board()
    middle, samples = board.corners.mean(0), []
    for i, angle in enumerate(np.radians(np.linspace(-40, 40, count))):
        turn = Rotation.from_euler("yxz", [angle, *rng.normal(0, wobble, 2)]).as_matrix()
        seen = make_pose(turn, np.array([0, 0, rng.uniform(0.3, 0.45)]) - turn @ middle)
        rows, cols, _ = camera_world.lens.project(transform(seen, board.corners))
        pixels = np.stack([cols, rows], 1) + rng.normal(0, 0.2, (len(rows), 2))
        flange = camera_world.board @ np.linalg.inv(seen) @ np.linalg.inv(camera_world.camera)
        told = camera_world.noisy(flange, rng, metres=3e-4, radians=6e-4)
        given = {"points": board.corners, "pixels": pixels, "camera": camera_world.lens}
        samples.append(Sample(name=f"{i}.png", flange=told, **given))
    return samples


@pytest.mark.parametrize(("wobble", "said"), [(0.0, "about one axis only"), (0.006, "hardly more than one axis")])
def test_views_along_one_arc_are_no_calibration(camera_world, wobble, said):
    for seed in range(2):
        with pytest.raises(InputError, match=f"{said}.*to every side"):
            HandEye.fit(arc_of_pictures(camera_world, seed, wobble=wobble))


def test_views_near_one_arc_are_doubted(camera_world):
    found = HandEye.fit(arc_of_pictures(camera_world, 0, wobble=0.02))
    assert any("is known to 4 mm only" in text or "is known to 5 mm only" in text for text in found.doubts)
    assert not HandEye.fit(arc_of_pictures(camera_world, 0, wobble=0.2)).doubts


def test_poses_that_belong_to_other_pictures_are_named(pictures):
    shifted = [replace(s, flange=t.flange) for s, t in zip(pictures, pictures[5:] + pictures[:5], strict=True)]
    with pytest.raises(InputError, match="belong to their pictures"):
        HandEye.fit(shifted)


def test_one_wrong_pose_is_left_out_by_name(camera_world, pictures):
    moved = replace(pictures[4], flange=pictures[4].flange @ make_pose(np.eye(3), (0.05, 0, 0)))
    found = HandEye.fit([*pictures[:4], moved, *pictures[5:]])
    assert any("004.png" in text for text in found.doubts)
    assert worst_point(found.pose, camera_world.camera) < 0.0012


def drawn_pictures(camera_world, seed, *, count=20, size=1.0, every=3):
    """Samples whose corners are drawn, not rendered; ``size`` is the given size of the squares over the true one.

    Every third corner is taken, which is enough for most and thrice as fast.
    """
    rng, board, samples = np.random.default_rng(seed), Board(), []
    middle, seen_corners = make_pose(np.eye(3), board.corners.mean(0)), board.corners[::every]
    for i, flange in enumerate(propose_poses(camera_world.board @ middle, camera_world.camera, rng, count=count)):
        seen = np.linalg.inv(flange @ camera_world.camera) @ camera_world.board
        rows, cols, _ = camera_world.lens.project(transform(seen, seen_corners))
        pixels = np.stack([cols, rows], 1) + rng.normal(0, 0.1, (len(rows), 2))
        told = camera_world.noisy(flange, rng, metres=5e-4, radians=1.05e-3)
        corners = size * seen_corners
        samples.append(
            Sample(name=f"{i:03d}.png", flange=told, points=corners, pixels=pixels, camera=camera_world.lens)
        )
    return samples


def with_wrong_poses(samples, seed, count):
    """The samples, and the names of those that were given a pose some 50 mm and 3 degrees off."""
    rng = np.random.default_rng(seed)
    wrong = set(rng.choice(len(samples), count, replace=False).tolist())
    off = [make_pose(Rotation.from_rotvec(rng.normal(0, 0.03, 3)).as_matrix(), rng.normal(0, 0.03, 3)) for _ in samples]
    moved = [replace(s, flange=s.flange @ off[i]) if i in wrong else s for i, s in enumerate(samples)]
    return moved, {samples[i].name for i in wrong}


@pytest.mark.parametrize(("seed", "count"), [(0, 1), (3, 4), (1, 6), (2, 8)])
def test_many_wrong_poses_are_left_out_by_name(camera_world, seed, count):
    """Taken out one by one, the worst first, three or four of them pull the fit until they look right themselves."""
    samples, wrong = with_wrong_poses(drawn_pictures(camera_world, seed), 100 + seed, count)
    found = HandEye.fit(samples)
    assert {text.split()[1] for text in found.doubts if "left out" in text} == wrong
    assert not wrong & set(found.names)
    assert worst_point(found.pose, camera_world.camera) < 0.0025


def test_too_few_pictures_that_agree_are_no_calibration(camera_world):
    samples, _ = with_wrong_poses(drawn_pictures(camera_world, 0), 5, 9)
    with pytest.raises(InputError, match=r"only 11 of 20 pictures agree with each other, and .*\.png and 3 more"):
        HandEye.fit(samples)
    with pytest.raises(InputError, match=r"only 7 of 8 pictures agree with each other, and 00\d\.png contradicts"):
        HandEye.fit(with_wrong_poses(drawn_pictures(camera_world, 0, count=8), 5, 1)[0])
    shift = make_pose(np.eye(3), (0.02, 0.01, 0))
    still = drawn_pictures(camera_world, 0)
    pushed = [*still[:10], *(replace(s, flange=shift @ s.flange) for s in still[10:])]
    with pytest.raises(InputError, match="check that arm and board stood still"):
        HandEye.fit(pushed)


def test_quaternions_whose_real_part_comes_first_are_named(camera_world):
    samples = []
    for sample in drawn_pictures(camera_world, 0, count=12):
        x, y, z, w = Rotation.from_matrix(sample.flange[:3, :3]).as_quat()
        misread = Rotation.from_quat((w, x, y, z)).as_matrix()
        samples.append(replace(sample, flange=make_pose(misread, sample.flange[:3, 3])))
    with pytest.raises(InputError, match="every quaternion's first number last"):
        HandEye.fit(samples)


@pytest.mark.parametrize(("size", "said"), [(1.0, False), (0.985, True)])
def test_squares_little_wrong_are_noticed_and_right_ones_are_not(camera_world, size, said):
    """The held-out error is the same 1 mm for both: a camera too near by 6 mm fits squares too small by 1.5 %."""
    for seed in range(2):
        found = HandEye.fit(drawn_pictures(camera_world, seed, size=size, every=1))
        assert any("squares are" in text for text in found.doubts) == said
        assert np.median(found.held_out) < 0.0015
        assert f"{found.board_scale[0]:.3f} +- {found.board_scale[1]:.3f} of the given one" in found.describe()


def test_the_error_of_the_boards_size_is_neither_too_small_nor_useless(camera_world):
    found = []
    for seed in range(40):
        views = views_of(drawn_pictures(camera_world, seed, count=12, every=1), "flange")
        boards = board_poses(views)
        found.append(board_scale(views.carriers, boards, park(views.carriers, boards)[0][:3, :3]))
    scales, errors = np.transpose(found)
    off = (scales - 1) / errors
    assert 0.6 < np.sqrt(np.mean(off**2)) < 1.2
    assert np.abs(off).max() < 3.5


def test_a_board_of_quite_another_size_is_refused(camera_world):
    with pytest.raises(InputError, match=r"squares are 1\.2\d\d times as large as given, which puts the camera"):
        HandEye.fit(drawn_pictures(camera_world, 0, size=0.8))


def test_a_board_that_is_not_seen_is_tried_turned_and_mirrored(camera_world):
    board = Board()
    seen = make_pose(Rotation.from_euler("xyz", [30, 0, 10], degrees=True).as_matrix(), (-0.09, -0.1, 0.42))
    picture = camera_world.render(board, seen, camera_world.lens)
    assert "with columns=6 rows=8" in Board(columns=8, rows=6).why_unseen(picture)
    assert "not mirrored" in board.why_unseen(np.ascontiguousarray(picture[:, ::-1]))
    assert board.why_unseen(np.zeros_like(picture)) == ""


def test_errors_in_other_units_are_refused():
    for name, value in (("robot_position", 0.5), ("robot_rotation", 5.0)):
        with pytest.raises(InputError, match=f"calibration.{name}"):
            CalibrationSettings(**{name: value})


def test_squares_of_another_size_are_noticed(pictures):
    found = HandEye.fit([replace(s, points=s.points * 0.98) for s in pictures])
    assert any("squares are 1.01" in text or "squares are 1.02" in text for text in found.doubts)
    with pytest.raises(
        InputError, match=r"squares are 1\.04\d times as large as given, which puts the camera [12]\d mm"
    ):
        HandEye.fit([replace(s, points=s.points * 0.95) for s in pictures])


def test_a_robot_worse_than_it_claims_is_noticed(camera_world):
    found = HandEye.fit(camera_world.take_pictures(2, count=12, metres=0.004, radians=0.006))
    assert any("disagree" in text for text in found.doubts)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(4, 7))
def test_exact_poses_give_the_exact_camera(seed, count):
    rng = np.random.default_rng(seed)
    true, board = (make_pose(Rotation.random(random_state=rng).as_matrix(), rng.uniform(-1, 1, 3)) for _ in range(2))
    carriers = np.stack(propose_poses(board, true, rng, count=count))
    camera, found_board = park(carriers, np.linalg.inv(carriers @ true) @ board)
    np.testing.assert_allclose(camera, true, atol=1e-9)
    np.testing.assert_allclose(found_board, board, atol=1e-9)


def test_the_joint_fit_beats_park_where_the_robot_is_good(camera_world):
    """0.1 mm and 0.02 degrees: Park weighs poor pictures as good ones."""
    from robot.calibration.park import Views, board_pose

    joint, closed = [], []
    for seed in range(8):
        rng, board = np.random.default_rng(seed), Board()
        views = Views([], [], [], [])
        for flange in propose_poses(camera_world.board, camera_world.camera, rng, count=12, distance=(0.5, 0.7)):
            seen = np.linalg.inv(flange @ camera_world.camera) @ camera_world.board
            rows, cols, _ = camera_world.lens.project(transform(seen, board.corners))
            views.pixels.append(np.stack([cols, rows], 1) + rng.normal(0, 0.3, (len(rows), 2)))
            views.carriers.append(camera_world.noisy(flange, rng, metres=1e-4, radians=3.5e-4))
            views.points.append(board.corners)
            views.cameras.append(camera_world.lens)
        views = views._replace(carriers=np.stack(views.carriers))
        start = park(views.carriers, np.stack([board_pose(*v) for v in zip(*views[1:], strict=True)]))
        closed.append(worst_point(start[0], camera_world.camera))
        joint.append(worst_point(fit_jointly(views, start, (0.3, 1e-4, 3.5e-4)).camera, camera_world.camera))
    assert np.mean(joint) < 0.8 * np.mean(closed)


def test_proposed_poses_tilt_by_thirty_degrees_and_more(camera_world):
    board = make_pose(np.diag([1.0, -1, -1]), (0.4, 0, 0))  # lies face up
    poses = propose_poses(board, camera_world.camera, np.random.default_rng(0), count=20)
    cameras = [p @ camera_world.camera for p in poses]
    tilts = np.degrees([np.arccos(np.clip(-c[2, 2], -1, 1)) for c in cameras])
    assert len(poses) == 20
    assert 29 < tilts.min() < tilts.max() < 48
    assert min(c[2, 3] for c in cameras) > 0.15  # above the board
    with pytest.raises(InputError, match="count is 0"):
        propose_poses(board, camera_world.camera, np.random.default_rng(0), count=0)


def test_a_lens_is_straightened(camera_world):
    from plgp.policy.camera_files import Calibration

    board = Board()
    seen = make_pose(Rotation.from_euler("xyz", [30, 0, 10], degrees=True).as_matrix(), (-0.09, -0.1, 0.42))
    picture = camera_world.render(board, seen, camera_world.lens)
    plain = sample_picture(picture, np.eye(4), board, camera=camera_world.lens)
    lens = Calibration(camera=camera_world.lens, distortion=(0.1, 0, 0, 0), fisheye=False, unit=None)
    bent = sample_picture(picture, np.eye(4), board, camera=lens)
    middle = camera_world.lens.intrinsics[:2, 2]
    assert (np.linalg.norm(bent.pixels - middle, axis=1) <= np.linalg.norm(plain.pixels - middle, axis=1)).all()
    assert np.abs(bent.pixels - plain.pixels).max() > 0.5


def test_a_picture_without_the_board_is_no_sample(camera_world):
    assert sample_picture(np.zeros((480, 640, 3), np.uint8), np.eye(4), Board(), camera=camera_world.lens) is None
