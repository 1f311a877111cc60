"""Robotiq's two-finger hands: their registers, and the socket of the URCap (port 63352), which needs no package."""

from __future__ import annotations

import socket
import threading
import time
from abc import abstractmethod
from collections.abc import Callable

from robot.devices import Hand
from robot.errors import DeviceError
from robot.values import HandState
from sim.errors import InputError

PORT = 63352
ACTIVATION = 12.0  # s
MOTION = 5.0  # s
POLL = 0.01  # s
QUIET = 0.3  # s after which an answer without an end of line has ended: longer than a lost packet takes to come again
MOST = {"OBJ": 3, "STA": 3}  # greatest values of registers; 255 of the others
FAULTS = {
    5: "it waits for its activation",
    7: "it is not activated",
    8: "it is too hot",
    9: "it hears nothing from the controller",
    10: "its voltage is too low",
    11: "it releases automatically",
    12: "an internal fault",
    13: "its activation failed; look for something between the fingers",
    14: "too much current",
    15: "it has released automatically",
}


class RobotiqFingers(Hand):
    """A 2F-85 or 2F-140 behind whatever carries its registers: GET and SET of the URCap's names."""

    def __init__(
        self,
        name: str,
        max_opening: float,
        positions: tuple[int, int],
        *,
        armed: bool,
        forces: tuple[float, float],
        speed: float,
    ) -> None:
        """Keeps the settings.

        Args:
            name: Name in messages.
            max_opening: Width at the first of ``positions``, metres; 0.14 for a 2F-140.
            positions: What the hand reports wide open and closed, from 0 to 255.
            armed: Whether the fingers move.
            forces: Least and greatest force, newtons; 10 and 125 for a 2F-140.
            speed: Share of the greatest speed, from 0 to 1.

        Raises:
            InputError: A setting is out of range.
        """
        wide, shut = positions
        if not (max_opening > 0 and 0 <= wide < shut <= 255 and 0 < forces[0] < forces[1] and 0 <= speed <= 1):
            raise InputError(
                f"max_opening is {max_opening}, positions {positions}, forces {forces}, speed {speed}; give metres, "
                "positions 0 to 255 and newtons from low to high, and a speed from 0 to 1"
            )
        self.name, self.armed = name, armed
        self.positions, self.forces, self.speed, self._max_opening = positions, forces, speed, max_opening
        self._stopping = threading.Event()

    @abstractmethod
    def _get(self, name: str) -> int:
        """Returns a register: POS, OBJ, FLT, STA or PRE; raises DeviceError."""

    @abstractmethod
    def _set(self, **values: int) -> None:
        """Sets registers; raises DeviceError."""

    @property
    def max_opening(self) -> float:
        """Greatest distance between the inner finger faces, metres."""
        return self._max_opening

    def _activate(self) -> None:
        """Activates an armed hand that is not active: its fingers then open and close once."""
        if self.armed and self._get("STA") != 3:
            self._set(ACT=1)
            self._wait(lambda: self._get("STA") == 3, ACTIVATION, "its activation")

    def state(self) -> HandState:
        """Returns the newest state."""
        now, (wide, shut) = self.clock(), self.positions
        place, met, fault = self._get("POS"), self._get("OBJ"), self._get("FLT")
        width = self._max_opening * min(1.0, max(0.0, (shut - place) / (shut - wide)))
        return HandState(
            width=width, holding=met == 2, time=now, fault=FAULTS.get(fault, f"fault {fault}") if fault else ""
        )

    def _move(self, width: float, *, force: float | None) -> HandState:
        wide, shut = self.positions
        place = round(shut - (shut - wide) * width / self._max_opening) if width > 0 else 255
        least, most = self.forces
        strength = 0 if force is None else round(255 * min(1.0, max(0.0, (force - least) / (most - least))))
        self._stopping.clear()
        self._set(SPE=round(255 * self.speed), FOR=strength, POS=place, GTO=1)
        # The hand answers about its last motion until it has taken the request up.
        self._wait(lambda: self._get("PRE") == place or self._stopping.is_set(), MOTION, "the request to be taken up")
        self._wait(lambda: self._get("OBJ") != 0 or self._stopping.is_set(), MOTION, "the fingers to come to rest")
        state = self.state()
        if state.fault:
            raise DeviceError(f"{self.name} reports: {state.fault}")
        return state

    def stop(self) -> None:
        """Stops the fingers where they are."""
        self._stopping.set()
        self._set(GTO=0)

    def _wait(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                fault = self._get("FLT")
                raise DeviceError(
                    f"{self.name} did not finish in {seconds:g} s: waiting for {what}"
                    + (f" ({FAULTS.get(fault, f'fault {fault}')})" if fault else "")
                )
            time.sleep(POLL)


class RobotiqHand(RobotiqFingers):
    """A 2F-85 or 2F-140 at a UR controller."""

    def __init__(
        self,
        host: str,
        *,
        armed: bool = False,
        max_opening: float = 0.085,
        positions: tuple[int, int] = (3, 228),
        forces: tuple[float, float] = (20.0, 235.0),
        speed: float = 0.3,
        port: int = PORT,
        timeout: float = 1.0,
    ) -> None:
        """Keeps the settings; connects to nothing.

        Args:
            host: Address of the controller.
            armed: See ``RobotiqFingers``.
            max_opening: See ``RobotiqFingers``.
            positions: See ``RobotiqFingers``.
            forces: See ``RobotiqFingers``.
            speed: See ``RobotiqFingers``.
            port: Port of the URCap.
            timeout: Longest wait for an answer, seconds.

        Raises:
            InputError: A setting is out of range.
        """
        super().__init__(f"the hand at {host}", max_opening, positions, armed=armed, forces=forces, speed=speed)
        self.host, self.port, self.timeout = host, port, timeout
        self._socket: socket.socket | None = None
        self._talking = threading.Lock()

    def connect(self) -> None:
        """Connects, and activates an armed hand that is not active: its fingers then open and close once."""
        if self._socket is not None:
            return
        try:
            self._socket = socket.create_connection((self.host, self.port), timeout=self.timeout)
        except OSError as error:
            raise DeviceError(
                f"{self.name} does not answer on port {self.port} ({error}); "
                "install Robotiq's URCap and check the cable"
            ) from None
        self._activate()

    def disconnect(self) -> None:
        """Disconnects; the fingers hold what they hold."""
        door, self._socket = self._socket, None
        if door is not None:
            door.close()

    def _ask(self, line: str) -> str:
        """Returns the answer to a line; raises DeviceError where none comes."""
        with self._talking:
            if self._socket is None:
                raise DeviceError(f"{self.name} is not connected")
            try:
                self._socket.sendall(f"{line}\n".encode())
                answer = self._answer(self._socket)
            except OSError as error:
                self.disconnect()
                raise DeviceError(f"{self.name} does not answer any more ({error}); check its cable") from None
        if not answer:
            self.disconnect()
            raise DeviceError(f"{self.name} has closed the connection; check its cable and the URCap")
        return answer.decode(errors="replace").strip()

    def _answer(self, door: socket.socket) -> bytes:
        """Returns an answer, whose bytes may come in pieces; empty where the connection is closed."""
        answer = b""
        try:
            while True:
                piece = door.recv(1024)
                answer = (answer + piece).lstrip()
                if not piece or answer == b"ack" or b"\n" in answer:  # an "ack" has no end of line
                    return answer if piece else b""
                if answer:
                    door.settimeout(min(QUIET, self.timeout))
        except TimeoutError:
            if not answer:
                raise
            return answer
        finally:
            door.settimeout(self.timeout)

    def _get(self, name: str) -> int:
        answer = self._ask(f"GET {name}").split()
        try:
            if len(answer) == 2 and answer[0] == name and 0 <= int(answer[1]) <= MOST.get(name, 255):
                return int(answer[1])
        except (IndexError, ValueError):
            pass
        raise DeviceError(f"{self.name} answered '{' '.join(answer)}' when asked for {name}; is it a Robotiq URCap?")

    def _set(self, **values: int) -> None:
        line = "SET " + " ".join(f"{name} {value}" for name, value in values.items())
        answer = self._ask(line)
        if answer != "ack":
            raise DeviceError(f"{self.name} refused '{line}' ({answer})")
