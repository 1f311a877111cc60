"""Chains: forward against a twin that shares no code, the Jacobian against differences, solutions against forward."""

from xml.etree import ElementTree

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from robot.arms.model import OWN, ArmModel
from robot.kinematics import Chain
from sim.errors import InputError
from sim.geometry import make_pose

ARMS = sorted(p.stem for p in OWN.glob("*.urdf"))
CHAINS = {name: Chain.from_urdf(OWN / f"{name}.urdf", "flange") for name in ARMS}
# (joint angles, place of the flange) by hand, from the makers' drawings: two stretched upwards; the Panda ready.
KNOWN = {
    "kinova_gen2": ([0, np.pi, 0, np.pi, 0, np.pi, 0], (0, -0.0098, 0.15675 + 0.11875 + 0.41 + 0.2073 + 0.2075)),
    "ur5e": ([0, -np.pi / 2, 0, -np.pi / 2, 0, 0], (0, 0.1333 + 0.0996, 0.1625 + 0.425 + 0.3922 + 0.0997)),
    "xarm6": ([0, 0, 0, 0, 0, 0], (0.207, 0, 0.112)),
    "panda": ([0, -np.pi / 4, 0, -3 * np.pi / 4, 0, np.pi / 2, np.pi / 4], (0.3069, 0, 0.5903)),
}
KNOWN["fr3"] = KNOWN["panda"]


def drawn(name, seed):
    chain = CHAINS[name]
    low = np.where(np.isfinite(chain.lower), chain.lower, -np.pi)
    high = np.where(np.isfinite(chain.upper), chain.upper, np.pi)
    return np.random.default_rng(seed).uniform(low, high)


def forward_by_rotations(name, q):
    """The URDF's joints one by one through scipy's rotations."""
    pose, angles = np.eye(4), iter(q)
    for joint in ElementTree.parse(OWN / f"{name}.urdf").getroot().iter("joint"):
        origin = joint.find("origin")
        xyz, rpy = ([float(v) for v in origin.get(key).split()] for key in ("xyz", "rpy"))
        pose = pose @ make_pose(Rotation.from_euler("xyz", rpy).as_matrix(), xyz)
        if joint.get("type") != "fixed":
            pose = pose @ make_pose(Rotation.from_euler("z", next(angles)).as_matrix(), np.zeros(3))
    return pose


@pytest.mark.parametrize("name", ARMS)
def test_the_flange_is_where_the_maker_draws_it(name):
    q, place = KNOWN[name]
    assert CHAINS[name].forward(q)[:3, 3] == pytest.approx(place, abs=1e-3)


def test_an_fr3_keeps_to_its_own_limits_which_are_not_a_pandas():
    """Positions of franka_description's robots/fr3/joint_limits.yaml: a Panda's joint 6 goes where an FR3's cannot."""
    low = np.array([-2.7437, -1.7837, -2.9007, -3.0421, -2.8065, 0.5445, -3.0159])
    high = np.array([2.7437, 1.7837, 2.9007, -0.1518, 2.8065, 4.5169, 3.0159])
    assert (CHAINS["fr3"].lower > low).all()
    assert (CHAINS["fr3"].upper < high).all()
    assert CHAINS["panda"].lower[5] < low[5]
    for words, urdf in (([], "fr3"), (["arm=panda"], "panda")):
        with initialize_config_module("plgp_conf", version_base="1.3"):
            assert compose("pick", ["robot=fr3", "host=arm", *words]).arm.urdf == urdf


@pytest.mark.parametrize("name", ARMS)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_forward_and_jacobian(name, seed):
    chain, q = CHAINS[name], drawn(name, seed)
    pose = chain.forward(q)
    assert pose == pytest.approx(forward_by_rotations(name, q), abs=1e-9)
    h = 1e-6
    for i, column in enumerate(chain.jacobian(q).T):
        step = h * np.eye(len(chain))[i]
        after, before = chain.forward(q + step), chain.forward(q - step)
        assert column[:3] == pytest.approx((after - before)[:3, 3] / (2 * h), abs=1e-6)
        turn = Rotation.from_matrix(after[:3, :3] @ before[:3, :3].T).as_rotvec() / (2 * h)
        assert column[3:] == pytest.approx(turn, abs=1e-6)


@pytest.mark.parametrize("name", ARMS)
@given(seed=st.integers(0, 10**6), symmetric=st.booleans())
@settings(max_examples=50, deadline=None)
def test_every_solution_brings_the_tip_there(name, seed, symmetric):
    """A pose that some joint angles give is found; every solution is within the limits, nearest first."""
    chain, q = CHAINS[name], drawn(name, seed)
    pose, near = chain.forward(q), drawn(name, seed + 1)
    found = chain.solve(pose, near, symmetric)
    assert chain.within(found).all()
    far = np.abs(found - near).max(axis=1)
    assert (np.diff(far) >= 0).all()
    for solution in found:
        reached = chain.forward(solution)
        assert reached[:3, 3] == pytest.approx(pose[:3, 3], abs=1e-5)
        turn = Rotation.from_matrix(pose[:3, :3].T @ reached[:3, :3]).as_rotvec()
        same = np.abs(turn).max() < 1e-4
        half = abs(np.linalg.norm(turn) - np.pi) < 1e-4 and abs(abs(turn[2]) - np.pi) < 1e-3
        assert same or (symmetric and half)
    # From the angles themselves the search has nothing to do.
    assert np.abs(chain.solve(pose, q, symmetric)[0] - q).max() < 1e-6


@pytest.mark.parametrize("name", ARMS)
def test_tray_poses_are_reached(name):
    """Straight down over the tray, from a base 0.45 m away and 0.15 m up: all of 60."""
    chain = CHAINS[name].with_tool(make_pose(np.eye(3), (0, 0, 0.2203)))
    rng = np.random.default_rng(0)
    for _ in range(60):
        turn = Rotation.from_euler("z", rng.uniform(-np.pi, np.pi)) * Rotation.from_euler("x", np.pi)
        place = (0.45 + rng.uniform(-0.18, 0.18), rng.uniform(-0.18, 0.18), -0.15 + rng.uniform(0, 0.1))
        assert len(chain.solve(make_pose(turn.as_matrix(), place), ArmModel(urdf=name, ready=()).ready_angles()))


def test_out_of_reach_has_no_solution():
    assert CHAINS["ur5e"].solve(make_pose(np.eye(3), (2, 0, 0))).shape == (0, 6)


def test_the_same_question_has_the_same_answer():
    pose = CHAINS["kinova_gen2"].forward(drawn("kinova_gen2", 5))
    first, second = (CHAINS["kinova_gen2"].solve(pose) for _ in range(2))
    assert first.tobytes() == second.tobytes()


BROKEN = {
    "no XML": "<robot",
    "no such link": '<robot><link name="a"/></robot>',
    "an unknown kind": '<robot><link name="a"/><link name="flange"/><joint name="j" type="floating">'
    '<parent link="a"/><child link="flange"/></joint></robot>',
    "no limits": '<robot><link name="a"/><link name="flange"/><joint name="j" type="revolute">'
    '<parent link="a"/><child link="flange"/></joint></robot>',
    "a joint that may not move": '<robot><link name="a"/><link name="flange"/><joint name="j" type="revolute">'
    '<limit lower="-1" upper="1" velocity="0"/><parent link="a"/><child link="flange"/></joint></robot>',
    "words for numbers": '<robot><link name="a"/><link name="flange"/><joint name="j" type="continuous">'
    '<origin xyz="one 2 3"/><parent link="a"/><child link="flange"/></joint></robot>',
    "a circle": '<robot><link name="a"/><link name="flange"/><joint name="j" type="continuous"><parent link="flange"/>'
    '<child link="a"/></joint><joint name="k" type="continuous"><parent link="a"/>'
    '<child link="flange"/></joint></robot>',
    "no joint": '<robot><link name="flange"/></robot>',
}


JOINT = (
    '<robot><link name="a"/><link name="flange"/><joint name="elbow" type="{}">{}<parent link="a"/>'
    '<child link="flange"/></joint></robot>'
)
WRONG = {  # type, limits and more of a joint -> words of the sentence
    "no limit": ("revolute", "", "no lower= and no upper= in its <limit>; give both"),
    "no upper limit": ("revolute", '<limit lower="-1" velocity="1"/>', "no upper= in its <limit>; give both"),
    "limits in degrees": ("revolute", '<limit lower="-180" upper="180"/>', "as if in degrees; give its limits in rad"),
    "speed in degrees": ("continuous", '<limit velocity="180"/>', "velocity 180, as if in degrees a second"),
    "a rail in millimetres": ("prismatic", '<limit lower="0" upper="900"/>', "as if in millimetres; .* in metres"),
    "one limit of two": (
        "revolute",
        '<limit lower="-1e6" upper="1"/>',
        "as if in degrees; give .*, or the type continuous where it has none",
    ),
    "a rail without an end": ("prismatic", '<limit lower="-1e6" upper="1e6"/>', "as if in millimetres"),
    "a rail's speed in millimetres": (
        "prismatic",
        '<limit lower="0" upper="1" velocity="100"/>',
        "velocity 100, as if in",
    ),
    "360 degrees": ("revolute", '<limit lower="-360" upper="360"/>', "as if in degrees"),
    "one that mimics": ("continuous", '<mimic joint="shoulder"/>', "mimics 'shoulder'"),
    "words": ("revolute", '<limit lower="low" upper="1"/>', "could not convert string to float: 'low'"),
}


@pytest.mark.parametrize(("kind", "inside", "words"), WRONG.values(), ids=WRONG)
def test_a_joint_that_would_be_misread_is_refused_by_its_name(tmp_path, kind, inside, words):
    (tmp_path / "arm.urdf").write_text(JOINT.format(kind, inside))
    with pytest.raises(InputError, match=rf"arm\.urdf: joint 'elbow' .*{words}"):
        Chain.from_urdf(tmp_path / "arm.urdf", "flange")


@pytest.mark.parametrize("limit", ["1e4", "1e6", "3.4028235e38", "inf"])
def test_limits_that_stand_for_none_are_none(tmp_path, limit):
    (tmp_path / "arm.urdf").write_text(JOINT.format("revolute", f'<limit lower="-{limit}" upper="{limit}"/>'))
    chain = Chain.from_urdf(tmp_path / "arm.urdf", "flange")
    assert (chain.lower[0], chain.upper[0]) == (-np.inf, np.inf)


@pytest.mark.parametrize("speed", ["100", "1000.0", "1e6", "inf"])
def test_a_speed_that_stands_for_none_is_that_of_a_joint_without_one(tmp_path, speed):
    (tmp_path / "arm.urdf").write_text(JOINT.format("continuous", f'<limit velocity="{speed}"/>'))
    assert Chain.from_urdf(tmp_path / "arm.urdf", "flange").velocity == [1.0]


def test_a_xacro_file_is_named_as_one(tmp_path):
    for text in ('<robot><xacro:arm name="a"/></robot>', JOINT.format("fixed", '<origin xyz="0 0 ${d1}"/>')):
        (tmp_path / "arm.urdf").write_text(text)
        with pytest.raises(InputError, match=r"xacro FILE > FILE\.urdf"):
            Chain.from_urdf(tmp_path / "arm.urdf", "flange")


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named(tmp_path, text):
    (tmp_path / "arm.urdf").write_text(text)
    with pytest.raises(InputError, match=r"arm\.urdf"):
        Chain.from_urdf(tmp_path / "arm.urdf", "flange")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="none"):
        Chain.from_urdf(tmp_path / "none.urdf", "flange")
    with pytest.raises(InputError, match="kinova_gen2"):
        ArmModel(urdf="none")
