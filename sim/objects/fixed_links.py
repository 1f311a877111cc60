"""Links that fixed joints hold together, made into the one rigid body that they are."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ElementTree

import numpy as np
from numpy.typing import NDArray

from sim.objects.urdf_values import read_numbers, read_pose

FloatArray = NDArray[np.float64]

_MOMENTS = (("ixx", 0, 0), ("iyy", 1, 1), ("izz", 2, 2), ("ixy", 0, 1), ("ixz", 0, 2), ("iyz", 1, 2))


def merge_links(root: ElementTree.Element) -> None:
    """Makes one link of all of a robot's links, in place: the root link, in its own frame.

    Shapes move to their poses in the root link's frame. A link without collisions collides as it looks. Masses are
    summed; the centre of mass and the inertia about it follow. A link without <inertial> weighs nothing beside others
    that have one. A robot of one link without joints stays as it is.

    Args:
        root: The file's <robot>.

    Raises:
        ValueError: A joint moves, the links do not hang together, or a number is none.
    """
    links, joints = root.findall("link"), root.findall("joint")
    if not joints and len(links) < 2:
        return
    poses = link_poses(root)
    names = {link.get("name", ""): link for link in links}
    base = names[next(iter(poses))]
    inertial = _summed_inertial([(names[name].find("inertial"), pose) for name, pose in poses.items()])
    for old in base.findall("inertial"):
        base.remove(old)
    if inertial is not None:
        base.insert(0, inertial)
    for name, pose in poses.items():
        link = names[name]
        collide_as_seen(link)
        for shape in (child for child in list(link) if child.tag in ("visual", "collision") and link is not base):
            _set_origin(shape, pose @ read_pose(shape.find("origin")))
            base.append(shape)
    for element in (*joints, *(link for link in links if link is not base)):
        root.remove(element)


def collide_as_seen(link: ElementTree.Element) -> None:
    """Gives a link without collisions the shapes that cameras see of it, in place."""
    if link.find("collision") is None:
        for visual in link.findall("visual"):
            collision = ElementTree.SubElement(link, "collision")
            collision.extend(copy.deepcopy(child) for child in visual if child.tag in ("origin", "geometry"))


def link_poses(root: ElementTree.Element) -> dict[str, FloatArray]:
    """Returns T_root_link, (4, 4) metres, of each link by name: the root link, then the others as the file has them.

    Args:
        root: The file's <robot>.

    Raises:
        ValueError: A joint moves, or the links do not hang together.
    """
    names = [link.get("name", "") for link in root.findall("link")]
    if len(set(names)) < len(names):
        raise ValueError("two of its links have the same name")
    parents: dict[str, tuple[str, FloatArray]] = {}
    for joint in root.findall("joint"):
        name, kind = joint.get("name"), joint.get("type")
        if not kind:
            raise ValueError(f"its joint '{name}' has no type")
        if kind != "fixed":
            raise ValueError(f"its joint '{name}' moves ({kind}); an object is one rigid body")
        ends = [end.get("link", "") for end in (joint.find("parent"), joint.find("child")) if end is not None]
        if len(ends) != 2 or not set(ends) <= set(names) or ends[1] in parents:
            raise ValueError(f"its joint '{name}' does not join a link to a parent of its own")
        parents[ends[1]] = ends[0], read_pose(joint.find("origin"))
    roots = [name for name in names if name not in parents]
    if not roots:
        raise ValueError("its fixed joints go round in a circle")
    if len(roots) > 1:
        raise ValueError(f"it has {len(names)} links that do not hang together; join them by fixed joints")
    poses: dict[str, FloatArray] = {roots[0]: np.eye(4)}
    while waiting := [name for name in names if name not in poses and parents[name][0] in poses]:
        poses |= {name: poses[parents[name][0]] @ parents[name][1] for name in waiting}
    if len(poses) < len(names):
        raise ValueError("its fixed joints go round in a circle")
    return {name: poses[name] for name in (roots[0], *(name for name in names if name != roots[0]))}


def _summed_inertial(parts: list[tuple[ElementTree.Element | None, FloatArray]]) -> ElementTree.Element | None:
    """Returns the <inertial> of all links together; None where no link has one. Raises ValueError.

    Args:
        parts: <inertial> and T_root_link of each link.
    """
    masses, places, moments = [], [], []
    for inertial, pose in parts:
        if inertial is None:
            continue
        mass = inertial.find("mass")
        if mass is None:
            raise ValueError("its <inertial> has no <mass>")
        masses.append(float(read_numbers(mass, "value", "0")[0]))
        if masses[-1] < 0:
            raise ValueError(f'its mass "{mass.get("value")}" is negative')
        frame = pose @ read_pose(inertial.find("origin"))
        places.append(frame[:3, 3])
        moments.append(frame[:3, :3] @ _inertia(inertial.find("inertia")) @ frame[:3, :3].T)
    if not masses:
        return None
    total = sum(masses)
    centre = np.average(places, axis=0, weights=masses) if total > 0 else places[0]
    tensor = np.zeros((3, 3))
    for weight, place, moment in zip(masses, places, moments, strict=True):
        arm = place - centre
        tensor += moment + weight * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    summed, frame = ElementTree.Element("inertial"), np.eye(4)
    frame[:3, 3] = centre
    _set_origin(summed, frame)
    ElementTree.SubElement(summed, "mass", value=repr(float(total)))
    ElementTree.SubElement(summed, "inertia", {name: repr(float(tensor[i, j])) for name, i, j in _MOMENTS})
    return summed


def _inertia(element: ElementTree.Element | None) -> FloatArray:
    """Returns the (3, 3) tensor of an <inertia>, kg m^2; zero where the file gives none."""
    tensor = np.zeros((3, 3))
    if element is None:
        return tensor
    for name, i, j in _MOMENTS:
        tensor[i, j] = tensor[j, i] = read_numbers(element, name, "0")[0]
    return tensor


def _set_origin(element: ElementTree.Element, pose: FloatArray) -> None:
    """Gives an element the <origin> of a (4, 4) pose; its rpy turns about the fixed x, y, z."""
    for old in element.findall("origin"):
        element.remove(old)
    turn, level = pose[:3, :3], np.hypot(pose[0, 0], pose[1, 0])
    if level > 1e-9:
        roll, yaw = np.arctan2(turn[2, 1], turn[2, 2]), np.arctan2(turn[1, 0], turn[0, 0])
    else:  # x points up or down: roll and yaw turn about the same axis
        roll, yaw = np.arctan2(-turn[1, 2], turn[1, 1]), 0.0
    angles = (roll, np.arctan2(-turn[2, 0], level), yaw)
    texts = {"xyz": " ".join(repr(float(v)) for v in pose[:3, 3]), "rpy": " ".join(repr(float(v)) for v in angles)}
    element.insert(0, ElementTree.Element("origin", texts))
