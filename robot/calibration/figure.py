"""The picture of a calibration's residuals."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robot.calibration.hand_eye import HandEye
from sim.drawing.figures import COLOURS, panels, save_figure


def draw_residuals(hand_eye: HandEye, path: Path) -> Path:
    """Draws the corners' residuals and the pictures' held-out errors; returns the path."""
    figure, ((left, right),) = panels(1, 2, (9, 3.6))
    offsets = hand_eye.residuals
    reach = max(0.5, 1.1 * float(np.abs(offsets).max(initial=0)))
    left.scatter(*offsets.T, s=4, color=COLOURS[0], linewidths=0)
    left.set(xlim=(-reach, reach), ylim=(reach, -reach), xlabel="columns, px", ylabel="rows, px", aspect="equal")
    left.set_title(f"corners: {hand_eye.corner_px:.2f} px rms")
    held = 1000 * hand_eye.held_out
    right.bar(range(len(held)), held, color=COLOURS[1])
    right.axhline(float(np.median(held)), color=COLOURS[6], linewidth=1)
    right.set_xticks(range(len(held)), [Path(n).stem for n in hand_eye.names], rotation=90, fontsize=7)
    right.set(ylabel="mm", title=f"held-out error: median {np.median(held):.2f} mm, worst {held.max():.2f} mm")
    return save_figure(figure, path, 110)
