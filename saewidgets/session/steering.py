"""Turning features up and down while the model writes."""

from __future__ import annotations

from typing import Any

import numpy as np

from saewidgets.records import as_interventions
from saewidgets.session.binding import Binding


class Steering(Binding):
    """Generation with features changed inside SAE(x), the error term kept."""

    def generate(
        self,
        prompt: Any,
        strengths: Any = None,
        *,
        max_new_tokens: int = 60,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        chat: bool | None = None,
    ) -> str:
        """Continue a prompt, with features clamped to multiples of their maximum.

        Args:
            prompt: a string or a chat.
            strengths: ``{feature: strength}`` or `clamp` records; 1.0 is the strongest the feature was ever seen, 0
                ablates it, None leaves it alone. Without any, the output is the bare model's, bit for bit.
            max_new_tokens: where to stop at the latest.
            temperature: 0 is greedy.
            top_p: share of probability sampled from.
            seed: of the sampling noise, the same for every strength.
            chat: put a string into the chat template as the user's message; by default where the model has one.

        Raises:
            ValueError: when the prompt is empty or over the context, or a feature or strength is impossible.
        """
        from saewidgets.analysis.steer import checked_feature, edit_of
        from saewidgets.lm.generate import Sampling, generate

        tokens = self._prompt(prompt, chat)
        sampling = Sampling(temperature, top_p, seed)
        changes = as_interventions(strengths)
        for change in changes:
            checked_feature(self.sae, change.feature)  # before the sample is scanned for maxima
        scaled = any(change.strength for change in changes)  # ablation needs no maximum
        maxima = self.maxima if scaled else np.zeros(self.sae.d_sae, np.float32)
        edit = edit_of(self.sae, changes, maxima, tokens.has_bos)
        ids = self._run(
            lambda stop: generate(
                self.model,
                tokens.ids,
                hook_name=self.hook_name,
                hook_name_out=self.sae.hook_name_out,
                edit=edit,
                max_new_tokens=max_new_tokens,
                sampling=sampling,
                stop=stop,
            )
        )
        return self.model.tokenizer.decode(ids, skip_special_tokens=True)

    def _prompt(self, prompt: Any, chat: bool | None) -> Any:
        if isinstance(prompt, str):
            if not prompt.strip():
                raise ValueError("the prompt is empty: give at least one word")
            has_template = bool(getattr(self.model.tokenizer, "chat_template", None))
            if has_template if chat is None else chat:
                prompt = [{"role": "user", "content": prompt}]
        return self.model.tokens(prompt, self.prepend_bos, add_generation_prompt=True)
