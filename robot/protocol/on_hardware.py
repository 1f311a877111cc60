"""Table V on a real arm: the operator lays the objects in and counts what landed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from robot.devices import Arm, CameraDevice, Hand
from robot.protocol.crew import Operator
from robot.protocol.scenes import ProtocolSettings, scene_tasks
from robot.protocol.table5 import clear_scene, kept_scene, protocol_identity, scene_file
from robot.recording import Recorder, check_recorded
from robot.station import Station
from sim.benchmark.protocol import GraspPolicy
from sim.errors import InputError
from sim.files import check_writable, write_json
from sim.objects.object_set import ObjectSet


def run_on_hardware(
    station: Station,
    policy: GraspPolicy,
    objects: ObjectSet,
    *,
    settings: ProtocolSettings,
    devices: tuple[Arm, Hand, CameraDevice],
    out: str | Path,
    record: str = "all",
    ask: Callable[[str], str] = input,
) -> list[dict[str, Any]]:
    """Runs the protocol on a real arm, scene by scene; finished scenes in ``out`` are not run again.

    Args:
        station: The station.
        policy: The grasp policy.
        objects: Object set that names the objects which the operator has at hand.
        settings: The protocol.
        devices: Arm, hand and camera.
        out: Folder of the finished scenes and the recordings.
        record: Attempts that are recorded: "none", "failures" or "all".
        ask: Function that shows the operator a line and returns what was typed.

    Returns:
        The finished scenes as ``run_table5`` returns them.

    Raises:
        DeviceError: A device does not answer; finished scenes are kept.
        InputError: The arm is not armed, or ``out`` holds scenes of other settings.
    """
    folder = Path(out)
    check_recorded(record)
    if not devices[0].armed:
        raise InputError(f"{devices[0].name} is not armed, and a protocol without motion says nothing; give armed=true")
    check_writable(folder)
    tasks = scene_tasks(objects, settings)
    identity = protocol_identity(settings, station=station, policy=policy, arm=devices[0].name)
    scenes = []
    with station.on_hardware(*devices, policy=policy) as picker:
        for task in tasks:
            found = kept_scene(folder, task, identity)
            if found is None:
                crew = Operator([m.name for m in task.models], ask)
                recorder = Recorder(folder / f"picks-{task.size:02d}-{task.number:04d}", record)
                found = clear_scene(picker, crew, task, settings=settings, recorder=recorder)
                write_json(scene_file(folder, task.size, task.number), {**found, "identity": identity})
            scenes.append(found)
    return scenes
