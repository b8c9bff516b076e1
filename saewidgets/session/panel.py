"""The steering panel, with the model behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saewidgets.session.pair import Pair
from saewidgets.session.steering import Steering

if TYPE_CHECKING:
    import pandas as pd

    from saewidgets.widgets.steering import SteeringPanel
    from saewidgets.widgets.steering.protocol import About


class SteeringView(Steering):
    """Steering by hand."""

    opened: str = ""
    """The line of Python that opened this session, where it is known, for the panel's "show code"."""

    def steer(
        self, prompt: Any = "", strengths: Any = None, *, recipe: str | None = None, **settings: Any
    ) -> SteeringPanel:
        """A live `SteeringPanel`: a slider a feature, the bare and the steered text side by side, and what it costs.

        Args:
            prompt: what to continue, a string or a chat; of a chat the user's last turn can be edited.
            strengths: ``{feature: strength}``, or interventions of one kind; what is on when it opens.
            recipe: the name, or part of it, of one of `recipes`: its feature, strength and prompt.
            **settings: where to begin: ``max_new_tokens``, ``temperature``, ``top_p``, ``seed``, ``chat``, ``where``.

        Raises:
            ValueError: when there is no such recipe (the message lists those there are), or the chat is none that the
                user asks last and the model's template can write.

        Example:
            >>> s.steer("Who are you?", {8192: 6.0})
            >>> s.steer([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], {8192: 6.0})
        """
        from saewidgets.widgets.steering import SteeringPanel

        if recipe is not None:
            chosen = self._recipe(recipe)
            prompt = prompt or str(chosen["prompt"])
            strengths = {int(chosen["feature"]): float(chosen["strength"])} if strengths is None else strengths
        if not isinstance(prompt, str):
            self._prompt(prompt, None)  # what `generate` would refuse is refused now
        widget = SteeringPanel(
            Pair(self),
            d_sae=self.sae.d_sae,
            sweep=self._swept,
            search=self._find,
            describe=self._describe,
            prompt=prompt,
            strengths=strengths,
            provenance=self.provenance,
            opened=self.opened,
            **settings,
        )
        self._keep_badge(widget)
        return widget

    def _swept(
        self, prompt: Any, feature: int, strengths: Any, settings: Any, stop: Any, progress: Any, *, kind: Any
    ) -> Any:
        return self.sweep_record(prompt, feature, strengths, kind=kind, stop=stop, progress=progress, **settings)

    def _describe(self, feature: int) -> About:
        from saewidgets.widgets.steering.protocol import About

        return About(self._label(feature), float(self.maxima[feature]), self._proof(feature))

    def _proof(self, feature: int) -> str:
        """What was measured of a recipe's feature, beside its controls; "" for another."""
        known = self.recipes
        own = None if known is None else known[known["feature"] == feature]
        if own is None or not len(own):
            return ""
        row = own.iloc[0]
        return (
            f"Recipe “{row['name']}”: at {row['strength']:.2g} × max {row['rate']:.1f} of 100 words are its concept's "
            f"(95 %: {row['low']:.1f} to {row['high']:.1f}) · random direction {row['rate_random']:.1f} · "
            f"another feature {row['rate_control']:.1f} · bare {row['rate_bare']:.1f} · "
            f"asked for in words {row['rate_prompt']:.1f}"
        )

    def _find(self, query: str) -> pd.DataFrame:
        """By label where there is an index, else by the words a feature promotes."""
        search = getattr(self, "search", None)
        if search is not None and self.index is not None:
            return search(query)
        from saewidgets.analysis.promoted import find_promoters

        return find_promoters(self.model, self.sae, query)

    def _recipe(self, name: str) -> Any:
        known = self.recipes
        if known is None or not len(known):
            raise ValueError("this session has no steering recipes: pass strengths={feature: strength}")
        found = known[known["name"].str.lower().str.contains(name.lower(), regex=False)]
        if not len(found):
            raise ValueError(f"there is no recipe {name!r}; there are: {', '.join(known['name'])}")
        return found.iloc[0]
