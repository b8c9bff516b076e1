"""What every question to a session stands on: the model, the SAE, the worker, the trust check."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from saewidgets.records import Provenance, Scale, TrustReport

if TYPE_CHECKING:
    from saewidgets.index.index import Index
    from saewidgets.lm.model import LanguageModel
    from saewidgets.sae.autoencoder import SparseAutoencoder
    from saewidgets.widgets.trust import TrustPanel

T = TypeVar("T")


class Binding:
    """One model with one SAE at one hook; `Session` adds the questions."""

    def __init__(
        self,
        model: LanguageModel,
        sae: SparseAutoencoder,
        hook_name: str | None = None,
        *,
        prepend_bos: bool | None = None,
        maxima: np.ndarray | None = None,
    ) -> None:
        from saewidgets.analysis.check import require_width

        self.hook_name = hook_name or sae.hook_name
        if not self.hook_name:
            raise ValueError("the SAE does not say where it reads: pass hook_name=, as in 'blocks.15.hook_resid_post'")
        self.model = model
        self.sae = sae.to(device=model.device)
        self.prepend_bos = sae.prepend_bos if prepend_bos is None else prepend_bos
        self.index: Index | None = None
        self._made: tuple[Index, Any, Any] | None = None
        self._maxima = maxima
        self._report: TrustReport | None = None
        self._checking = threading.Lock()
        require_width(model, self.sae, self.hook_name)

    @property
    def maxima(self) -> np.ndarray:
        """Each feature's largest native feature_acts, float32 ``[d_sae]``: the unit of strengths.

        From the corpus index where there is one; else measured on a built-in sample of about 20k tokens on first use,
        unless the SAE came with its maxima. A feature that never fired in the corpus has what else is known, or 0.
        """
        if self.index is not None:
            seen = np.array(self.index.maximum)
            return np.where(seen > 0, seen, 0 if self._maxima is None else self._maxima)
        if self._maxima is None:
            from saewidgets.analysis.maxima import sample_maxima

            self._maxima = self._run(
                lambda stop: sample_maxima(self.model, self.sae, self.hook_name, self.prepend_bos, stop)
            )
        return self._maxima

    @property
    def provenance(self) -> Provenance:
        """Which model, SAE and hook the numbers come from."""
        return Provenance(self.model.name, self.sae.summary, self.hook_name, self._hashes[0], self._hashes[1])

    def check(self) -> TrustPanel:
        """The trust panel: whether this SAE fits this model, measured on about 1k built-in tokens, once."""
        from saewidgets.widgets.trust import TrustPanel

        return TrustPanel(self.trust())

    def trust(self) -> TrustReport:
        """What `check` shows, as a record; kept in the cache folder for this model, SAE and hook."""
        from saewidgets.analysis.check import cached_check

        with self._checking:
            if self._report is None:
                self._report = cached_check(self.model, self.sae, self.hook_name, self.prepend_bos)
            return self._report

    def _run(self, job: Callable[[threading.Event], T], stop: threading.Event | None = None) -> T:
        return self.model.worker.run(job, stop)

    @functools.cached_property
    def _hashes(self) -> tuple[str, str]:
        return self.sae.hash(), self.model.hash()

    def _known_maximum(self, scale: Scale) -> np.ndarray | None:
        if self._maxima is None and self.index is None:
            return None
        return self.maxima if scale == "native" else self.maxima * self.sae.decoder_norms().cpu().numpy()

    def _known_labels(self) -> dict[int, str]:
        labels = self.index.labels if self.index is not None else ()
        return {feature: label for feature, label in enumerate(labels) if label}

    def _keep_badge(self, widget: Any) -> None:
        """Show the verdict on the widget: at once when known, else as soon as a background check has it."""
        from saewidgets.widgets.shared.badge import badge_of

        if self._report is not None:
            widget.badge = badge_of(self._report)
            return

        def fill() -> None:
            try:
                widget.badge = badge_of(self.trust())
            except Exception as error:  # the badge is where a failed check can be seen
                widget.badge = {"status": "amber", "summary": f"The check failed: {error}", "findings": []}

        widget.badge = badge_of(None)
        threading.Thread(target=fill, name="saewidgets-check", daemon=True).start()
