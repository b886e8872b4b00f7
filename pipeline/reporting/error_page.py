"""The error report as one HTML file that opens from a disk: bars by facet, a curve, the worst pictures; no script, no link."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from garment_keypoints.pipeline.reporting.errors import KINDS, MEANING, Facet, Share, shares
from PIL import Image

HEAD = "<!-- written by `python -m pipeline errors` -->\n"
COLOURS = {"good": "#4caf7a", "jitter": "#b6d77a", "swap": "#7b5cd6", "neighbour": "#f2a33a", "miss": "#d64541"}
STYLE = """
*{box-sizing:border-box}body{font:15px/1.45 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;width:100%;margin:.4em 0 1.6em}td,th{padding:.15em .6em;text-align:left;white-space:nowrap}
td.n{text-align:right;font-variant-numeric:tabular-nums}td.bar{width:60%}.bar div{display:flex;height:1.1em}
.key span{display:inline-block;width:1em;height:1em;margin:0 .3em 0 1em;vertical-align:-.1em}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(330px,1fr));gap:14px}
figure{margin:0;background:#f5f5f5;padding:8px}figcaption{font-size:13px;overflow-wrap:anywhere}
figure img{max-width:49%;max-height:300px;vertical-align:top;margin-right:1%}
"""
THRESHOLDS = np.linspace(0, 0.5, 101)


@dataclass(frozen=True)
class Case:
    """A picture of the gallery: what was drawn of it, and what is said below."""

    pictures: Sequence[Image.Image]
    caption: str


def error_page(
    title: str, facets: Sequence[Facet], errors: np.ndarray, kinds: np.ndarray, cases: Sequence[Case], about: str
) -> str:
    """Write the page; errors (N, K) are those of NE with NaN where nothing counts, kinds (N, K) their kinds."""
    counted = errors[np.isfinite(errors)]
    parts = [
        f"{HEAD}<!doctype html><meta charset='utf-8'><title>{html.escape(title)}</title><style>{STYLE}</style>",
        f"<h1>{html.escape(title)}</h1><p>NE {100 * counted.mean():.3f} % over {len(counted)} visible points of "
        f"{len(errors)} images. {html.escape(about)}</p>",
        _key(),
        f"<h2>Points within a distance</h2>{_curve(counted)}",
    ]
    for facet in facets:
        parts.append(f"<h2>By {html.escape(facet.title)}</h2>{_bars(shares(facet, errors, kinds))}")
    parts.append(f"<h2>The worst {len(cases)}</h2><div class='cards'>{''.join(map(_card, cases))}</div>")
    return "\n".join(parts) + "\n"


def _key() -> str:
    words = [f"<span style='background:{COLOURS[kind]}'></span>{kind}: {MEANING[kind]}" for kind in KINDS]
    return (
        "<p>Distances are in normalisers of NE: the distance of the armpits, or of the waistband's ends. Kinds of points:"
        f"<br><span class='key'>{'<br>'.join(words)}</span></p>"
        "<p>A row's first bar is the share of its points, the second the share of its NE.</p>"
    )


def _bars(rows: Sequence[Share]) -> str:
    lines = []
    for row in rows:
        bars = "".join(f"<div>{_bar(fractions)}</div>" for fractions in (row.kinds, row.of_ne))
        lines.append(
            f"<tr><th>{html.escape(row.name)}</th><td class='n'>{row.points}</td><td class='n'>{100 * row.ne:.2f}</td>"
            f"<td class='bar'>{bars}</td></tr>"
        )
    return f"<table><tr><th></th><th>points</th><th>NE %</th><th>kinds</th></tr>{''.join(lines)}</table>"


def _bar(fractions: Sequence[float]) -> str:
    return "".join(
        f"<span style='width:{100 * part:.2f}%;background:{COLOURS[kind]}' title='{kind} {100 * part:.1f} %'></span>"
        for kind, part in zip(KINDS, fractions, strict=True)
        if part > 0
    )


def _curve(errors: np.ndarray) -> str:
    """Draw the share of points within each distance, as SVG."""
    width, height, left, low = 640, 240, 46, 24
    within = [(errors <= threshold).mean() for threshold in THRESHOLDS]
    x = left + THRESHOLDS / THRESHOLDS[-1] * (width - left - 10)
    y = (height - low) - np.array(within) * (height - low - 8)
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    marks = "".join(
        f"<text x='{left - 6}' y='{(height - low) - share * (height - low - 8) + 4}' text-anchor='end'>{share:.0%}</text>"
        f"<line x1='{left}' x2='{width - 10}' y1='{(height - low) - share * (height - low - 8)}' "
        f"y2='{(height - low) - share * (height - low - 8)}' stroke='#ddd'/>"
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    marks += "".join(
        f"<text x='{left + t / THRESHOLDS[-1] * (width - left - 10)}' y='{height - 6}' text-anchor='middle'>{t:g}</text>"
        for t in (0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
    )
    return (
        f"<svg width='{width}' height='{height}' font-size='12'>{marks}"
        f"<polyline points='{line}' fill='none' stroke='#1f77b4' stroke-width='2'/></svg>"
    )


def _card(case: Case) -> str:
    images = "".join(f"<img src='data:image/jpeg;base64,{_encoded(picture)}'>" for picture in case.pictures)
    return f"<figure>{images}<figcaption>{html.escape(case.caption)}</figcaption></figure>"


def _encoded(picture: Image.Image) -> str:
    content = io.BytesIO()
    picture.convert("RGB").save(content, format="JPEG", quality=85)
    return base64.b64encode(content.getvalue()).decode()
