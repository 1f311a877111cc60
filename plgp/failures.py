"""What fails and why: attempts counted by how they ended and by cause, and pictures of the failed ones."""

from __future__ import annotations

import base64
import html
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from plgp.evaluation.failure_causes import (
    Labelled,
    Tolerances,
    cause_table,
    compare_with_labels,
    find_obstacle,
    label_state,
    reason_table,
)
from plgp.evaluation.failure_figures import caption, draw_example, film
from sim.benchmark import BenchmarkSettings, observe, scene_after, store
from sim.benchmark.grasp_attempt import attempt
from sim.benchmark.scene_sets import load_scene_set
from sim.cli import run_command
from sim.drawing.replay import recorded_grasp
from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.physics import World
from sim.scene import SceneState

USAGE = """What fails and why: one HTML page of a benchmark's failed attempts, and its tables as CSV.

  python -m plgp.failures results=outputs/table                  every policy measured there
  python -m plgp.failures results=outputs/table policy=network   one, or several with commas between

  out=outputs/failures  where failures.html, reasons.csv, causes.csv and attempts.csv go
  per_reason=6          so many example attempts a policy and reason; 0: tables alone
  protocol=rank         attempts examined: rank (of AP), or clear (of SR: executed again, slower)
  scene_set=plgp-320    the scene set that was measured: its name, or a file
  seed=0                of the choice of examples
"""
_FOUND = ["cause", "label_mm", "angle_deg", "depth_mm", "width_mm", "hit", "hit_object", "overlap_mm"]
_PROTOCOLS = {"rank": "the ranked grasps of AP, scene rebuilt each time", "clear": "clearing the scene, SR and PC"}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 1500px }
body { margin: 2em auto; padding: 0 1em } figure { margin: 1.2em 0 } img { width: 100%; height: auto; display: block }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; margin: .5em 0 1.5em }
th, td { padding: 3px 10px; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap }
th { border-bottom: 2px solid #888; vertical-align: bottom } .text { text-align: left } .wide { overflow-x: auto }
.beside { display: flex; flex-wrap: wrap; gap: 0 4em }
p.note, figcaption { color: #444; font-size: 13px; max-width: 95em } tr.first td { border-top: 1px solid #888 }
"""
_NOTE = """Causes are geometry: the scene before the attempt is labelled at {eta:g} px/m, and the grasp is compared
with the labels within {near:g} mm of it, seen from above. "angle off": by more than {bins:g} bin of the labels' angles
from all of them. Of those whose angle agrees, the nearest in depth and opening counts: "depth off" and "width off" by
more than {depth:g} mm (finger tips) and {width:g} mm (opening), the one further out. "label agrees" leaves physics:
weight, friction, what moved. What stands in the open hand's way overlaps it by {overlap:g} mm or more in the noiseless
scene: a hand that presses on something is held back by friction, and often cannot close. The row "success" says how
often grasps that lifted look the same: read each cause beside it. Cells: attempts (percent of the row)."""
_PICTURES = """Left: the camera's picture, in it the fingers as they come down, the closing line, labels as green
dots. Then the relief along the closing direction (bold: middle of the fingers, dashed: their sides; grey: the object
under the grasp, sand: others; orange: the noisy depth that was seen) with the gripper to scale. Then the attempt
executed again: before, fingers closed (or down, where nothing was gripped), and the end."""


def choose_examples(rows: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Returns ``count`` of the rows, drawn at random, no scene twice before every scene had its turn."""
    shuffled = rows.iloc[np.random.default_rng(seed).permutation(len(rows))]
    turn = shuffled.groupby(["category", "scene"]).cumcount().to_numpy()
    return shuffled.iloc[np.argsort(turn, kind="stable")[:count]]


def states(
    rows: pd.DataFrame, start: SceneState, rules: BenchmarkSettings
) -> Iterator[tuple[pd.DataFrame, SceneState]]:
    """Yields rows of one category and scene with the scene as it was before them; a clearing is executed again."""
    ranked = rows[rows.protocol == "rank"]
    if len(ranked):
        yield ranked, start
    for _, sequence in rows[rows.protocol == "clear"].groupby(["policy", "friction"]):
        state, world = start, World(rules.physics, start.tray)
        try:
            for index, row in sequence.sort_values("attempt").iterrows():
                yield sequence.loc[[index]], state
                grasp = recorded_grasp(row)
                if grasp is not None:
                    result = attempt(world, state, grasp, rules.gripper, float(row.friction), rules.attempt)
                    state = scene_after(world, state, result, rules)
        finally:
            world.close()


def _picture(
    state: SceneState, place: Labelled, row: Any, grasp: GraspPoses, rules: BenchmarkSettings, causes: Mapping[str, Any]
) -> tuple[str, str]:
    """Returns an example as a data URL, and its caption."""
    from PIL import Image

    frames, ended = film(state, row, rules)
    noise = [rules.seed, int(row.scene), int(row.attempt) if row.protocol == "clear" else 0]
    figure = draw_example(place, observe(state, rules, noise), grasp, rules.gripper, frames)
    raw, small = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, format="png", dpi=95)
    Image.open(raw).convert("RGB").save(small, format="JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(small.getvalue()).decode(), caption(row, ended, causes)


def examine(
    attempts: pd.DataFrame,
    scenes: Mapping[str, Sequence[SceneState]],
    rules: BenchmarkSettings,
    per_reason: int = 6,
    seed: int = 0,
    limits: Tolerances | None = None,
) -> tuple[pd.DataFrame, dict[Any, tuple[str, str]]]:
    """Finds every executed attempt's cause, and draws some that failed.

    Args:
        attempts: Rows of ``run_benchmark``, each with an index of its own.
        scenes: The scenes of each category, in the order in which they ran.
        rules: The rules of the run.
        per_reason: So many examples a policy and reason.
        seed: Of their choice.
        limits: From when on a grasp differs from the labels.

    Returns:
        The rows in which a grasp was executed, with the columns of ``compare_with_labels`` and
        ``find_obstacle``; and by row index the examples: (data URL, caption).
    """
    executed = attempts[attempts[["x", "qx", "width"]].notna().all(axis=1)]
    failed = executed[~executed.success.astype(bool)].groupby(["policy", "reason"])
    drawn = {index for _, rows in failed for index in choose_examples(rows, per_reason, seed).index}
    causes: dict[Any, dict[str, Any]] = {}
    pictures = {}
    groups: Any = executed.groupby(["category", "scene"], sort=False)
    console = Console(stderr=True)
    shown = track(groups, "scenes", console=console, total=len(groups), transient=True, disable=not console.is_terminal)
    for key, rows in shown:
        category, number = str(key[0]), int(key[1])
        for here, state in states(rows, scenes[category][number], rules):
            place = label_state(state, rules)
            to_camera = np.linalg.inv(place.view.camera.pose)
            for index, row in here.iterrows():
                grasp: Any = recorded_grasp(row)
                grasp = grasp.transform(to_camera, "camera")
                found = compare_with_labels(grasp, place, limits)
                found |= find_obstacle(grasp, place.view, rules.gripper, limits)
                causes[index] = found
                if index in drawn:
                    pictures[index] = _picture(state, place, row, grasp, rules, found)
    return executed.join(pd.DataFrame.from_dict(causes, orient="index", columns=_FOUND)), pictures


def check_measured(
    folder: Path, attempts: pd.DataFrame, scenes: Mapping[str, Sequence[SceneState]], rules: BenchmarkSettings
) -> bool:
    """Returns whether rows were measured by these rules. Raises InputError where it was in other scenes."""
    same = True
    keys: Any = attempts.groupby(["policy", "category", "scene"]).groups
    for key in keys:
        policy, category, number = str(key[0]), str(key[1]), int(key[2])
        if category not in scenes or number >= len(scenes[category]):
            raise InputError(
                f"there is no scene {number} of '{category}' in the scene set; give the run's, scenes=FILE"
            )
        known = store.identity("", scenes[category][number], [], rules)
        try:
            store.read(folder, policy, category, number, {"scene": known["scene"]})
        except InputError as error:
            raise InputError(
                f"'{policy}' was measured in another scene {number} of '{category}'; give the run's set, scenes=FILE"
            ) from error
        try:
            store.read(folder, policy, category, number, {"rules": known["rules"]})
        except InputError:
            same = False
    return same


def _table(table: pd.DataFrame, text: Sequence[str]) -> str:
    """Returns a table as HTML; ``text`` columns stand on the left, and a new first value starts with a line."""
    kinds = {c: ' class="text"' if c in text else "" for c in table.columns}
    head = "".join(f"<th{kinds[c]}>{html.escape(str(c))}</th>" for c in table.columns)
    lines, before = [], None
    for values in table.itertuples(index=False):
        first = ' class="first"' if values[0] != before else ""
        before = values[0]
        cells = (f"{v:.1f}" if isinstance(v, float) else html.escape(str(v)) for v in values)
        row = "".join(f"<td{kinds[c]}>{v}</td>" for c, v in zip(table.columns, cells, strict=True))
        lines.append(f"<tr{first}>{row}</tr>")
    body = "".join(lines)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cause_html(causes: pd.DataFrame, kind: str) -> str:
    """Returns one policy's causes of a kind: a row an ending, a column a cause, "count (percent)" in the cells."""
    part = causes[causes.kind == kind]
    if not len(part):
        return ""
    columns = list(part.groupby("cause").attempts.sum().sort_values(ascending=False).index)
    failed = part[part.reason != "success"].assign(reason="all that failed")
    lines = []
    for objects, rows in pd.concat([part, failed] if kind == "label" else [part]).groupby("objects"):
        for reason, same in rows.groupby("reason", sort=False):
            counts = same.groupby("cause").attempts.sum()
            total = int(counts.sum())
            cells = {c: f"{counts[c]} ({100 * counts[c] / total:.0f} %)" if c in counts else "" for c in columns}
            lines.append({"objects": str(objects), "ending": reason, "attempts": total} | cells)
    return _table(pd.DataFrame(lines), ("objects", "ending"))


def _reasons_html(reasons: pd.DataFrame) -> str:
    """Returns one policy's endings, a table a protocol, side by side."""
    parts = []
    for protocol, rows in reasons.groupby("protocol", sort=False):
        shown = rows.drop(columns=["policy", "protocol"])
        parts.append(f"<div>{_PROTOCOLS[str(protocol)]}{_table(shown, ('where', 'reason'))}</div>")
    return f'<div class="beside">{"".join(parts)}</div>'


def _policy_html(
    policy: str,
    reasons: pd.DataFrame,
    causes: pd.DataFrame,
    examined: pd.DataFrame,
    pictures: Mapping[Any, tuple[str, str]],
) -> str:
    """Returns one policy's part of the page."""
    parts = [f"<h2>{html.escape(policy)}</h2><h3>How attempts ended, percent</h3>"]
    parts.append(_reasons_html(reasons[reasons.policy == policy]))
    parts += [
        "<h3>The grasp beside the labels at its place</h3>",
        _cause_html(causes[causes.policy == policy], "label"),
    ]
    obstacles = _cause_html(causes[causes.policy == policy], "obstacle")
    parts += ["<h3>What stands where the open hand comes down</h3>", obstacles] if obstacles else []
    shown = examined[(examined.policy == policy) & examined.index.isin(list(pictures))]
    for reason, rows in shown.groupby("reason"):
        parts.append(f"<h3>{html.escape(policy)}: {html.escape(str(reason))}</h3>")
        for index in rows.index:
            source, words = pictures[index]
            text = html.escape(words)
            parts.append(f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>')
    return "\n".join(parts)


def write_failures(
    results: str | Path,
    out: str | Path,
    policies: Sequence[str] = (),
    per_reason: int = 6,
    protocol: str = "rank",
    scenes: Mapping[str, Sequence[SceneState]] | None = None,
    rules: BenchmarkSettings | None = None,
    seed: int = 0,
) -> list[Path]:
    """Writes failures.html, reasons.csv, causes.csv and attempts.csv; returns their paths.

    Args:
        results: Folder of a benchmark.
        out: Where they go.
        policies: Which; none for all that were measured.
        per_reason: So many examples a policy and reason.
        protocol: Whose attempts are examined: "rank" or "clear"; endings are counted of both.
        scenes: The scenes that were measured; default plgp-320.
        rules: The rules of the run; default BenchmarkSettings().
        seed: Of the choice of examples.

    Raises:
        InputError: Nothing was measured there, or not this policy, or in other scenes.
    """
    attempts, rules, limits = store.read_attempts(results), rules or BenchmarkSettings(), Tolerances()
    scenes = scenes or load_scene_set("plgp-320")
    measured = list(dict.fromkeys(attempts.policy))
    for policy in policies:
        if policy not in measured:
            raise InputError(f"'{policy}' was not measured in {results}; choose from {', '.join(measured)}")
    attempts = attempts[attempts.policy.isin(policies or measured)]
    same = check_measured(Path(results), attempts, scenes, rules)
    if not same:
        warnings.warn(
            f"{results} was measured by other rules: executed again, attempts may end otherwise", stacklevel=2
        )
    examined, pictures = examine(attempts[attempts.protocol == protocol], scenes, rules, per_reason, seed, limits)
    reasons, causes = reason_table(attempts), cause_table(examined)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "failures.html"]
    for name, table in (("reasons", reasons), ("causes", causes), ("attempts", examined)):
        written.append(folder / f"{name}.csv")
        table.to_csv(written[-1], index=False)
    note = _NOTE.format(eta=rules.pixels_per_metre, bins=limits.bins, **_millimetres(limits))
    note += f" Causes and pictures: protocol {protocol}." + ("" if same else " Measured by other rules than replayed.")
    parts = [f'<h1>What fails and why</h1><p class="note">{html.escape(note)}</p>']
    parts.append(f'<p class="note">{html.escape(_PICTURES)}</p>' if pictures else "")
    parts += [_policy_html(p, reasons, causes, examined, pictures) for p in policies or measured]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>plgp failures</title>'
    body = "\n".join(parts)
    page = f'<!DOCTYPE html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n<body>{body}</body></html>\n'
    written[0].write_text(page)
    return written


def _millimetres(limits: Tolerances) -> dict[str, float]:
    return {name: 1e3 * getattr(limits, name) for name in ("near", "depth", "width", "overlap")}


def failures(
    *,
    results: Path,
    out: Path = Path("outputs/failures"),
    policy: tuple[str, ...] = (),
    per_reason: int = 6,
    protocol: Literal["rank", "clear"] = "rank",
    scene_set: str = "plgp-320",
    seed: int = 0,
) -> None:
    """Examines the failed attempts of a benchmark, executes examples again and writes a page of them."""
    for name, value in (("per_reason", per_reason), ("seed", seed)):
        if value < 0:
            raise InputError(f"{name}={value}; give a whole number, 0 or more")
    found = load_scene_set(scene_set)
    options: dict[str, Any] = {"per_reason": per_reason, "protocol": protocol, "scenes": found, "seed": seed}
    written = write_failures(results, out, policy, **options)
    print("wrote " + ", ".join(str(p) for p in written))


def main() -> None:
    """Runs the command line."""
    run_command("python -m plgp.failures", USAGE, failures)


if __name__ == "__main__":
    main()
