"""The heatmap as inert HTML, for readers of a notebook that show no widgets."""

from __future__ import annotations

import re
from html import escape

import numpy as np

from saewidgets.records import TokenActs
from saewidgets.widgets.heatmap.wire import strongest_features
from saewidgets.widgets.shared.visible import visible

LIMIT = 2_000
BYTES = re.compile(r"(?:\\x[89A-Fa-f][0-9A-Fa-f])+")


def fallback_html(acts: TokenActs, feature: int | None) -> str:
    """The first `LIMIT` tokens with inline colours; nothing in it can run or load."""
    title = "Strongest feature of every token" if feature is None else f"Feature {feature}"
    if feature is not None and acts.labels.get(feature):
        title += f" · {visible(acts.labels[feature])}"
    shown = min(len(acts), LIMIT)
    column = (strongest_features(acts)[1] if feature is None else acts.feature_acts(feature))[:shown]
    column = np.where(acts.skipped[:shown], 0, column)
    top = float(column.max(initial=0))
    tokens = "".join(token_html(acts, i, float(column[i]), top) for i in range(shown))
    more = f"<p>… and {len(acts) - shown:,} more tokens</p>" if len(acts) > shown else ""
    return (
        f'<div style="font:15px/1.8 system-ui,sans-serif"><p><b>{escape(title)}</b> '
        f'<span style="opacity:.7">0 to {top:.3g}</span></p>'
        f'<div dir="auto" style="white-space:pre-wrap">{tokens}</div>{more}'
        f'<p style="opacity:.7;font-size:12px">{escape(visible(str(acts.provenance)))}</p></div>'
    )


def token_html(acts: TokenActs, i: int, value: float, top: float) -> str:
    """One token; only coloured ones cost an element."""
    shown = escape(visible(whole_characters(acts, i)))
    if value <= 0 or top <= 0:
        return shown
    alpha = 0.08 + 0.8 * value / top
    return f'<span style="background:rgba(242,125,22,{alpha:.2f})" title="{value:.3g}">{shown}</span>'


def whole_characters(acts: TokenActs, i: int) -> str:
    """The token, a character spread over several tokens standing in the first of them."""
    token = acts.str_tokens[i]
    if i not in acts.split:
        return token
    part, _, character = acts.split[i]
    return BYTES.sub(lambda _: character if part == 1 else "", token)
