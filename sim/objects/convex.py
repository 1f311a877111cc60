"""Solids: split into convex parts, and weighed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from sim.errors import InputError
from sim.objects.mesh_file import obj_text
from sim.objects.settings import MeshSettings

FloatArray = NDArray[np.float64]

_CONVEX = 0.98  # share of its hull that a mesh fills to count as convex
_FLAT = 1e-6  # volume of the hull, as a share of the cube over the largest side
# Both programs run in processes of their own: they print a lot, hold Python's lock, and may crash on a wild mesh.
_VHACD = """
import sys, pybullet
whole, parts, log, resolution, concavity, vertices = sys.argv[1:]
pybullet.vhacd(
    whole, parts, log, resolution=int(resolution), concavity=float(concavity), maxNumVerticesPerCH=int(vertices)
)
"""
_COACD = """
import sys, coacd, trimesh
whole, parts, threshold, vertices = sys.argv[1:]
mesh = trimesh.load(whole, force="mesh", process=False)
found = coacd.run_coacd(
    coacd.Mesh(mesh.vertices, mesh.faces), float(threshold), decimate=True, max_ch_vertex=int(vertices), seed=0
)
trimesh.util.concatenate([trimesh.Trimesh(*part, process=False) for part in found]).export(parts)
"""


def convex_parts(solid: trimesh.Trimesh, folder: Path, settings: MeshSettings) -> list[trimesh.Trimesh]:
    """Returns convex meshes that together fill the solid, metres, in its frame.

    Args:
        solid: Mesh to split.
        folder: Empty folder for files in between.
        settings: How the mesh is split.

    Raises:
        InputError: The mesh is flat, or cannot be split.
    """
    try:
        hull = solid.convex_hull
    except Exception as error:  # qhull, on flat sets
        raise InputError("it is flat: it has no volume") from error
    if not hull.volume > _FLAT * np.ptp(solid.vertices, axis=0).max() ** 3:
        raise InputError("it is flat: it has no volume")
    filled = solid.is_watertight and solid.volume > _CONVEX * hull.volume
    if filled and len(hull.vertices) <= settings.part_vertices:
        return [hull]
    whole, split = folder / "whole.obj", folder / "split.obj"
    whole.write_text(obj_text(solid, include_normals=False, header=None))
    code, options = _COACD, [str(settings.coacd_threshold)]
    if settings.method == "vhacd":
        code, options = _VHACD, [str(folder / "log.txt"), str(settings.resolution), str(settings.concavity)]
    arguments = [str(whole), str(split), *options, str(settings.part_vertices)]
    try:
        subprocess.run(
            [sys.executable, "-c", code, *arguments], check=True, capture_output=True, timeout=settings.seconds
        )
        loaded: Any = trimesh.load(split, force="mesh", process=False)
        found = loaded.split(only_watertight=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"its split into convex parts took more than {settings.seconds:.0f} s") from error
    except Exception as error:  # it crashed, or wrote nothing that can be read
        raise InputError("it cannot be split into convex parts") from error
    parts = []
    for part in found:
        with contextlib.suppress(Exception):  # qhull, on parts without volume: nothing is lost
            parts.append(part.convex_hull)
    parts = [p for p in parts if p.volume > 1e-6 * hull.volume]
    if not parts:
        raise InputError("it cannot be split into convex parts")
    return parts


def mass_properties(solids: Sequence[trimesh.Trimesh]) -> tuple[float, FloatArray, FloatArray]:
    """Returns volume (m^3), centre of mass (3,) m, and inertia (3, 3) m^5 about it at density 1."""
    volumes = np.array([s.volume for s in solids])
    centres = np.array([s.center_mass for s in solids])
    centre = volumes @ centres / volumes.sum()
    inertia = np.zeros((3, 3))
    for solid, volume, offset in zip(solids, volumes, centres - centre, strict=True):
        inertia += solid.moment_inertia + volume * (offset @ offset * np.eye(3) - np.outer(offset, offset))
    return float(volumes.sum()), centre, inertia
