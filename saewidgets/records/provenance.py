"""Where numbers come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Provenance:
    """Where numbers come from: enough to say which model, SAE and hook made a view."""

    model: str = ""
    sae: str = ""
    hook_name: str = ""
    sae_hash: str = ""
    model_hash: str = ""

    def __str__(self) -> str:
        return " · ".join(part for part in (self.model, self.hook_name, self.sae) if part)
