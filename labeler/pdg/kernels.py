"""The checks of PDG-Generation as numba kernels on one angle's images (see labeler.pdg.images).

All lengths are pixels of the parallel image, all depths integer steps of the relief; a larger
depth is farther from the camera. ``side`` is +1 for the finger on the right of the turned image
and -1 for the one on the left. A "level" is the depth of the finger tips.
"""

from __future__ import annotations

import numpy as np

from labeler.pdg.limits import ANYWHERE, BLOCK, Image, Images, Levels, Limits, Lookup, Results, Rows, Scratch
from labeler.pdg.reasons import CONTACT, COVERAGE, FLATNESS, NORMAL, PALM, SWEEP, SYMMETRY, VALID, WALL, WEDGE
from sim.compiled import uncounted


@uncounted
def find_contacts(images: Images, row: int, col: int, side: int, surface: int, limits: Limits, contacts: Levels) -> int:
    """Fills in, per level, the nearest column outwards from which a finger can stand.

    Deeper tips only ever move the contact outwards, so one walk answers all levels. Blocks of columns on which no
    finger stands deep enough are passed over.

    Args:
        images: Images of the angle.
        row: The candidate's row.
        col: The candidate's column.
        side: +1 or -1.
        surface: The candidate's depth, steps.
        limits: Limits.
        contacts: (levels,) int32, filled: distance of the first free column from ``col``, of as many levels as it has.

    Returns:
        How many levels, from the shallowest, have a contact.
    """
    level, tips = 0, surface
    start = col if side > 0 else col - limits.footprint + 1
    last = start + side * limits.farthest
    for block in range(start // BLOCK, last // BLOCK + side, side):
        deepest, left, right = images.deepest[row, block], block * BLOCK, block * BLOCK + BLOCK - 1
        if deepest < tips:
            continue
        first, end = (max(start, left), min(last, right)) if side > 0 else (min(start, right), max(last, left))
        for column in range(first, end + side, side):
            free = images.standing[row, column]
            while tips <= free:
                contacts[level] = abs(column - start)
                level += 1
                tips += limits.level_step
                if level == len(contacts):
                    return level
            if deepest < tips:
                break
    return level


@uncounted
def _may_stand(images: Images, row: int, col: int, side: int, surface: int, limits: Limits) -> bool:
    """Tells whether a finger may have a contact at all, by the blocks of columns alone."""
    start = col if side > 0 else col - limits.footprint + 1
    last = start + side * limits.farthest
    for block in range(start // BLOCK, last // BLOCK + side, side):  # noqa: SIM110 (numba compiles loops)
        if images.deepest[row, block] >= surface:
            return True
    return False


@uncounted
def sweep_is_free(
    standing: Image, row: int, col: int, side: int, near: int, far: int, tips: int, limits: Limits
) -> bool:
    """Tells whether a finger with its tips at ``tips`` can travel from distance ``far`` in to ``near``."""
    shift = 0 if side > 0 else 1 - limits.footprint
    for distance in range(near, far + 1):  # noqa: SIM110 (numba compiles loops, not generators)
        if standing[row, col + side * distance + shift] < tips:
            return False
    return True


@uncounted
def palm_top(images: Images, palm_rows: Rows, row: int, col: int, limits: Limits) -> np.uint16:
    """Returns the nearest surface under the palm.

    Fingers on the rows of ``palm_rows`` together cover its thickness; side by side they cover its extent.
    """
    top = np.uint16(65535)
    first, end = col - limits.palm_half, col + limits.palm_half + 1
    last = end - limits.footprint
    if last < first:  # a palm narrower than a finger is thick
        for r in range(row + palm_rows[0] - limits.half, row + palm_rows[-1] + limits.half + 1):
            for column in range(first, end):
                top = min(top, images.turned[r, column])
        return top
    for shift in palm_rows:
        for column in range(first, last, limits.footprint):
            top = min(top, images.standing[row + shift, column])
        top = min(top, images.standing[row + shift, last])
    return top


@uncounted
def _wall_height(turned: Image, lookup: Lookup, row: int, col: int, tips: int, undercut: bool) -> int:
    """Returns the height of material above the tips in one pixel, steps; the undercut hollow taken off."""
    front = np.int64(turned[row, col])
    if front == 0:
        return np.int64(0)  # type: ignore[return-value]  # 64 bits whatever the platform
    bottom = np.int64(tips)
    if undercut:
        r, c = source_pixel(lookup, row, col)
        bottom = min(bottom, np.int64(lookup.back[r, c]))
    return bottom - front  # type: ignore[return-value]


@uncounted
def source_pixel(lookup: Lookup, row: int, col: int) -> tuple[int, int]:
    """Returns the crop's (row, col) that a turned pixel shows, the nearest one if it lies outside."""
    u, v = col - lookup.left, row - lookup.top
    r = int(lookup.pivot_row - u * lookup.sine + v * lookup.cosine + 0.5)
    c = int(lookup.pivot_col + u * lookup.cosine + v * lookup.sine + 0.5)
    if lookup.quarter:
        r, c = lookup.mask.shape[0] - 1 - c, r
    return min(max(r, 0), lookup.mask.shape[0] - 1), min(max(c, 0), lookup.mask.shape[1] - 1)


@uncounted
def contact_edge(
    turned: Image,
    lookup: Lookup,
    offsets: Rows,
    row: int,
    col: int,
    side: int,
    contact: int,
    tips: int,
    value: int,
    limits: Limits,
    scratch: Scratch,
) -> tuple[int, float, float, float]:
    """Examines one finger's contact: coverage, edge normal, flatness (eq. (14)) and wall.

    On each of the finger's rows the edge is the outermost pixel of the object that stands above
    the tips; a line through the edges gives normal and flatness. The wall must rise by
    ``engagement`` within ``wall`` pixels behind the edge: friction cone down the wall. A candidate's levels come from
    the deepest upwards: ``scratch`` knows from them where no edge can be.

    Returns:
        (check, slope, height, coverage): the failed check or VALID; the edge's slope in the turned
        image (columns per row); the mean wall height in steps; the share of rows with an edge.
    """
    allowed = int((1 - limits.coverage) * len(offsets) + 1e-9)
    if not _find_edges(turned, offsets, row, col, side, contact, tips, allowed, limits, scratch):
        return COVERAGE, 0.0, 0.0, 0.0
    n, sv, se, svv, sve, see = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    walls, height = 0, 0.0
    for index in range(len(offsets)):
        r, distance = row + offsets[index], scratch.edges[max(side, 0), index]
        c = col + side * distance
        if distance < contact - limits.band or turned[r, c] == 0 or not _owned(lookup, r, c, value):
            if index + 1 - n > allowed:
                return COVERAGE, 0.0, 0.0, 0.0
            continue
        v, e = float(offsets[index]), float(distance - contact)
        n += 1
        sv, se, svv, sve, see = sv + v, se + e, svv + v * v, sve + v * e, see + e * e
        rise = _wall_height(turned, lookup, r, col + side * (distance - limits.wall), tips, limits.undercut)
        walls += rise >= limits.engagement
        height += min(rise, 4 * limits.engagement)
    coverage = n / len(offsets)
    if n < 2:
        return COVERAGE, 0.0, 0.0, coverage
    spread = svv - sv * sv / n
    slope = (sve - sv * se / n) / spread
    if abs(slope) > limits.normal:
        return NORMAL, 0.0, 0.0, coverage
    if (see - se * se / n - slope * (sve - sv * se / n)) / n > limits.flatness:
        return FLATNESS, 0.0, 0.0, coverage
    if walls < limits.wall_share * n:
        return WALL, 0.0, 0.0, coverage
    return VALID, side * slope, height / n, coverage


@uncounted
def _find_edges(
    turned: Image,
    offsets: Rows,
    row: int,
    col: int,
    side: int,
    contact: int,
    tips: int,
    allowed: int,
    limits: Limits,
    scratch: Scratch,
) -> bool:
    """Finds the outermost pixel above the tips on each of the finger's rows; puts its distance in ``scratch.edges``.

    Returns False once more than ``allowed`` rows have none within the band. Those go to the front of the order:
    neighbouring pixels and levels mostly fail on the same rows.
    """
    order, edges = scratch.order[max(side, 0)], scratch.edges[max(side, 0)]
    last, missing = contact - limits.band, 0
    for k in range(len(offsets)):
        index = order[k]
        r, distance = row + offsets[index], int(min(contact - 1, edges[index]))
        while distance >= last and turned[r, col + side * distance] >= tips:
            distance -= 1
        edges[index] = distance
        if distance < last or turned[r, col + side * distance] == 0:
            order[k] = order[missing]
            order[missing] = index
            missing += 1
            if missing > allowed:
                return False
    return True


@uncounted
def _owned(lookup: Lookup, row: int, col: int, value: int) -> bool:
    r, c = source_pixel(lookup, row, col)
    owned: bool = lookup.mask[r, c] == value
    return owned


@uncounted
def check_clearance(standing: Image, row: int, col: int, near: int, far: int, tips: int, limits: Limits) -> int:
    """Checks symmetry, width's lower end and the closing sweep of both fingers; a check's number."""
    if abs(near - far) > limits.asymmetry or min(near, far) < 1:
        return SYMMETRY
    widest = max(near, far)
    if sweep_is_free(standing, row, col, -1, near, widest, tips, limits) and sweep_is_free(
        standing, row, col, 1, far, widest, tips, limits
    ):
        return VALID
    return SWEEP


@uncounted
def check_surfaces(
    images: Images,
    lookup: Lookup,
    offsets: Rows,
    row: int,
    col: int,
    near: int,
    far: int,
    tips: int,
    value: int,
    limits: Limits,
    scratch: Scratch,
) -> tuple[int, float]:
    """Checks both contacts and how they face each other.

    Args:
        images: Images of the angle.
        lookup: Lookup.
        offsets: (m,) int64 rows of a finger, around its middle.
        row: The candidate's row.
        col: The candidate's column.
        near: Contact distance on the left (side -1).
        far: Contact distance on the right (side +1).
        tips: The level.
        value: The object's mask value.
        limits: Limits.
        scratch: Memory of the candidate's checks, in which only deeper levels of it were examined before.

    Returns:
        (check, score): the failed check or VALID; the score in [0, 1], 0 unless VALID.
    """
    check, left, height_l, cover_l = contact_edge(
        images.turned, lookup, offsets, row, col, -1, near, tips, value, limits, scratch
    )
    if check != VALID:
        return check, 0.0
    check, right, height_r, cover_r = contact_edge(
        images.turned, lookup, offsets, row, col, 1, far, tips, value, limits, scratch
    )
    if check != VALID:
        return check, 0.0
    wedge = abs(np.arctan(left) - np.arctan(right))
    if wedge > limits.wedge:
        return WEDGE, 0.0
    room = free_room(images.standing, row, col, max(near, far), tips, limits)
    symmetry = 1 - abs(near - far) / (limits.asymmetry + 1)
    straight = 1 - max(abs(left), abs(right)) / max(limits.normal, 1e-9)
    hold = min(height_l, height_r) / (4 * limits.engagement)
    parallel = 1 - wedge / max(limits.wedge, 1e-9)
    cover = min(cover_l, cover_r)
    return VALID, 0.2 * room + 0.3 * hold + 0.2 * symmetry + 0.1 * straight + 0.1 * parallel + 0.1 * cover


@uncounted
def free_room(standing: Image, row: int, col: int, widest: int, tips: int, limits: Limits) -> float:
    """Returns the free space beyond both footprints, 0 none, 1 at least ``clearance`` columns.

    Both fingers can stand at ``widest``: one column further out they meet what the column beyond them shows.
    """
    left, right = col - widest - limits.footprint, col + widest + 1
    for extra in range(limits.clearance):
        if standing[row, left - extra] < tips or standing[row, right + extra] < tips:
            return extra / limits.clearance
    return 1.0


@uncounted
def deepest_label(
    images: Images,
    lookup: Lookup,
    offsets: Rows,
    palm_rows: Rows,
    row: int,
    col: int,
    surface: int,
    value: int,
    limits: Limits,
    scratch: Scratch,
) -> tuple[int, int, int, float]:
    """Returns the deepest valid level of one pixel and angle.

    Args:
        images: Images of the angle.
        lookup: Lookup.
        offsets: (m,) int64 rows of a finger, around its middle.
        palm_rows: (p,) int64 rows of fingers that cover the palm.
        row: The candidate's row.
        col: The candidate's column.
        surface: Its depth, steps.
        value: Its mask value.
        limits: Limits.
        scratch: Memory of the checks.

    Returns:
        (reason, level, contact, score): the furthest check that a level reached; VALID with the
        level and the greater contact distance, else -1 and 0. Nothing here asks for the object's weight.
    """
    near, far, found = scratch.contacts[0], scratch.contacts[1], 0
    if _may_stand(images, row, col, -1, surface, limits) and _may_stand(images, row, col, 1, surface, limits):
        found = find_contacts(images, row, col, -1, surface, limits, near)
    if found > 0:
        found = find_contacts(images, row, col, 1, surface, limits, far[:found])
    reason, top = CONTACT, np.int64(-1)
    scratch.edges[:] = ANYWHERE
    for level in range(found - 1, -1, -1):
        tips = surface + level * limits.level_step
        check = check_clearance(images.standing, row, col, near[level], far[level], tips, limits)
        score = 0.0
        if check == VALID:
            if top < 0:
                top = np.int64(palm_top(images, palm_rows, row, col, limits))
            if top < tips - limits.finger_length:
                check = PALM
            else:
                check, score = check_surfaces(
                    images, lookup, offsets, row, col, near[level], far[level], tips, value, limits, scratch
                )
        if check == VALID:
            return VALID, level, max(near[level], far[level]), score
        reason = max(reason, check)
    return reason, -1, 0, 0.0


@uncounted
def label_angle(
    images: Images,
    lookup: Lookup,
    offsets: Rows,
    palm_rows: Rows,
    rows: Rows,
    cols: Rows,
    surfaces: Rows,
    values: Image,
    limits: Limits,
    results: Results,
    scratch: Scratch,
) -> None:
    """Labels all candidates at one angle: each keeps its deepest valid level.

    Args:
        images: Images of the angle.
        lookup: Lookup.
        offsets: (m,) int64 rows of a finger, around its middle.
        palm_rows: (p,) int64 rows of fingers that cover the palm.
        rows: (N,) int64 candidates' rows in the turned images.
        cols: (N,) int64 their columns.
        surfaces: (N,) int64 their depths, steps.
        values: (N,) uint16 their mask values.
        limits: Limits.
        results: ``reason`` (N,) uint8, ``level`` (N,) int16, ``contact`` (N,) int32 (the greater
            distance), ``score`` (N,) float32; filled.
        scratch: Memory of the checks.
    """
    reason, level, contact, score = results
    for i in range(len(rows)):
        reason[i], level[i], contact[i], score[i] = deepest_label(
            images, lookup, offsets, palm_rows, rows[i], cols[i], surfaces[i], values[i], limits, scratch
        )
