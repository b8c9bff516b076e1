"""A card as inert HTML, for readers of a notebook that show no widgets."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from saewidgets.records import Example, FeatureCardData, TokenWeight
from saewidgets.widgets.shared.visible import visible

EXAMPLES = 10
AROUND = 16


def fallback_html(data: FeatureCardData) -> str:
    """Numbers, promoted tokens and the strongest examples with inline colours; nothing in it can run or load."""
    stats = data.stats
    title = f"Feature {stats.feature}" + (f" · {shown(stats.label)}" if stats.label else "")
    often = f"fires on {stats.count:,} of {stats.n_tokens:,} tokens" if stats.count else silence(stats.n_tokens)
    strength = f" · maximum {stats.maximum:.3g} · mean {stats.mean:.3g}" if stats.count else ""
    lines = "".join(example_html(example, stats.maximum) for example in data.top[:EXAMPLES])
    return (
        f'<div style="font:14px/1.7 system-ui,sans-serif"><p><b>{title}</b><br>'
        f'<span style="opacity:.7">{often}{strength}</span></p>'
        f"<p>promotes {tokens_html(data.promoted)}<br>suppresses {tokens_html(data.suppressed)}</p>{lines}"
        f'<p style="opacity:.7;font-size:12px">{shown(str(data.provenance))}</p></div>'
    )


def silence(n_tokens: int) -> str:
    """What is said of a feature that never fires."""
    return f"never fired on the {n_tokens:,} tokens scanned"


def example_html(example: Example, maximum: float) -> str:
    """An example's tokens around the one it is about."""
    start, end = max(0, example.position - AROUND), example.position + AROUND
    tokens = zip(example.str_tokens[start:end], example.activations[start:end], strict=True)
    return f"<div dir='auto'>{''.join(token_html(token, float(value), maximum) for token, value in tokens)}</div>"


def token_html(token: str, value: float, maximum: float) -> str:
    """One token; only coloured ones cost an element."""
    if value <= 0 or maximum <= 0:
        return shown(token)
    alpha = 0.08 + 0.8 * min(1.0, value / maximum)
    return f'<span style="background:rgba(242,125,22,{alpha:.2f})" title="{value:.3g}">{shown(token)}</span>'


def tokens_html(weights: Sequence[TokenWeight]) -> str:
    """Tokens in a row."""
    return " ".join(f"<code>{shown(token)}</code>" for token, _ in weights) or "–"


def shown(given: str) -> str:
    """Text as inert HTML."""
    return escape(visible(given))
