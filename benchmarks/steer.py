"""Steering: what a clamp costs while a model writes, a sweep in one batch, and how soon a moved slider is felt.

Run with ``python benchmarks/steer.py [--rounds 9] [--tokens 48]``. Peers: Hugging Face's ``generate`` with nothing
hooked, and ``generate`` of a `TransformerBridge` with the same clamp in a hook. Everything is run in turn in every
round; ratios are taken pair by pair, and their median and middle half shown.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from common import interleaved, spread, versions

import saewidgets as sw
from saewidgets.analysis.sample import passages
from saewidgets.analysis.sweep import STRENGTHS
from saewidgets.analysis.write import Steerer, Style
from saewidgets.lm.tokens import Tokens
from saewidgets.records import clamp
from saewidgets.sae.activations import JumpReLU, TopK
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.session.pair import Pair

PROMPT_TOKENS = 32


def ratios(times: dict[str, list[float]], ours: str, peer: str) -> str:
    """ours / peer, pair by pair: median and middle half."""
    pairs = [a / b for a, b in zip(times[ours], times[peer], strict=True)]
    low, middle, high = statistics.quantiles(pairs, n=4)
    return f"{ours} / {peer}: {middle:.3f} ({low:.3f} to {high:.3f})"


def prompt_of(session: sw.Session, n: int) -> Tokens:
    """A prompt of exactly ``n`` tokens."""
    found = session.model.tokens(passages()[0], session.prepend_bos)
    return Tokens("", found.ids[:n], found.has_bos)


def kinds(sae: SparseAutoencoder) -> dict[str, SparseAutoencoder]:
    """The same weights read as a JumpReLU and as a TopK."""
    bar = sae.activation if isinstance(sae.activation, JumpReLU) else JumpReLU(torch.full((sae.d_sae,), 0.5))
    return {"JumpReLU": replace(sae, activation=bar), "TopK": replace(sae, activation=TopK(32))}


def through_bridge(session: sw.Session, prompt: Tokens, feature: int, value: float, tokens: int) -> Callable[[], Any]:
    """The clamp in a hook of a bridge around a copy of the model."""
    from transformer_lens.model_bridge import TransformerBridge

    module = copy.deepcopy(session.model.module)
    bridge: Any = TransformerBridge.boot_transformers(
        session.model.name, hf_model=module, tokenizer=session.model.tokenizer, dtype=torch.float32
    )
    direction, column = session.sae.W_dec[feature], torch.tensor([feature])

    def hook(x: torch.Tensor, hook: Any) -> torch.Tensor:
        return x + (value - session.sae.feature_acts(x, column)) * direction

    ids = torch.tensor([prompt.ids])

    def run() -> None:
        with bridge.hooks(fwd_hooks=[(session.hook_name, hook)]):
            bridge.generate(
                ids, max_new_tokens=tokens, do_sample=False, stop_at_eos=False, return_type="tokens", verbose=False
            )

    return run


def writing(session: sw.Session, rounds: int, tokens: int) -> None:
    """One text: Hugging Face's loop, ours bare, ours steered, a bridge's hooked."""
    prompt, module = prompt_of(session, PROMPT_TOKENS), session.model.module
    feature = int(np.argsort(session.maxima)[-100])
    ids = torch.tensor([prompt.ids])
    session.model.__dict__["stop_ids"] = frozenset()  # every text as long as the others
    style = Style(max_new_tokens=tokens)

    @torch.inference_mode()
    def theirs() -> None:
        module.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens, min_new_tokens=tokens
        )

    base = session._steerer([], measured=True)
    work: dict[str, Callable[[], object]] = {
        "HF generate": theirs,
        "ours, bare": lambda: base.write([prompt], [()], style),
    }
    for name, sae in kinds(session.sae).items():
        steerer = Steerer(session.model, sae, session.hook_name, base.units)
        work[f"ours, {name}"] = lambda steerer=steerer: steerer.write([prompt], [(clamp(feature, 1.0),)], style)
    work["bridge, hooked"] = through_bridge(session, prompt, feature, float(session.maxima[feature]), tokens)
    times = interleaved(work, rounds)
    print(f"\n{tokens} tokens after {PROMPT_TOKENS}, {rounds} interleaved rounds, median (middle half)")
    for name, values in times.items():
        print(f"  {name:18s}{spread(values)}")
    print("  " + ratios(times, "ours, JumpReLU", "HF generate") + "   (goal 1.03)")
    print("  " + ratios(times, "ours, TopK", "HF generate") + "   (goal 1.10)")
    print("  " + ratios(times, "ours, JumpReLU", "ours, bare"))
    print("  " + ratios(times, "ours, TopK", "ours, bare"))
    print("  " + ratios(times, "bridge, hooked", "ours, JumpReLU") + "   (goal 1.40)")


def sweeping(session: sw.Session, rounds: int, tokens: int) -> None:
    """Seventeen strengths in one batch, and one by one."""
    prompt, style = prompt_of(session, PROMPT_TOKENS), Style(max_new_tokens=tokens)
    feature = int(np.argsort(session.maxima)[-100])
    steerer = session._steerer([], measured=True)
    rows = [(clamp(feature, m),) for m in STRENGTHS]
    times = interleaved(
        {
            "one batch": lambda: steerer.write([prompt] * len(rows), rows, style),
            "one by one": lambda: [steerer.write([prompt], [row], style) for row in rows],
        },
        rounds,
    )
    print(f"\n{len(rows)} strengths, {tokens} tokens each")
    for name, values in times.items():
        print(f"  {name:18s}{spread(values)}")
    print("  " + ratios(times, "one by one", "one batch") + "   (goal 5)")


def answering(session: sw.Session, rounds: int) -> None:
    """From the panel's request to the first piece of steered text, the worker's queue counted; a bare text is known."""
    text = session.model.tokenizer.decode(prompt_of(session, PROMPT_TOKENS).ids, skip_special_tokens=True)
    change = (clamp(int(np.argsort(session.maxima)[-100]), 1.0),)
    settings = {"max_new_tokens": 4, "chat": False}
    waits: list[float] = []
    pair = Pair(session)
    for _ in range(rounds + 1):
        first: list[float] = []
        started = time.perf_counter()

        def emit(row: str, piece: str, first: list[float] = first) -> None:
            if row == "steered" and not first:
                first.append(time.perf_counter())

        pair(text, change, settings, emit, threading.Event(), lambda: change)
        waits.append(1e3 * (first[0] - started))
    print(f"\nslider released → first steered token, {PROMPT_TOKENS} prompt tokens")
    print(f"  {spread(waits[1:])}   (goal 150 ms)")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=48)
    given = parser.parse_args()
    print(versions("saewidgets", "torch", "transformers", "transformer-lens"))
    session = sw.demo()
    print(session)
    answering(session, given.rounds)
    writing(session, given.rounds, given.tokens)
    sweeping(session, max(3, given.rounds // 3), given.tokens)


if __name__ == "__main__":
    main()
