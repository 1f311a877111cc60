"""A judge that did not make the labels: attempts executed once more, by the same rules, in MuJoCo.

MuJoCo shares no code with Bullet: another contact model, another solver, friction that is a cone and not a pyramid.
Where both engines agree, a result hangs on neither. It is an extra: ``pip install 'plgp[mujoco]'``.
"""

from sim.lazy import attach_names

__getattr__, __dir__, __all__ = attach_names(__name__, __file__)
