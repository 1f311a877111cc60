"""Contacts that nobody planned: the arm with objects, tray or receptacle, the hand with tray or receptacle."""

from __future__ import annotations

from collections import Counter

import numpy as np

from robot.arms.assembly import FINGERS, assemble
from robot.cell.simulated_cell import SimulatedCell
from sim.physics import pybullet

GRASPED = "what the fingers hold"  # an object that they touch: it may turn against the hand's body
_EVERY = 12  # time steps between two looks: 20 a second
_LIGHT = 0.5  # newtons: a finger that brushes the tray's floor less than this has not touched it


class ContactWatch:
    """Counts contacts of a cell; append it to ``cell.on_step``.

    The arm, its hand's body and its camera are no part of the simulated physics. Here they stand among copies of the
    objects in a client of their own.
    """

    def __init__(self, cell: SimulatedCell) -> None:
        """Puts copies of arm and objects into a client of their own.

        Args:
            cell: The cell, with its scene in it.
        """
        self._found: Counter[str] = Counter()
        self._client = pybullet.connect(pybullet.DIRECT)
        self._arm = assemble(self._client, cell.arm, cell.gripper, base=cell.base, camera=cell.settings.camera_mount)
        fingers = {self._arm.links[name] for name in FINGERS}
        self._names = {n: name for name, n in self._arm.links.items() if n not in fingers}
        self._objects = {}
        for body, model in zip(cell.world.objects, cell.state.models, strict=True):
            self._objects[body] = pybullet.loadURDF(
                str(model.urdf), globalScaling=model.scale, physicsClientId=self._client
            )
        self._hand = cell.hand.body
        around = {o.name: o.put_in(self._client) for o in cell.settings.obstacles(cell.state.tray) if not o.carries_arm}
        self._around = around

    def __call__(self, cell: SimulatedCell) -> None:
        """Looks, when it is time for it."""
        if cell.steps % _EVERY:
            return
        world, grasped = cell.world, set()
        for point in pybullet.getContactPoints(bodyA=self._hand, physicsClientId=world.client):
            grasped.add(point[2])
            if point[2] != self._hand and point[2] not in world.objects and point[9] > _LIGHT:
                self._found["hand and tray or receptacle"] += 1
                break
        self._arm.place(np.asarray(cell.q))
        for body in world.objects:
            copy = self._objects[body]
            pose = pybullet.getBasePositionAndOrientation(body, physicsClientId=world.client)
            pybullet.resetBasePositionAndOrientation(copy, *pose, physicsClientId=self._client)
            self._look(copy, GRASPED if body in grasped else "an object")
        for name, body in self._around.items():
            self._look(body, name)

    def _look(self, body: int, name: str) -> None:
        """Counts a touch of the arm, the hand's body or the camera with a body."""
        points = pybullet.getClosestPoints(self._arm.body, body, 0.0, physicsClientId=self._client)
        links = {self._names[p[3]] for p in points if p[3] in self._names}
        for link in sorted(links):
            self._found[f"{link} and {name}"] += 1

    def take(self) -> dict[str, int]:
        """Returns what was found since it was last asked, with the number of looks that saw it."""
        found = dict(self._found)
        self._found.clear()
        return found

    def close(self) -> None:
        """Ends the client; harmless when done twice."""
        if self._client >= 0:
            pybullet.disconnect(self._client)
        self._client = -1
