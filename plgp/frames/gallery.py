"""Frames side by side: a contact sheet of the hands, and how many of the best grasps lie on objects."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console

from plgp.evaluation.map_figures import depth_picture
from plgp.frames.on_objects import OnObjects, counts_frame, counts_table
from plgp.policy.views.viewed import ViewedGrasps
from sim.drawing.hands import contact_sheet, draw_hands
from sim.files import write_table
from sim.gripper import GripperGeometry
from sim.view import Observation


class Shown(NamedTuple):
    """One frame after prediction.

    Attributes:
        name: Name of its results.
        seen: The image.
        found: Its grasps.
        record: What its JSON file holds.
        notes: Sentences about what was doubtful, or why there is no grasp.
        on_objects: How many of its best grasps lie on objects.
    """

    name: str
    seen: Observation
    found: ViewedGrasps
    record: dict[str, Any]
    notes: Sequence[str]
    on_objects: OnObjects


class Gallery:
    """Collects the frames of a command, and draws and counts them at its end.

    Attributes:
        records: What the frames' JSON files hold.
    """

    def __init__(self, folder: Path, gripper: GripperGeometry, *, drawn: int) -> None:
        """Starts empty.

        Args:
            folder: Folder of the sheet and the counts.
            gripper: The gripper that is drawn.
            drawn: Grasps a frame that are drawn.
        """
        self._folder, self._gripper, self._drawn = folder, gripper, drawn
        self.records: list[dict[str, Any]] = []
        self._tiles: list[tuple[NDArray[np.uint8], str]] = []
        self._counts: list[OnObjects] = []
        self._told: list[dict[str, Any]] = []

    def add(self, shown: Shown) -> None:
        """Takes one frame; only its small picture and its counts are kept."""
        self.records.append(shown.record)
        count = shown.on_objects
        self._counts.append(count)
        picture = depth_picture(shown.seen.depth) if shown.seen.rgb is None else shown.seen.rgb
        hands = draw_hands(picture, shown.found.poses[: self._drawn], self._gripper, camera=shown.seen.camera)
        number = len(shown.found.poses)
        doubt = ", see notes" if shown.notes else ""
        self._tiles.append((hands, f"{shown.name}: {number} grasps, view {count.shown}{doubt}"))
        told = {"frame": shown.name, "outcome": "grasps" if number else "no grasp", "grasps": number}
        self._told.append({**told, "view": count.shown, "notes": ". ".join(shown.notes)})

    def leave_out(self, name: str, reason: str) -> None:
        """Takes a frame that cannot be predicted, with the sentence that says why."""
        self._tiles.append((_card(reason), f"{name}: left out"))
        self._told.append({"frame": name, "outcome": "left out", "grasps": 0, "view": None, "notes": reason})

    def finish(self, *, sheet: bool, check: bool) -> list[Path]:
        """Returns the files that were written; the sheet and ``frames.csv`` need two frames or more.

        Args:
            sheet: Whether the contact sheet is drawn, ``sheet.png``.
            check: Whether the grasps on objects are counted, printed and written to ``on_objects.csv``.
        """
        from PIL import Image

        written = []
        if len(self._told) > 1:
            self._folder.mkdir(parents=True, exist_ok=True)
            written.append(write_table(self._folder / "frames.csv", pd.DataFrame(self._told)))
        if sheet and len(self._tiles) > 1:
            written.append(self._folder / "sheet.png")
            Image.fromarray(contact_sheet(self._tiles)).save(written[-1])
        if check and self._counts:
            Console(width=None if sys.stdout.isatty() else 120).print(counts_table(self._counts))
            written.append(self._folder / "on_objects.csv")
            counts_frame(self._counts).to_csv(written[-1], index=False, float_format="%.3f")
        return written


def _card(reason: str) -> NDArray[np.uint8]:
    """Returns a grey picture (360, 640, 3) with a sentence, in place of a frame that is left out."""
    from PIL import Image, ImageDraw, ImageFont

    card = Image.new("RGB", (640, 360), (225, 225, 225))
    text = "\n".join(textwrap.wrap(reason, 58)[:12])
    ImageDraw.Draw(card).multiline_text((20, 20), text, fill="black", font=ImageFont.load_default(size=20))
    return np.asarray(card)
