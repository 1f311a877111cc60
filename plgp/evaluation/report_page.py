"""The report as one HTML page that needs nothing else: tables, learning curves, Fig. 10, pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plgp.evaluation.runs import Gathered, Run
from sim.drawing.figures import COLOURS, panels, to_png
from sim.drawing.friction_figure import friction_figure
from sim.drawing.pages import data_url, render, render_page, render_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from plgp.evaluation.report_tables import Section

_STYLES = ("-", "--", ":", "-.")
_PANELS = (
    ("train/loss", "training loss", True),
    ("val/loss", "validation loss", True),
    ("val/quality_ap", "average precision of the quality map", False),
    ("val/angle_accuracy", "angle accuracy on labels", False),
    ("val/hit_rate", "hit rate of the best grasp", False),
    ("benchmark/AP", "AP of the benchmark at epoch ends, %", False),
)
_PICTURE_WIDTH = 1100  # pixels
_BODY = """
<h1>plgp: measured beside the paper</h1>
{% for section in sections %}
<h2>{{ section.title }}</h2>
<p class="note">{{ section.note }}</p>
{% if section.rows %}
<div class="wide"><table><thead><tr>{% for head in section.heads %}<th>{{ head }}</th>{% endfor %}</tr></thead><tbody>
{% for row in section.rows %}
<tr{% if row[0].startswith("paper") %} class="paper"{% endif %}>
{%- for text in row %}{% set scores, interval = cell(text) %}
<td>{{ scores }}{% if interval %}<br><small>{{ interval }}</small>{% endif %}</td>
{%- endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endif %}
{% endfor %}
{% if curves %}<h2>Learning curves</h2>
{{ curves }}{% endif %}
{% if frictions %}<h2>Frictions (the paper's Fig. 10)</h2>
{% for picture in frictions %}{{ picture }}{% endfor %}{% endif %}
{% if seen %}<h2>What the networks see</h2>
{% for picture in seen %}{{ picture }}{% endfor %}{% endif %}
{% if failed %}
<h2>Failed jobs</h2><ul>{% for folder, why in failed %}<li><code>{{ folder }}</code>: {{ why }}</li>{% endfor %}</ul>
{% endif %}
{% if skipped %}
<h2>Left out</h2><ul>{% for folder, why in skipped %}<li><code>{{ folder }}</code>: {{ why }}</li>{% endfor %}</ul>
{% endif %}
"""
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff }
body { max-width: 1280px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px }
.wide { overflow-x: auto }
th, td { padding: 3px 9px; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap }
th { border-bottom: 2px solid #888 }
tr.paper td { color: #6a6a6a; font-style: italic }
p.note, figcaption { color: #555; font-size: 13px; max-width: 80em }
figure { margin: 1em 0 } img { max-width: 100%; height: auto }
code { background: #f2f2f2; padding: 0 3px }
"""


def learning_curves(runs: Sequence[Run]) -> Figure:
    """Returns losses, validation metrics and the benchmark's AP over the training steps, a line a run."""
    shown = [(c, t, log) for c, t, log in _PANELS if any(c in r.curves and r.curves[c].notna().any() for r in runs)]
    columns, labels = min(3, max(1, len(shown))), captions(runs)
    lines = -(-max(1, len(shown)) // columns)
    legend = 0.24 * -(-len(runs) // 3) + 0.2
    figure, grid = panels(lines, columns, (12, 2.9 * lines + legend))
    for axes in grid.flat[len(shown) :]:
        axes.axis("off")
    for axes, (column, title, logarithmic) in zip(grid.flat, shown, strict=False):
        for number, run in enumerate(runs):
            _draw_curve(axes, run, column, number=number, label=labels[number])
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("training step", fontsize=9)
        if logarithmic:
            axes.set_yscale("log")
        axes.grid(alpha=0.3, which="both" if logarithmic else "major")
    handles = {line.get_label(): line for axes in grid.flat for line in axes.lines}
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


def captions(runs: Sequence[Run]) -> list[str]:
    """Returns a caption for each run; those of one name, network, input and seed are told apart.

    Recipes count first, then folders, then numbers.
    """
    plain = [f"{run.name}, {run.network} {run.modality}, seed {run.seed}" for run in runs]
    with_recipe = [
        f"{text}, {run.recipe()}" if run.recipe() and plain.count(text) > 1 else text
        for text, run in zip(plain, runs, strict=True)
    ]
    found = [
        f"{text} ({run.folder.name})" if with_recipe.count(text) > 1 else text
        for text, run in zip(with_recipe, runs, strict=True)
    ]
    return [
        f"{text} no. {found[: i + 1].count(text)}" if found.count(text) > 1 else text for i, text in enumerate(found)
    ]


def _draw_curve(axes: Axes, run: Run, column: str, *, number: int, label: str) -> None:
    if column not in run.curves:
        return
    rows = run.curves[["step", column]].dropna().drop_duplicates("step", keep="last")
    style = _STYLES[number // len(COLOURS) % len(_STYLES)]
    marker = "o" if len(rows) < 30 else ""
    colour = COLOURS[number % len(COLOURS)]
    axes.plot(rows.step, rows[column], style, color=colour, marker=marker, markersize=3, linewidth=1.3, label=label)


def _picture(path: Path) -> str | None:
    """Returns a picture file, made smaller, as a data URL; None for a broken one."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
    except OSError:
        return None
    small.thumbnail((_PICTURE_WIDTH, _PICTURE_WIDTH))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=85)
    return data_url(buffer.getvalue(), "jpeg")


def _cell(text: str) -> tuple[str, str]:
    """Returns a cell's two lines: scores' intervals stand below them, or the table would be twice as wide."""
    scores, bracket, rest = text.partition(" (")
    return (scores, f"({rest}") if bracket and " / " in scores else (text, "")


def predictions(run: Run) -> list[Path]:
    """Returns the pictures of a run worth showing: the last of its epochs, and that of its last benchmark."""
    folder = run.folder / "pictures"
    epochs = sorted(folder.glob("epoch-*.png"))
    return epochs[-1:] + [p for p in (folder / "network.png",) if p.is_file()]


def write_page(found: Gathered, sections: Sequence[Section], path: Path, *, pictures: bool = True) -> Path:
    """Writes the page; returns its path.

    Args:
        found: Runs and results.
        sections: Tables of the report.
        path: File that is written.
        pictures: Whether the page shows each run's predictions.
    """
    curves = render_picture(_embedded(learning_curves(found.runs)), "A line a run.") if found.runs else ""
    frictions = [
        render_picture(_embedded(friction_figure(r.summary)), f"{r.folder}: bands are 95 % intervals over scenes.")
        for r in found.results
    ]
    named = zip(found.runs, captions(found.runs), strict=True)
    shown = [(name, p, _picture(p)) for run, name in named for p in predictions(run)] if pictures else []
    seen = [render_picture(source, f"{name}: {p.name}") for name, p, source in shown if source]
    body = render(
        _BODY,
        sections=sections,
        cell=_cell,
        curves=curves,
        frictions=frictions,
        seen=seen,
        skipped=found.skipped,
        failed=found.failed,
    )
    path.write_text(render_page("plgp report", body, style=_STYLE))
    return path


def _embedded(figure: Figure) -> str:
    return data_url(to_png(figure, dpi=100))
