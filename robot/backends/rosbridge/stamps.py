"""When a state was measured, by the stamp of another computer whose clock is not ours."""

from __future__ import annotations

import math
import warnings

from robot.backends.rosbridge.connection import Message

CALENDAR = 1e9  # s; smaller stamps count from the start of a simulation or a computer, at a rate of their own
DRIFT = 1e-3  # s that two clocks move apart each second, at most: twice what time servers correct
LEAP = 0.1  # s by which a stamp alone is ahead of all before it: it is left out unless the next one is, too
SPAN = 2.5  # s; a clock has moved where two spans agree: no motion goes on for so long with old states
MOVED = 0.02  # s that a clock has moved at least; drift makes up for less
_FEW = 10  # states in a span that tell nothing of a clock


def read_stamp(message: Message) -> float:
    """Returns the seconds of a message's header, 0 where it has none."""
    stamp = (message.get("header") or {}).get("stamp") or {}
    whole, rest = stamp.get("sec", stamp.get("secs")), stamp.get("nanosec", stamp.get("nsecs"))
    return float(whole or 0) + 1e-9 * float(rest or 0)


class StampClock:
    """Turns stamps into seconds of our clock.

    The two clocks may differ by any number of seconds. What a state took to arrive is known up to the least that any
    state took, so a state is as old as it arrived later than the fastest. Where all states of some seconds are late by
    the same, the other clock was set back or slowed for a while: they count from it anew, and a warning says so. Delays
    that grow are not the same. Each time doubles those seconds, for a queue that grows by leaps is no clock.
    """

    def __init__(self, of: str = "the driver") -> None:
        """Starts without a stamp.

        Args:
            of: Whose stamps they are, for the warning.
        """
        self._of, self._span = of, SPAN
        self._stamp, self._now, self._ahead = 0.0, 0.0, 0.0
        self._leap: tuple[float, float] | None = None  # the last stamp that was left out, and how far it was ahead
        self._began, self._states = 0.0, 0  # of the present span
        self._least, self._before = math.inf, math.inf  # least of our clock less a stamp, in this span and the last

    def measured(self, stamp: float, now: float) -> float | None:
        """Returns when a state was measured, seconds of our clock; None where its stamp tells nothing new.

        Args:
            stamp: The state's stamp, seconds of its own clock; 0 for none: then it counts as measured now.
            now: When it arrived, seconds of our clock.
        """
        if stamp <= 0:
            return now
        if stamp < CALENDAR:
            new = stamp > self._stamp
            self._stamp = max(stamp, self._stamp)
            return now if new else None
        ahead = now - stamp
        allowed = self._ahead + DRIFT * (now - self._now) if self._stamp >= CALENDAR else math.inf
        if self._leaps(stamp, ahead, allowed):
            return None
        lasting = self._lasting(ahead, now)
        if lasting - allowed > MOVED:
            warnings.warn(
                f"the clock of {self._of} has moved by {lasting - allowed:.2f} s against ours, or all that it tells "
                "comes later by as much: its states count from there anew; let a time server set both clocks first",
                stacklevel=2,
            )
            self._stamp, allowed = min(self._stamp, math.nextafter(stamp, 0)), lasting
            self._span *= 2
        if stamp <= self._stamp:
            return None
        self._stamp, self._now, self._ahead = stamp, now, min(ahead, allowed)
        return stamp + self._ahead

    def _leaps(self, stamp: float, ahead: float, allowed: float) -> bool:
        """Returns whether a stamp is far ahead of all before it, and the last that was so does not bear it out."""
        last, self._leap = self._leap, None
        if allowed == math.inf or ahead >= allowed - LEAP:
            return False
        if last is not None and stamp > last[0] and abs(ahead - last[1]) < LEAP:
            return False
        self._leap = stamp, ahead
        return True

    def _lasting(self, ahead: float, now: float) -> float:
        """Notes a state, and returns our clock less its stamp where this stays the same; -inf where it does not.

        The least of a span counts, as of states that no jitter delays. Stamps that stand still fall ever more behind.
        """
        found = -math.inf
        if self._states and now - self._began >= self._span:
            least = self._least if self._states > _FEW else math.inf
            if max(least, self._before) < math.inf and abs(least - self._before) <= DRIFT * self._span:
                found = max(least, self._before)
            self._before, self._least, self._states = least, math.inf, 0
        if not self._states:
            self._began = now
        self._least, self._states = min(self._least, ahead), self._states + 1
        return found
