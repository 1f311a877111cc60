"""The data set card: a README.md for whoever finds the data set on the Hub, on a cluster or on a USB disk."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import fields
from pathlib import Path

from labeler.dataset.card_marks import CARD, check_licence, is_ours, marked, told_kept
from labeler.dataset.card_text import GENERATED, TEMPLATE, reading_lines, told_licence
from labeler.dataset.manifest import Manifest
from labeler.dataset.stats import PAPER_ROW, DataSetStats, draw_stats, measure, ratio_rows, table_row
from labeler.shards.data_set import DataSet
from sim.errors import InputError
from sim.files import atomic_path, write_json

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def write_stats(folder: str | Path, picture: str | Path | None = None, progress: bool = False) -> DataSetStats:
    """Measures a data set; writes ``stats.json`` into its folder, and the histograms.

    Args:
        folder: Folder of a finished data set.
        picture: PNG file of the histograms; None is ``stats.png`` in the folder.
        progress: Whether to show a progress bar.
    """
    folder = Path(folder)
    stats = measure(folder, progress)
    save_stats(stats, folder / "stats.json", folder / "stats.png" if picture is None else Path(picture))
    return stats


def save_stats(stats: DataSetStats, numbers: Path, picture: Path) -> None:
    """Writes figures as JSON, and the histograms as PNG."""
    write_json(numbers, stats.to_json())
    with atomic_path(picture) as temporary:
        draw_stats(stats).savefig(temporary, format="png", dpi=110)


def check_free(numbers: Path, folder: Path) -> None:
    """Raises InputError where a file, which nobody named, holds anything but figures of the same data set.

    Args:
        numbers: JSON file that the figures are to go into.
        folder: Folder of the data set.
    """
    try:
        there = json.loads(numbers.read_text())
    except FileNotFoundError:
        return
    except (OSError, ValueError):
        there = None
    ours = isinstance(there, dict) and {f.name for f in fields(DataSetStats)} <= set(there)
    if not (ours and there["name"] == DataSet(folder).manifest.name):
        raise InputError(f"the numbers would go into {numbers}, which holds something else; give another out=FILE.png")


def write_card(folder: str | Path, licence: str | None = None, progress: bool = False) -> Path:
    """Writes ``README.md`` (figures, licence, how to read a shard), ``stats.json`` and ``stats.png``.

    A card that somebody wrote or edited is kept, which a warning says.

    Args:
        folder: Folder of a finished data set; the three files go into it.
        licence: Short name of a licence as the Hub lists it, such as "cc-by-4.0"; None is "other", which says that
            the owner has to be asked.
        progress: Whether to show a progress bar.

    Returns:
        Path of the card.

    Raises:
        InputError: ``licence`` is no short name, a card that is kept has another one, or the folder holds no data set.
    """
    if licence is not None and not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", licence):
        raise InputError(f"licence is '{licence}'; give a short name as the Hub lists them, such as cc-by-4.0")
    path = Path(folder) / CARD
    former = path.read_bytes() if path.is_file() else b""
    kept = bool(former) and not is_ours(former)
    if kept:
        check_licence(former, path, licence)
    data, stats = DataSet(folder), write_stats(folder, progress=progress)
    if kept:
        warnings.warn(f"{told_kept(path)}, its licence too; delete it, and push writes a new one", stacklevel=3)
    card = former if kept else _card(data, stats, licence or "other").encode()
    with atomic_path(path) as temporary:
        temporary.write_bytes(marked(card, "sent" if kept else "wrote"))
    return path


def _card(data: DataSet, stats: DataSetStats, licence: str) -> str:
    imported = data.manifest.imported
    return TEMPLATE.format(
        licence=licence,
        size=next((name for limit, name in _SIZES if stats.images < limit), "n>1M"),
        pretty_name=json.dumps(stats.name),
        name=stats.name,
        images=f"{stats.images:,}",
        scenes=f"{stats.scenes:,}",
        grasps=f"{stats.grasps:,}",
        made=f"imported from {imported.source}" if imported else GENERATED,
        angles=len(stats.angle),
        recipe_hash=data.hash,
        table="\n".join(f"| {key} | {value} | {PAPER_ROW[key]} |" for key, value in table_row(stats).items()),
        ratios="\n".join("| " + " | ".join(cells) + " |" for cells in ratio_rows(stats)),
        notes=_notes(data.manifest),
        allowed=told_licence(licence),
        reading=reading_lines(),
    )


def _notes(manifest: Manifest) -> str:
    """Returns what is known of the labels' truth, and what an import had to fill in, as Markdown."""
    lines = [
        f"- At friction {friction}, {truth.lifted:.1%} of {truth.attempts} random labels lift in physics."
        for friction, truth in sorted(manifest.truth.items())
    ]
    filled = manifest.imported.defaults if manifest.imported else ()
    lines += [f"- Filled in by the import: {sentence}." for sentence in filled]
    return "## Notes\n" + "\n".join(lines) + "\n" if lines else ""
