"""How maps become grasps, and which view of an image a network is shown: the settings of both."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from sim.depth_image.known_floor import FLOOR_MARGIN, DepthMargins
from sim.errors import InputError

VIEWS = ("auto", "trained", "as_is")
APPROACHES = ("plane", "axis")
MOST_VIEWS = 17
STEEPEST = 1.2  # radians that a view or an approach may lean: less than a plane may be seen at


@dataclass(frozen=True, kw_only=True)
class DecoderSettings:
    """How maps become grasps; lengths in metres unless they end in _px.

    Attributes:
        smoothing_px: Standard deviation of a Gaussian over the quality map; 0 leaves the map alone.
        suppression_px: Distance within which a grasp that is chosen lowers the score of the others, where their angles
            differ by less than ``spacing_angle``.
        spacing_angle: That angle, radians.
        repeat: Factor on the score of a grasp for each one chosen before within that distance, in (0, 1].
        place: Distance within which grasps count as at one place, metres.
        revisit: Factor on the score of all other grasps at a place, once, when the first there is chosen, in (0, 1].
            Below 1, distinct places come first where they are nearly as good.
        extra_opening: Opening beyond the predicted width, up to the gripper's L4. Wider openings, and then fingers that
            pass closer, are tried for grasps that are not executable so, at a lower score.
        min_depth: Least depth that a grasp must be able to go to.
        margin: Space kept free on every side of a finger; the labels' own is 2.5 mm.
        depth_margin: Space kept free under fingers and palm, because the depth is noisy; at most half of the
            free way.
        full_depth: Depth from which deeper earns nothing more.
        edge_spread: Spread of a contact's edge along the closing direction that halves the score.
        close_depth: Least depth of the grasps with fingers that pass closer, without ``margin``, for flat objects.
        close_depth_margin: ``depth_margin`` of those.
        floor_margin: Space kept free over the workspace's floor, up to ``depth_margin``: all its pixels together say
            where it is more truly than the few under a finger. None seeks no floor and keeps ``depth_margin``
            everywhere, as a policy without a workspace and ``view.approach=axis`` do.
        pool: Greatest number of candidates that are tried, best first.
    """

    smoothing_px: float = 0.0
    suppression_px: float = 4
    spacing_angle: float = 0.5
    repeat: float = 0.9
    place: float = 0.03
    revisit: float = 1.0
    extra_opening: float = 0.010
    min_depth: float = 0.005
    margin: float = 0.0025
    depth_margin: float = 0.007
    full_depth: float = 0.020
    edge_spread: float = 0.002
    close_depth: float = 0.001
    close_depth_margin: float = 0.001
    floor_margin: float | None = FLOOR_MARGIN
    pool: int = 10_000

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        for f in fields(self):
            value = getattr(self, f.name)
            if not (f.name == "floor_margin" and value is None) and not 0 <= value < np.inf:
                raise InputError(f"decoder.{f.name} is {value}; give a number that is not negative")
        for name in ("repeat", "revisit", "full_depth", "edge_spread"):
            if getattr(self, name) == 0:
                raise InputError(f"decoder.{name} is 0; give a number above 0")
        for name in ("repeat", "revisit"):
            if getattr(self, name) > 1:
                raise InputError(f"decoder.{name} is {getattr(self, name)}; give a factor up to 1")

    @property
    def depth_margins(self) -> DepthMargins:
        """What the depth rule keeps free."""
        return DepthMargins(self.depth_margin, self.floor_margin)


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """Which view of a camera's image the network is shown, and where and how it then grasps.

    The trained view is the image as a camera would have seen it that looks straight down at the main plane from the
    height of the training (``plgp.policy.views.viewed``). What follows ``mode`` counts in that view only.

    Attributes:
        mode: "auto" shows the trained view where the camera's own differs from it enough to matter, "trained" always,
            "as_is" never.
        approach: "plane": the hand goes down onto the main plane, along its normal; "axis": along the camera's optical
            axis.
        nearer: Distance along the optical axis to the plane, over the trained height, from which on "auto" takes the
            trained view.
        farther: The same for cameras that are farther off.
        tilt: Angle of the optical axis against the plane's normal from which on it does, radians.
        least_height: Height over the main plane below which no grasp point may lie, metres: the plane itself is
            nothing to grasp.
        on_plane: Whether grasp points must lie over the main plane, as far as it is seen: walls and what stands beyond
            a table are nothing to grasp.
        least_share: Share of the seen pixels that a main plane must hold.
        steepest: Tilt of the main plane beyond which too little is seen from above, radians.
    """

    mode: str = "auto"
    approach: str = "plane"
    nearer: float = 0.95
    farther: float = 1.05
    tilt: float = 0.9
    least_height: float = 0.008
    on_plane: bool = True
    least_share: float = 0.1
    steepest: float = 1.2

    def __post_init__(self) -> None:
        """Checks values; raises InputError."""
        for name, choices in (("mode", VIEWS), ("approach", APPROACHES)):
            if getattr(self, name) not in choices:
                raise InputError(f"view.{name} is '{getattr(self, name)}'; choose one of {', '.join(choices)}")
        for name in ("nearer", "farther", "tilt", "least_height", "least_share", "steepest"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < np.inf:
                raise InputError(f"view.{name} is {value}; give a number that is not negative")
        if not isinstance(self.on_plane, bool):
            raise InputError(f"view.on_plane is {self.on_plane}; give true or false")


@dataclass(frozen=True, kw_only=True)
class VirtualViews:
    """Views of one image's points that a network is shown, each of which grasps along its own axis.

    One view looks down as ``ViewSettings`` says. The others stand in a ring around it, at the trained height.

    Attributes:
        count: Number of views, the one from above among them; 1 is that one alone.
        tilt: Angle of the ring's optical axes against the main plane's normal, radians.
        weight: Factor on the score of the ring's grasps, in (0, 1].
        max_tilt: Greatest angle of an approach against the plane's normal, radians; steeper grasps are refused.
        clearance: Space kept free between the leaning hand and the main plane, metres.
        apart: Distance within which a grasp that is chosen lowers the score of the other views', metres, where their
            closing directions differ by less than ``angle``.
        angle: That angle, radians.
        repeat: Factor by which it does, in (0, 1].
    """

    count: int = 5
    tilt: float = 0.25
    weight: float = 1.0
    max_tilt: float = 0.8
    clearance: float = 0.002
    apart: float = 0.006
    angle: float = 0.5
    repeat: float = 0.9

    def __post_init__(self) -> None:
        """Checks values; raises InputError."""
        if isinstance(self.count, bool) or not isinstance(self.count, int) or not 1 <= self.count <= MOST_VIEWS:
            raise InputError(f"virtual_views.count is {self.count}; give a whole number from 1 to {MOST_VIEWS}")
        limits = {"tilt": STEEPEST, "max_tilt": STEEPEST, "weight": 1.0, "repeat": 1.0, "clearance": np.inf}
        for name, most in (limits | {"apart": np.inf, "angle": np.inf}).items():
            value, least = getattr(self, name), name not in ("weight", "repeat")
            sound = not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value <= most
            if not sound or value == np.inf or (value == 0 and not least):
                most_said = f" up to {most:g}" if most < np.inf else ""
                raise InputError(
                    f"virtual_views.{name} is {value}; give a number {'from 0 on' if least else 'above 0'}{most_said}"
                )
