"""The answers of the checks of PDG-Generation, in the order in which they are asked."""

# The furthest check that any depth of a (pixel, angle) reached; VALID is a label. The kernels have these numbers
# compiled into them, and numba's cache of them is made anew with ``kernels.py`` only: renumber with an edit there.
REASONS = (
    "contact",  # no place for the fingers within the opening
    "symmetry",  # contacts not equally far from the pixel
    "sweep",  # the closing finger would meet something
    "palm",  # the palm would meet something
    "coverage",  # the edge is found on too few of a finger's rows
    "normal",  # edge normal too far from the closing direction
    "flatness",
    "wall",  # wall too shallow, too low or undercut
    "wedge",  # the two edges are not parallel enough
    "weight",  # the pads' friction does not hold the object, see labeler.holding; no kernel's answer
    "valid",
)
CONTACT, SYMMETRY, SWEEP, PALM, COVERAGE, NORMAL, FLATNESS, WALL, WEDGE, WEIGHT, VALID = range(len(REASONS))
