"""A chat as a prompt: the turns that come before, and the user's last one, which is what the panel edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from saewidgets.widgets.steering.protocol import Prompt, Turn


def split(given: Any) -> tuple[str, list[Turn] | None]:
    """The text to edit, and the turns before it; None where ``given`` is plain text.

    Raises:
        TypeError: when ``given`` is neither a string nor a chat.
        ValueError: when the chat is empty or does not end with the user's turn.
    """
    if isinstance(given, str):
        return given, None
    if not isinstance(given, Sequence):
        raise TypeError(f"the prompt must be a string or a chat, got {type(given).__name__}")
    turns = as_turns(given)
    if not turns:
        raise ValueError("the chat is empty: give at least one message")
    last = turns[-1]
    if last["role"] != "user":
        raise ValueError(f"the chat ends with the {last['role']}'s turn: end it with the user's, which the panel edits")
    return last["content"], turns[:-1]


def joined(turns: Sequence[Turn] | None, prompt: str) -> Prompt:
    """What `split` took apart."""
    return prompt if turns is None else [*turns, {"role": "user", "content": prompt}]


def as_turns(given: Any) -> list[Turn]:
    """``given`` as messages of a role and a content, or a ValueError that says which is none."""
    if isinstance(given, (str, Mapping)) or not isinstance(given, Sequence):
        raise ValueError(f"the turns of a chat must be a list, got {type(given).__name__}")
    return [_as_turn(number, turn) for number, turn in enumerate(given, 1)]


def _as_turn(number: int, given: Any) -> Turn:
    if not isinstance(given, Mapping) or given.keys() != {"role", "content"}:
        found = ", ".join(map(str, given)) if isinstance(given, Mapping) else type(given).__name__
        raise ValueError(f'turn {number} must be {{"role": "…", "content": "…"}} and nothing else, got {found}')
    for name in ("role", "content"):
        if not isinstance(given[name], str):
            raise ValueError(f"the {name} of turn {number} must be a string, got {type(given[name]).__name__}")
    return {"role": given["role"], "content": given["content"]}
