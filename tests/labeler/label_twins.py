"""Slow, plain twins of the labeler's steps: section III-D with the design's errata, one function a step.

NumPy only; nothing here comes from ``labeler`` (a test holds it). Lengths are pixels of the
parallel image, depths whole steps of ``unit`` metres from its nearest point plus 1, 0 = unknown;
larger is farther from the camera. ``n`` are the thresholds of ``numbers``, ``tips`` is the depth of the
finger tips, ``side`` +1 the finger along the closing direction and -1 the other one.
"""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

UNIT = 1e-5


class Patch(NamedTuple):
    """Images around one grasp pixel: rows across the closing direction, columns along it.

    Attributes:
        front: (h, w) int64, steps.
        mask: (h, w) int64, whose surface that is.
        back: (h, w) int64, steps: the farthest surface of the front object.
        row: The grasp pixel's row.
        col: The grasp pixel's column.
    """

    front: np.ndarray
    mask: np.ndarray
    back: np.ndarray
    row: int
    col: int


def numbers(eta, gripper, s, has_back, unit=UNIT):
    """The thresholds in pixels and steps; gripper L1 ... L4 as in Fig. 3 (c)."""
    slope = np.tan(s.max_normal_angle)
    n = SimpleNamespace(
        half=int(np.ceil((gripper.finger_width / 2 + s.finger_margin) * eta - 0.5)),
        palm_across=int(np.ceil(gripper.palm_thickness / 2 * eta - 0.5)),
        palm_along=int(np.ceil(gripper.palm_width / 2 * eta)),
        footprint=round((s.width_tolerance / 2 + gripper.finger_thickness + s.finger_margin) * eta),
        farthest=int((min(s.max_width, gripper.max_opening) - s.width_tolerance) / 2 * eta + 0.5),
        asymmetry=s.max_asymmetry * eta + 1e-9,
        band=int(np.ceil((gripper.finger_width * slope + 0.0005) * eta)),
        wall=round(s.friction * s.engagement * eta),
        engagement=round(s.engagement / unit),
        length=round((gripper.finger_length - s.palm_margin) / unit),
        step=round(s.depth_step / unit),
        levels=len(np.arange(0, gripper.finger_length - 1e-9, s.depth_step)),  # D: 0 <= k g < L3
        slope=slope,
        flatness=s.max_flatness * eta**2,
        coverage=s.min_coverage,
        walls=s.min_wall_share,
        wedge=s.max_wedge_angle,
        undercut=s.undercut and has_back,
    )
    n.palm_across = max(n.palm_across, n.half)  # a thin palm is tested as thick as a finger with its margins
    count = int(gripper.finger_width / 2 / s.row_step)
    n.rows = np.unique(np.rint(np.arange(-count, count + 1) * s.row_step * eta).astype(int))
    return n


# ---- the relief ------------------------------------------------------------------------------


def aligned_point(row, col, depth, intrinsics, eta, shape):
    """Eqs. (12) as meant, (13): the parallel image's (row, col), real, of a camera pixel."""
    x, y, _ = np.linalg.solve(intrinsics, [col * depth, row * depth, depth])
    return eta * y + (shape[0] - 1) / 2, eta * x + (shape[1] - 1) / 2


def to_steps(depth, nearest, unit=UNIT):
    """Metres to steps of the relief; 0 stays unknown."""
    return np.where(depth > 0, np.floor((depth - nearest) / unit + 1.5), 0).astype(np.int64)


def turned_points(centre, theta, u, v):
    """The image's (row, col), whole, at u along the closing direction and v across it; theta counter-clockwise."""
    r = centre[0] - u * np.sin(theta) + v * np.cos(theta)
    c = centre[1] + u * np.cos(theta) + v * np.sin(theta)
    return np.floor(r + 0.5 + 1e-9).astype(int), np.floor(c + 0.5 + 1e-9).astype(int)


def turned_image(image, centre, theta, u, v):
    """The nearest pixels of ``image`` on a grid turned by theta: (len(v), len(u)); 0 outside."""
    r, c = turned_points(centre, theta, np.asarray(u)[None, :], np.asarray(v)[:, None])
    inside = (r >= 0) & (c >= 0) & (r < image.shape[0]) & (c < image.shape[1])
    return np.where(inside, image[np.where(inside, r, 0), np.where(inside, c, 0)], 0)


def on_lattice(centre, pivot, theta):
    """The point next to ``centre`` on the unit lattice that is turned by theta about ``pivot``."""
    r, c = centre[0] - pivot[0], centre[1] - pivot[1]
    u, v = np.rint(c * np.cos(theta) - r * np.sin(theta)), np.rint(c * np.sin(theta) + r * np.cos(theta))
    return pivot[0] - u * np.sin(theta) + v * np.cos(theta), pivot[1] + u * np.cos(theta) + v * np.sin(theta)


# ---- fingers and palm --------------------------------------------------------------------------


def met_by_finger(front, row, half):
    """What a finger's width (margins included) meets first in each column: the nearest of its rows."""
    return front[row - half : row + half + 1].min(axis=0)


def first_contact(met, col, side, tips, n):
    """The first distance outwards at which a finger's whole footprint is free at ``tips``, or None."""
    for distance in range(n.farthest + 1):
        a, b = col + side * distance, col + side * (distance + n.footprint - 1)
        if met[min(a, b) : max(a, b) + 1].min() >= tips:
            return distance
    return None


def is_symmetric(left, right, n):
    """Both fingers arrive nearly together, and there is something between them."""
    return min(left, right) >= 1 and abs(left - right) <= n.asymmetry


def opening(widest, eta, tolerance):
    """The width w: the opening at contact, faces on the edge between two pixels, plus the tolerance."""
    return (2 * widest - 1) / eta + tolerance


def approach_is_free(met, col, widest, tips, n):
    """Both opened fingers come down beside everything."""
    right = met[col + widest : col + widest + n.footprint]
    left = met[col - widest - n.footprint + 1 : col - widest + 1]
    return min(right.min(), left.min()) >= tips


def closing_is_free(met, col, side, contact, widest, tips, n):
    """A finger travels from where it opened to its contact without meeting anything."""
    a, b = col + side * contact, col + side * (widest + n.footprint - 1)
    return met[min(a, b) : max(a, b) + 1].min() >= tips


def palm_is_free(patch, tips, n):
    """The palm, a finger's length above the tips, stays above everything."""
    rows = slice(patch.row - n.palm_across, patch.row + n.palm_across + 1)
    cols = slice(patch.col - n.palm_along, patch.col + n.palm_along + 1)
    return patch.front[rows, cols].min() >= tips - n.length


# ---- the contact area --------------------------------------------------------------------------


def edge_distance(patch, v, side, contact, tips, value, n):
    """On one row: the distance of the first material behind the finger, if it is the object's; else None."""
    for distance in range(contact - 1, contact - n.band - 1, -1):
        place = patch.row + v, patch.col + side * distance
        if patch.front[place] < tips:
            return distance if patch.front[place] > 0 and patch.mask[place] == value else None
    return None


def wall_height(patch, v, side, distance, tips, n):
    """The height of material above the tips where mu allows the wall to lie behind its edge; less the hollow."""
    inner = patch.row + v, patch.col + side * (distance - n.wall)
    if patch.front[inner] == 0:
        return 0
    bottom = min(tips, patch.back[inner]) if n.undercut else tips
    return bottom - patch.front[inner]


def line_through(points):
    """Slope and eq. (14)'s variance about the line, both as the closing direction sees them."""
    slope, offset = np.polyfit(points[:, 0], points[:, 1], 1)
    return slope, np.mean((points[:, 1] - slope * points[:, 0] - offset) ** 2)


def judge_contact(patch, side, contact, tips, value, n):
    """One contact: the check that says no or "valid"; the edge's angle to the image's columns, radians."""
    found = [(v, edge_distance(patch, v, side, contact, tips, value, n)) for v in n.rows]
    points = np.array([pair for pair in found if pair[1] is not None], float).reshape(-1, 2)
    if len(points) < n.coverage * len(n.rows) - 1e-9 or len(points) < 2:
        return "coverage", 0.0
    slope, variance = line_through(points)
    if abs(slope) > n.slope:
        return "normal", 0.0
    if variance > n.flatness:
        return "flatness", 0.0
    heights = [wall_height(patch, int(v), side, int(d), tips, n) for v, d in points]
    if np.sum(np.array(heights) >= n.engagement) < n.walls * len(points):
        return "wall", 0.0
    return "valid", np.arctan(side * slope)


# ---- one depth, one pixel, one view ----------------------------------------------------------


def judge_level(patch, tips, value, n):
    """One depth: the check that says no or "valid", and the greater contact distance or None."""
    met = met_by_finger(patch.front, patch.row, n.half)
    left, right = (first_contact(met, patch.col, side, tips, n) for side in (-1, 1))
    if left is None or right is None:
        return "contact", None
    widest = max(left, right)
    if not is_symmetric(left, right, n):
        return "symmetry", widest
    free = approach_is_free(met, patch.col, widest, tips, n)
    for side, contact in ((-1, left), (1, right)):
        free = free and closing_is_free(met, patch.col, side, contact, widest, tips, n)
    if not free:
        return "sweep", widest
    if not palm_is_free(patch, tips, n):
        return "palm", widest
    angles = []
    for side, contact in ((-1, left), (1, right)):
        answer, angle = judge_contact(patch, side, contact, tips, value, n)
        if answer != "valid":
            return answer, widest
        angles.append(angle)
    return "valid" if abs(angles[0] - angles[1]) <= n.wedge else "wedge", widest


def deepest_label(patch, surface, value, n):
    """The deepest valid depth of one pixel and angle: (level, greater contact distance), or None."""
    for level in range(n.levels - 1, -1, -1):
        answer, widest = judge_level(patch, surface + level * n.step, value, n)
        if answer == "valid":
            return level, widest
    return None


class ViewTwin:
    """A view's parallel images in steps, cut and turned around any of its pixels."""

    def __init__(self, view, gripper, s):
        """Converts the images; ``view`` SceneView, ``gripper`` GripperGeometry, ``s`` thresholds by name."""
        self.view, self.s, self.eta = view, s, view.parallel_camera.pixels_per_metre
        depth = view.parallel_depth.astype(float)
        self.nearest = depth[depth > 0].min()
        n = self.n = numbers(self.eta, gripper, s, view.parallel_back_depth is not None)
        front = to_steps(depth, self.nearest)
        back = to_steps(view.parallel_back_depth.astype(float), self.nearest) if n.undercut else np.zeros_like(front)
        self.images = front, view.parallel_mask.astype(np.int64), back
        self.along, self.across = max(n.farthest + n.footprint, n.palm_along), max(n.palm_across, n.half)

    def place(self, row, col):
        """The aligned point, the surface's step and the mask value of a camera pixel; None if it is hidden."""
        view = self.view
        z = float(view.depth[row, col])
        centre = aligned_point(row, col, z, view.camera.intrinsics, self.eta, view.parallel_depth.shape)
        value = view.instance_mask[row, col]
        if self.images[1][int(np.rint(centre[0])), int(np.rint(centre[1]))] != value:
            return None
        return centre, int(to_steps(np.array(z), self.nearest)), value

    def patch(self, centre, theta):
        """The images around ``centre``, turned by theta."""
        u, v = np.arange(-self.along, self.along + 1), np.arange(-self.across, self.across + 1)
        return Patch(*(turned_image(image, centre, theta, u, v) for image in self.images), self.across, self.along)

    def labels(self, pixels, bins=None, pivots=None, shift=0.0):
        """Returns {(row, col, bin): (level, width)} for some camera pixels.

        Args:
            pixels: (row, col) pairs.
            bins: Which angles; default all.
            pivots: Per bin, the (row, col) about which the lattice of samples is turned; default: every
                pixel has its own lattice, through its aligned point.
            shift: Moves the samples, pixels.
        """
        found = {}
        for row, col in pixels:
            place = self.place(row, col)
            for k in () if place is None else range(self.s.angles) if bins is None else bins:
                centre, surface, value = place
                theta = k * np.pi / self.s.angles
                start = (centre[0] + shift, centre[1] - shift)
                start = start if pivots is None else on_lattice(start, pivots[k], theta)
                label = deepest_label(self.patch(start, theta), surface, value, self.n)
                if label is not None:
                    found[(row, col, k)] = label[0], opening(label[1], self.eta, self.s.width_tolerance)
        return found

    def answers(self, row, col, theta, pivot):
        """Returns, per level, the check that said no or "valid", and the width or NaN."""
        centre, surface, value = self.place(row, col)
        patch = self.patch(on_lattice(centre, pivot, theta), theta)
        said = [judge_level(patch, surface + level * self.n.step, value, self.n) for level in range(self.n.levels)]
        width = [opening(w, self.eta, self.s.width_tolerance) if w else np.nan for _, w in said]
        return [answer for answer, _ in said], np.array(width)
