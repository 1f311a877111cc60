"""A scene with its grasps as a web page that the mouse turns: looks into the clutter that no picture gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from sim.benchmark.attempt_table import endings, recorded_grasps, was_executed
from sim.drawing.object_colours import object_colours
from sim.drawing.pages import render_page
from sim.errors import InputError
from sim.geometry import transform
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.physics import TraySettings
from sim.scene import SceneState

if TYPE_CHECKING:
    import plotly.graph_objects as go

FloatArray = NDArray[np.float64]

_TRAY_COLOUR = "#bfbfb8"
# Told apart with any colour vision: Okabe and Ito's blue and vermilion, and grey.
_OUTCOMES = {"success": "#0072B2", "failure": "#D55E00", "not tried": "#777777"}
_STYLE = "body { margin: 0 }"
_POINTS = 5  # of one gripper in a line: tip, base, base, tip, and a gap


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


def scene_figure(
    state: SceneState, grasps: GraspPoses, gripper: GripperGeometry, *, results: pd.DataFrame | None = None
) -> go.Figure:
    """Returns the page's plotly figure; see ``write_scene_page`` for the arguments."""
    import plotly.graph_objects as go

    if grasps.frame != "world":
        raise InputError(f"a scene's page takes grasps in the world frame, not '{grasps.frame}'; transform them first")
    figure = go.Figure([_tray_trace(state.tray), *_object_traces(state)])
    if len(grasps):
        figure.add_traces(_grasp_traces(grasps, gripper, results))
    title = f"{state.category or 'scene'}: {len(state.models)} objects, {len(grasps)} grasps"
    figure.update_layout(
        title=title,
        scene={
            "aspectmode": "data",
            **{f"{axis}axis": {"title": {"text": f"{axis}, m"}} for axis in "xyz"},
            "camera": {"eye": {"x": 0.5, "y": -1.1, "z": 1.1}},
        },
        legend={"itemsizing": "constant", "x": 0, "y": 1},
        margin={"l": 0, "r": 0, "t": 40, "b": 0},
    )
    return figure


def write_scene_page(
    state: SceneState,
    grasps: GraspPoses,
    path: str | Path,
    *,
    gripper: GripperGeometry | None = None,
    results: pd.DataFrame | None = None,
    plotlyjs: bool | Literal["directory"] = True,
) -> Path:
    """Writes a rotatable 3-D view of a scene with its grasps: world frame, metres, equal scales.

    The mouse over an object tells its name. Over a grasp it tells rank, quality, width and, where known, how it
    ended. A click in the legend hides and shows.

    Args:
        state: The scene.
        grasps: Grasps, world frame, best first; there may be none.
        path: File of the page.
        gripper: Geometry of the gripper; None for the paper's.
        results: Rows of ``run_benchmark`` of the protocol "rank" of one policy, scene and friction:
            ``attempt`` is the grasp's rank from 0, and the colour says success or failure. Without
            them the colour is the grasp's quality.
        plotlyjs: True puts the library (some 5 MB) into the page, which then needs no internet;
            "directory" puts it beside the page, once for all pages of a folder.

    Returns:
        The path.

    Raises:
        InputError: The grasps are in another frame, or the results mix sequences.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    from plotly.offline import get_plotlyjs

    figure = scene_figure(state, grasps, gripper or GripperGeometry(), results=results)
    # A name of its own instead of a random one: the same scene gives the same bytes.
    part = figure.to_html(full_html=False, include_plotlyjs=plotlyjs, div_id="scene", default_height="100vh")
    path.write_text(render_page(figure.layout.title.text, Markup(part), style=_STYLE), encoding="utf-8")
    if plotlyjs == "directory":
        (path.parent / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    return path


def _mesh_trace(vertices: FloatArray, faces: NDArray[np.int32], **look: Any) -> go.Mesh3d:
    import plotly.graph_objects as go

    x, y, z = np.round(vertices, 5).astype(np.float32).T  # hundredths of a millimetre: enough for the eye
    i, j, k = faces.T
    return go.Mesh3d(x=x, y=y, z=z, i=i, j=j, k=k, flatshading=True, **look)


def _tray_trace(tray: TraySettings) -> go.Mesh3d:
    import trimesh

    parts = [trimesh.creation.box(size, transform=pose) for size, pose in tray.boxes()]
    whole: Any = trimesh.util.concatenate(parts)
    faces = np.asarray(whole.faces, np.int32)
    look = {"color": _TRAY_COLOUR, "name": "tray", "hoverinfo": "skip", "showlegend": True}
    return _mesh_trace(np.asarray(whole.vertices, np.float64), faces, **look)


def _object_traces(state: SceneState) -> list[go.Mesh3d]:
    traces = []
    plain = object_colours(state)
    for number, (model, pose) in enumerate(zip(state.models, state.poses, strict=True)):
        mesh = model.mesh()
        # Two objects may share a model: the number, its mask value, tells them apart.
        name = f"{number + 1}: {model.name}"
        hexes = _hex_colours(np.array([plain[number]]) if mesh.is_plain else mesh.colours)
        colour: dict[str, Any] = {"color": hexes[0]} if len(set(hexes)) == 1 else {"facecolor": hexes}
        look = {"name": name, "hovertemplate": f"{name}<extra></extra>", "showlegend": True, **colour}
        traces.append(_mesh_trace(transform(pose, mesh.vertices), mesh.faces, **look))
    return traces


def _hex_colours(colours: NDArray[np.floating]) -> list[str]:
    """Returns "#rrggbb" of (F, 3) RGB in [0, 1]."""
    levels = np.clip(np.round(np.asarray(colours) * 255), 0, 255).astype(np.int64)
    return [f"#{value:06x}" for value in (levels[:, 0] << 16 | levels[:, 1] << 8 | levels[:, 2]).tolist()]


def _grasp_traces(grasps: GraspPoses, gripper: GripperGeometry, results: pd.DataFrame | None) -> list[go.Scatter3d]:
    """Returns one trace of all grasps coloured by quality, or one an outcome."""
    import plotly.graph_objects as go

    lines = np.full((len(grasps), _POINTS, 3), np.nan)
    lines[:, :-1] = gripper_lines(grasps, gripper)
    texts = [f"rank {i + 1}<br>quality {q:.3f}<br>width {1000 * w:.1f} mm" for i, (q, w) in _numbered(grasps)]
    if results is None:
        quality = np.repeat(grasps.quality, _POINTS)
        bar = {"title": {"text": "quality"}, "len": 0.6}
        line = {"width": 5, "color": quality, "colorscale": "Viridis", "colorbar": bar}
        groups = [("grasps", np.arange(len(grasps)), line)]
    else:
        ended = _endings(results)
        texts = [f"{text}<br>{ended.get(i, 'not tried')}" for i, text in enumerate(texts)]
        kind = np.array([_kind(ended.get(i)) for i in range(len(grasps))])
        members = {name: np.nonzero(kind == name)[0] for name in _OUTCOMES}
        groups = [
            (f"{name} ({len(rows)})", rows, {"width": 5, "color": _OUTCOMES[name]})
            for name, rows in members.items()
            if len(rows)
        ]
    traces = []
    for name, rows, line in groups:
        x, y, z = lines[rows].reshape(-1, 3).T
        hover = [texts[i] for i in rows for _ in range(_POINTS)]
        look = {"mode": "lines", "line": line, "name": name, "text": hover, "showlegend": True}
        traces.append(go.Scatter3d(x=x, y=y, z=z, hovertemplate="%{text}<extra></extra>", **look))
    return traces


def _numbered(grasps: GraspPoses) -> list[tuple[int, tuple[float, float]]]:
    return list(enumerate(zip(grasps.quality.tolist(), grasps.width.tolist(), strict=True)))


def _endings(results: pd.DataFrame) -> dict[int, str]:
    """Returns how the grasp of each rank ended; raises InputError where a rank stands twice."""
    if results.attempt.duplicated().any() or (results.protocol != "rank").any():
        raise InputError(
            "a scene's page takes the ranked attempts of one policy, scene and friction; choose those rows"
        )
    return dict(zip(results.attempt.tolist(), endings(results).tolist(), strict=True))


def _kind(ending: str | None) -> str:
    return "not tried" if ending is None else "success" if ending == "success" else "failure"


def write_policy_page(
    state: SceneState,
    attempts: pd.DataFrame,
    path: str | Path,
    *,
    gripper: GripperGeometry | None = None,
    scene: int = 0,
) -> Path:
    """Writes the page of the ranked grasps that one policy tried in a scene, at the lowest friction.

    Args:
        state: The scene.
        attempts: Rows of one policy.
        path: File of the page.
        gripper: Geometry of the gripper; None for the paper's.
        scene: Number of the scene in its category.

    Raises:
        InputError: The rows hold no ranked attempt in this scene.
    """
    rows = attempts[
        (attempts.protocol == "rank") & (attempts.category == state.category) & (attempts.scene == scene)
    ].sort_values("attempt")
    rows = rows[rows.friction == rows.friction.min()]
    if not len(rows):
        raise InputError(f"no ranked attempt in scene {scene} of '{state.category}'; measure it first")
    rows = rows[was_executed(rows)]
    return write_scene_page(
        state, recorded_grasps(rows), path, gripper=gripper, results=rows.assign(attempt=range(len(rows)))
    )
