"""The page and the tables of what fails and why."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from plgp.evaluation.failures.causes import Tolerances, cause_table, reason_table
from plgp.evaluation.failures.examples import Example, check_measured, examine
from sim.benchmark.protocol import BenchmarkSettings
from sim.benchmark.scene_sets import load_scene_set
from sim.benchmark.store import read_attempts
from sim.drawing.pages import data_url, render, render_page, render_picture
from sim.errors import InputError
from sim.scene import SceneState

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
_PAGE = """
<h1>What fails and why</h1><p class="note">{{ note }}</p>
{% if pictures %}
<p class="note">{{ pictures }}</p>
{% endif %}
{% for policy in policies %}
<h2>{{ policy.name }}</h2><h3>How attempts ended, percent</h3>
<div class="beside">
{% for protocol, table in policy.endings %}
<div>{{ protocol }}{{ table }}</div>
{% endfor %}
</div>
<h3>The grasp beside the labels at its place</h3>
{{ policy.labels }}
{% if policy.obstacles %}
<h3>What stands where the open hand comes down</h3>
{{ policy.obstacles }}
{% endif %}
{% for reason, examples in policy.examples %}
<h3>{{ policy.name }}: {{ reason }}</h3>
{% for example in examples %}
{{ example }}
{% endfor %}
{% endfor %}
{% endfor %}
"""
_TABLE = """
<div class="wide"><table><thead><tr>
{% for column in columns %}
<th{% if column in text %} class="text"{% endif %}>{{ column }}</th>
{% endfor %}
</tr></thead><tbody>
{% for row in rows %}
<tr{% if loop.changed(row[0]) %} class="first"{% endif %}>
{% for cell in row %}
<td{% if columns[loop.index0] in text %} class="text"{% endif %}>{{ cell }}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody></table></div>
"""


def render_table(table: pd.DataFrame, text: Sequence[str]) -> Markup:
    """Returns a table as HTML: numbers with one decimal, and a line above each new first value.

    Args:
        table: The table.
        text: Columns that stand on the left.
    """
    rows = [[f"{v:.1f}" if isinstance(v, float) else str(v) for v in row] for row in table.itertuples(index=False)]
    return render(_TABLE, columns=[str(c) for c in table.columns], rows=rows, text=text)


def _render_causes(causes: pd.DataFrame, kind: str) -> Markup:
    """Returns one policy's causes of a kind: a row an ending, a column a cause, "count (percent)" in the cells."""
    part = causes[causes.kind == kind]
    if not len(part):
        return Markup()
    columns = list(part.groupby("cause").attempts.sum().sort_values(ascending=False).index)
    failed = part[part.reason != "success"].assign(reason="all that failed")
    lines = []
    for objects, rows in pd.concat([part, failed] if kind == "label" else [part]).groupby("objects"):
        for reason, same in rows.groupby("reason", sort=False):
            counts = same.groupby("cause").attempts.sum()
            total = int(counts.sum())
            cells = {c: f"{counts[c]} ({100 * counts[c] / total:.0f} %)" if c in counts else "" for c in columns}
            lines.append({"objects": str(objects), "ending": reason, "attempts": total} | cells)
    return render_table(pd.DataFrame(lines), ("objects", "ending"))


def _policy_parts(
    policy: str, reasons: pd.DataFrame, causes: pd.DataFrame, *, examined: pd.DataFrame, examples: Mapping[Any, Example]
) -> dict[str, Any]:
    """Returns the parts of the page that are one policy's."""
    own, found = reasons[reasons.policy == policy], causes[causes.policy == policy]
    shown = examined[(examined.policy == policy) & examined.index.isin(list(examples))]
    return {
        "name": policy,
        "endings": [
            (_PROTOCOLS[str(p)], render_table(rows.drop(columns=["policy", "protocol"]), ("where", "reason")))
            for p, rows in own.groupby("protocol", sort=False)
        ],
        "labels": _render_causes(found, "label"),
        "obstacles": _render_causes(found, "obstacle"),
        "examples": [
            (reason, [render_picture(data_url(examples[i].picture, "jpeg"), examples[i].caption) for i in rows.index])
            for reason, rows in shown.groupby("reason")
        ],
    }


def write_failures(
    results: str | Path,
    out: str | Path,
    policies: Sequence[str] = (),
    *,
    per_reason: int = 6,
    protocol: str = "rank",
    scenes: Mapping[str, Sequence[SceneState]] | None = None,
    settings: BenchmarkSettings | None = None,
    seed: int = 0,
) -> list[Path]:
    """Writes failures.html, reasons.csv, causes.csv and attempts.csv; returns their paths.

    Args:
        results: Folder of a benchmark.
        out: Folder of the files.
        policies: Names of the policies; none for all that were measured.
        per_reason: Number of examples of each policy and reason.
        protocol: Protocol whose attempts are examined, "rank" or "clear"; endings are counted of both.
        scenes: The scenes that were measured; None for plgp-320-v2.
        settings: Settings of the run; None for ``BenchmarkSettings()``.
        seed: Seed of the choice of examples.

    Raises:
        InputError: Nothing was measured there, or not this policy, or in other scenes.
    """
    attempts, settings, limits = read_attempts(results), settings or BenchmarkSettings(), Tolerances()
    scenes = scenes or load_scene_set("plgp-320-v2")
    measured = list(dict.fromkeys(attempts.policy))
    for policy in policies:
        if policy not in measured:
            raise InputError(f"'{policy}' was not measured in {results}; choose from {', '.join(measured)}")
    attempts = attempts[attempts.policy.isin(policies or measured)]
    same = check_measured(Path(results), attempts, scenes, settings=settings)
    if not same:
        warnings.warn(
            f"{results} was measured with other settings: executed again, attempts may end otherwise", stacklevel=2
        )
    among = attempts[attempts.protocol == protocol]
    examined, examples = examine(among, scenes, settings, per_reason=per_reason, seed=seed, limits=limits)
    reasons, causes = reason_table(attempts), cause_table(examined)
    tables = {"reasons": reasons, "causes": causes, "attempts": examined}
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    note = _NOTE.format(eta=settings.pixels_per_metre, bins=limits.bins, **_millimetres(limits))
    note += f" Causes and pictures: protocol {protocol}."
    note += "" if same else " Measured with other settings than replayed."
    parts = [_policy_parts(p, reasons, causes, examined=examined, examples=examples) for p in policies or measured]
    body = render(_PAGE, note=note, pictures=_PICTURES if examples else "", policies=parts)
    (folder / "failures.html").write_text(render_page("plgp failures", body, style=_STYLE))
    return [folder / "failures.html", *(folder / f"{name}.csv" for name in tables)]


def _millimetres(limits: Tolerances) -> dict[str, float]:
    """Returns the limits that are lengths, millimetres."""
    return {name: 1e3 * getattr(limits, name) for name in ("near", "depth", "width", "overlap")}
