"""Procedural objects as files: each a folder of the cache with its URDF, visible mesh, prints and convex parts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.files import write_error
from sim.jobs import run_jobs
from sim.objects.mesh_file import write_parts
from sim.objects.meshes import default_cache, is_whole, publish, seal, urdf_text
from sim.objects.procedural.generator import make_shape, weigh
from sim.objects.procedural.shapes import Piece

_VERSION = 1  # version of the shapes, to be raised when an object of the same seed and number would be another
_FEW = 16  # objects that are made sooner than other processes start


def prepare_shapes(
    seed: int, indices: Sequence[int], *, cache: str | Path | None = None, workers: int = -1
) -> list[Path]:
    """Makes the objects of a seed, or finds them in the cache.

    Args:
        seed: Seed of the objects.
        indices: Their numbers.
        cache: Folder of the objects; ``sim.objects.meshes.default_cache()`` where left out.
        workers: Number of processes; -1 for one per core.

    Returns:
        The URDF of each object, in the order of ``indices``.

    Raises:
        InputError: The cache cannot be written, or ``workers`` is out of range.
    """
    folder = Path(cache).expanduser().resolve() if cache else default_cache()
    entries = [folder / f"procedural-{_VERSION}-{seed}-{index}" for index in indices]
    missing = [(seed, index, entry) for index, entry in zip(indices, entries, strict=True) if not is_whole(entry)]
    if missing:
        processes = (os.cpu_count() or 1) if workers == -1 else workers
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for _ in run_jobs(_make, missing, 1 if len(missing) <= _FEW and processes > 0 else processes):
                pass
        except OSError as error:
            raise write_error(folder, error, cure="set XDG_CACHE_HOME to a folder that can") from error
    return [entry / "model.urdf" for entry in entries]


def _make(seed: int, index: int, entry: Path) -> None:
    """Makes one object and gives its folder its final name; runs in a worker."""
    shape = make_shape(seed, index)
    weights = weigh(shape)
    with tempfile.TemporaryDirectory(dir=entry.parent, prefix=".making-") as work:
        made = Path(work) / "entry"
        made.mkdir()
        _write_pieces(shape.pieces, weights.centre, made)
        parts = [part for piece in shape.pieces for part in piece.solid.parts]
        write_parts([p.copy().apply_translation(-weights.centre) for p in parts], made / "parts.obj")
        text = urdf_text(f"procedural-{shape.family}", weights.mass, weights.inertia)
        (made / "model.urdf").write_text(text)
        seal(made, f"{shape.family} {index} of seed {seed}")
        publish(made, entry)


def _write_pieces(pieces: Sequence[Piece], centre: NDArray[np.float64], folder: Path) -> None:
    """Writes ``visual.obj`` with a material for each piece and a PNG for each print; the centre becomes the origin."""
    from PIL import Image

    lines, materials = ["mtllib visual.mtl"], []
    vertices, corners = 1, 1
    for i, piece in enumerate(pieces):
        mesh = piece.solid.surface
        lines += [f"o piece_{i}", f"usemtl m{i}"]
        lines += [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in mesh.vertices - centre]
        faces = mesh.faces + vertices
        vertices += len(mesh.vertices)
        if piece.print is None:
            materials += [f"newmtl m{i}", "Kd " + " ".join(f"{c:.4f}" for c in piece.colour)]
            lines += [f"f {a} {b} {c}" for a, b, c in faces]
            continue
        uv = _coordinates(piece)
        lines += [f"vt {u:.5f} {v:.5f}" for u, v in uv.reshape(-1, 2)]
        numbers = np.arange(len(faces) * 3).reshape(-1, 3) + corners
        corners += len(faces) * 3
        lines += [f"f {a}/{p} {b}/{q} {c}/{r}" for (a, b, c), (p, q, r) in zip(faces, numbers, strict=True)]
        Image.fromarray(piece.print).save(folder / f"print_{i}.png")
        materials += [f"newmtl m{i}", "Kd 1 1 1", f"map_Kd print_{i}.png"]
    (folder / "visual.obj").write_text("\n".join(lines) + "\n")
    (folder / "visual.mtl").write_text("\n".join(materials) + "\n")


def _coordinates(piece: Piece) -> NDArray[np.float64]:
    """Returns the texture coordinates at each face's corners, (F, 3, 2), in [0, 1] but across the seam of a wrap."""
    mesh = piece.solid.surface
    low, size = mesh.vertices.min(axis=0), np.maximum(np.ptp(mesh.vertices, axis=0), 1e-9)
    corners = np.asarray(mesh.triangles)
    share = (corners - low) / size
    axis = np.abs(mesh.face_normals).argmax(axis=1)
    across, up = np.array([1, 0, 0])[axis], np.array([2, 2, 1])[axis]
    face = np.arange(len(corners))
    uv = np.stack([share[face, :, across], share[face, :, up]], axis=-1)
    if piece.wrapped:
        middle = (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0)) / 2
        turn = np.arctan2(corners[..., 1] - middle[1], corners[..., 0] - middle[0]) / (2 * np.pi)
        turn = turn[:, :1] + (turn - turn[:, :1] + 0.5) % 1.0 - 0.5  # no face runs across the seam
        side = axis != 2
        uv[side] = np.stack([turn, share[..., 2]], axis=-1)[side]
    return uv
