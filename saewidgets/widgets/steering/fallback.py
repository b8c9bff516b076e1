"""The panel as inert HTML, for readers of a notebook that show no widgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd

from saewidgets.widgets.shared.static_page import text
from saewidgets.widgets.steering.protocol import Row, Turn

LIMIT = 2_000


def fallback_html(prompt: str, turns: Sequence[Turn] | None, texts: Mapping[Row, str], frame: pd.DataFrame) -> str:
    """Prompt and texts side by side, then the swept texts; nothing in it can run or load."""
    cells = "".join(
        f"<td style='vertical-align:top;text-align:start'>{text(written[:LIMIT])}</td>" for written in texts.values()
    )
    side = f"<table><tr><th>Bare model</th><th>Steered</th></tr><tr>{cells}</tr></table>" if any(texts.values()) else ""
    swept = frame[frame["source"] == "swept"]
    rows = "".join(
        f"<tr><td>{escape(row['kind'])}</td><td>{row['strength']:g}</td><td>{row['perplexity']:.3g}</td>"
        f"<td style='text-align:start'>{text(row['text'][:LIMIT])}</td></tr>"
        for row in swept.to_dict("records")  # pyright: ignore[reportCallIssue]
    )
    head = "<tr><th>kind</th><th>strength</th><th>perplexity</th><th>text</th></tr>"
    table = f"<table>{head}{rows}</table>" if rows else ""
    return f"<div>{_asked(prompt, turns)}{side}{table}</div>"


def _asked(prompt: str, turns: Sequence[Turn] | None) -> str:
    if turns is None:
        return f"<p><b>Steering</b> · {text(prompt[:LIMIT])}</p>"
    rows = [*turns, {"role": "user", "content": prompt}]
    said = "".join(
        f"<tr><th style='vertical-align:top;text-align:start'>{text(row['role'])}</th>"
        f"<td style='text-align:start'>{text(row['content'][:LIMIT])}</td></tr>"
        for row in rows
    )
    return f"<p><b>Steering</b> · a chat</p><table>{said}</table>"
