"""Text to features: how close to the floor, what an import costs, what the demo needs.

The floor is the work no tool can avoid: the model's forward pass to the hook, and one encode. Ours is what
`Session.token_acts` does for a heatmap: tokenization, windows, sinks, readable strings, the record.

Run with ``make bench`` or ``python benchmarks/heatmap.py [--rounds 15]``.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

import torch
from common import interleaved, spread, versions

import saewidgets as sw
from saewidgets.analysis.sample import passages


def text_of(session: sw.Session, n_tokens: int) -> str:
    """A text of exactly ``n_tokens`` tokens, BOS counted."""
    tokenizer = session.model.tokenizer
    ids = tokenizer("\n".join(passages()[:4]), add_special_tokens=False)["input_ids"]
    for size in range(n_tokens - 1, n_tokens + 8):
        text = tokenizer.decode(ids[:size])
        if len(session.model.tokens(text).ids) == n_tokens:
            return text
    raise RuntimeError(f"no text of {n_tokens} tokens found")


def against_floor(session: sw.Session, n_tokens: int, rounds: int) -> None:
    """Ours, the floor and the full forward pass, interleaved."""
    text = text_of(session, n_tokens)
    ids = torch.tensor([session.model.tokens(text).ids])
    layer = int(session.hook_name.split(".")[1])
    body = session.model.module.model
    blocks = body.layers

    @torch.inference_mode()
    def floor() -> object:
        body.layers = blocks[: layer + 1]
        norm, body.norm = body.norm, torch.nn.Identity()
        try:
            return session.sae.encode(body(input_ids=ids, use_cache=False).last_hidden_state[0])
        finally:
            body.layers, body.norm = blocks, norm

    @torch.inference_mode()
    def full() -> object:
        return session.model.module(input_ids=ids, use_cache=False).logits

    same = floor()[1] == session.sae.encode(torch.from_numpy(session.activations(text)))[1]  # type: ignore[index]
    assert bool(same.all()), "the floor does other work than ours"
    times = interleaved({"floor": floor, "ours": lambda: session.token_acts(text), "full forward": full}, rounds)
    print(f"\n{n_tokens} tokens, {rounds} interleaved rounds, median (middle half)")
    for name, values in times.items():
        print(f"  {name:14s}{spread(values)}")
    medians = {name: statistics.median(values) for name, values in times.items()}
    paired = statistics.median(f / o for f, o in zip(times["floor"], times["ours"], strict=True))
    print(
        f"  floor / ours: {paired:.2f} (goal 0.90)   "
        f"ours / full forward: {medians['ours'] / medians['full forward']:.2f}"
    )


FRESH = {
    "import saewidgets (s)": "import time; t = time.perf_counter(); import saewidgets; v = time.perf_counter() - t",
    "floor: import torch and transformers' Llama (s)": (
        "import time; t = time.perf_counter(); import torch; from transformers import LlamaForCausalLM, AutoTokenizer; "
        "v = time.perf_counter() - t"
    ),
    "sw.demo(), warm cache (s)": (
        "import time; t = time.perf_counter(); import saewidgets as sw; s = sw.demo(); v = time.perf_counter() - t"
    ),
    "peak memory of sw.demo() and a heatmap (GB)": (
        "import resource, saewidgets as sw; s = sw.demo(); s.heatmap('The Golden Gate Bridge'); s.trust(); "
        "v = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20"
    ),
}


def fresh(name: str, code: str, goal: str) -> None:
    """The median of three fresh processes."""
    runs = [
        float(
            subprocess.run(
                [sys.executable, "-c", f"{code}; print(v)"], capture_output=True, text=True, check=True
            ).stdout.split()[-1]
        )
        for _ in range(3)
    ]
    print(f"  {name:46s}{statistics.median(runs):6.2f}   (goal {goal})")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    print(versions("saewidgets", "torch", "transformers"))
    print("\nfresh processes, median of three")
    for (name, code), goal in zip(FRESH.items(), ("0.3", "none", "5", "1.5"), strict=True):
        fresh(name, code, goal)
    session = sw.demo()
    for n_tokens in (64, 128):
        against_floor(session, n_tokens, rounds)


if __name__ == "__main__":
    main()
