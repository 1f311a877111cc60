"""What the backends' tests share: a gantry guard, a straight motion, and programs that play a device."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from robot import Guard, SafetyLimits, Trajectory
from sim.geometry import make_pose


def tip(q):
    """A tip that moves a tenth of a metre a radian of the first three joints."""
    return make_pose(np.eye(3), 0.1 * np.asarray(q)[:3])


def make_guard(**limits):
    """A busy machine delays states by more than 100 ms; a cut cable delays them for ever."""
    wide = {"box_low": (-2, -2, -2), "box_high": (2, 2, 2), "state_age": 0.3}
    return Guard(SafetyLimits(**{**wide, **limits}), tip)


def turn(start, *, joint=0, by=0.3, seconds=1.0, contact=False):
    """A motion of one joint from rest to rest."""
    end = np.array(start, float)
    end[joint] += by
    speeds = np.zeros((2, len(end)))
    return Trajectory(times=[0, seconds], positions=[start, end], velocities=speeds, contact=contact)


class Program:
    """A device in a process of its own, told what to do line by line."""

    def __init__(self, file, *words):
        command = [sys.executable, str(Path(__file__).parent / file), *words]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.hello = self.process.stdout.readline().split()

    def tell(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture(scope="session")
def bench():
    """``make_guard``, ``turn`` and ``Program``."""
    return SimpleNamespace(make_guard=make_guard, turn=turn, Program=Program)
