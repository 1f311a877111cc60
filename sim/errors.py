"""The one error that a user can mend."""


class InputError(ValueError):
    """Input that a user can mend: its message names the thing and the cure.

    Command lines print it as one sentence, without a traceback (``sim.cli``).
    """
