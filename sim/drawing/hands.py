"""Grasps as the hand that makes them: outlines in a camera's picture, lines in a page that the mouse turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim.camera import PinholeCamera
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry

if TYPE_CHECKING:
    import plotly.graph_objects as go

FloatArray = NDArray[np.float64]

_ALIKE = np.cos(np.deg2rad(20))  # two hands at one place that close in one direction
_OF_ONE = 5  # points of one gripper in a line: tip, base, base, tip, and a gap
# Okabe and Ito's colours on a dark rim: told apart with any colour vision and on any ground.
_FINGER, _CONTACT, _OPENING, _RIM = "#56B4E9", "#D55E00", "#F0E442", "black"


def gripper_lines(grasps: GraspPoses, gripper: GripperGeometry) -> FloatArray:
    """Returns each grasp as a gripper of three lines: finger, palm, finger.

    Args:
        grasps: N grasps.
        gripper: Gripper, whose fingers are as long as the lines.

    Returns:
        (N, 4, 3) float64, metres, in the grasps' frame: the left finger's tip, its base at the palm,
        the right finger's base, its tip.
    """
    half, length = grasps.width / 2, np.full(len(grasps), gripper.finger_length)
    none = np.zeros(len(grasps))
    in_grasp = np.stack(
        [np.stack([side * half, none, -up * length], axis=1) for side, up in ((-1, 0), (-1, 1), (1, 1), (1, 0))], axis=1
    )
    lines: FloatArray = grasps.translation[:, None] + np.einsum("nij,nkj->nki", grasps.rotation, in_grasp)
    return lines


def hand_trace(
    grasps: GraspPoses,
    gripper: GripperGeometry,
    rows: NDArray[np.int64] | None = None,
    *,
    name: str = "grasps",
    colour: str | None = None,
    notes: Sequence[str] = (),
) -> go.Scatter3d:
    """Returns grippers as one trace of a 3-D page; the mouse over one tells rank, quality, width and note.

    Args:
        grasps: N grasps, best first.
        gripper: The gripper.
        rows: Those that are shown; None for all.
        name: Name in the legend.
        colour: Colour of all; None colours them by their quality.
        notes: N notes, or none.
    """
    import plotly.graph_objects as go

    rows = np.arange(len(grasps)) if rows is None else rows
    lines = np.full((len(grasps), _OF_ONE, 3), np.nan)
    lines[:, :-1] = gripper_lines(grasps, gripper)
    line: dict[str, Any] = {"width": 5, "color": colour}
    if colour is None:
        bar = {"title": {"text": "quality"}, "len": 0.6}
        line |= {"color": np.repeat(grasps.quality, _OF_ONE), "colorscale": "Viridis", "colorbar": bar}
    numbers = zip(grasps.quality.tolist(), grasps.width.tolist(), strict=True)
    texts = [f"rank {i + 1}<br>quality {q:.3f}<br>width {1000 * w:.1f} mm" for i, (q, w) in enumerate(numbers)]
    texts = [f"{text}<br>{note}" for text, note in zip(texts, notes, strict=True)] if notes else texts
    x, y, z = lines[rows].reshape(-1, 3).T
    hover = [texts[i] for i in rows for _ in range(_OF_ONE)]
    look = {"mode": "lines", "line": line, "name": name, "text": hover, "showlegend": True}
    return go.Scatter3d(x=x, y=y, z=z, hovertemplate="%{text}<extra></extra>", **look)


def finger_outlines(grasps: GraspPoses, gripper: GripperGeometry, camera: PinholeCamera) -> FloatArray:
    """Returns where the finger tips' footprints appear in an image.

    Args:
        grasps: N grasps in the camera's frame.
        gripper: The gripper.
        camera: The camera.

    Returns:
        (N, 2, 4, 2) float64, columns and rows: of the left and the right finger the corners, those of the inner face
        first, in their order around.
    """
    inner, outer = grasps.width / 2, grasps.width / 2 + gripper.finger_thickness
    half = np.full(len(grasps), gripper.finger_width / 2)
    none = np.zeros(len(grasps))
    around = ((inner, -half), (inner, half), (outer, half), (outer, -half))
    corners = [[np.stack([side * a, b, none], axis=1) for a, b in around] for side in (-1, 1)]
    in_grasp = np.array(corners).transpose(2, 0, 1, 3).reshape(len(grasps), 8, 3)
    points = grasps.translation[:, None] + np.einsum("nij,nkj->nki", grasps.rotation, in_grasp)
    rows, cols, _ = camera.project(points.reshape(-1, 3))
    return np.stack([cols, rows], axis=1).reshape(len(grasps), 2, 4, 2)


def draw_hands(
    picture: NDArray[np.uint8], grasps: GraspPoses, gripper: GripperGeometry, *, camera: PinholeCamera, width: int = 640
) -> NDArray[np.uint8]:
    """Returns a picture with grasps as the hand's outline: fingers, their contact faces, the opening, the rank.

    Worse grasps are drawn first and fainter, so the best lies on top. Grasps at one place share one label with the
    ranks of all, and of those that also close in one direction the best alone is drawn.

    Args:
        picture: (H, W, 3) uint8.
        grasps: Grasps in the camera's frame, best first.
        gripper: The gripper.
        camera: The picture's camera.
        width: Width of the result, pixels; its height is in proportion.
    """
    from PIL import Image, ImageDraw, ImageFont

    scale = width / picture.shape[1]
    image = Image.fromarray(picture).resize((width, max(1, round(picture.shape[0] * scale))))
    pen = ImageDraw.Draw(image, "RGBA")
    size = max(10, width // 45)
    font = ImageFont.load_default(size=size)
    outlines = (finger_outlines(grasps, gripper, camera) + 0.5) * scale
    labels, drawn = _places(outlines, 1.5 * size)
    for i in reversed(drawn):
        opacity = "ff" if i < 3 else "b0"
        faces = [[tuple(p) for p in finger[:2]] for finger in outlines[i].tolist()]
        middles = [tuple(np.mean(face, axis=0).tolist()) for face in faces]
        pen.line(middles, fill=_RIM, width=4)
        pen.line(middles, fill=_OPENING + opacity, width=2)
        for finger, face in zip(outlines[i].tolist(), faces, strict=True):
            pen.polygon([tuple(p) for p in finger], fill=_FINGER + opacity, outline=_RIM)
            pen.line(face, fill=_CONTACT, width=4)
    for first, ranks in reversed(labels.items()):
        place = tuple(outlines[first].mean(axis=(0, 1)).tolist())
        text = ",".join(str(i + 1) for i in ranks)
        pen.text(place, text, fill="white", stroke_fill=_RIM, stroke_width=2, font=font, anchor="mm")
    return np.asarray(image.convert("RGB"))


def _places(outlines: FloatArray, near: float) -> tuple[dict[int, list[int]], list[int]]:
    """Returns the grasps of each place by its best one, and those that are drawn.

    Args:
        outlines: (N, 2, 4, 2), of ``finger_outlines``, pixels, best first.
        near: Distance of two middles below which they share a label, pixels.
    """
    middles = outlines.mean(axis=(1, 2))
    closing = outlines[:, 1].mean(axis=1) - outlines[:, 0].mean(axis=1)
    closing /= np.maximum(np.linalg.norm(closing, axis=1, keepdims=True), 1e-9)
    places: dict[int, list[int]] = {}
    drawn: list[int] = []
    for i in range(len(outlines)):
        first = next((j for j in places if np.linalg.norm(middles[i] - middles[j]) < near), i)
        beside = [j for j in places.get(first, []) if j in drawn]
        if all(abs(closing[i] @ closing[j]) < _ALIKE for j in beside):
            drawn.append(i)
        places.setdefault(first, []).append(i)
    return places, drawn


def contact_sheet(tiles: Sequence[tuple[NDArray[np.uint8], str]], columns: int = 3) -> NDArray[np.uint8]:
    """Returns pictures of one width side by side, each above its caption.

    Args:
        tiles: Pictures (H, W, 3) uint8, and captions.
        columns: Number of pictures in a row, at most.
    """
    from PIL import Image, ImageDraw, ImageFont

    columns, width = min(columns, len(tiles)), max(t.shape[1] for t, _ in tiles)
    font = ImageFont.load_default(size=max(10, width // 40))
    strip, gap = max(18, width // 24), 6
    rows = [tiles[i : i + columns] for i in range(0, len(tiles), columns)]
    heights = [max(t.shape[0] for t, _ in row) + strip + gap for row in rows]
    sheet = Image.new("RGB", (columns * (width + gap), sum(heights)), "white")
    pen, top = ImageDraw.Draw(sheet), 0
    for row, height in zip(rows, heights, strict=True):
        for i, (tile, caption) in enumerate(row):
            sheet.paste(Image.fromarray(tile), (i * (width + gap), top))
            pen.text((i * (width + gap) + 4, top + tile.shape[0] + 2), caption, fill="black", font=font)
        top += height
    return np.asarray(sheet)
