"""The leaderboard as Markdown and CSV."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pandas as pd

from plgp.evaluation.leaderboard.entries import Entry
from sim.files import atomic_path, write_error

_INTRODUCTION = """# Leaderboard

SR (successes per attempt), PC (objects cleared) and AP (successes among the 50 best-ranked grasps), in percent. Means
over the frictions, with the 95 % interval over scenes. Rows of one table met the first scenes of one set, as many as
their column says; scenes differ, so compare rows of equal counts. A star marks a method that saw the noiseless scene.
[Your own row](../how-to/policy.md#a-row-on-the-leaderboard) is one pull request away.
"""
_HEADS = ("method", "trained on", "SR", "PC", "AP", "scenes", "measured by", "machine")


def write_leaderboard(entries: Sequence[Entry], path: str | Path) -> list[Path]:
    """Writes the Markdown page, and a CSV of the same name beside it; returns their paths.

    Args:
        entries: The entries.
        path: File of the page.

    Raises:
        InputError: A file cannot be written.
    """
    page = Path(path)
    table = page.with_suffix(".csv")
    for target, text in ((page, markdown(entries)), (table, _data(entries).to_csv(index=False))):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(target) as temporary:
                temporary.write_text(text)
        except OSError as error:
            raise write_error(target, error) from error
    return [page, table]


def markdown(entries: Sequence[Entry]) -> str:
    """Returns the page: a table for each scene set, category and frictions, best AP first, and the commands.

    Notes on rows stand under their table: attempts without a usable grasp, and rules that are not the usual ones.
    """
    parts = [_INTRODUCTION]
    ordered = sorted(entries, key=lambda e: (*e.table, -e.means.AP, -e.means.SR, e.method))
    for (scenes, category, frictions), group in groupby(ordered, key=lambda e: e.table):
        parts += [f"## {category} of {scenes}, frictions {frictions}", ""]
        rows = list(group)
        parts += [_line(_HEADS), _line(["---"] * len(_HEADS)), *(_line(_cells(entry)) for entry in rows), ""]
        notes = [f"- {entry.method} (`{entry.folder.name}`) {_text(entry.note)}." for entry in rows if entry.note]
        parts += [*notes, ""] if notes else []
    commands = dict.fromkeys((entry.folder.name, entry.command) for entry in entries)
    parts += ["## Commands", "", *(f"- `{name}`: `{command}`" for name, command in commands), ""]
    return "\n".join(parts)


def _cells(entry: Entry) -> list[str]:
    star = "\\*" if bool(entry.means.privileged) else ""
    scores = [_score(entry, name) for name in ("SR", "PC", "AP")]
    return [f"{entry.method}{star}", entry.data, *scores, str(int(entry.means.scenes)), entry.by, entry.hardware]


def _score(entry: Entry, name: str) -> str:
    """Returns a mean with its bounds, "-" where it was not measured."""
    mean, low, high = (entry.means[key] for key in (name, f"{name}_low", f"{name}_high"))
    if pd.isna(mean):
        return "-"
    return f"{mean:.1f}" if pd.isna(low) else f"{mean:.1f} ({low:.0f}-{high:.0f})"


def _text(note: str) -> str:
    """Returns a note as Markdown that holds no HTML, whatever a policy raised."""
    return note.replace("&", "&amp;").replace("<", "&lt;")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _data(entries: Sequence[Entry]) -> pd.DataFrame:
    """Returns the entries as a table, a row each."""
    rows = []
    for entry in entries:
        about = {key: str(value) for key, value in vars(entry).items() if key not in ("means", "origin")}
        about = about if entry.note else {key: value for key, value in about.items() if key != "note"}
        rows.append(about | {str(k): v for k, v in entry.means.items() if k not in ("policy", "friction")})
    return pd.DataFrame(rows)
