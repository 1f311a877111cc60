"""Tables II, III and IV of this project's own runs, the paper's numbers beside them: ``python -m plgp.report``."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from plgp.evaluation import run_folders
from plgp.evaluation.ablation_table import table_iii
from plgp.evaluation.dashboard import draw_dashboard
from plgp.evaluation.leaderboard.entries import ABOUT, find_entries
from plgp.evaluation.leaderboard.page import write_leaderboard
from plgp.evaluation.report_page import write_page
from plgp.evaluation.report_tables import Section, table_ii, table_iv, table_of_other_scenes, table_of_runs
from plgp.evaluation.runs import Gathered, gather
from plgp.evaluation.wandb_files import opened_runs
from plgp.runs.replay import csv_runs, replay
from sim.cli import Command, run_command
from sim.errors import InputError

USAGE = """Tables II, III and IV of your own runs beside the paper's: Markdown, CSV and one HTML page.

  python -m plgp.report runs=outputs                       everything below a folder
  python -m plgp.report runs=outputs/table3,outputs/table  run folders, multiruns, results of plgp.benchmark
  python -m plgp.report runs=outputs out=outputs/report    where the report goes

  ablation=table3     W&B group or tag of the runs that make Table III, and are left out of Table II
  category=novel-15   the category that Table III is about; another one where not all its runs were measured on it
  incomplete=false    true: trainings that stopped before their last epoch count too
  pictures=true       false: no pictures of predictions in the page

`python -m plgp.report leaderboard --help` says how kept results become a leaderboard.
`python -m plgp.report pack --help` says how runs are packed into a few files that Git can keep.
`python -m plgp.report dashboard --help` says how W&B's panels are drawn from its offline files.
`python -m plgp.report wandb --help` says how runs that were logged as CSV come into W&B.
"""
DASHBOARD_HELP = """python -m plgp.report dashboard runs=FOLDER [out=outputs/dashboard.png]

Draws W&B's panels of offline runs into one picture: the settings that differ with AP, bars by category and friction,
the runs' pictures.

  runs=FOLDER   folder with W&B's offline runs below it (a multirun, for example), or a .tar.xz of one
"""
WANDB_HELP = """python -m plgp.report wandb runs=FOLDER[,FOLDER ...] [offline=true]

Logs runs that were trained with logger=csv to W&B, as if W&B had been there: settings, costs on this machine, curves,
the final table and its pictures. Runs that hold W&B's files already are left out.

  offline=true   keeps them on this machine; false sends them; without it W&B's variables and your login decide
"""
LEADERBOARD_HELP = """python -m plgp.report leaderboard FOLDER [out=outputs/leaderboard.md]

Writes a leaderboard of the results at and below FOLDER that have a method.yaml beside them: a table for each set of
scenes and frictions, best AP first, as Markdown and CSV. method.yaml says what cannot be measured:

  scenes: plgp-320-v2        the scene set
  hardware: ...              the machine
  command: ...               the command that makes the results again
  methods:
    POLICY:                  its name in the results
      method: ...            network and weights
      data: ...              what it was trained on
      by: ...                who measured it
"""
PACK_HELP = """python -m plgp.report pack runs=FOLDER[,FOLDER ...] out=FOLDER [command="..."]

Packs runs and results of benchmarks into a few files: a table's attempts in one Parquet file, its runs' settings and
curves beside it. `python -m plgp.report runs=FOLDER` makes the same tables of them.

  command=""   the command that made the runs, kept with them for readers

A method.yaml beside the runs of one folder goes with them: see python -m plgp.report leaderboard --help.
"""


def markdown(sections: Sequence[Section], found: Gathered) -> str:
    """Returns the report as Markdown."""
    parts = ["# Report", ""]
    for section in sections:
        parts += [f"## {section.title}", section.note, ""]
        if section.rows:
            lines = [section.heads, ["---"] * len(section.heads), *section.rows]
            parts += ["| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines]
            parts.append("")
    for title, folders in (("Failed jobs", found.failed), ("Left out", found.skipped)):
        if folders:
            parts += [f"## {title}", "", *(f"- `{path}`: {why}" for path, why in folders), ""]
    return "\n".join(parts)


def write_report(
    found: Gathered,
    out: str | Path,
    *,
    ablation: str = "table3",
    category: str = "novel-15",
    pictures: bool = True,
) -> list[Path]:
    """Writes report.md, a CSV a table, and report.html; returns their paths.

    Args:
        found: Runs and results.
        out: Folder that the files go to.
        ablation: W&B group or tag of the runs that make Table III and are left out of Table II.
        category: Category that Table III is about; see ``table_iii``.
        pictures: Whether the page shows predictions.

    Raises:
        InputError: The folder cannot be made.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out={out} cannot be made ({error.strerror}); give another folder") from error
    sections = [table_ii(found, ablation), table_iii(found, ablation, category), table_iv(found), table_of_runs(found)]
    own = table_of_other_scenes(found)
    if own.rows:
        sections.insert(-1, own)
    written = [folder / "report.md"]
    written[0].write_text(markdown(sections, found))
    for section in sections:
        written.append(folder / f"{section.name}.csv")
        section.data.to_csv(written[-1], index=False)
    return [*written, write_page(found, sections, folder / "report.html", pictures=pictures)]


def report(
    *,
    runs: tuple[Path, ...],
    out: Path = Path("outputs/report"),
    ablation: str = "table3",
    category: str = "novel-15",
    incomplete: bool = False,
    pictures: bool = True,
) -> None:
    """Gathers runs and results below some folders, writes the report and prints its tables."""
    found = gather(runs, incomplete=incomplete)
    written = write_report(found, out, ablation=ablation, category=category, pictures=pictures)
    print(written[0].read_text())
    for path, why in found.failed:
        print(f"job failed: {path}: {why}", file=sys.stderr)
    for path, why in found.skipped:
        print(f"left out {path}: {why}", file=sys.stderr)
    print("wrote " + ", ".join(str(p) for p in written))


def pack(*, runs: tuple[Path, ...], out: Path, command: str = "") -> None:
    """Packs the runs and results below some folders into a few files that Git can keep."""
    done = run_folders.pack(runs, out=out, command=command)
    told = [run / ABOUT for run in runs if (run / ABOUT).is_file()]
    if len(told) == 1 and not (out / ABOUT).is_file():  # what the leaderboard says of them goes with them
        shutil.copyfile(told[0], out / ABOUT)
    for path, why in done.skipped:
        print(f"left out {path}: {why}", file=sys.stderr)
    print("wrote " + ", ".join(str(p) for p in done.written))


def leaderboard(dir: Path, *, out: Path = Path("outputs/leaderboard.md")) -> None:
    """Writes the leaderboard of the kept results below a folder."""
    print("wrote " + ", ".join(str(path) for path in write_leaderboard(find_entries(dir), out)))


def dashboard(*, runs: Path, out: Path = Path("outputs/dashboard.png")) -> None:
    """Draws W&B's panels of the offline runs below a folder."""
    with opened_runs(runs) as found:
        print(f"wrote {draw_dashboard(found, out)}")


def wandb(*, runs: tuple[Path, ...], offline: bool | None = None) -> None:
    """Logs the runs below some folders to W&B that were logged as CSV only."""
    done = 0
    for folder in csv_runs(runs):
        try:
            print(f"wrote {replay(folder, offline=offline)}")
            done += 1
        except InputError as error:
            print(f"left out {folder}: {error}", file=sys.stderr)
    if not done:
        raise InputError("no run was logged to W&B")


def main() -> None:
    """Runs the command line."""
    subcommands = {"pack": Command(run=pack, help=PACK_HELP), "dashboard": Command(run=dashboard, help=DASHBOARD_HELP)}
    subcommands["wandb"] = Command(run=wandb, help=WANDB_HELP)
    subcommands["leaderboard"] = Command(run=leaderboard, help=LEADERBOARD_HELP)
    if sys.argv[1:] and sys.argv[1].startswith("leaderboard="):  # as runs=FOLDER is written, too
        sys.argv[1:2] = sys.argv[1].split("=", 1)
    run_command("python -m plgp.report", USAGE, report, subcommands=subcommands)


if __name__ == "__main__":
    main()
