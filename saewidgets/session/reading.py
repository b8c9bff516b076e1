"""Questions about a text: which features fire where, and how good the SAE is there."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from saewidgets.records import Evaluation, Scale, TokenActs
from saewidgets.session.binding import Binding

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse

    from saewidgets.widgets.heatmap import TokenHeatmap


class Reading(Binding):
    """Features on the tokens of a text."""

    def tokens(self, text: Any, scale: Scale = "norm") -> pd.DataFrame:
        """Every feature firing on every token: text, position, str_token, feature, activation.

        Args:
            text: a string, a chat, or a list of either.
            scale: ``"norm"`` gives feature_acts · ‖W_dec‖ (comparable across features), ``"native"`` feature_acts.
        """
        return self.token_acts(text, scale).frame

    def token_acts(self, text: Any, scale: Scale = "norm", stop: threading.Event | None = None) -> TokenActs:
        """What the heatmap shows, as one record; see `tokens`."""
        from saewidgets.analysis.tokens import text_list, token_acts, with_known

        texts = text_list(text)
        acts = self._run(
            lambda stop: token_acts(
                self.model, self.sae, texts, self.hook_name, prepend_bos=self.prepend_bos, scale=scale, stop=stop
            ),
            stop,
        )
        known = {"maximum": self._known_maximum(scale), "labels": self._known_labels()}
        return with_known(acts, provenance=self.provenance, **known)

    def activations(self, text: Any) -> np.ndarray:
        """What the SAE reads: the model's raw activations at the hook, float32 ``[pos, d_in]``, before any feature."""
        from saewidgets.analysis.tokens import raw_activations, text_list

        texts = text_list(text)
        return self._run(lambda stop: raw_activations(self.model, texts, self.hook_name, self.prepend_bos, stop))

    def acts(self, text: Any, scale: Scale = "norm") -> scipy.sparse.csr_array:
        """Activations of all features as a sparse matrix ``[pos, d_sae]``; several texts one below the other."""
        import scipy.sparse

        acts = self.token_acts(text, scale)
        row, col = np.nonzero(acts.values > 0)
        shape = (len(acts), acts.d_sae)
        return scipy.sparse.csr_array((acts.values[row, col], (row, acts.indices[row, col])), shape=shape)

    def top_features(self, text: Any, k: int = 20, scale: Scale = "norm") -> pd.DataFrame:
        """The strongest features over a text: feature, activation, text, position, str_token, count, label."""
        return self.token_acts(text, scale).top_features(k)

    def evaluate(self, texts: Any, *, max_tokens: int | None = 65_536, loss_tokens: int | None = 16_384) -> Evaluation:
        """Measure the SAE on texts: L0, FVU, loss recovered, KL, dead features, densities, decoder cosines.

        Args:
            texts: a string, a chat, a `pathlib.Path` of a ``.txt`` or ``.jsonl`` (field ``"text"``; ``.gz`` too), or an
                iterable of these.
            max_tokens: how many tokens to count, None for all; the first position of every window is left out.
            loss_tokens: on how many of them to run the whole model four times, for the losses and KL; None for all.

        Raises:
            ValueError: when there is no text of two tokens or more, or a file cannot be read as text.
        """
        from saewidgets.analysis.evaluate import evaluate

        limits = {"max_tokens": max_tokens, "loss_tokens": loss_tokens}
        model, sae, hook_name, bos = self.model, self.sae, self.hook_name, self.prepend_bos
        return self._run(lambda stop: evaluate(model, sae, texts, hook_name, prepend_bos=bos, stop=stop, **limits))

    def heatmap(self, text: Any, feature: int | None = None) -> TokenHeatmap:
        """A live `TokenHeatmap` of a text: hover, click a token, click a feature, edit the text in place."""
        from saewidgets.widgets.heatmap import TokenHeatmap

        widget = TokenHeatmap(
            self.token_acts(text), compute=lambda text, stop: self.token_acts(text, stop=stop), feature=feature
        )
        self._keep_badge(widget)
        return widget
