"""A scene with its grasps as a web page that the mouse turns: looks into the clutter that no picture gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.benchmark.attempt_table import endings, recorded_grasps, was_executed
from sim.drawing.hands import hand_trace
from sim.drawing.object_colours import object_colours
from sim.drawing.turning_page import laid_out, write_figure_page
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
    return laid_out(figure, title)


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
    figure = scene_figure(state, grasps, gripper or GripperGeometry(), results=results)
    return write_figure_page(figure, path, plotlyjs=plotlyjs)


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
    if results is None:
        return [hand_trace(grasps, gripper)]
    ended = _endings(results)
    notes = [ended.get(i, "not tried") for i in range(len(grasps))]
    kind = np.array([_kind(ended.get(i)) for i in range(len(grasps))])
    members = {name: np.nonzero(kind == name)[0] for name in _OUTCOMES}
    return [
        hand_trace(grasps, gripper, rows, name=f"{name} ({len(rows)})", colour=_OUTCOMES[name], notes=notes)
        for name, rows in members.items()
        if len(rows)
    ]


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
