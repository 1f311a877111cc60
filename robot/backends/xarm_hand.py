"""Robotiq's two-finger hands at an xArm's tool connector (RS485), through ``xarm-python-sdk`` (extra ``xarm``)."""

from __future__ import annotations

from typing import Any

from robot.backends.robotiq import RobotiqFingers
from robot.backends.xarm import call_driver, check_address, open_driver
from robot.errors import DeviceError

# Names of the URCap's registers in the driver's status.
STATUS = {"POS": "gPO", "OBJ": "gOBJ", "FLT": "gFLT", "STA": "gSTA", "PRE": "gPR"}


class XArmRobotiqHand(RobotiqFingers):
    """A 2F-85 or 2F-140 that is plugged into the tool of an xArm; it has a connection of its own to the controller."""

    def __init__(
        self,
        host: str,
        *,
        armed: bool = False,
        max_opening: float = 0.085,
        positions: tuple[int, int] = (3, 228),
        forces: tuple[float, float] = (20.0, 235.0),
        speed: float = 0.3,
    ) -> None:
        """Keeps the settings; connects to nothing.

        Args:
            host: Address of the arm's controller, four numbers with dots.
            armed: See ``RobotiqFingers``.
            max_opening: See ``RobotiqFingers``.
            positions: See ``RobotiqFingers``.
            forces: See ``RobotiqFingers``.
            speed: See ``RobotiqFingers``.

        Raises:
            InputError: A setting is out of range.
        """
        super().__init__(f"the hand at {host}", max_opening, positions, armed=armed, forces=forces, speed=speed)
        check_address(host)
        self.host = host
        self._api: Any = None
        self._wish = {"SPE": 255, "FOR": 0, "POS": 0}

    def connect(self) -> None:
        """Connects, and activates an armed hand that is not active: its fingers then open and close once."""
        if self._api is None:
            self._api = open_driver(self.host, self.name)
            self._activate()

    def disconnect(self) -> None:
        """Disconnects; the fingers hold what they hold."""
        api, self._api = self._api, None
        if api is not None:
            api.disconnect()

    def _call(self, name: str, *given: Any, **named: Any) -> None:
        if self._api is None:
            raise DeviceError(f"{self.name} is not connected")
        code = call_driver(self._api, name, self.name, given=given, named=named)[0]
        if code != 0:
            raise DeviceError(
                f"{self.name} does not answer through the arm's tool (code {code}); check its plug, "
                "and that the tool's RS485 runs at 115200 baud"
            )

    def _get(self, name: str) -> int:
        self._call("robotiq_get_status", 3)
        return int(self._api.robotiq_status[STATUS[name]])

    def _set(self, **values: int) -> None:
        if "ACT" in values:
            self._call("robotiq_reset")
            self._call("robotiq_set_activate", wait=False)
        elif values.get("GTO") == 0:  # stands where it is: that is its next target
            self._wish["POS"] = self._get("POS")
            self._send()
        else:
            self._wish.update({name: value for name, value in values.items() if name in self._wish})
            self._send()

    def _send(self) -> None:
        wish = self._wish
        waits = {"wait": False, "wait_motion": False, "auto_enable": False}
        self._call("robotiq_set_position", wish["POS"], speed=wish["SPE"], force=wish["FOR"], **waits)
