"""An arm's URDF as its maker gives it, made fit for PyBullet: links in order, shapes that are found and read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from robot.arms.hulls import hull_file
from robot.arms.packages import find_mesh
from robot.kinematics import Chain, placeholder_speed
from sim.errors import InputError
from sim.objects.urdf_values import read_numbers, read_pose

Element = ElementTree.Element

# Attributes of each shape that PyBullet knows, with as many numbers as they have.
_SHAPES = {"box": {"size": 3}, "sphere": {"radius": 1}, "cylinder": {"radius": 1, "length": 1}}
_SHAPES["capsule"] = _SHAPES["cylinder"]
_SPAN = 0.05  # metres: a link without a shape that is longer is no mere frame


class _Link(NamedTuple):
    """A link: its element, the joint that holds it (None at the root), and the moving joints of the chain before it."""

    element: Element
    joint: Element | None
    after: int

    @property
    def name(self) -> str:
        """Its name in the file."""
        return str(self.element.get("name"))

    @property
    def mass(self) -> float:
        """Its mass, kg; 0 where the file says nothing."""
        mass = self.element.find("inertial/mass")
        return 0.0 if mass is None else float(read_numbers(mass, "value", "0")[0])


def fitted(path: Path, flange: str, reserved: tuple[str, ...]) -> tuple[Element, str]:
    """Returns an arm's URDF with what PyBullet needs of it, and its flange's name there.

    The root link is called "base". Links stand in the order of the chain and have nothing but shapes: primitives, and
    meshes as their convex hulls. Joints that do not lead to the flange are fixed where they are at 0. What is doubtful
    is warned of, once a file.

    Args:
        path: File of the URDF.
        flange: Link that carries the hand.
        reserved: Names that no link of the arm may have; such a link gets another.

    Raises:
        InputError: The file is no tree of links, or a shape of it is unknown, missing or broken.
    """
    text, flange = _fitted(path, path.stat().st_mtime_ns, flange, reserved)
    return ElementTree.fromstring(text), flange


@lru_cache(maxsize=32)
def _fitted(path: Path, stamp: int, flange: str, reserved: tuple[str, ...]) -> tuple[str, str]:
    chain = Chain.from_urdf(path, flange)
    root = ElementTree.parse(path).getroot()
    made = Element("robot", name=root.get("name") or "arm")
    try:
        links = _in_order(root, chain)
        guessed: dict[str, Path] = {}
        shapes = {link.name: list(_shapes(link.element, path.parent, guessed)) for link in links}
        doubts = [
            *_strange(guessed),
            *_doubts(links, shapes, chain),
            *_joint_doubts(links, shapes, chain, flange=flange),
        ]
    except (InputError, ValueError) as error:
        raise InputError(f"arm file {path}: {error}") from error
    for doubt in doubts:
        warnings.warn(f"arm file {path}: {doubt}", stacklevel=2)
    names = {links[0].name: "base"}
    for link in links[1:]:
        new = link.name
        while new in ("base", *reserved, *names.values()):
            new = f"arm's {new}"
        names[link.name] = new
    for link in links:
        ElementTree.SubElement(made, "link", name=names[link.name]).extend(shapes[link.name])
    made.extend(_joint(link.joint, names, chain) for link in links if link.joint is not None)
    return ElementTree.tostring(made, encoding="unicode"), names[flange]


def _in_order(root: Element, chain: Chain) -> list[_Link]:
    """Returns the links, each after its parent, else as the file has them; raises InputError where they are no tree."""
    for kind in ("link", "joint"):
        names = [str(element.get("name")) for element in root.findall(kind)]
        if len(set(names)) < len(names):
            raise InputError(f"two of its {kind}s have the same name; rename one")
    elements = {str(link.get("name")): link for link in root.findall("link")}
    above: dict[str, tuple[Element, str]] = {}
    for joint in root.findall("joint"):
        parent, child = ("" if e is None else e.get("link", "") for e in (joint.find("parent"), joint.find("child")))
        if not {parent, child} <= set(elements) or child in above:
            raise InputError(f"joint '{joint.get('name')}' does not join a link to a parent of its own; mend it")
        above[child] = joint, parent
    roots = [name for name in elements if name not in above]
    if len(roots) > 1:
        raise InputError(f"its links {', '.join(roots)} hang at nothing; join all but one to others by fixed joints")
    found = {name: _Link(elements[name], None, 0) for name in roots}
    while len(found) < len(elements):
        before = len(found)
        for name, element in elements.items():
            if name not in found and above[name][1] in found:
                joint, parent = above[name]
                after = found[parent].after
                found[name] = _Link(element, joint, after + (joint.get("name") in chain.names))
        if len(found) == before:
            raise InputError("it has joints in a circle; mend it")
    return list(found.values())


def _joint(joint: Element, names: dict[str, str], chain: Chain) -> Element:
    """Returns what PyBullet needs of a joint; one that is not in the chain is fixed."""
    moves = joint.get("name") in chain.names
    kind = str(joint.get("type")) if moves else "fixed"
    made = Element("joint", name=str(joint.get("name")), type=kind)
    for part in joint:
        if part.tag in ("parent", "child"):
            ElementTree.SubElement(made, part.tag, link=names[str(part.get("link"))])
        elif part.tag == "origin" or (moves and part.tag == "limit"):
            ElementTree.SubElement(made, part.tag, _plain(part))
        elif part.tag == "axis" and moves:
            axis = np.array([float(v) for v in part.get("xyz", "1 0 0").split()])
            ElementTree.SubElement(made, "axis", xyz=" ".join(f"{v:.9g}" for v in axis / np.linalg.norm(axis)))
    return made


def _plain(element: Element) -> dict[str, str]:
    """Returns an element's attributes, their numbers parted by single spaces: PyBullet knows no others."""
    return {key: " ".join(value.split()) for key, value in element.attrib.items()}


def _shapes(link: Element, folder: Path, guessed: dict[str, Path]) -> Iterator[Element]:
    """Yields a link's <collision> shapes, or else its <visual> ones, as <collision>; raises InputError, ValueError."""
    for shape in link.findall("collision") or link.findall("visual"):
        geometry = shape.find("geometry")
        if geometry is None or not len(geometry):
            continue
        made, origin = Element("collision"), shape.find("origin")
        try:
            read_pose(origin)
            if _is_nothing(geometry[0]):
                continue
            found = _geometry(geometry[0], folder, guessed)
        except ValueError as error:
            raise InputError(f"link '{link.get('name')}': {error}") from error
        if origin is not None:
            ElementTree.SubElement(made, "origin", _plain(origin))
        ElementTree.SubElement(made, "geometry").append(found)
        yield made


def _is_nothing(shape: Element) -> bool:
    """Whether a shape is given with 0 for all its lengths, as those that mark a frame are; raises ValueError."""
    lengths = [(name, " ".join(["0"] * count)) for name, count in _SHAPES.get(shape.tag, {}).items()]
    given = bool(lengths) and all(name in shape.attrib for name, _ in lengths)
    return given and not any(read_numbers(shape, name, zeros).any() for name, zeros in lengths)


def _geometry(shape: Element, folder: Path, guessed: dict[str, Path]) -> Element:
    """Returns a <geometry>'s shape as PyBullet reads it, a mesh as its hull; raises InputError or ValueError.

    Meshes whose package is found nowhere are added to ``guessed``: the file that is taken, by the name.
    """
    if shape.tag == "mesh":
        name = shape.get("filename", "")
        file, certain = find_mesh(name, folder)
        if not certain:
            guessed[name] = file
        hull = hull_file(file, read_numbers(shape, "scale", "1 1 1"))
        return Element("mesh", filename=str(hull))
    if shape.tag not in _SHAPES:
        raise InputError(f"a <{shape.tag}> shape is not known here; give one of mesh, {', '.join(_SHAPES)}")
    for name, count in _SHAPES[shape.tag].items():
        if not (read_numbers(shape, name, " ".join(["0"] * count)) > 0).all():
            raise InputError(f"a <{shape.tag}> has the {name} '{shape.get(name, '')}'; give metres above 0")
    return Element(shape.tag, _plain(shape))


def _strange(guessed: dict[str, Path]) -> Iterator[str]:
    """Yields a sentence for each package that is found nowhere, with the files that are taken for its meshes."""
    packages: dict[str, list[Path]] = {}
    for name, file in guessed.items():
        packages.setdefault(name.replace("\\", "/").partition("://")[2].partition("/")[0], []).append(file)
    for package, files in packages.items():
        yield (
            f"package {package} is found nowhere, and for its meshes {', '.join(map(str, files))} are taken; "
            f"if these are another arm's, set ROS_PACKAGE_PATH to the folder that holds {package}"
        )


def _doubts(links: list[_Link], shapes: dict[str, list[Element]], chain: Chain) -> Iterator[str]:
    """Yields what is doubtful about an arm, each in a sentence.

    Raises:
        InputError: No link that moves has a shape.
    """
    if not any(shapes[link.name] for link in links if link.after):
        raise InputError("no link that moves has a shape, so nothing would keep the arm clear; give <collision> shapes")
    seen = [link.name for link in links if link.element.find("collision") is None and shapes[link.name]]
    if seen:
        yield f"no <collision> for {', '.join(seen)}: what cameras see there, <visual>, is kept clear of things"
    spans = [float(np.linalg.norm(pose[:3, 3])) for pose in (*chain.origins, chain.tool)]
    solid = {link.after for link in links if shapes[link.name]}
    bare = [
        link.name
        for link in links
        if not shapes[link.name] and (link.mass > 0 or (link.after not in solid and spans[link.after] > _SPAN))
    ]
    if bare:
        yield f"no shape for {', '.join(bare)}: nothing keeps them clear of things; give them a <collision>"


def _joint_doubts(links: list[_Link], shapes: dict[str, list[Element]], chain: Chain, *, flange: str) -> Iterator[str]:
    """Yields what is doubtful about an arm's joints and about what hangs at its flange, each in a sentence."""
    joints = [link.joint for link in links if link.joint is not None]
    fast = [str(j.get("name")) for j in joints if j.get("name") in chain.names and placeholder_speed(j)]
    if fast:
        yield (
            f"the velocity of {', '.join(fast)} stands for none, so 1 rad/s or m/s is taken; "
            'give the joints\' own in <limit velocity="">'
        )
    others = [str(j.get("name")) for j in joints if _strays(j, chain)]
    if others:
        yield (
            f"joints that do not lead to the flange ({', '.join(others)}) are taken to stand still at 0; "
            "leave a hand out of the URDF: gripper= adds its own"
        )
    beyond, held = {flange}, []
    for link in links:
        parent = None if link.joint is None else link.joint.find("parent")
        if link.joint is not None and parent is not None and parent.get("link") in beyond:
            beyond.add(link.name)
            if shapes[link.name] and not _strays(link.joint, chain):
                held.append(link.name)
    if held:
        yield (
            f"{', '.join(held)} at the flange counts as a part of the arm; "
            "leave a hand out of the URDF: gripper= adds its own"
        )


def _strays(joint: Element, chain: Chain) -> bool:
    """Whether a joint moves, but no hand at the flange."""
    return joint.get("type") != "fixed" and joint.get("name") not in chain.names
