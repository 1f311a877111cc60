"""For all tests."""

import os
import signal

from hypothesis import settings

# A test run repeats itself; HYPOTHESIS_PROFILE=search draws new examples each time.
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("search", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_configure():
    """Lets the programs that tests start be interrupted: under `nohup` or `&` they would inherit a deaf SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
