"""`make bench` ends with the design's table of speeds: what was to reach, and what this machine measured."""

from rich.console import Console
from rich.table import Table


def pytest_terminal_summary(config):
    """Prints a row of every benchmark that says ``what`` it measured, what was to reach and what came out."""
    session = getattr(config, "_benchmarksession", None)
    told = [b.extra_info for b in session.benchmarks if "what" in b.extra_info] if session else []
    if told:
        table = Table("what", "to reach", "measured", title="Speed on this machine")
        for info in told:
            table.add_row(info["what"], info["to_reach"], info["measured"])
        Console(width=120).print("\n", table)
