"""For all tests."""

import signal


def pytest_configure():
    """Lets the programs that tests start be interrupted: under `nohup` or `&` they would inherit a deaf SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
