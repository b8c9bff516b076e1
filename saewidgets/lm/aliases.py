"""What other libraries call a model, and its name on the hub."""

from __future__ import annotations

import re

NAMES = {
    "gpt2-small": "gpt2",
    "gpt2-medium": "gpt2-medium",
    "distillgpt2": "distilgpt2",
    "llama-3-8b": "meta-llama/Meta-Llama-3-8B",
    "meta-llama-3-8b": "meta-llama/Meta-Llama-3-8B",
    "meta-llama-3-8b-instruct": "meta-llama/Meta-Llama-3-8B-Instruct",
    "mistral-7b": "mistralai/Mistral-7B-v0.1",
}
OWNERS = (
    (re.compile(r"pythia-.+", re.I), "EleutherAI"),
    (re.compile(r"gpt-(neo|neox|j)-.+", re.I), "EleutherAI"),
    (re.compile(r"gemma-.+", re.I), "google"),
    (re.compile(r"qwen\d.*", re.I), "Qwen"),
    (re.compile(r"(meta-)?llama-[23].*", re.I), "meta-llama"),
    (re.compile(r"mi[sx]tral-.+", re.I), "mistralai"),
    (re.compile(r"olmo-.+", re.I), "allenai"),
    (re.compile(r"smollm2?-.+", re.I), "HuggingFaceTB"),
)


def hub_name(name: str) -> str:
    """The hub's name of a model that TransformerLens, SAELens or Neuronpedia may call otherwise.

    Example:
        >>> hub_name("gpt2-small"), hub_name("pythia-70m-deduped")
        ('gpt2', 'EleutherAI/pythia-70m-deduped')
    """
    if name.lower() in NAMES:
        return NAMES[name.lower()]
    owner = next((owner for pattern, owner in OWNERS if pattern.fullmatch(name)), "")
    return f"{owner}/{name}" if owner else name
