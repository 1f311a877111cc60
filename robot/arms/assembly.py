"""Arm, hand and camera as one body of PyBullet: to be kept clear of things, and to be drawn."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from robot.arms.description import fitted
from robot.arms.model import ArmModel
from sim.errors import InputError
from sim.files import temporary_file
from sim.gripper import GripperGeometry
from sim.interchange.hand_frames import frame_of_grasp
from sim.physics import matrix_to_pose, pybullet, quiet

FloatArray = NDArray[np.float64]

BODY_RADIUS = 0.0375  # metres: a hand's body between flange and palm, 75 mm wide as Robotiq's
PALM_HEIGHT = 0.03  # metres: of the palm's box behind the fingers, as sim.benchmark's hand has it
CAMERA_SIZE = (0.09, 0.025, 0.025)  # metres, a RealSense D435
HAND_LINKS = ("hand_body", "palm", "left", "right", "camera")
FINGERS = ("palm", "left", "right")  # those that come close to things when the hand grasps
_COLOURS = {"hand_body": "0.25 0.27 0.3 1", "palm": "0.49 0.53 0.59 1", "camera": "0.1 0.1 0.12 1"}
_COLOURS |= dict.fromkeys(("left", "right"), "0.94 0.51 0.08 1")
_ARM_COLOUR = "0.82 0.84 0.88 1"


@dataclass(frozen=True)
class Assembly:
    """An arm with hand and camera in one PyBullet client; it is moved by setting its joints, never by physics.

    Attributes:
        client: PyBullet's number of the client.
        body: PyBullet's number of the body.
        joints: PyBullet's numbers of the arm's moving joints.
        fingers: PyBullet's numbers of the joints of the left and the right finger.
        links: PyBullet's number of each link, by its name; the base is -1.
        max_opening: Greatest distance between the inner finger faces, metres.
    """

    client: int
    body: int
    joints: tuple[int, ...]
    fingers: tuple[int, int]
    links: dict[str, int]
    max_opening: float

    def place(self, q: FloatArray, opening: float | None = None) -> None:
        """Sets the joints.

        Args:
            q: (N,) joint angles, radians.
            opening: Distance between the inner finger faces, metres; None leaves the fingers where they are.
        """
        for joint, angle in zip(self.joints, q.tolist(), strict=True):
            pybullet.resetJointState(self.body, joint, angle, physicsClientId=self.client)
        if opening is not None:
            half = min(max(opening, 0.0), self.max_opening) / 2
            for joint in self.fingers:
                pybullet.resetJointState(self.body, joint, half, physicsClientId=self.client)


def assemble(
    client: int,
    arm: ArmModel,
    gripper: GripperGeometry,
    *,
    base: FloatArray,
    camera: FloatArray | None,
    ghost: bool = False,
) -> Assembly:
    """Puts an arm with its hand and camera into a PyBullet client.

    Args:
        client: PyBullet's number of the client.
        arm: The arm.
        gripper: The hand; its frame "flange" says where the grasp frame is.
        base: (4, 4) T_world_base, metres.
        camera: (4, 4) T_flange_camera, metres; None for no camera on the arm.
        ghost: Whether the body touches nothing, as it is there to be drawn.

    Raises:
        InputError: The gripper has no frame "flange", or the arm's URDF has no shapes that can be used.
    """
    file = str(temporary_file(assembly_urdf(arm, gripper, camera), "arm.urdf"))
    position, quaternion = matrix_to_pose(base)
    try:
        with quiet():
            body = pybullet.loadURDF(
                file, position, quaternion, useFixedBase=1, physicsClientId=client, flags=_AS_WRITTEN
            )
    except pybullet.error as error:
        raise InputError(f"PyBullet cannot load the arm of {arm.path} ({error}); mend the file") from error
    names, links = {}, {"base": -1}
    for number in range(pybullet.getNumJoints(body, physicsClientId=client)):
        info = pybullet.getJointInfo(body, number, physicsClientId=client)
        names[info[1].decode()], links[info[12].decode()] = number, number
    if ghost:
        for link in links.values():
            pybullet.setCollisionFilterGroupMask(body, link, 0, 0, physicsClientId=client)
    joints = tuple(names[name] for name in arm.chain().names)
    fingers = names["hand's left"], names["hand's right"]
    return Assembly(client, body, joints, fingers, links, gripper.max_opening)


_AS_WRITTEN = pybullet.URDF_MAINTAIN_LINK_ORDER | pybullet.URDF_USE_IMPLICIT_CYLINDER


def assembly_urdf(arm: ArmModel, gripper: GripperGeometry, camera: FloatArray | None) -> str:
    """Returns the URDF of an arm with hand and camera at its flange; see ``assemble``."""
    root, flange = fitted(arm.path, arm.flange, HAND_LINKS)
    g, grasp = gripper, frame_of_grasp("flange", gripper)
    palm_back = grasp @ _shift((0, 0, -g.finger_length - PALM_HEIGHT))
    length = float(np.linalg.norm(palm_back[:3, 3]))
    _fixed(root, "hand_body", flange, np.eye(4))
    if length > 2 * BODY_RADIUS:
        along = Rotation.align_vectors([palm_back[:3, 3] / length], [[0, 0, 1]])[0].as_matrix()
        middle = np.eye(4)
        middle[:3, :3], middle[:3, 3] = along, palm_back[:3, 3] / 2
        capsule = f'<capsule radius="{BODY_RADIUS}" length="{length - 2 * BODY_RADIUS:.6g}"/>'
        _shape(root, "hand_body", capsule, middle)
    _fixed(root, "palm", flange, grasp)
    _box(root, "palm", (g.palm_width, g.palm_thickness, PALM_HEIGHT), (0, 0, -g.finger_length - PALM_HEIGHT / 2))
    finger = (g.finger_thickness, g.finger_width, g.finger_length)
    for side, sign in (("left", -1), ("right", 1)):
        text = f'<link name="{side}"/>'
        root.append(ElementTree.fromstring(text))
        text = (
            f'<joint name="hand\'s {side}" type="prismatic"><parent link="palm"/><child link="{side}"/>'
            f'<axis xyz="{sign} 0 0"/><limit lower="0" upper="{g.max_opening / 2}" effort="1" velocity="1"/></joint>'
        )
        root.append(ElementTree.fromstring(text))
        _box(root, side, finger, (sign * g.finger_thickness / 2, 0, -g.finger_length / 2))
    if camera is not None:
        _fixed(root, "camera", flange, camera)
        _box(root, "camera", CAMERA_SIZE, (0, 0, -CAMERA_SIZE[2] / 2))
    for link in root.iter("link"):
        _dress(link)
    ElementTree.indent(root)  # PyBullet loses part of a line that is too long
    return ElementTree.tostring(root, encoding="unicode")


def _shift(xyz: tuple[float, float, float]) -> FloatArray:
    pose = np.eye(4)
    pose[:3, 3] = xyz
    return pose


def _origin_text(pose: FloatArray) -> str:
    xyz = " ".join(f"{v:.9g}" for v in pose[:3, 3])
    rpy = " ".join(f"{v:.9g}" for v in Rotation.from_matrix(pose[:3, :3]).as_euler("xyz"))
    return f'<origin xyz="{xyz}" rpy="{rpy}"/>'


def _fixed(root: ElementTree.Element, link: str, parent: str, pose: FloatArray) -> None:
    """Adds a link that is fixed to another at a pose (4, 4), metres."""
    root.append(ElementTree.fromstring(f'<link name="{link}"/>'))
    joint = ElementTree.SubElement(root, "joint", name=f"hand's {link}", type="fixed")
    ElementTree.SubElement(joint, "parent", link=parent)
    ElementTree.SubElement(joint, "child", link=link)
    joint.append(ElementTree.fromstring(_origin_text(pose)))


def _box(
    root: ElementTree.Element, link: str, size: tuple[float, float, float], centre: tuple[float, float, float]
) -> None:
    _shape(root, link, f'<box size="{size[0]} {size[1]} {size[2]}"/>', _shift(centre))


def _shape(root: ElementTree.Element, link: str, geometry: str, pose: FloatArray) -> None:
    found = next(element for element in root.iter("link") if element.get("name") == link)
    text = f"<collision>{_origin_text(pose)}<geometry>{geometry}</geometry></collision>"
    found.append(ElementTree.fromstring(text))


def _dress(link: ElementTree.Element) -> None:
    """Adds to each collision shape of a link the same shape to look at."""
    colour = _COLOURS.get(str(link.get("name")), _ARM_COLOUR)
    for shape in link.findall("collision"):
        visual = copy.deepcopy(shape)
        visual.tag = "visual"
        name = f"colour of {link.get('name')}"
        visual.append(ElementTree.fromstring(f'<material name="{name}"><color rgba="{colour}"/></material>'))
        link.append(visual)
