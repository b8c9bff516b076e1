"""The evaluation against a dense implementation that does one token at a time, and its behaviour around the figures."""

from __future__ import annotations

import _thread
import dataclasses
import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import saewidgets as sw
from saewidgets.analysis import evaluate as analysis_evaluate
from saewidgets.analysis.decoder import nearest
from saewidgets.analysis.evaluate import evaluate
from saewidgets.analysis.fit import Firing, Fit
from saewidgets.lm.hooks import blocks_of
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.worker import Stopped
from saewidgets.records import Evaluation
from saewidgets.sae.activations import GroupMax
from saewidgets.sae.autoencoder import SparseAutoencoder

HOOK = "blocks.2.hook_resid_post"
TEXTS = [
    "The bridge over the river is golden in the evening light.",
    "x",
    "She said that the old bridge was closed, and the ferry was late.",
    "",
    "Emoji 🌉🌉 and accents é è ü, Ελληνικά.",
    "def bridge(x):\n    return x + 1\n" * 20,  # longer than a window
]
FIGURES = ("l0", "fvu", "mse", "cosine", "ce_bare", "ce_sae", "ce_zero", "ce_mean", "kl")


@torch.inference_mode()
def by_hand(
    model: LanguageModel, sae: SparseAutoencoder, rows: list[list[int]], site: Callable[[Any], Any]
) -> dict[str, Any]:
    """One window at a time, dense features, every figure from its definition in float64 numpy."""

    def run(ids: list[int], replace: Callable[[Tensor], Tensor] | None = None) -> tuple[np.ndarray, Tensor]:
        seen: list[Tensor] = []

        def hook(module: Any, args: Any, output: Any) -> Any:
            x = output if isinstance(output, Tensor) else output[0]
            seen.append(x[0].clone())
            if replace is None:
                return output
            new = replace(x[0])[None]
            return new if isinstance(output, Tensor) else (new, *output[1:])

        handle = site(model).register_forward_hook(hook)
        try:
            logits = model.module(input_ids=torch.tensor([ids])).logits[0]
        finally:
            handle.remove()
        return logits.double().log_softmax(-1).numpy(), seen[0]

    def behind_the_first(new: Tensor, x: Tensor) -> Tensor:
        return torch.cat([x[:1], new.expand_as(x)[1:]])

    x = np.concatenate([run(row)[1][1:].double().numpy() for row in rows])
    recon = np.concatenate([sae.reconstruct(run(row)[1])[1:].double().numpy() for row in rows])
    acts = np.concatenate([sae.encode(run(row)[1]).dense(sae.d_sae)[1:].double().numpy() for row in rows])
    mean = torch.from_numpy(x.mean(0)).float()
    losses: dict[str, list[float]] = {name: [] for name in ("ce_bare", "ce_sae", "ce_zero", "ce_mean", "kl")}
    for row in rows:
        log_probs = {
            "ce_bare": run(row)[0],
            "ce_sae": run(row, lambda x: behind_the_first(sae.reconstruct(x), x))[0],
            "ce_zero": run(row, torch.zeros_like)[0],
            "ce_mean": run(row, lambda x: behind_the_first(mean, x))[0],
        }
        for name, found in log_probs.items():
            losses[name] += [-found[place, row[place + 1]] for place in range(1, len(row) - 1)]
        p, q = log_probs["ce_bare"], log_probs["ce_sae"]
        losses["kl"] += [float((np.exp(p[place]) * (p[place] - q[place])).sum()) for place in range(1, len(row))]
    return {
        "l0": (acts > 0).sum(1).mean(),
        "fvu": ((x - recon) ** 2).sum() / ((x - x.mean(0)) ** 2).sum(),
        "mse": ((x - recon) ** 2).sum(1).mean(),
        "cosine": ((x * recon).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(recon, axis=1)).mean(),
        **{name: float(np.mean(values)) for name, values in losses.items()},
        "counts": (acts > 0).sum(0),
        "max_activation": acts.max(0) * sae.decoder_norms().numpy(),
        "n_tokens": len(x),
    }


def rows_of(model: LanguageModel, texts: list[Any], prepend_bos: bool = True) -> list[list[int]]:
    """Windows, cut here by another rule than ours: BOS, then as much as fits, and again."""
    found = []
    for text in texts:
        ids = list(model.tokens(text, prepend_bos).ids) if text else []
        lead = ids[:1] if ids and ids[0] == model.tokenizer.bos_token_id else []
        body = ids[len(lead) :]
        step = model.window - len(lead)
        found += [lead + body[at : at + step] for at in range(0, len(body), step)]
    return [row for row in found if len(row) > 1]


def agree(found: Evaluation, expected: dict[str, Any], rel: float = 2e-4) -> None:
    for name in FIGURES:
        assert getattr(found, name) == pytest.approx(expected[name], rel=rel, abs=1e-5), name
    np.testing.assert_array_equal(found.counts, expected["counts"])
    np.testing.assert_allclose(found.max_activation, expected["max_activation"], rtol=1e-4, atol=1e-5)
    assert found.n_tokens == expected["n_tokens"]


KINDS: dict[str, Callable[[Any], SparseAutoencoder]] = {
    "topk": lambda make: make("topk", hook_name=HOOK),
    "relu": lambda make: make("relu", hook_name=HOOK),
    "jumprelu": lambda make: make("jumprelu", hook_name=HOOK),
    "groupmax": lambda make: make(GroupMax(6), hook_name=HOOK),
    "centred": lambda make: make("topk", hook_name=HOOK, center_input=True),
    "layer_norm": lambda make: make("jumprelu", hook_name=HOOK, normalize="layer_norm"),
    "constant_norm": lambda make: make("relu", hook_name=HOOK, normalize="constant_norm"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_those_of_a_dense_implementation(tiny: LanguageModel, make_sae: Any, kind: str) -> None:
    sae = KINDS[kind](make_sae)
    found = evaluate(tiny, sae, TEXTS, HOOK)
    expected = by_hand(tiny, sae, rows_of(tiny, TEXTS), lambda model: blocks_of(model.module)[2])
    agree(found, expected)
    assert (found.n_texts, found.n_skipped, found.n_loss_tokens) == (5, 1, found.n_tokens)
    assert found.provenance.sae_hash == sae.hash() and found.provenance.hook_name == HOOK


def test_without_bos(new_llama: Any, bosless_tokenizer: Any, tiny_sae: SparseAutoencoder) -> None:
    model = LanguageModel(new_llama(), bosless_tokenizer, "bosless")
    found = evaluate(model, tiny_sae, TEXTS, HOOK)
    agree(found, by_hand(model, tiny_sae, rows_of(model, TEXTS), lambda model: blocks_of(model.module)[2]))
    assert (found.n_texts, found.n_skipped) == (4, 2)  # "x" alone is one token


def test_a_transcoder(tiny_llama: LanguageModel, make_sae: Any) -> None:
    sae = make_sae(
        "relu", hook_name="blocks.1.mlp.hook_in", hook_name_out="blocks.1.mlp.hook_out", apply_b_dec_to_input=False
    )
    found = evaluate(tiny_llama, sae, TEXTS[:1], sae.hook_name)
    (row,) = rows_of(tiny_llama, TEXTS[:1])
    seen: dict[str, Tensor] = {}
    mlp = blocks_of(tiny_llama.module)[1].get_submodule("mlp")
    handle = mlp.register_forward_hook(lambda module, args, out: seen.update(x=args[0][0], y=out[0]))  # type: ignore
    with torch.inference_mode():
        tiny_llama.module(input_ids=torch.tensor([row]))
        handle.remove()
        x, y = (seen[name][1:].double().numpy() for name in "xy")
        made = sae.reconstruct(seen["x"])[1:].double().numpy()
        acts = sae.encode(seen["x"]).dense(sae.d_sae)[1:].numpy()
    assert found.fvu == pytest.approx(((y - made) ** 2).sum() / ((y - y.mean(0)) ** 2).sum(), rel=1e-4)
    assert found.l0 == (acts > 0).sum() / len(x)
    handle = mlp.register_forward_hook(
        lambda module, args, out: torch.cat([out[:, :1], sae.reconstruct(args[0])[:, 1:]], 1)
    )
    with torch.inference_mode():
        logits = tiny_llama.module(input_ids=torch.tensor([row])).logits[0, 1:-1]
    handle.remove()
    assert found.ce_sae == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, torch.tensor(row[2:]))), rel=1e-4
    )


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_texts_in_any_batches(data: st.DataObject, tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    words = st.text(st.sampled_from("ab 🌉.\n"), max_size=60)
    texts = data.draw(st.lists(words, min_size=1, max_size=5))
    size = data.draw(st.integers(1, 300))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(analysis_evaluate.BATCH_TOKENS, "cpu", size)
        rows = rows_of(tiny_llama, [text for text in texts if text.strip()])
        if len({tuple(row[:n]) for row in rows for n in range(2, len(row) + 1)}) < 3:
            return  # without variance there is no fraction of it
        found = evaluate(tiny_llama, tiny_sae, texts, HOOK)
        agree(found, by_hand(tiny_llama, tiny_sae, rows, lambda model: blocks_of(model.module)[2]), rel=1e-3)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_sums_of_parts_are_the_sums_of_the_whole(data: st.DataObject) -> None:
    n, seed = data.draw(st.integers(2, 60)), data.draw(st.integers(0, 1000))
    noise = torch.Generator().manual_seed(seed)
    y = torch.randn(n, 3, generator=noise) + 1e4 * data.draw(st.sampled_from([0.0, 1.0]))
    recon = y + torch.randn(n, 3, generator=noise)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=4)))
    fit = Fit()
    for start, end in zip([0, *cuts], [*cuts, n], strict=True):
        fit.add(y[start:end], recon[start:end])
    a, b = y.double().numpy(), recon.double().numpy()
    assert fit.fvu == pytest.approx(((a - b) ** 2).sum() / ((a - a.mean(0)) ** 2).sum(), rel=1e-9)
    assert fit.n == n and fit.mse == pytest.approx(((a - b) ** 2).sum(1).mean(), rel=1e-12)
    np.testing.assert_allclose(fit.mean.numpy(), a.mean(0), rtol=1e-12)


def test_firing(any_sae: SparseAutoencoder) -> None:
    x = torch.randn(30, 32, generator=torch.Generator().manual_seed(0))
    dense = any_sae.encode(x).dense(48)
    firing = Firing(48)
    for part in x.split(7):
        firing.add(any_sae.encode(part))
    assert torch.equal(firing.counts, (dense > 0).sum(0))
    assert torch.allclose(firing.maximum, dense.max(0).values)


# ---- decoder cosines ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 100, 1 << 24])
def test_nearest_directions(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr("saewidgets.analysis.decoder.CHUNK", chunk)
    W = torch.randn(37, 6, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.1, 9, 37)[:, None]
    W[20] = W[5] * 3  # twins
    cosine, neighbour = nearest(W)
    unit = (W / W.norm(dim=1, keepdim=True)).double().numpy()
    expected = unit @ unit.T
    np.fill_diagonal(expected, -2)
    np.testing.assert_allclose(cosine.numpy(), expected.max(1), atol=1e-6)
    assert neighbour.tolist() == expected.argmax(1).tolist()
    assert (neighbour[5], neighbour[20]) == (20, 5) and cosine.max() <= 1


def test_nearest_direction_of_one_feature() -> None:
    cosine, neighbour = nearest(torch.ones(1, 4))
    assert math.isnan(cosine[0]) and neighbour.tolist() == [-1]


# ---- limits, input, interrupts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 5, 150, 191, 192, 350])
def test_max_tokens_is_exact(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder, limit: int) -> None:
    found = evaluate(tiny_llama, tiny_sae, TEXTS, HOOK, max_tokens=limit, loss_tokens=limit // 2 or 1)
    assert found.n_tokens == limit and found.n_loss_tokens == (limit // 2 or 1)
    assert found.counts.sum() == limit * 4


def test_limits_cut_the_corpus_at_the_front(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    endless = (TEXTS[n % 3] for n in iter(int, 1) for n in range(9))
    found = evaluate(tiny_llama, tiny_sae, endless, HOOK, max_tokens=60, loss_tokens=20)
    rows = rows_of(tiny_llama, [TEXTS[0], TEXTS[1], TEXTS[2], TEXTS[0]])
    kept: list[list[int]] = []
    for row in rows:
        kept.append(row[: 61 - sum(len(other) - 1 for other in kept)])
    expected = by_hand(tiny_llama, tiny_sae, [row for row in kept if len(row) > 1], lambda m: blocks_of(m.module)[2])
    np.testing.assert_array_equal(found.counts, expected["counts"])
    assert found.fvu == pytest.approx(expected["fvu"], rel=1e-4)
    assert found.n_loss_tokens == 20
    everything = evaluate(tiny_llama, tiny_sae, TEXTS, HOOK, max_tokens=None, loss_tokens=None)
    assert everything.n_loss_tokens == everything.n_tokens > 350


def test_the_same_again_bit_for_bit(tiny: LanguageModel, any_sae: SparseAutoencoder) -> None:
    first, again = (evaluate(tiny, any_sae, TEXTS, HOOK) for _ in range(2))
    for field in dataclasses.fields(Evaluation):
        a, b = getattr(first, field.name), getattr(again, field.name)
        assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b, field.name


def test_files_and_chats(
    new_llama: Any, chat_tokenizer: Any, tiny_sae: SparseAutoencoder, tmp_path: Path, tiny_llama: LanguageModel
) -> None:
    path = tmp_path / "corpus.txt"
    path.write_text(TEXTS[0], "utf-8")
    assert evaluate(tiny_llama, tiny_sae, path, HOOK).fvu == evaluate(tiny_llama, tiny_sae, TEXTS[0], HOOK).fvu
    chatty = sw.load(new_llama(), sae=tiny_sae, tokenizer=chat_tokenizer)
    chat = [{"role": "user", "content": "Hello, bridge"}]
    assert chatty.evaluate(chat).n_texts == 1
    assert chatty.evaluate([chat, "Hello"]).n_texts == 2


@pytest.mark.parametrize("name", ["max_tokens", "loss_tokens"])
@pytest.mark.parametrize("limit", [0, -1, 2.5, True, "many"])
def test_impossible_limits(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder, name: str, limit: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a whole number from 1 up, or None"):
        evaluate(tiny_llama, tiny_sae, TEXTS, HOOK, **{name: limit})


def test_bad_input(tiny_llama: LanguageModel, make_sae: Any, tiny_sae: SparseAutoencoder, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none of the 2 texts has two tokens or more"):
        evaluate(tiny_llama, tiny_sae, ["", "  "], HOOK)
    with pytest.raises(ValueError, match="the corpus is empty"):
        evaluate(tiny_llama, tiny_sae, [], HOOK)
    with pytest.raises(TypeError, match="document 1 must be"):
        evaluate(tiny_llama, tiny_sae, [TEXTS[0], None], HOOK)
    with pytest.raises(FileNotFoundError):
        evaluate(tiny_llama, tiny_sae, tmp_path / "none.txt", HOOK)
    with pytest.raises(ValueError, match="near names"):
        evaluate(tiny_llama, tiny_sae, TEXTS, "blocks.9.hook_resid_post")
    with pytest.raises(ValueError, match=r"32 wide, but this SAE reads d_in=16"):
        evaluate(tiny_llama, make_sae(d_in=16), TEXTS, HOOK)


def test_a_text_with_nothing_to_predict(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    found = evaluate(tiny_llama, tiny_sae, "x", HOOK)
    assert found.n_tokens == 1 and found.l0 == 4
    assert math.isnan(found.ce_bare) and math.isnan(found.ce_recovered_mean) and math.isnan(found.fvu)
    assert math.isfinite(found.kl)
    assert len(repr(found).splitlines()) == len(found.frame) + 2


def test_an_error_leaves_no_hook(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder, hooks_on: Any) -> None:
    def failing() -> Iterator[str]:
        yield TEXTS[-1] * 3
        raise OSError("the disk is gone")

    before = hooks_on(tiny_llama.module)
    with pytest.raises(OSError, match="the disk is gone"):
        evaluate(tiny_llama, tiny_sae, failing(), HOOK)
    assert hooks_on(tiny_llama.module) == before


def test_stopped_inside_a_forward_pass(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder, hooks_on: Any) -> None:
    stop, before = threading.Event(), hooks_on(tiny_llama.module)
    handle = blocks_of(tiny_llama.module)[1].register_forward_pre_hook(lambda *_: stop.set())
    reached: list[int] = []
    other = blocks_of(tiny_llama.module)[3].register_forward_pre_hook(lambda *_: reached.append(1))
    try:
        with pytest.raises(Stopped):
            evaluate(tiny_llama, tiny_sae, TEXTS, HOOK, stop=stop)
    finally:
        handle.remove()
        other.remove()
    assert not reached
    assert hooks_on(tiny_llama.module) == before


def test_an_interrupt_ends_it_within_a_second(
    tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder, hooks_on: Any
) -> None:
    s, before = sw.load(tiny_llama, sae=tiny_sae), hooks_on(tiny_llama.module)
    pressed: list[float] = []

    def endless() -> Iterator[str]:
        for number in iter(int, 1):
            if len(pressed) == 0:
                pressed.append(0.0)
                threading.Timer(0.2, press).start()
            yield f"{TEXTS[0]} {number}"

    def press() -> None:
        pressed.append(time.perf_counter())
        _thread.interrupt_main()

    with pytest.raises(KeyboardInterrupt):
        s.evaluate(endless(), max_tokens=None, loss_tokens=100)
    assert time.perf_counter() - pressed[1] < 1.0
    assert hooks_on(tiny_llama.module) == before
    assert len(s.tokens("The bridge"))  # the worker is free again


# ---- the record --------------------------------------------------------------------------------------------------


def test_the_record(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    found = sw.load(tiny_llama, sae=tiny_sae).evaluate(TEXTS)
    frame = dict(zip(found.frame["name"], found.frame["value"], strict=True))
    assert list(found.frame.columns) == ["name", "value", "unit"] and all(found.frame["unit"])
    assert frame["Variance explained"] == 1 - found.fvu
    assert frame["CE recovered, mean-ablation"] == pytest.approx(
        (found.ce_mean - found.ce_sae) / (found.ce_mean - found.ce_bare)
    )
    assert frame["Dead features"] == (found.counts == 0).sum() == round(48 * frame["Dead share"])
    np.testing.assert_allclose(found.density, found.counts / found.n_tokens)
    counts, edges = found.density_histogram
    assert counts.sum() == 48 - found.dead and len(edges) == len(counts) + 1 and edges[-1] == 0
    counts, edges = found.cosine_histogram
    assert counts.sum() == 48 and (edges[0], edges[-1]) == (-1, 1)
    assert found.cosine_quantiles[1.0] == found.nearest_cosine.max()
    features = found.features
    assert list(features.columns) == ["feature", "density", "max_activation", "nearest_feature", "nearest_cosine"]
    assert len(features) == 48 and not np.any(found.nearest_feature == np.arange(48))
    lines = repr(found).splitlines()
    assert len(lines) == len(found.frame) + 2 and max(map(len, lines)) < 120 and "tiny-llama" in lines[1]


def test_maxima_are_the_heatmaps_unit(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    s = sw.load(tiny_llama, sae=tiny_sae)
    frame = s.tokens(TEXTS[0])
    frame = frame[frame["position"] > 0]
    shown = np.zeros(48)
    np.maximum.at(shown, np.asarray(frame["feature"]), np.asarray(frame["activation"]))
    np.testing.assert_allclose(s.evaluate(TEXTS[0]).features["max_activation"], shown, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(0, 100), min_size=1, max_size=20), n=st.sampled_from([1, 7, 100, 1000, 10**6]))
def test_every_live_feature_is_in_the_density_histogram(counts: list[int], n: int) -> None:
    found = np.minimum(counts, n)
    zeros = np.zeros(len(found), np.float32)
    record = Evaluation(0, 0, 0, 0, 0, 0, 0, 0, 0, found, zeros, zeros.astype(int), zeros, n, n, 1, 0)
    assert record.density_histogram[0].sum() == (found > 0).sum()
    assert record.dead == (found == 0).sum()
    assert repr(record)


@pytest.mark.slow
def test_the_demo() -> None:
    from saewidgets.analysis.sample import passages

    s = sw.demo()
    found = s.evaluate(passages()[:6], max_tokens=1000, loss_tokens=400)
    assert found.n_tokens == 1000 and found.n_loss_tokens == 400
    assert found.variance_explained > 0.7 and found.ce_recovered_mean > 0.85 and found.ce_recovered_zero > 0.9
    assert found.ce_bare < found.ce_sae < found.ce_mean
