"""Who puts objects into the tray and says what landed in the receptacle: the simulated cell, or an operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from robot.cell.simulated_cell import SimulatedCell
from sim.errors import InputError

_LANDING = 0.6  # seconds that a released object gets to come down


class Crew(Protocol):
    """Whoever looks after a cell."""

    def landed(self) -> list[str]:
        """Returns the names of the objects that have come to lie in the receptacle since it was last asked."""
        ...

    def tidy(self) -> list[str]:
        """Brings the cell to rest after an attempt and clears away what left the tray; returns those names."""
        ...

    def left(self) -> int:
        """Returns the number of objects in the tray."""
        ...


class SimulatedCrew:
    """Looks into the simulated world.

    Attributes:
        cell: The cell.
    """

    def __init__(self, cell: SimulatedCell) -> None:
        """Keeps the cell."""
        self.cell = cell
        self._told: set[int] = set()

    def landed(self) -> list[str]:
        """Waits for what was let go, and returns the names of what has come to lie in the receptacle."""
        self.cell.wait(_LANDING)
        there = set(self.cell.delivered())
        new, self._told = sorted(there - self._told), there
        return [self.cell.state.names[i] for i in new]

    def tidy(self) -> list[str]:
        """Takes out what lies in the receptacle or beside the tray, and lets the rest settle."""
        self._told.clear()
        gone = self.cell.take_out(sorted({*self.cell.delivered(), *self.cell.fallen()}))
        self.cell.settle()
        late = self.cell.fallen()  # what rolled out while the rest settled
        return gone + (self.cell.take_out(late) if late else [])

    def left(self) -> int:
        """Returns the number of objects in the cell."""
        return len(self.cell.state.models)


class Operator:
    """Asks the person at the cell, who cannot be replaced by a camera that looks elsewhere.

    Attributes:
        names: Names of the objects in the tray.
    """

    def __init__(self, names: Sequence[str], ask: Callable[[str], str] = input) -> None:
        """Asks for the objects to be put in.

        Args:
            names: Names of the objects.
            ask: Function that shows a line and returns what was typed.

        Raises:
            InputError: Nobody can type: standard input is closed.
        """
        self.names, self._input = list(names), ask
        self._ask(f"put into the tray: {', '.join(names)}; clear the receptacle; then press Enter ")

    def _ask(self, line: str) -> str:
        """Returns what was typed; raises InputError where nobody can type."""
        try:
            return self._input(line)
        except EOFError:
            raise InputError(
                "the operator's answers end here: standard input is closed; run the same command in a terminal, "
                "finished scenes are kept"
            ) from None

    def landed(self) -> list[str]:
        """Returns the names of as many objects as the operator counts in the receptacle."""
        if not self.names:
            return []
        while True:
            said = self._ask(f"how many objects landed in the receptacle? (0 to {len(self.names)}) ").strip()
            if said.isdigit() and int(said) <= len(self.names):
                gone, self.names = self.names[: int(said)], self.names[int(said) :]
                return gone
            print("give a whole number")

    def tidy(self) -> list[str]:
        """Does nothing: the operator has counted."""
        return []

    def left(self) -> int:
        """Returns the number of objects that have not been counted in the receptacle."""
        return len(self.names)
