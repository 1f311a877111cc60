"""Other worlds in which labels are executed: what the tray's friction, the hand, the masses are worth."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from labeler.truth.execution import Job
from sim.errors import POSITIVE, check_numbers


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What is other than in the data set's own world; the scenes lie as they came to rest there.

    Attributes:
        tray_friction: Friction of floor and walls against objects; None for the tray's own.
        force: Closing force of each finger, newtons; None for the gripper's own.
        mass: Factor on the objects' masses.
    """

    tray_friction: float | None = None
    force: float | None = None
    mass: float = 1.0

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        given = [name for name, value in asdict(self).items() if value is not None]
        check_numbers("verify", self, dict.fromkeys(given, POSITIVE))

    def describe(self) -> str:
        """Returns the conditions in words, for example "tray_friction=1, force=30"; "" for the data set's own world."""
        changed = {name: value for name, value in asdict(self).items() if value != getattr(_OWN, name)}
        return ", ".join(f"{name}={value:g}" for name, value in changed.items())

    def apply(self, job: Job) -> Job:
        """Returns a job in this world instead of the data set's own; the masses in its heads are this world's."""
        tray, gripper = job.state.tray, job.gripper
        if self.tray_friction is not None:
            tray = replace(tray, friction=self.tray_friction)
        if self.force is not None:
            gripper = replace(gripper, force=self.force)
        models = tuple(replace(model, weight=self.mass * model.weight) for model in job.state.models)
        state = replace(job.state, models=models, tray=tray)
        return job._replace(state=state, gripper=gripper, heads=job.heads.assign(mass=self.mass * job.heads.mass))


_OWN = Conditions()
