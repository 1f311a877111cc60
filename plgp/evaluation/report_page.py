"""The report as one HTML page that needs nothing else: tables, learning curves, Fig. 10, pictures."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plgp.evaluation.runs import Gathered, Run
from sim.drawing.figures import COLOURS, panels, to_png
from sim.drawing.friction_figure import friction_figure
from sim.drawing.pages import data_url

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
    columns = min(3, max(1, len(shown)))
    lines = -(-max(1, len(shown)) // columns)
    legend = 0.24 * -(-len(runs) // 3) + 0.2
    figure, grid = panels(lines, columns, (12, 2.9 * lines + legend))
    for axes in grid.flat[len(shown) :]:
        axes.axis("off")
    for axes, (column, title, logarithmic) in zip(grid.flat, shown, strict=False):
        for number, run in enumerate(runs):
            _draw_curve(axes, run, column, number)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("training step", fontsize=9)
        if logarithmic:
            axes.set_yscale("log")
        axes.grid(alpha=0.3, which="both" if logarithmic else "major")
    handles = {line.get_label(): line for axes in grid.flat for line in axes.lines}
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


def _draw_curve(axes: Axes, run: Run, column: str, number: int) -> None:
    if column not in run.curves:
        return
    rows = run.curves[["step", column]].dropna().drop_duplicates("step", keep="last")
    style = _STYLES[number // len(COLOURS) % len(_STYLES)]
    marker = "o" if len(rows) < 30 else ""
    label = f"{run.name}, {run.network} {run.modality}, seed {run.seed}"
    colour = COLOURS[number % len(COLOURS)]
    axes.plot(rows.step, rows[column], style, color=colour, marker=marker, markersize=3, linewidth=1.3, label=label)


def _embedded(figure: Figure) -> str:
    """Returns a figure as a data URL."""
    return data_url(to_png(figure, 100))


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
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _figure_html(source: str, caption: str) -> str:
    text = html.escape(caption)
    return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _table_html(section: Section) -> str:
    """Returns a section with its heading, note and table."""
    parts = [f"<h2>{html.escape(section.title)}</h2>", f'<p class="note">{html.escape(section.note)}</p>']
    if section.rows:
        head = "".join(f"<th>{html.escape(h)}</th>" for h in section.heads)
        lines = []
        for row in section.rows:
            kind = ' class="paper"' if row[0].startswith("paper") else ""
            lines.append(f"<tr{kind}>" + "".join(f"<td>{_cell_html(c)}</td>" for c in row) + "</tr>")
        parts.append(
            f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
        )
    return "\n".join(parts)


def _cell_html(text: str) -> str:
    """Returns a cell; scores' intervals stand below them, or the table would be twice as wide."""
    scores, bracket, rest = text.partition(" (")
    if bracket and " / " in scores:
        return f"{html.escape(scores)}<br><small>({html.escape(rest)}</small>"
    return html.escape(text)


def predictions(run: Run) -> list[Path]:
    """Returns the pictures of a run worth showing: the last of its epochs, and that of its last benchmark."""
    folder = run.folder / "pictures"
    epochs = sorted(folder.glob("epoch-*.png"))
    return epochs[-1:] + [p for p in (folder / "network.png",) if p.is_file()]


def write_page(found: Gathered, sections: Sequence[Section], path: Path, pictures: bool = True) -> Path:
    """Writes the page; returns its path.

    Args:
        found: The runs and results.
        sections: The tables.
        path: Where it goes.
        pictures: Whether it shows each run's predictions.
    """
    parts = [_table_html(section) for section in sections]
    if found.runs:
        parts += ["<h2>Learning curves</h2>", _figure_html(_embedded(learning_curves(found.runs)), "A line a run.")]
    if found.results:
        parts.append("<h2>Frictions (the paper's Fig. 10)</h2>")
    for results in found.results:
        source = _embedded(friction_figure(results.summary))
        parts.append(_figure_html(source, f"{results.folder}: bands are 95 % intervals over scenes."))
    shown = [(run, p) for run in found.runs for p in predictions(run)] if pictures else []
    if shown:
        parts.append("<h2>What the networks see</h2>")
    for run, picture in shown:
        encoded = _picture(picture)
        if encoded is not None:
            parts.append(_figure_html(encoded, f"{run.name}, seed {run.seed}: {picture.name}"))
    if found.skipped:
        lines = "".join(f"<li><code>{html.escape(str(p))}</code>: {html.escape(why)}</li>" for p, why in found.skipped)
        parts.append(f"<h2>Left out</h2><ul>{lines}</ul>")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>plgp report</title>'
    body = "\n".join(["<h1>plgp: measured beside the paper</h1>", *parts])
    path.write_text(
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n<body>{body}</body></html>\n'
    )
    return path
