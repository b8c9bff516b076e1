"""Rows of text written side by side, each with its own features changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from saewidgets.analysis.steer import FeatureEdit, Rows, Units
from saewidgets.analysis.trace import Trace
from saewidgets.lm.below import Below
from saewidgets.lm.generate import generate_rows
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.sampling import GREEDY, Sampling
from saewidgets.lm.stream import TextStream
from saewidgets.lm.tokens import Tokens
from saewidgets.records import Steered, Where
from saewidgets.sae.autoencoder import SparseAutoencoder


class Written(NamedTuple):
    """One row's new tokens, and the record of what was done to them."""

    ids: tuple[int, ...]
    steered: Steered


@dataclass(frozen=True)
class Style:
    """How texts are written.

    Attributes:
        sampling: for all rows.
        max_new_tokens: where a text ends at the latest.
        where: which tokens are changed.
        stop_strings: a text ends before the first of these.
    """

    sampling: Sampling = GREEDY
    max_new_tokens: int = 60
    where: Where = "both"
    stop_strings: tuple[str, ...] = ()


PLAIN = Style()


@dataclass(frozen=True, eq=False)
class Steerer:
    """A model with its SAE, and what strengths are measured in."""

    model: LanguageModel
    sae: SparseAutoencoder
    hook_name: str
    units: Units
    below: Below | None = None
    """Keeps what a prompt makes of the blocks below the hook, where the same one is written again and again."""

    @property
    def hook_names(self) -> tuple[str, str]:
        """Where features are read, and where they are written if that is elsewhere."""
        return self.hook_name, self.sae.hook_name_out

    def write(
        self,
        prompts: Sequence[Tokens],
        rows: Rows,
        style: Style = PLAIN,
        *,
        trace: Trace | None = None,
        live: Callable[[], Rows] | None = None,
        emits: Sequence[Callable[[str], None] | None] | None = None,
        samplings: Sequence[Sampling] | None = None,
        stop: threading.Event | None = None,
        stepped: Callable[[int], None] | None = None,
    ) -> list[Written]:
        """Continue ``prompts``, the interventions of ``rows`` in force; both have a row for each text.

        Args:
            prompts: what to continue.
            rows: what each row changes.
            style: how to write.
            trace: receives what is done; without it records hold the text and its tokens alone.
            live: gives ``rows`` anew at every token.
            emits: receive each row's text in pieces.
            samplings: one a row, instead of the style's.
            stop: set it to end the work within a token.
            stepped: told after every token how many there are.
        """
        edit = None
        if trace is not None or live is not None or any(rows):
            lengths = [len(prompt.ids) for prompt in prompts]
            edit = FeatureEdit(
                self.sae,
                rows,
                self.units,
                has_bos=prompts[0].has_bos,
                n_prompt=lengths,
                where=style.where,
                live=live,
                trace=trace,
            )
        streams = [
            TextStream(self.model.tokenizer, style.stop_strings, emit) for emit in emits or [None] * len(prompts)
        ]
        made = generate_rows(
            self.model,
            [prompt.ids for prompt in prompts],
            hook_names=self.hook_names,
            edit=edit,
            max_new_tokens=style.max_new_tokens,
            sampling=samplings or style.sampling,
            streams=streams,
            stop=stop,
            stepped=stepped,
            below=self.below,
        )
        trace = trace or Trace(self.sae, self.units.maxima)
        return [
            Written(tuple(ids), trace.steered(self.model, row, prompts[row].ids, ids, streams[row].text))
            for row, ids in enumerate(made)
        ]
