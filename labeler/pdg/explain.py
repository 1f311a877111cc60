"""Why is there no label here? Every check of one pixel, at every angle and depth, and a picture of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from labeler.holding import can_hold
from labeler.pdg.candidates import Prepared, find_candidates, label_width, prepare
from labeler.pdg.kernels import check_clearance, check_surfaces, find_contacts, palm_top
from labeler.pdg.limits import make_scratch
from labeler.pdg.reasons import PALM, REASONS, VALID
from labeler.pdg.relief import Turn
from labeler.settings import LabelSettings
from sim.drawing.figures import panels
from sim.errors import InputError
from sim.grasp import PixelGrasps, bin_to_angle
from sim.gripper import GripperGeometry
from sim.view import SceneView

_ANSWERS = ("hidden", *REASONS)
_GREYS, _REFUSED = ("0.3", "0.6", "0.8"), ("#e41a1c", "#ff7f00", "#984ea3", "#377eb8", "#17becf", "#a65628", "#f781bf")
_COLOURS = (*_GREYS, *_REFUSED, "#ffd92f", "#4daf4a")
_PALM_HEIGHT = 0.010  # metres of the palm that are drawn


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Answers of the checks for one pixel.

    Attributes:
        row: Row of the camera pixel.
        col: Column of the camera pixel.
        depths: (L,) float64, depths of the finger tips below the surface at the pixel, metres.
        reasons: (K, L) text, the check that said no (labeler.pdg.reasons.REASONS), "valid", or "hidden"
            where the parallel image shows another object, or nothing, at the pixel's point. Weight is asked of an
            angle's deepest valid depth alone, as for a label; "weight" then stands in place of every "valid".
        widths: (K, L) float64, openings, metres; NaN where the fingers find no place.
        view: View that the pixel belongs to.
        gripper: Gripper that was checked.
        settings: Thresholds of the checks.
    """

    row: int
    col: int
    depths: NDArray[np.float64]
    reasons: NDArray[np.str_]
    widths: NDArray[np.float64]
    view: SceneView
    gripper: GripperGeometry
    settings: LabelSettings

    def labels(self) -> list[tuple[int, float, float]]:
        """Returns the pixel's labels: (angle bin, depth, width), metres; per angle the deepest valid depth.

        They are those of the pass that was explained. Of the second one, an object keeps the better half only.
        """
        found = []
        for angle_bin, answers in enumerate(self.reasons):
            valid = np.flatnonzero(answers == "valid")
            if len(valid):
                deepest = valid[-1]
                found.append((angle_bin, float(self.depths[deepest]), float(self.widths[angle_bin, deepest])))
        return found

    def __str__(self) -> str:
        """Returns one line per angle: which check said no, and from which depth to which, millimetres.

        Where the first pass has no label, the line above them says how to ask for the second one.
        """
        count, second = len(self.labels()), ""
        if self.settings.relaxed and not count:
            second = (
                " in the first pass; if it leaves the whole object without one, the second pass labels it: "
                "settings=settings.second_pass() explains that"
            )
        lines = [f"row {self.row}, col {self.col}: {count} labels{second}"]
        millimetres = np.rint(self.depths * 1e3).astype(int).tolist()
        for angle_bin, answers in enumerate(self.reasons):
            degrees = np.degrees(bin_to_angle(angle_bin, len(self.reasons)))
            parts = []
            for answer, run in groupby(zip(answers.tolist(), millimetres, strict=True), key=lambda pair: pair[0]):
                reach = [depth for _, depth in run]
                parts.append(f"{reach[0]}-{reach[-1]} {answer}" if len(reach) > 1 else f"{reach[0]} {answer}")
            lines.append(f"{degrees:5.0f} deg: {', '.join(parts)}")
        return "\n".join(lines)

    def furthest(self) -> tuple[int, int]:
        """Returns the angle bin and the level that got furthest through the checks; the deepest of them."""
        order = np.array([[_ANSWERS.index(answer) for answer in answers] for answers in self.reasons.tolist()])
        levels = np.arange(order.shape[1])
        angle_bin, level = np.unravel_index(np.argmax(order * len(levels) + levels), order.shape)
        return int(angle_bin), int(level)

    def draw(self, angle_bin: int | None = None, depth: float | None = None) -> Figure:
        """Draws all answers, the profile along one closing direction with the gripper in it, and the place.

        Args:
            angle_bin: Number of the angle; default: the one that got furthest.
            depth: Depth of the tips, metres; default: the depth that got furthest at that angle.

        Returns:
            The figure, drawn off screen: ``figure.savefig("why.png")``.

        Raises:
            InputError: There is no such angle bin.
        """
        if angle_bin is not None and not 0 <= angle_bin < len(self.reasons):
            raise InputError(f"there is no angle bin {angle_bin}; give 0 ... {len(self.reasons) - 1}")
        furthest_bin, level = self.furthest()
        if angle_bin is None:
            angle_bin = furthest_bin
        elif angle_bin != furthest_bin:
            answers = [_ANSWERS.index(answer) for answer in self.reasons[angle_bin].tolist()]
            level = len(answers) - 1 - int(np.argmax(answers[::-1]))
        if depth is not None:
            level = int(np.argmin(np.abs(self.depths - depth)))
        figure, grid = panels(1, 3, (15, 4.5), width_ratios=(1, 1.6, 0.8))
        answers_axes, profile_axes, place_axes = grid[0]
        self._draw_answers(answers_axes, angle_bin, level)
        self._draw_profile(profile_axes, angle_bin, level)
        self._draw_place(place_axes, angle_bin, level)
        return figure

    def _draw_answers(self, axes: Axes, angle_bin: int, level: int) -> None:
        numbers = np.array([[_ANSWERS.index(answer) for answer in answers] for answers in self.reasons.tolist()])
        axes.imshow(numbers.T, ListedColormap(_COLOURS), vmin=-0.5, vmax=len(_ANSWERS) - 0.5, aspect="auto")
        axes.add_patch(Rectangle((angle_bin - 0.5, level - 0.5), 1, 1, fill=False, color="black", lw=2))
        ticks = np.arange(0, len(self.depths), 5)
        axes.set_yticks(ticks, [f"{1e3 * self.depths[t]:.0f}" for t in ticks])
        axes.set(xlabel="angle bin", ylabel="depth of the tips (mm)", title=f"row {self.row}, col {self.col}")
        shown = [Patch(color=_COLOURS[i], label=_ANSWERS[i]) for i in np.unique(numbers)]
        axes.legend(handles=shown, fontsize=7, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.15))

    def _draw_profile(self, axes: Axes, angle_bin: int, level: int) -> None:
        """Heights in mm above the surface at the pixel, on the finger's middle (bold) and outer rows."""
        angle, half = float(bin_to_angle(angle_bin, len(self.reasons))), self.gripper.finger_width / 2
        reach = self.gripper.palm_width / 2 + 0.01
        along = np.arange(-reach, reach, 0.5 / self.view.parallel_camera.pixels_per_metre)
        for across, style in ((-half, ":"), (half, "--"), (0.0, "-")):
            front, back, mask = self._sample(angle, along, across)
            name = {half: "surface under the fingers' sides", 0.0: "under their middle"}.get(across)
            axes.plot(along * 1e3, front, style, color="black", lw=1.5 if across == 0 else 0.8, label=name)
            if back is not None:
                name = "underside" if across == 0 else None
                axes.plot(along * 1e3, back, style, color="red", lw=0.8, label=name)
            if across == 0:
                mine = mask == self.view.instance_mask[self.row, self.col]
                bottom = np.nanmin(front) if back is None else np.fmin(back, front)
                axes.fill_between(along * 1e3, bottom, front, where=mine, color="0.8", label="object at the pixel")
        tips, width = -1e3 * self.depths[level], 1e3 * self.widths[angle_bin, level]
        stands = bool(np.isfinite(width))
        width = width if stands else 1e3 * min(self.settings.max_width, self.gripper.max_opening)
        g = self.gripper
        look: dict[str, Any] = {"fill": False, "color": "tab:blue", "ls": "-" if stands else "--"}
        thick, length = 1e3 * g.finger_thickness, 1e3 * g.finger_length
        for left in (-width / 2 - thick, width / 2):
            axes.add_patch(Rectangle((left, tips), thick, length, **look))
        axes.add_patch(Rectangle((-500 * g.palm_width, tips + length), 1e3 * g.palm_width, 1e3 * _PALM_HEIGHT, **look))
        axes.patches[-1].set_label("gripper")
        axes.plot(0, 0, "g.", ms=10, label="pixel")
        axes.set_aspect("equal")
        axes.legend(fontsize=7, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.15))
        axes.set(xlabel="along the closing direction (mm)", ylabel="above the pixel's surface (mm)")
        answer = self.reasons[angle_bin, level]
        axes.set_title(f"{np.degrees(angle):.0f} deg, {-tips:.0f} mm deep, {width:.0f} mm wide: {answer}")

    def _sample(
        self, angle: float, along: NDArray[np.float64], across: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, NDArray[np.integer]]:
        """Returns front and back heights (mm, NaN = unknown) and mask values on one row across the profile."""
        view = self.view
        surface = float(view.depth[self.row, self.col])
        point = view.camera.deproject(self.row, self.col, surface)[0]
        points = np.tile(point, (len(along), 1))
        points[:, 0] += along * np.cos(angle) + across * np.sin(angle)
        points[:, 1] += across * np.cos(angle) - along * np.sin(angle)
        rows, cols, _ = view.parallel_camera.project(points)
        height, width = view.parallel_depth.shape
        r, c = np.rint(rows).astype(int).clip(0, height - 1), np.rint(cols).astype(int).clip(0, width - 1)
        heights = []
        for image in (view.parallel_depth, view.parallel_back_depth):
            depth = None if image is None else image[r, c].astype(np.float64)
            heights.append(None if depth is None else np.where(depth > 0, 1e3 * (surface - depth), np.nan))
        return heights[0], heights[1], view.parallel_mask[r, c]  # type: ignore[return-value]

    def _draw_place(self, axes: Axes, angle_bin: int, level: int) -> None:
        if self.view.rgb is not None:
            axes.imshow(self.view.rgb)
        else:
            axes.imshow(self.view.depth, cmap="viridis_r")
        angle, surface = bin_to_angle(angle_bin, len(self.reasons)), float(self.view.depth[self.row, self.col])
        focal = self.view.camera.intrinsics[0, 0] / surface
        reach = focal * np.nan_to_num(self.widths[angle_bin, level], nan=self.settings.max_width) / 2
        shift = reach * np.array([np.cos(angle), -np.sin(angle)])
        ends = [self.col - shift[0], self.col + shift[0]], [self.row - shift[1], self.row + shift[1]]
        axes.plot(*ends, "r-", label="opening")
        axes.plot(self.col, self.row, "g.", label="pixel")
        axes.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, 0))
        around = focal * self.gripper.max_opening
        axes.set(xlim=(self.col - around, self.col + around), ylim=(self.row + around, self.row - around))
        axes.set_axis_off()


def explain_pixel(
    view: SceneView,
    row: int,
    col: int,
    *,
    gripper: GripperGeometry | None = None,
    settings: LabelSettings | None = None,
) -> Explanation:
    """Tells, per angle and depth, which check said no to a pixel; it runs the very checks of ``label_view``.

    Args:
        view: The view.
        row: Row of the camera pixel.
        col: Column of the camera pixel.
        gripper: The gripper; default GripperGeometry().
        settings: The thresholds of one pass; default preset ``truest``. With ``settings.second_pass()`` the answers
            are those of the second pass, for an object without labels.

    Raises:
        InputError: The pixel lies outside the image or shows no object, or ``settings.hold_friction`` asks for a mass
            that the view does not know.
    """
    gripper = gripper or GripperGeometry()
    settings = settings or LabelSettings.for_hand(gripper)
    _check_pixel(view, row, col)
    levels = int(np.ceil(gripper.finger_length / settings.depth_step - 1e-9))
    reasons = np.full((settings.angles, levels), "hidden", dtype="<U9")
    widths = np.full((settings.angles, levels), np.nan)
    prepared = prepare(view, gripper, settings)
    if prepared is not None:
        rows, cols, crop_rows, crop_cols, surfaces = find_candidates(view, prepared.relief)
        this = np.flatnonzero((rows == row) & (cols == col))
        for angle_bin in range(settings.angles) if len(this) else ():
            angle = float(bin_to_angle(angle_bin, settings.angles))
            answers, contacts = _explain_angle(
                prepared,
                angle,
                crop_rows=crop_rows[this],
                crop_cols=crop_cols[this],
                surface=int(surfaces[this[0]]),
                value=int(view.instance_mask[row, col]),
            )
            reasons[angle_bin] = [REASONS[answer] for answer in answers]
            found = contacts > 0
            widths[angle_bin, found] = label_width(contacts[found], view.parallel_camera.pixels_per_metre, settings)
    explanation = Explanation(
        row=row,
        col=col,
        depths=np.arange(levels, dtype=np.float64) * settings.depth_step,
        reasons=reasons,
        widths=widths,
        view=view,
        gripper=gripper,
        settings=settings,
    )
    if settings.hold_friction > 0:
        _ask_for_weight(explanation)
    return explanation


def _check_pixel(view: SceneView, row: int, col: int) -> None:
    """Raises InputError where a pixel lies outside the image or shows no object."""
    height, width = view.instance_mask.shape
    if not (0 <= row < height and 0 <= col < width):
        raise InputError(f"pixel row {row}, col {col} lies outside the {height}x{width} image")
    if view.instance_mask[row, col] == 0 or view.depth[row, col] <= 0:
        raise InputError(f"pixel row {row}, col {col} shows no object; labels exist on objects only")


def _ask_for_weight(explanation: Explanation) -> None:
    """Turns "valid" into "weight" at the angles whose label the pads' friction does not hold."""
    for angle_bin, depth, width in explanation.labels():
        angle = bin_to_angle(angle_bin, explanation.settings.angles)
        tips, opening = np.float32(depth), np.float32(width)  # a label's own type: the same grasp to the last digit
        grasp = PixelGrasps(*(np.array([v]) for v in (explanation.row, explanation.col, tips, angle, opening, 0.0)))
        if not can_hold(grasp, explanation.view, gripper=explanation.gripper, settings=explanation.settings)[0]:
            answers = explanation.reasons[angle_bin]
            answers[answers == "valid"] = "weight"


def _explain_angle(
    prepared: Prepared,
    angle: float,
    *,
    crop_rows: NDArray[np.float64],
    crop_cols: NDArray[np.float64],
    surface: int,
    value: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns, per level, the answer (number in REASONS) and the greater contact distance (0: none)."""
    limits, relief = prepared.limits, prepared.relief
    turn = Turn.around(relief, angle, rows=crop_rows, cols=crop_cols, reach=prepared.reach)
    rows, cols = turn.place(relief, crop_rows, crop_cols)
    images, lookup = prepared.images(turn, np.empty((2, turn.height * turn.width), np.uint16), rows=rows, cols=cols)
    v, u = int(rows[0]), int(cols[0])
    sides = np.zeros((2, limits.levels), np.int32)
    counts = [find_contacts(images, v, u, side, surface, limits, sides[i]) for i, side in enumerate((-1, 1))]
    answers, contacts = np.zeros(limits.levels, np.int64), np.zeros(limits.levels, np.int64)
    for level in range(min(counts)):
        near, far = int(sides[0, level]), int(sides[1, level])
        tips = surface + level * limits.level_step
        answer = check_clearance(images.standing, v, u, near, far, tips, limits)
        if answer == VALID and palm_top(images, prepared.palm, v, u, limits) < tips - limits.finger_length:
            answer = PALM
        if answer == VALID:
            scratch = make_scratch(limits.levels, len(prepared.offsets))
            answer, _ = check_surfaces(images, lookup, prepared.offsets, v, u, near, far, tips, value, limits, scratch)
        answers[level], contacts[level] = answer, max(near, far)
    return answers, contacts
