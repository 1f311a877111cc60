"""Learning: targets, transforms, networks, losses, training, policies.

Third floor of the house: it may import sim and labeler.
"""

from sim.lazy import attach_names

__version__ = "0.2.0"

_FORMER = {
    "contact_graspnet": "plgp.methods.contact_graspnet",
    "decoder": "plgp.policy.decoder",
    "transforms": "plgp.data.transforms",
}
__getattr__, __dir__, __all__ = attach_names(__name__, __file__, former=_FORMER)
