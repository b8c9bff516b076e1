"""The trust panel's numbers: does this SAE fit this model, and if not, what is the likely cause."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from saewidgets.analysis.fit import ce_recovered, cross_entropies, mean_l0, variance_explained
from saewidgets.analysis.sample import token_blocks
from saewidgets.analysis.tokens import SINK_RATIO, sinks
from saewidgets.lm.cache import cache_folder, read_json, write_json
from saewidgets.lm.capture import capture, capture_many
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.worker import go_on
from saewidgets.records import Finding, Provenance, Status, TrustReport
from saewidgets.sae.autoencoder import SparseAutoencoder

CHECK_VERSION = 2
"""Part of the cache key: raise it whenever a figure or a judgement changes."""
CHECK_TOKENS = 1024
NEARBY_LAYERS = 3
SCALES = (0.25, 0.5, 2.0, 4.0)
CLEAR_GAIN = 0.03
"""How much more variance a changed setting must explain before it is named as the likely cause."""


@dataclass(frozen=True)
class _Sample:
    """Activations of the built-in sample at the SAE's hook, and at the hook it writes to (for a transcoder)."""

    ids: Tensor
    x: Tensor
    y: Tensor
    keep: Tensor

    @property
    def kept(self) -> Tensor:
        return self.x[self.keep]

    @property
    def target(self) -> Tensor:
        return self.y[self.keep]


def require_width(model: LanguageModel, sae: SparseAutoencoder, hook_name: str) -> None:
    """Raise a ValueError where the model's hooks are not as wide as the SAE reads and writes."""

    def width(name: str) -> int:
        return model.worker.run(lambda stop: capture(model, torch.tensor([[0]]), name)).shape[-1]

    if width(hook_name) != sae.d_in:
        raise ValueError(
            f"{hook_name} of {model.name} is {width(hook_name)} wide, but this SAE reads d_in={sae.d_in}: "
            "it belongs to another model or hook"
        )
    if sae.is_transcoder and width(sae.hook_name_out) != sae.d_out:
        raise ValueError(
            f"{sae.hook_name_out} of {model.name} is {width(sae.hook_name_out)} wide, but this transcoder writes "
            f"d_out={sae.d_out}: it belongs to another model or hook"
        )


def cached_check(model: LanguageModel, sae: SparseAutoencoder, hook_name: str, prepend_bos: bool) -> TrustReport:
    """What `check` finds, from the cache folder where this model, SAE and hook were checked before."""
    key = f"{model.hash()}-{sae.hash()}-{hook_name}-{sae.hook_name_out}-{prepend_bos}"
    path = cache_folder() / "checks" / f"{CHECK_VERSION}-{key}.json"
    report = _report_from(read_json(path))
    if report is None:
        report = model.worker.run(lambda stop: check(model, sae, hook_name, prepend_bos, stop))
        write_json(path, asdict(report))
    return report


def _report_from(saved: Mapping[str, Any] | None) -> TrustReport | None:
    if saved is None:
        return None
    try:
        findings = tuple(Finding(**row) for row in saved["findings"])
        return TrustReport(findings, saved["n_tokens"], Provenance(**saved["provenance"]))
    except (KeyError, TypeError):
        return None


@torch.inference_mode()
def check(
    model: LanguageModel,
    sae: SparseAutoencoder,
    hook_name: str,
    prepend_bos: bool,
    stop: threading.Event | None = None,
) -> TrustReport:
    """Measure an SAE on about 1k built-in tokens and judge every figure green, amber or red.

    Besides the figures themselves, every setting that is commonly wrong is changed in turn (layer, BOS, scale of the
    input, centring, subtraction of b_dec); a change that explains clearly more variance is the likely cause.

    Raises:
        ValueError: when the hook is unknown or its width is not the SAE's ``d_in``.
        Stopped: when ``stop`` was set.
    """
    sample = _sample(model, sae, hook_name, prepend_bos)
    if sample.x.shape[-1] != sae.d_in:
        raise ValueError(
            f"{hook_name} of {model.name} is {sample.x.shape[-1]} wide, but this SAE reads d_in={sae.d_in}: "
            "it belongs to another model or hook"
        )
    go_on(stop)
    explained = _fit(sae, sample.kept, sample.target)
    better = _alternatives(model, sae, sample, hook_name, prepend_bos)
    go_on(stop)
    gains = {cause: value for cause, value in better.items() if value > explained + CLEAR_GAIN}
    likely = max(gains, key=lambda cause: gains[cause], default="")
    findings = (
        Finding("Hook and width", float(sae.d_in), "green", f"{hook_name}, {sae.d_in} wide"),
        _explained(explained, likely, gains.get(likely, explained), sae),
        _recovered(model, sae, sample, hook_name, likely),
        _l0(mean_l0(sae, sample.kept), sae),
        _norms(sae, sample),
        _layer(hook_name, explained, better),
        _bos(model, sae, prepend_bos, better, explained),
        _outliers(sample),
    )
    place = Provenance(model.name, sae.summary, hook_name, sae.hash(), model.hash())
    return TrustReport(findings, int(sample.ids.numel()), place)


def _sample(model: LanguageModel, sae: SparseAutoencoder, hook_name: str, prepend_bos: bool) -> _Sample:
    ids = token_blocks(model, CHECK_TOKENS, prepend_bos)
    x = capture(model, ids, hook_name)
    y = capture(model, ids, sae.hook_name_out) if sae.is_transcoder else x
    return _Sample(ids, x, y, _kept(x, model, ids))


def _kept(x: Tensor, model: LanguageModel, ids: Tensor) -> Tensor:
    """All positions but BOS and a sink at position 0; outliers elsewhere stay in, as in any evaluation."""
    keep = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
    sink_first = torch.stack([sinks(row)[0] for row in x])
    keep[:, 0] = ~(sink_first | (ids[:, 0] == model.tokenizer.bos_token_id).to(x.device))
    return keep


def _alternatives(
    model: LanguageModel, sae: SparseAutoencoder, sample: _Sample, hook_name: str, prepend_bos: bool
) -> dict[str, float]:
    """Variance explained under each changed setting, by a sentence that names the change."""
    found: dict[str, float] = {}
    near = _nearby(model, sample.ids, hook_name, sae.d_in)
    targets = _nearby(model, sample.ids, sae.hook_name_out, sae.d_out) if sae.is_transcoder else near
    for (name, other), target in zip(near.items(), targets.values(), strict=False):
        keep = _kept(other, model, sample.ids)
        found[f"{name} fits better: pass hook_name={name!r}"] = _fit(sae, other[keep], target[keep])
    if not sae.is_transcoder:
        found |= _input_changes(sae, sample.kept)
    if model.tokenizer.bos_token_id is not None:
        other_bos = _sample(model, sae, hook_name, not prepend_bos)
        found[f"{_BOS}: use sw.load_sae(…, prepend_bos={not prepend_bos})"] = _fit(
            sae, other_bos.kept, other_bos.target
        )
    return found


def _input_changes(sae: SparseAutoencoder, x: Tensor) -> dict[str, float]:
    found: dict[str, float] = {}
    for scale in SCALES:
        cause = f"the input seems to be off by a factor of {1 / scale:g}: check the SAE's normalisation"
        found[cause] = variance_explained(x, sae.reconstruct(x * scale) / scale)
    centred = "not centring" if sae.center_input else "centring"
    changed = replace(sae, center_input=not sae.center_input)
    cause = f"{centred} the input over d_in fits better: use sw.load_sae(…, center_input={changed.center_input})"
    found[cause] = _fit(changed, x, x)
    unshifted = replace(sae, apply_b_dec_to_input=not sae.apply_b_dec_to_input)
    found[f"apply_b_dec_to_input={unshifted.apply_b_dec_to_input} fits better"] = _fit(unshifted, x, x)
    return found


_BOS = "the text fits better with BOS the other way"


def _fit(sae: SparseAutoencoder, x: Tensor, y: Tensor) -> float:
    return variance_explained(y, sae.reconstruct(x))


def _nearby(model: LanguageModel, ids: Tensor, hook_name: str, d_in: int) -> dict[str, Tensor]:
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", hook_name)
    if not match:
        return {}
    layer, site = int(match[1]), match[2]
    near = [
        n for n in range(layer - NEARBY_LAYERS, layer + NEARBY_LAYERS + 1) if n != layer and 0 <= n < model.n_layers
    ]
    found = capture_many(model, ids, [f"blocks.{n}.{site}" for n in near])
    return {name: x for name, x in found.items() if x.shape[-1] == d_in}


def _judge(value: float, green: float, amber: float) -> Status:
    """Higher is better; NaN is red."""
    return "green" if value >= green else "amber" if value >= amber else "red"


def _explained(value: float, likely: str, best: float, sae: SparseAutoencoder) -> Finding:
    measured = sae.card.get("variance_explained")
    expected = f"at least 0.6; {measured:.2f} on its card" if measured else "at least 0.6"
    status = _judge(value, 0.6, 0.3)
    if likely:
        status = "red" if best > value + 0.3 or status == "red" else "amber"
        return Finding("Variance explained", value, status, expected, f"{likely} (it explains {best:.2f})")
    if measured and value < measured - 0.15 and status == "green":
        status = "amber"
    cause = "" if status == "green" else "no nearby layer, scale or BOS setting fits better: wrong model, or a weak SAE"
    return Finding("Variance explained", value, status, expected, cause)


def _recovered(model: LanguageModel, sae: SparseAutoencoder, sample: _Sample, hook_name: str, likely: str) -> Finding:
    mean, read = sample.target.mean(0), sample.x if sae.is_transcoder else None
    place = sae.hook_name_out or hook_name
    bare, with_sae, ablated = cross_entropies(model, sae, sample.ids, place, sample.keep, mean, read)
    value = ce_recovered(bare, with_sae, ablated)
    status = _judge(value, 0.8, 0.5)
    text = f"at least 0.8 of mean-ablation; loss {bare:.2f} bare, {with_sae:.2f} with the SAE, {ablated:.2f} ablated"
    cause = likely or "predictions suffer when the SAE's reconstruction is used"
    return Finding("CE recovered", value, status, text, "" if status == "green" else cause)


def _l0(value: float, sae: SparseAutoencoder) -> Finding:
    most = max(0.05 * sae.d_sae, 300.0)
    if value < 1:
        return Finding("L0", value, "red", f"1 to {most:.0f}", "almost nothing fires: a threshold or the input's scale")
    if value > most:
        return Finding("L0", value, "amber", f"1 to {most:.0f}", "too much fires: a threshold or the input's scale")
    return Finding("L0", value, "green", f"1 to {most:.0f} active features a token")


def _norms(sae: SparseAutoencoder, sample: _Sample) -> Finding:
    made, target = sae.reconstruct(sample.kept), sample.target
    ratio = float(made.float().norm(dim=-1).median() / target.float().norm(dim=-1).median())
    good, near = 0.75 < ratio < 1.25, 0.5 < ratio < 2.0
    status: Status = "green" if good else "amber" if near else "red"
    cause = (
        "" if good else "reconstructions have another size than the input: check normalisation or the decoder's scale"
    )
    return Finding("Reconstruction norm", ratio, status, "0.75 to 1.25 of the input's norm", cause)


def _layer(hook_name: str, explained: float, better: dict[str, float]) -> Finding:
    near = {cause: value for cause, value in better.items() if "pass hook_name=" in cause}
    best = max(near, key=lambda cause: near[cause], default="")
    gap = explained - near[best] if best else math.nan
    expected = f"{hook_name} explains more than the {len(near)} layers around it"
    if best and gap < 0:
        return Finding("Margin over nearby layers", gap, "red" if gap < -0.3 else "amber", expected, best)
    return Finding("Margin over nearby layers", gap, "green", expected)


def _bos(
    model: LanguageModel, sae: SparseAutoencoder, prepend_bos: bool, better: dict[str, float], explained: float
) -> Finding:
    value = float(prepend_bos and model.tokenizer.bos_token_id is not None)
    expected = f"prepend_bos={sae.prepend_bos}, as the SAE was trained"
    gains = (c for c, value in better.items() if c.startswith(_BOS) and value > explained + CLEAR_GAIN)
    cause = next(gains, "")
    if prepend_bos != sae.prepend_bos and not cause:
        cause = f"the SAE was trained with prepend_bos={sae.prepend_bos}"
    return Finding("Starts with BOS", value, "amber" if cause else "green", expected, cause)


def _outliers(sample: _Sample) -> Finding:
    massive = torch.stack([sinks(row) for row in sample.x])
    massive[:, 0] = False
    share = float(massive.float().mean())
    expected = f"under 1 % of positions behind the first above {SINK_RATIO:g} median norms"
    if share < 0.01:
        return Finding("Outlier positions", share, "green", expected)
    return Finding("Outlier positions", share, "amber", expected, "attention sinks inside the text: is BOS missing?")
