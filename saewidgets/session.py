"""The session: one model, one SAE, and everything that can be asked of the two."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from saewidgets.records import Evaluation, Provenance, Scale, TokenActs, TrustReport, as_interventions

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse
    import torch

    from saewidgets.lm.model import LanguageModel
    from saewidgets.sae.autoencoder import SparseAutoencoder
    from saewidgets.widgets.heatmap import TokenHeatmap
    from saewidgets.widgets.trust import TrustPanel

T = TypeVar("T")


def load(
    model: Any = None,
    *,
    sae: Any,
    hook_name: str | None = None,
    tokenizer: Any = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> Session:
    """Bind a model and an SAE.

    Args:
        model: hub name, folder, Hugging Face module, `TransformerBridge` or ``other_session.model``; by default the
            one the SAE names.
        sae: whatever `load_sae` takes: a folder or file of any known format, a hub name, a `SparseAutoencoder`, a dict
            of tensors, or an object with ``encode``, ``decode`` and ``W_dec``.
        hook_name: where the SAE reads, in the TransformerLens vocabulary; by default what the SAE names.
        tokenizer: for a model object that does not lead to one.
        device: ``"cpu"``, ``"cuda"`` or ``"mps"``.
        dtype: of model and SAE weights.

    Raises:
        ValueError: when the hook is unknown, or its width is not the SAE's ``d_in``.
        FileNotFoundError: when a path or name leads nowhere.

    Example:
        >>> s = load("gpt2", sae="my-sae")
        >>> s.heatmap("Hello")
    """
    from saewidgets.lm.load import load_model

    dictionary = _as_sae(sae, dtype)
    name = model if model is not None else dictionary.model_name
    if isinstance(name, str) and not name:
        raise ValueError("the SAE does not name its model: pass it first, as in sw.load('gpt2', sae=…)")
    return Session(load_model(name, tokenizer, device, dtype), dictionary, hook_name)


def _as_sae(sae: Any, dtype: torch.dtype | None) -> SparseAutoencoder:
    from saewidgets.sae.formats import load_sae

    return load_sae(sae, dtype=dtype)


class Session:
    """One model with one SAE at one hook.

    Attributes:
        model: the `LanguageModel`; pass it to `load` again to put another SAE on it.
        sae: the `SparseAutoencoder`.
        hook_name: where the SAE reads.
        index: the corpus index, or None.
    """

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
        self.index = None
        self._maxima = maxima
        self._report: TrustReport | None = None
        self._checking = threading.Lock()
        require_width(model, self.sae, self.hook_name)

    def __repr__(self) -> str:
        return f"Session({self.model.name!r}, {self.sae!r}, hook_name={self.hook_name!r})"

    # ---- data ----------------------------------------------------------------------------------------------------

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
        return with_known(acts, maximum=self._known_maximum(scale), provenance=self.provenance)

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

    @property
    def maxima(self) -> np.ndarray:
        """Each feature's largest native feature_acts, float32 ``[d_sae]``: the unit of strengths.

        Measured on a built-in sample of about 20k tokens on first use, unless the SAE came with its maxima.
        """
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

    # ---- views ---------------------------------------------------------------------------------------------------

    def heatmap(self, text: Any, feature: int | None = None) -> TokenHeatmap:
        """A live `TokenHeatmap` of a text: hover, click a token, click a feature, edit the text in place."""
        from saewidgets.widgets.heatmap import TokenHeatmap

        widget = TokenHeatmap(
            self.token_acts(text), compute=lambda text, stop: self.token_acts(text, stop=stop), feature=feature
        )
        self._keep_badge(widget)
        return widget

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

    # ---- helpers -------------------------------------------------------------------------------------------------

    def _run(self, job: Callable[[threading.Event], T], stop: threading.Event | None = None) -> T:
        return self.model.worker.run(job, stop)

    def _prompt(self, prompt: Any, chat: bool | None) -> Any:
        if isinstance(prompt, str):
            if not prompt.strip():
                raise ValueError("the prompt is empty: give at least one word")
            has_template = bool(getattr(self.model.tokenizer, "chat_template", None))
            if has_template if chat is None else chat:
                prompt = [{"role": "user", "content": prompt}]
        return self.model.tokens(prompt, self.prepend_bos, add_generation_prompt=True)

    @functools.cached_property
    def _hashes(self) -> tuple[str, str]:
        return self.sae.hash(), self.model.hash()

    def _known_maximum(self, scale: Scale) -> np.ndarray | None:
        if self._maxima is None or scale == "native":
            return self._maxima
        return self._maxima * self.sae.decoder_norms().cpu().numpy()

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
