"""UFACTORY's xArm 5, 6, 7, Lite 6 and 850 through ``xarm-python-sdk`` (extra ``xarm``), TCP port 502."""

from __future__ import annotations

import logging
import re
import socket
from typing import Any

import numpy as np

from robot.backends.streaming import StreamingArm
from robot.errors import DeviceError, load_backend
from robot.values import ArmState, FloatArray
from sim.errors import InputError

PORT = 502
SERVO_MODE = 1
READY, STOPPED = 0, 4  # states that are asked for


def check_address(host: str) -> None:
    """Raises InputError where an address is not of the form that the driver takes."""
    if not re.fullmatch(r"\d+(\.\d+){3}", host):
        raise InputError(f"host is '{host}'; the driver wants an address of four numbers, for example 192.168.1.30")


def open_driver(host: str, name: str) -> Any:
    """Returns the driver, connected to a controller.

    Args:
        host: Address of the controller.
        name: Name of the device in messages.

    Raises:
        DeviceError: The controller does not answer.
        InputError: The driver is missing.
    """
    wrapper = load_backend("xarm.wrapper", extra="xarm")
    config = load_backend("xarm.core.config.x_config", extra="xarm")
    load_backend("xarm.core.utils.log", extra="xarm").logger.setLevel(logging.CRITICAL)
    port = config.XCONF.SocketConf.TCP_CONTROL_PORT
    try:  # the driver itself would try for long
        socket.create_connection((host, port), timeout=3).close()
        api = wrapper.XArmAPI(host, is_radian=True, do_not_open=True, enable_report=False)
        api.connect()
    except Exception as error:
        raise DeviceError(f"{name} does not answer ({error}); check the cable, its address and power") from error
    return api


def call_driver(api: Any, name: str, device: str, *, given: Any, named: Any) -> tuple[int, Any]:
    """Calls the driver; returns its code, 0 where all is well, and what else it answers.

    Args:
        api: The driver.
        name: Name of its function.
        device: Name of the device in messages.
        given: Positional arguments.
        named: Arguments by name.

    Raises:
        DeviceError: The driver has lost its controller.
    """
    try:
        answer = getattr(api, name)(*given, **named)
    except Exception as error:
        raise DeviceError(f"{device} sends nothing any more ({error}); check the cable") from error
    return (int(answer[0]), answer[1]) if isinstance(answer, tuple) else (int(answer), None)


class XArm(StreamingArm):
    """An xArm in servo mode; a lost connection leaves it holding its last target."""

    def __init__(self, host: str, joints: int = 6, *, armed: bool = False, frequency: float = 100.0) -> None:
        """Keeps the settings; connects to nothing.

        Args:
            host: Address of the controller, four numbers with dots.
            joints: Number of joints, 5 to 7.
            armed: Whether motions are executed.
            frequency: Targets a second, up to 250.

        Raises:
            InputError: A setting is out of range.
        """
        super().__init__()
        if joints not in (5, 6, 7) or not 10 <= frequency <= 250:
            raise InputError(f"joints is {joints}, frequency {frequency}; give 5 to 7 joints and 10 to 250 Hz")
        check_address(host)
        self.name, self.host, self.armed, self.period = f"the xArm at {host}", host, armed, 1 / frequency
        self._joints = joints
        self._api: Any = None

    @property
    def joints(self) -> int:
        """Number of joints."""
        return self._joints

    def connect(self) -> None:
        """Connects, and switches the motors of an armed arm on."""
        if self._api is not None:
            return
        self._api = open_driver(self.host, self.name)
        if self.armed:
            self._make_ready()

    def _make_ready(self) -> None:
        self._call("motion_enable", enable=True)
        self._call("set_mode", SERVO_MODE)
        self._call("set_state", READY)

    def _call(self, name: str, *given: Any, **named: Any) -> Any:
        """Calls the driver; raises DeviceError where its code is not 0."""
        if self._api is None:
            raise DeviceError(f"{self.name} is not connected")
        code, value = call_driver(self._api, name, self.name, given=given, named=named)
        if code != 0:
            fault = self._fault()
            raise DeviceError(
                f"{self.name} refuses {name} (code {code}{f', {fault}' if fault else ''}); look at its app"
            )
        return value

    def _fault(self) -> str:
        """Returns what the controller reports; empty for a mere warning."""
        code, told = call_driver(self._api, "get_err_warn_code", self.name, given=(), named={})
        return f"controller error {told[0]}" if code in (0, 1, 2) and told and told[0] else ""

    def disconnect(self) -> None:
        """Disconnects; the arm holds."""
        api, self._api = self._api, None
        if api is not None:
            api.disconnect()

    def state(self) -> ArmState:
        """Asks for the state; effort is the joints' current or torque, as the controller is set."""
        if self._api is None:
            raise DeviceError(f"{self.name} is not connected")
        now = self.clock()
        try:
            code, told = self._api.get_joint_states(is_radian=True, num=3)
        except Exception as error:
            raise DeviceError(f"{self.name} sends nothing any more ({error}); check the cable") from error
        if code not in (0, 1, 2):
            raise DeviceError(f"{self.name} sends nothing any more (code {code}); check the cable")
        q, dq, effort = (np.array(values[: self._joints], np.float64) for values in told)
        return ArmState(q=q, dq=dq, time=now, effort=effort, fault=self._fault())

    def _send(self, q: FloatArray, dq: FloatArray) -> None:
        try:
            self._call("set_servo_angle_j", q.tolist(), is_radian=True)
        except DeviceError:
            if not self.state().fault:  # a fault is named by the loop's next look at the state
                raise

    def _brake(self) -> None:
        """Makes the present pose the target."""
        state = self.state()
        if not state.fault:
            self._send(state.q, state.dq)

    def _force_stop(self) -> None:
        self._call("set_state", STOPPED)

    def _recover(self) -> None:
        """Clears the controller's errors and makes it ready."""
        self._call("clean_error")
        self._call("clean_warn")
        if self.armed:
            self._make_ready()
        fault = self.state().fault
        if fault:
            raise DeviceError(f"{self.name} reports: {fault}; release the emergency stop, look at its app")
