"""Text the demo model writes itself: batches of chats, sampled with fixed seeds, appended as they finish."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from saewidgets.demos.recipe.prompts import prompts
from saewidgets.lm.model import LanguageModel

BATCH, NEW_TOKENS = 80, 160


def generate(model: LanguageModel, path: Path, count: int) -> None:
    """Append to ``path`` (a JSON object a line: prompt, reply) until it holds ``count``; no prompt comes twice."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    answered = {json.loads(line)["prompt"] for line in lines}
    todo = [prompt for prompt in prompts() if prompt not in answered][: max(0, count - len(lines))]
    for start in range(0, len(todo), BATCH):
        batch = todo[start : start + BATCH]
        done = len(lines) + start
        replies = _replies(model, batch, seed=done)
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps({"prompt": p, "reply": r}) + "\n" for p, r in zip(batch, replies, strict=True))
        print(f"wrote {done + len(batch)} of {len(lines) + len(todo)} chats", flush=True)


@torch.inference_mode()
def _replies(model: LanguageModel, batch: list[str], seed: int) -> list[str]:
    tokenizer = model.tokenizer
    chats = [[{"role": "user", "content": prompt}] for prompt in batch]
    texts = [tokenizer.apply_chat_template(c, tokenize=False, add_generation_prompt=True) for c in chats]
    encoded = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
    torch.manual_seed(seed)
    out = model.module.generate(  # type: ignore[operator]
        **encoded, do_sample=True, temperature=0.9, top_p=0.95, max_new_tokens=NEW_TOKENS
    )
    return tokenizer.batch_decode(out[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
