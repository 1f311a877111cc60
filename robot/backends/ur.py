"""Universal Robots' arms through ``ur_rtde`` (extra ``ur``): dashboard 29999, script 30001-30003, RTDE 30004."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import numpy as np

from robot.backends.streaming import StreamingArm
from robot.errors import DeviceError, load_backend
from robot.values import ArmState, FloatArray
from sim.errors import InputError

DASHBOARD = 29999
RUNNING = 7  # robot mode
CLOSING = 3.0  # s
SILENCE = 0.08  # s without news after which nothing is asked of the controller
MODES = {-1: "NO_CONTROLLER", 0: "DISCONNECTED", 1: "CONFIRM_SAFETY", 2: "BOOTING", 3: "POWER_OFF", 4: "POWER_ON"}
MODES |= {5: "IDLE", 6: "BACKDRIVE", 8: "UPDATING_FIRMWARE"}
# Bits of the safety status, in the order in which they are told.
SAFETY = {6: "emergency stop", 5: "emergency stop of the system", 7: "emergency stop", 2: "protective stop"}
SAFETY |= {4: "safeguard stop", 8: "safety violation", 9: "safety fault", 3: "recovery mode"}


class URArm(StreamingArm):
    """A UR3, UR5, UR10, UR16 or UR20 of the CB3 or e-Series, in remote control.

    The stream goes through ``servoJ``; a lost connection leaves the arm holding its last target.
    """

    joints = 6

    def __init__(
        self, host: str, *, armed: bool = False, frequency: float = 125.0, gain: float = 300.0, lookahead: float = 0.1
    ) -> None:
        """Keeps the settings; connects to nothing.

        Args:
            host: Address of the controller.
            armed: Whether motions are executed. A dry run needs no remote control.
            frequency: Targets a second; 125 runs on every controller.
            gain: Stiffness of servoJ, 100 to 2000.
            lookahead: Smoothing of servoJ, 0.03 to 0.2 seconds.

        Raises:
            InputError: A setting is out of range.
        """
        super().__init__()
        if not (10 <= frequency <= 500 and 100 <= gain <= 2000 and 0.03 <= lookahead <= 0.2):
            raise InputError(
                f"frequency is {frequency}, gain {gain}, lookahead {lookahead}; give 10-500 Hz, 100-2000, 0.03-0.2 s"
            )
        self.name, self.host, self.armed = f"the UR arm at {host}", host, armed
        self.period, self._servo = 1 / frequency, (lookahead, gain)
        self._control: Any = None
        self._receive: Any = None
        self._dashboard: Any = None
        self._newest = (-1.0, 0.0)  # the controller's time and ours

    def connect(self) -> None:
        """Connects, and where the arm is armed starts the control script on it."""
        if self._receive is not None:
            return
        receive = load_backend("rtde_receive", extra="ur")
        control = load_backend("rtde_control", extra="ur")
        dashboard = load_backend("dashboard_client", extra="ur")
        try:  # the driver itself would wait for minutes
            socket.create_connection((self.host, DASHBOARD), timeout=3).close()
        except OSError as error:
            raise DeviceError(
                f"{self.name} does not answer ({error}); check the cable, its address and power"
            ) from None
        try:
            self._dashboard = dashboard.DashboardClient(self.host)
            self._dashboard.connect()
            self._receive = receive.RTDEReceiveInterface(self.host, 1 / self.period)
            if self.armed:
                self._control = control.RTDEControlInterface(self.host, 1 / self.period)
        except Exception as error:
            self.disconnect()
            cure = "power it on, release the brakes and choose remote control on the pendant"
            raise DeviceError(f"{self.name} refuses the connection ({str(error).strip()}); {cure}") from error

    def disconnect(self) -> None:
        """Ends the control script; the arm holds."""
        control, self._control = self._control, None
        receive, self._receive = self._receive, None
        dashboard, self._dashboard = self._dashboard, None
        fresh = receive is not None and self._is_fresh(receive)

        def close() -> None:
            if control is not None and fresh:
                control.stopScript()
            for one in (control, receive, dashboard):
                if one is not None:
                    one.disconnect()

        # Where the controller is gone the driver would wait for minutes.
        closing = threading.Thread(target=close, daemon=True)
        closing.start()
        closing.join(CLOSING)

    def state(self) -> ArmState:
        """Returns the newest state; its age is the time since the controller's clock last moved."""
        receive = self._receive
        if receive is None:
            raise DeviceError(f"{self.name} is not connected")
        if not self._hears(receive):
            raise DeviceError(f"{self.name} sends nothing any more; check the cable")
        return ArmState(
            q=np.array(receive.getActualQ(), np.float64),
            dq=np.array(receive.getActualQd(), np.float64),
            time=self._newest[1],
            force=np.array(receive.getActualTCPForce(), np.float64)[:3],
            fault=self._fault(),
        )

    def _hears(self, receive: Any) -> bool:
        """Notes the controller's clock; returns whether it has moved within the last second."""
        now, theirs = self.clock(), float(receive.getTimestamp())
        if theirs != self._newest[0]:
            self._newest = (theirs, now)
        return now - self._newest[1] < 1.0

    def _is_fresh(self, receive: Any) -> bool:
        """Returns whether the controller's clock has moved within the last few cycles."""
        return self._hears(receive) and self.clock() - self._newest[1] < SILENCE

    def _fault(self) -> str:
        bits, mode = int(self._receive.getSafetyStatusBits()), int(self._receive.getRobotMode())
        found = [text for bit, text in SAFETY.items() if bits >> bit & 1]
        if found:
            return found[0]
        return "" if mode == RUNNING else f"robot mode {MODES.get(mode, mode)}; power it on and release the brakes"

    def _send(self, q: FloatArray, dq: FloatArray) -> None:
        if self._control is None:
            raise DeviceError(f"{self.name} was not armed when it was connected; connect it again")
        if self._control.servoJ(q.tolist(), 0.0, 0.0, self.period, *self._servo):
            return
        end = time.monotonic() + SILENCE
        while not self._fault():  # the fault's reason arrives a moment after its effect
            if time.monotonic() > end:
                raise DeviceError(f"{self.name} has no control script any more; recover it")
            time.sleep(self.period)

    def _brake(self) -> None:
        if self._control is None or self._fault():
            return
        if not self._is_fresh(self._receive):  # the driver would wait for minutes
            raise DeviceError(f"{self.name} did not confirm the stop; it holds its last target, check the cable")
        if self._control.isProgramRunning():
            self._control.servoStop(10.0)

    def _force_stop(self) -> None:
        """Stops the program over the dashboard, a connection of its own."""
        try:
            self._dashboard.stop()
        except Exception as error:
            raise DeviceError(f"{self.name} does not react ({error})") from error

    def _recover(self) -> None:
        """Unlocks a protective stop and starts the control script again.

        The controller refuses for the first 5 seconds, in which a person is to look at the cause; nothing waits here.
        """
        fault = self.state().fault
        if fault == "protective stop":
            try:
                self._dashboard.closeSafetyPopup()
                self._dashboard.unlockProtectiveStop()
            except Exception as error:
                raise DeviceError(
                    f"{self.name} keeps its protective stop ({str(error).strip()}); look at what it touches, after 5 "
                    "seconds unlock it on the pendant, then give the same command again"
                ) from error
            self._wait_for(lambda: not self._fault(), "the protective stop to end")
            time.sleep(SILENCE)  # until the driver knows that the stop has ended its script
        elif fault:
            raise DeviceError(f"{self.name} reports: {fault}; clear it at the pendant")
        if self._control is not None and not self._control.isProgramRunning():
            self._control.reuploadScript()
            self._wait_for(self._control.isProgramRunning, "the control script")

    def _wait_for(self, ready: Any, what: str) -> None:
        end = time.monotonic() + 3
        while not ready():
            if time.monotonic() > end:
                raise DeviceError(f"{self.name} did not answer within 3 seconds: waiting for {what}")
            time.sleep(0.02)
