"""3-D views as web pages that the mouse turns: a scene, or a camera's point cloud, with the hands that grasp in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from markupsafe import Markup

from sim.drawing.hands import hand_trace
from sim.drawing.pages import render_page
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.view import Observation

if TYPE_CHECKING:
    import plotly.graph_objects as go

_STYLE = "body { margin: 0 }"
_POINTS = 60_000  # of a cloud that a page shows: a browser turns them smoothly
_FAR = 1.6  # times the median depth beyond which a point is none of the things on the table


def laid_out(figure: go.Figure, title: str, eye: tuple[float, float, float] = (0.5, -1.1, 1.1)) -> go.Figure:
    """Returns a figure with its title, equal scales in metres, and the eye where it first stands."""
    figure.update_layout(
        title=title,
        scene={
            "aspectmode": "data",
            **{f"{axis}axis": {"title": {"text": f"{axis}, m"}} for axis in "xyz"},
            "camera": {"eye": dict(zip("xyz", eye, strict=True))},
        },
        legend={"itemsizing": "constant", "x": 0, "y": 1},
        margin={"l": 0, "r": 0, "t": 40, "b": 0},
    )
    return figure


def write_figure_page(figure: go.Figure, path: str | Path, *, plotlyjs: bool | Literal["directory"] = True) -> Path:
    """Writes a figure as a page; see ``sim.drawing.scene_page.write_scene_page``. Returns the path."""
    from plotly.offline import get_plotlyjs

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own instead of a random one: the same scene gives the same bytes.
    part = figure.to_html(full_html=False, include_plotlyjs=plotlyjs, div_id="scene", default_height="100vh")
    path.write_text(render_page(figure.layout.title.text, Markup(part), style=_STYLE), encoding="utf-8")
    if plotlyjs == "directory":
        (path.parent / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    return path


def write_cloud_page(
    seen: Observation,
    grasps: GraspPoses,
    path: str | Path,
    *,
    gripper: GripperGeometry,
    title: str,
    plotlyjs: bool | Literal["directory"] = True,
) -> Path:
    """Writes a rotatable 3-D view of what a camera saw, with the grasps as hands: camera frame, metres.

    Args:
        seen: The image. Some of its points are shown where it has many.
        grasps: Grasps in the camera's frame, best first; there may be none.
        path: File of the page.
        gripper: Geometry of the gripper.
        title: Title of the page.
        plotlyjs: As for ``write_scene_page``.

    Returns:
        The path.
    """
    import plotly.graph_objects as go

    points, colours = seen.point_cloud()
    near = np.flatnonzero(points[:, 2] < _FAR * np.median(points[:, 2])) if len(points) else np.zeros(0, np.int64)
    some = near[:: -(-len(near) // _POINTS)] if len(near) else near
    x, y, z = np.round(points[some], 4).astype(np.float32).T
    shades = z if colours is None else [f"rgb({r},{g},{b})" for r, g, b in colours[some].tolist()]
    look = {"mode": "markers", "hoverinfo": "skip", "name": "points", "showlegend": True}
    marker = {"size": 2, "color": shades} | ({"colorscale": "Viridis", "reversescale": True} if colours is None else {})
    figure = go.Figure([go.Scatter3d(x=x, y=y, z=z, marker=marker, **look)])
    if len(grasps):
        figure.add_trace(hand_trace(grasps, gripper))
    figure = laid_out(figure, title, (0.0, -0.6, -1.6))
    # The picture's way up: y runs down and z into it.
    figure.update_layout(scene_camera_up={"x": 0, "y": -1, "z": 0})
    return write_figure_page(figure, path, plotlyjs=plotlyjs)
