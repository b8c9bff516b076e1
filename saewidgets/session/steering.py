"""Turning features up and down while the model writes."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from saewidgets.records import Intervention, Kind, Steered, Sweep, Where, as_interventions
from saewidgets.session.binding import Binding

if TYPE_CHECKING:
    import pandas as pd

    from saewidgets.analysis.sweep import Controls
    from saewidgets.analysis.write import Steerer, Style
    from saewidgets.lm.tokens import Tokens


class Steering(Binding):
    """Generation with features changed inside SAE(x), the error term kept."""

    recipes: pd.DataFrame | None = None
    """Features with a measured effect, for ``steer(recipe=…)``; None where none are known."""

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
        where: Where = "both",
        stop_strings: Sequence[str] = (),
    ) -> str:
        """Continue a prompt, with features clamped to multiples of their maximum.

        Args:
            prompt: a string or a chat.
            strengths: ``{feature: strength}`` or `clamp`, `at_least`, `add` and `ablate` records; 1.0 is the strongest
                the feature was ever seen, 0 ablates it, None leaves it alone. Without any, the output is the bare
                model's, bit for bit.
            max_new_tokens: where to stop at the latest.
            temperature: 0 is greedy.
            top_p: share of probability sampled from.
            seed: of the sampling noise, the same for every strength.
            chat: put a string into the chat template as the user's message; by default where the model has one.
            where: steer ``"both"`` prompt and continuation, the ``"prompt"`` alone, or the ``"generation"`` alone.
            stop_strings: the text ends before the first of these.

        Raises:
            ValueError: when the prompt is empty or over the context, a chat has an unknown role or ends with the
                assistant's turn, or a feature or strength is impossible.
        """
        changes, tokens = self._checked(strengths), self._prompt(prompt, chat)
        style = self._style(max_new_tokens, temperature, top_p, seed, where, stop_strings)
        steerer = self._steerer(changes)
        return self._run(lambda stop: steerer.write([tokens], [changes], style, stop=stop))[0].steered.text

    def steered(self, prompt: Any, strengths: Any = None, **options: Any) -> Steered:
        """What `generate` writes, as a record: of every token, whether it was changed, to what, and how it reads then.

        Args:
            prompt: as in `generate`.
            strengths: as in `generate`.
            **options: as in `generate`.
        """
        from saewidgets.analysis.trace import Trace

        changes, tokens = self._checked(strengths), self._prompt(prompt, options.pop("chat", None))
        style, steerer = self._style(**options), self._steerer(changes, measured=True)
        trace = Trace(self.sae, steerer.units.maxima, [change.feature for change in changes])
        return self._run(lambda stop: steerer.write([tokens], [changes], style, trace=trace, stop=stop))[0].steered

    def sweep(
        self, prompt: Any, feature: int, strengths: Sequence[float] | None = None, **options: Any
    ) -> pd.DataFrame:
        """Continue a prompt at many strengths of a feature in one batch, beside the bare model and controls.

        Args:
            prompt: a string or a chat.
            feature: feature number.
            strengths: each once; by default 17 from −4 to 10 times the maximum.
            **options: of `sweep_record`, and of `generate`.

        Returns:
            A row a text: kind (bare, steered, random, control, prompt), strength, readback, kl, perplexity, repetition,
            first_divergence, delta_logprob, sweet_spot, text; see `SweepRow`.
        """
        return self.sweep_record(prompt, feature, strengths, **options).frame

    def sweep_record(
        self,
        prompt: Any,
        feature: int,
        strengths: Sequence[float] | None = None,
        *,
        kind: Kind = "clamp",
        concept: str | None = None,
        controls: bool = True,
        stop: threading.Event | None = None,
        progress: Callable[[float], None] | None = None,
        **options: Any,
    ) -> Sweep:
        """What `sweep` shows, as a record.

        Args:
            prompt: a string or a chat.
            feature: feature number.
            strengths: each once; by default 17 from −4 to 10 times the maximum.
            kind: ``"clamp"``, ``"at_least"`` or ``"add"``, whose strengths are fractions of the median residual norm.
            concept: what the prompt control asks for; by default the feature's label or most promoted words.
            controls: write them too: a random direction of equal norm, another feature, a prompt that asks.
            stop: set it to end the work.
            progress: told the share done, 0 to 1.
            **options: of `generate`.
        """
        import dataclasses

        from saewidgets.analysis import sweep

        change = self._checked([Intervention(feature, 1.0, kind)])
        tokens, style = self._prompt(prompt, chat := options.pop("chat", None)), self._style(**options)
        steerer = self._steerer(change, measured=True)
        wanted = strengths if strengths is not None else sweep.FRACTIONS if kind == "add" else sweep.STRENGTHS
        beside = self._controls(prompt, chat, change[0].feature, concept) if controls else sweep.NO_CONTROLS
        found = self._run(
            lambda stop: sweep.sweep(
                steerer, tokens, change[0].feature, wanted, beside, kind=kind, style=style, stop=stop, progress=progress
            ),
            stop,
        )
        given = prompt if isinstance(prompt, str) else found.prompt
        return dataclasses.replace(found, prompt=given, label=self._label(feature), provenance=self.provenance)

    def _controls(self, prompt: Any, chat: bool | None, feature: int, concept: str | None) -> Controls:
        from saewidgets.analysis.promoted import promoted_tokens
        from saewidgets.analysis.sweep import Controls, asking, control_feature

        if not concept and not (concept := self._label(feature)):
            words = promoted_tokens(self.model, self.sae, [feature], 3)[0].tolist()
            concept = ", ".join(self.model.tokenizer.decode([word]).strip() for word in words)
        other = control_feature(self.sae, feature, self._density, self.maxima)
        return Controls(other, self._prompt(asking(prompt, concept), chat) if concept else None)

    def _style(
        self,
        max_new_tokens: int = 60,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        where: Where = "both",
        stop_strings: Sequence[str] = (),
    ) -> Style:
        from saewidgets.analysis.write import Style
        from saewidgets.lm.sampling import Sampling

        return Style(Sampling(temperature, top_p, seed), max_new_tokens, where, tuple(stop_strings))

    def _steerer(self, changes: Sequence[Intervention], measured: bool = False) -> Steerer:
        """Model, SAE and the units these changes need; with ``measured`` all of them."""
        from saewidgets.analysis.steer import Units
        from saewidgets.analysis.write import Steerer

        scaled = measured or any(change.needs_maximum for change in changes)  # ablation needs no maximum
        maxima = self.maxima if scaled else np.zeros(self.sae.d_sae, np.float32)
        added = measured or any(change.kind == "add" for change in changes)
        norm = self._median_norm if added else float("nan")
        return Steerer(self.model, self.sae, self.hook_name, Units(maxima, norm))

    def _checked(self, strengths: Any) -> tuple[Intervention, ...]:
        from saewidgets.analysis.steer import checked_feature

        changes = as_interventions(strengths)
        for change in changes:
            checked_feature(self.sae, change.feature)  # before the sample is scanned for maxima
        return changes

    @functools.cached_property
    def _median_norm(self) -> float:
        from saewidgets.analysis.maxima import median_norm

        place = self.sae.hook_name_out or self.hook_name
        return self._run(lambda stop: median_norm(self.model, place, self.prepend_bos, stop))

    @property
    def _density(self) -> np.ndarray:
        return self.index.density if self.index is not None else self._sample_density

    @functools.cached_property
    def _sample_density(self) -> np.ndarray:
        from saewidgets.analysis.maxima import sample_density

        place = self.model, self.sae, self.hook_name, self.prepend_bos
        return self._run(lambda stop: sample_density(*place, stop))

    def _label(self, feature: int) -> str:
        return str(self.index.labels[feature]) if self.index is not None else ""

    def _prompt(self, prompt: Any, chat: bool | None) -> Tokens:
        if isinstance(prompt, str):
            if not prompt.strip():
                raise ValueError("the prompt is empty: give at least one word")
            has_template = bool(getattr(self.model.tokenizer, "chat_template", None))
            if has_template if chat is None else chat:
                prompt = [{"role": "user", "content": prompt}]
        return self.model.tokens(prompt, self.prepend_bos, add_generation_prompt=True)
