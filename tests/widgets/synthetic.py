"""Plausible `TokenActs` without a model: features that fire on kinds of words, and a little noise."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from saewidgets.records import Finding, Provenance, TokenActs, TrustReport

ENGLISH = (
    "The Golden Gate Bridge opened in May 1937, and for a generation it was the longest suspension bridge in the "
    "world. Fog rolls in from the Pacific most summer evenings and swallows the towers, so that drivers from "
    "San Francisco see only the first few cables.\n"
    "Engineers painted it International Orange because the colour is easy to see in the mist; the Navy had asked for "
    "black and yellow stripes.\n\n"
    "“I never tire of it,” she said. “Every morning the bridge looks as if it had been drawn in the night.”"
)
HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "<|im_start|>",
    "\"quoted\" & 'single' `tick`",
    "\x00",
    "\x1b[31m",
    "\u202e reversed \u202c",
    "\u2066",
    "\u200f",
    "\u200d",
    "\ud83d",
    "\ufeff",
    "👨\u200d👩\u200d👧",
    "\u2028",
    "\x85",
    "\t",
    "  ",
    "\n",
    ".\n\n",
    "\r\n",
    "",
    " שלום",
    " عليكم",
    "\\xF0",
)
KINDS = {
    11: ("Golden Gate Bridge", r"Golden|Gate|[Bb]ridge|suspension|cables|towers", 9.0),
    42: ("places in California", r"San|Francisco|Pacific|Golden|Gate", 7.5),
    108: ("colours", r"Orange|black|yellow|colour|painted", 8.2),
    256: ("numbers and dates", r"\d|May|first", 6.1),
    300: ("weather and visibility", r"Fog|mist|summer|see|swallows", 7.0),
    512: ("speech in quotes", r"“|”|said|I\b", 5.5),
    77: ("", r"the|The|a\b|it\b", 3.2),
    903: ("times of day", r"evenings|morning|night|generation", 6.6),
}
D_SAE = 1024


def tokens_of(text: str) -> list[str]:
    """Word pieces as a byte-pair tokenizer would make them."""
    return re.findall(r" ?\w+| ?[^\w\s]+|\n+|\s", text)


def make_acts(
    *texts: str,
    tokens: Sequence[str] | None = None,
    k: int = 12,
    seed: int = 0,
    bos: bool = True,
    maximum: bool = True,
    seams: tuple[int, ...] = (),
    split: dict[int, tuple[int, int, str]] | None = None,
) -> TokenActs:
    """Acts of ``texts`` (by default a paragraph of English), or of one text given as ``tokens``."""
    texts = texts or (ENGLISH,)
    rows = [list(tokens)] if tokens is not None else [tokens_of(text) for text in texts]
    texts = ("".join(tokens),) if tokens is not None else texts
    start = ["<|endoftext|>"] if bos else []
    rows = [start + row for row in rows]
    str_tokens = [token for row in rows for token in row]
    values, indices = activations(str_tokens, k, np.random.default_rng(seed))
    position = np.concatenate([np.arange(len(row)) for row in rows]).astype(np.int32)
    skipped = (position == 0) & bos
    values[skipped] *= 40
    return TokenActs(
        texts=tuple(texts),
        str_tokens=tuple(str_tokens),
        text=np.repeat(np.arange(len(rows)), [len(row) for row in rows]).astype(np.int32),
        position=position,
        values=values,
        indices=indices,
        skipped=skipped,
        d_sae=D_SAE,
        seams=seams,
        split=split or {},
        maximum=np.linspace(12, 16, D_SAE, dtype=np.float32) if maximum else None,
        labels={f: label for f, (label, _, _) in KINDS.items() if label},
        provenance=Provenance("SmolLM2-135M-Instruct", "demo-sae-1k", "blocks.15.hook_resid_post", "5ae0", "30de1"),
    )


def activations(tokens: Sequence[str], k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Values and features of every token, strongest first, places left over 0."""
    n = len(tokens)
    values = np.zeros((n, k), np.float32)
    indices = np.zeros((n, k), np.int32)
    noise = rng.choice(np.arange(600, 900), size=(n, k))
    for i, token in enumerate(tokens):
        row = {int(f): float(rng.gamma(1.2, 0.5)) for f in noise[i, : k - 3]}
        for feature, (_, pattern, strength) in KINDS.items():
            if re.search(pattern, token):
                row[feature] = strength * float(rng.uniform(0.55, 1.0))
        best = sorted(row.items(), key=lambda item: (-item[1], item[0]))[:k]
        values[i, : len(best)] = [value for _, value in best]
        indices[i, : len(best)] = [feature for feature, _ in best]
    return values, indices


def long_acts(n: int, k: int = 12, seed: int = 0) -> TokenActs:
    """Acts of ``n`` tokens of English, drawn fast."""
    words = tokens_of(ENGLISH)
    tokens = [words[i % len(words)] for i in range(n)]
    rng = np.random.default_rng(seed)
    values = -np.sort(-rng.gamma(1.0, 2.0, size=(n, k)).astype(np.float32), axis=1)
    indices = np.argsort(rng.random((n, 64)), axis=1)[:, :k].astype(np.int32) * 16 + 3
    return TokenActs(
        texts=("".join(tokens),),
        str_tokens=tuple(tokens),
        text=np.zeros(n, np.int32),
        position=np.arange(n, dtype=np.int32),
        values=values,
        indices=indices,
        skipped=np.zeros(n, bool),
        d_sae=D_SAE,
        maximum=np.full(D_SAE, 20, np.float32),
    )


def unicorn_acts() -> TokenActs:
    """A character spread over three tokens, as a byte-level tokenizer writes it."""
    tokens = ["A", " \\xF0\\x9F", "\\xA6", "\\x84", " ran"]
    split = {2: (1, 3, "🦄"), 3: (2, 3, "🦄"), 4: (3, 3, "🦄")}
    return make_acts(tokens=tokens, split=split)


def report(status: str = "green") -> TrustReport:
    """A trust report of the given verdict."""
    findings = [
        Finding("Variance explained", 0.846, "green", "0.70 or more"),
        Finding("Features per token (L0)", 40.0, "green", "40"),
        Finding("Loss recovered", 0.93, "green", "0.85 or more"),
        Finding("Norm of the input against training", 1.02, "green", "0.8 to 1.25"),
        Finding("Attention sinks left out", 1.0, "green", "1 or 2"),
    ]
    if status != "green":
        cause = "the hook is one layer off: blocks.16 instead of blocks.15"
        findings[0] = Finding("Variance explained", 0.41, "red" if status == "red" else "amber", "0.70 or more", cause)
        findings[2] = Finding("Loss recovered", 0.71, "amber", "0.85 or more", "follows from the variance explained")
    source = Provenance("SmolLM2-135M-Instruct", "demo-sae-1k", "blocks.15.hook_resid_post")
    return TrustReport(tuple(findings), 1024, source)
