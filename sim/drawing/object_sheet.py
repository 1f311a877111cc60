"""What is in an object set: its facts as numbers, and a picture of every object."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from sim.camera import PinholeCamera, offset_pose
from sim.drawing.figures import panels
from sim.drawing.object_colours import object_colours
from sim.errors import InputError
from sim.geometry import transform
from sim.objects import ObjectModel
from sim.objects.mesh_file import read_mesh
from sim.objects.settings import box_sides
from sim.objects.urdf import read_base_link
from sim.physics import PhysicsSettings, TraySettings, World, pybullet
from sim.render import render_depth
from sim.render.appearance import Appearance
from sim.scene import SceneState

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

_TILE = (240, 320)  # pixels, height and width of one picture
_FINER = 3  # as many times finer it is rendered, then averaged: no jagged edges
_FOV = np.deg2rad(30)
_COLUMNS = 6
_INCHES = 2.4  # width of one picture


@dataclass(frozen=True)
class ObjectFacts:
    """An object in numbers.

    Attributes:
        name: Name of the object in its set.
        mass: Mass as PyBullet has it, kg.
        parts: Number of convex parts that it collides with.
        bounds: Sides of the box around it along its own axes, (3,) metres.
        box: Sides of the smallest box around it, smallest first, (3,) metres.
    """

    name: str
    mass: float
    parts: int
    bounds: FloatArray
    box: FloatArray

    def fits(self, opening: float) -> bool:
        """Returns whether a gripper that opens ``opening`` metres can grasp it across a side of the box.

        The rule is that of ``sim.objects.settings.SizeRule.fit``: lying on its largest face it shows the
        second-smallest side.
        """
        return bool(self.box[1] <= opening)


def measure(models: Sequence[ObjectModel]) -> list[ObjectFacts]:
    """Returns the facts of objects; each is loaded into PyBullet for it.

    Raises:
        InputError: An object cannot be loaded, or is flat.
    """
    world = World(PhysicsSettings(), TraySettings())
    facts = []
    try:
        for model in models:
            index = world.add(model, np.eye(4))
            mass = pybullet.getDynamicsInfo(world.objects[index], -1, physicsClientId=world.client)[0]
            world.remove(index)
            vertices = model.mesh().vertices
            try:
                box = box_sides(vertices)
            except InputError as error:
                raise InputError(f"object '{model.name}': {error}; mend or remove it") from error
            facts.append(ObjectFacts(model.name, mass, len(collision_parts(model)), np.ptp(vertices, axis=0), box))
    finally:
        world.close()
    return facts


def collision_parts(model: ObjectModel) -> list[trimesh.Trimesh]:
    """Returns the convex shapes that PyBullet makes of an object's first link, metres, in the link's frame.

    PyBullet takes each group of an OBJ, and any other mesh as a whole, by its convex hull.
    Raises InputError.
    """
    shapes: list[trimesh.Trimesh] = []
    for collision in read_base_link(model.urdf).collisions:
        shape = collision.shape
        if shape is None:
            continue
        if shape.file is not None:
            found = [trimesh.convex.convex_hull(points * shape.scale) for points in _groups(shape.file)]
        else:  # PyBullet's other shapes are cylinders and capsules
            found = [shape.primitive(shape.kind if shape.kind in ("box", "sphere") else "cylinder")]
        for part in found:
            part.apply_transform(collision.pose)
            part.apply_scale(model.scale)
        shapes += found
    return shapes


def _groups(path: Path) -> list[FloatArray]:
    """Returns the (V, 3) corners of each of an OBJ's groups; of another mesh all of them."""
    if path.suffix.lower() != ".obj":
        return [np.asarray(read_mesh(path).vertices, np.float64)]
    corners: list[list[float]] = []
    groups: list[set[int]] = [set()]
    for line in path.read_text(errors="replace").splitlines():
        kind, _, rest = line.strip().partition(" ")
        if kind == "v":
            corners.append([float(x) for x in rest.split()[:3]])
        elif kind in ("o", "g") and groups[-1]:
            groups.append(set())
        elif kind == "f":
            indices = [int(word.split("/")[0]) for word in rest.split()]
            groups[-1] |= {i - 1 if i > 0 else len(corners) + i for i in indices}
    return [np.array(corners)[sorted(g)] for g in groups if g]


def spread(count: int, limit: int) -> list[int]:
    """Returns at most ``limit`` of the numbers 0 ... count - 1, evenly spread; raises InputError."""
    if limit < 1:
        raise InputError(f"limit is {limit}; give at least 1")
    return [round(x) for x in np.linspace(0, count - 1, min(count, limit))]


def draw_contact_sheet(
    models: Sequence[ObjectModel], facts: Sequence[ObjectFacts], opening: float, *, parts: bool = False
) -> Figure:
    """Draws a grid of objects, each with its name, its size, and whether it fits the gripper.

    Every object lies on its largest face and fills its picture, whatever its size.

    Args:
        models: The objects.
        facts: Facts of the objects, see ``measure``.
        opening: Greatest opening of the gripper, metres.
        parts: Whether to show the convex parts beside each object, a colour each.

    Returns:
        The figure, drawn off screen.
    """
    wide = 2 if parts else 1
    columns = min(_COLUMNS // wide, len(models))
    rows = -(-len(models) // columns)
    size = (_INCHES * wide * columns, (_INCHES * _TILE[0] / _TILE[1] + 0.5) * rows)
    figure, grid = panels(rows, columns, size, dpi=130)
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, model, fact in zip(figure.axes, models, facts, strict=False):
        picture = _picture(model, model)
        if parts:
            with tempfile.TemporaryDirectory() as folder:
                picture = np.concatenate([picture, _picture(_coloured_parts(model, Path(folder)), model)], axis=1)
        _draw_tile(axes, picture, fact, opening=opening)
    return figure


def _draw_tile(axes: Axes, picture: NDArray[np.uint8], fact: ObjectFacts, *, opening: float) -> None:
    """Draws one object with its name above it and its measures below it."""
    axes.imshow(picture)
    longest = int(30 * picture.shape[1] / _TILE[1])
    name = fact.name if len(fact.name) <= longest else "..." + fact.name[3 - longest :]
    axes.set_title(name.replace("$", r"\$"), fontsize=7, pad=2)
    sides = " x ".join(f"{1000 * side:.0f}" for side in fact.box[::-1])
    fits = fact.fits(opening)
    text = f"{sides} mm, {1000 * fact.mass:.0f} g: {'fits' if fits else 'too wide'}"
    axes.text(0.5, -0.02, text, fontsize=6, ha="center", va="top", transform=axes.transAxes, color="k" if fits else "r")


def _picture(model: ObjectModel, lying: ObjectModel) -> NDArray[np.uint8]:
    """Returns an (H, W, 3) picture of an object that lies as ``lying`` does on its largest face."""
    vertices = lying.mesh().vertices
    bounds: Any = trimesh.bounds  # it has no types
    to_box, sides = bounds.oriented_bounds(vertices)
    axes = np.argsort(-sides)  # the longest along x, the shortest upwards
    turn = np.eye(4)
    turn[:3] = to_box[axes]
    turn[1] *= np.sign(np.linalg.det(turn[:3, :3]))
    points = transform(turn, vertices)
    # Of the two faces the one under which more of the object lies is its foot.
    if np.median(points[:, 2]) > 0:
        turn[1:3] *= -1
        points[:, 1:] *= -1
    turn[2, 3] -= points[:, 2].min()
    points[:, 2] -= points[:, 2].min()
    camera = _framing(points)
    height = float(camera.pose[2, 3])
    # Just large enough to fill the picture: what reaches behind the camera is not drawn.
    tray = TraySettings(floor=2 * height, wall_height=0.01 * height, wall_lean=0.01 * height)
    state = SceneState((model,), turn[None], tray)
    rgb = render_depth(state, camera, Appearance(objects=tuple(object_colours(state))))[2]
    rows, cols = _TILE
    picture: NDArray[np.uint8] = rgb.reshape(rows, _FINER, cols, _FINER, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    return picture


def _framing(points: FloatArray) -> PinholeCamera:
    """Returns a camera from the front and above whose picture the points (N, 3) m, world, fill."""
    height, width = _TILE[0] * _FINER, _TILE[1] * _FINER
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    distance = float(np.linalg.norm(np.ptp(points, axis=0)))
    while True:
        pose = offset_pose(distance * np.cos(0.8), (0.0, distance * np.sin(0.8)))
        pose[:3, 3] += middle
        camera = PinholeCamera.from_fov(width, height, _FOV, pose)
        seen = (points - pose[:3, 3]) @ pose[:3, :3]
        rows, cols, _ = camera.project(seen)
        margin = 0.06 * height
        inside = min(rows.min(), cols.min(), height - rows.max(), width - cols.max()) >= margin
        if inside and seen[:, 2].min() > 0:
            return camera
        distance *= 1.05


def _coloured_parts(model: ObjectModel, folder: Path) -> ObjectModel:
    """Writes an object that looks like the convex parts of another, a colour each."""
    from matplotlib import colormaps

    visuals = []
    for i, part in enumerate(collision_parts(model)):
        part.export(folder / f"{i}.stl")
        rgb = " ".join(f"{c:.3f}" for c in colormaps["tab20"](i % 20)[:3])
        visuals.append(
            f'<visual><geometry><mesh filename="{i}.stl"/></geometry>'
            f'<material name="{i}"><color rgba="{rgb} 1"/></material></visual>'
        )
    if not visuals:
        raise InputError(f"object '{model.name}' has no collision shape; it cannot be grasped")
    urdf = folder / "parts.urdf"
    urdf.write_text(f'<robot name="parts"><link name="parts">{"".join(visuals)}</link></robot>')
    return ObjectModel(model.name, urdf)
