"""When a state was measured, by the stamp of another computer whose clock is not ours."""

from __future__ import annotations

from robot.backends.rosbridge.connection import Message

CALENDAR = 1e9  # s; smaller stamps count from the start of a simulation or a computer, at a rate of their own
DRIFT = 1e-3  # s that two clocks move apart each second, at most: twice what time servers correct


def read_stamp(message: Message) -> float:
    """Returns the seconds of a message's header, 0 where it has none."""
    stamp = (message.get("header") or {}).get("stamp") or {}
    whole, rest = stamp.get("sec", stamp.get("secs")), stamp.get("nanosec", stamp.get("nsecs"))
    return float(whole or 0) + 1e-9 * float(rest or 0)


class StampClock:
    """Turns stamps into seconds of our clock.

    The two clocks may differ by any number of seconds. What a state took to arrive is known up to the least that any
    state took, so a state is as old as it arrived later than the fastest.
    """

    def __init__(self) -> None:
        """Starts without a stamp."""
        self._stamp, self._now, self._ahead = 0.0, 0.0, 0.0

    def measured(self, stamp: float, now: float) -> float | None:
        """Returns when a state was measured, seconds of our clock; None where its stamp tells nothing new.

        Args:
            stamp: The state's stamp, seconds of its own clock; 0 for none: then it counts as measured now.
            now: When it arrived, seconds of our clock.
        """
        if stamp <= 0:
            return now
        if stamp <= self._stamp:
            return None
        ahead = now - stamp
        if self._stamp:
            ahead = min(ahead, self._ahead + DRIFT * (now - self._now))
        self._stamp, self._now, self._ahead = stamp, now, ahead
        return now if stamp < CALENDAR else stamp + ahead
