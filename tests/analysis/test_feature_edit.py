"""Every kind of intervention against its definition on dense activations, row by row, place by place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from saewidgets.analysis.steer import FeatureEdit, Units
from saewidgets.analysis.trace import Trace
from saewidgets.lm.capture import capture, logits_with
from saewidgets.lm.generate import Loop, generate, generate_rows
from saewidgets.lm.model import LanguageModel
from saewidgets.records import Intervention, ablate, add, at_least, clamp
from saewidgets.sae.autoencoder import SparseAutoencoder

HOOK = "blocks.2.hook_resid_post"
IDS = (0, 50, 60, 70, 80, 90)
UNITS = Units(np.linspace(0.5, 5.0, 48).astype(np.float32), 7.0)
STEPS = 64


def brute(sae: SparseAutoencoder, x: Tensor, row: Sequence[Intervention]) -> Tensor:
    """One row ``[pos, d]`` in double precision, feature by feature over the whole dictionary."""
    wide = sae.to(dtype=torch.float64)
    x = x.double()
    dense = wide.encode(x).dense(wide.d_sae)
    error = x - (dense @ wide.W_dec + wide.b_dec)
    shift = torch.zeros_like(x)
    for item in row:
        asked = item.strength * float(UNITS.maxima[item.feature])
        if item.kind == "clamp":
            dense[:, item.feature] = asked
        elif item.kind == "at_least":
            dense[:, item.feature] = dense[:, item.feature].clamp_min(asked)
        else:
            direction = wide.W_dec[item.feature]
            shift += item.strength * 7.0 * direction / direction.norm()
    return dense @ wide.W_dec + wide.b_dec + error + shift


def edited(sae: SparseAutoencoder, rows: Any, x: Tensor, **options: Any) -> Tensor:
    found = FeatureEdit(sae, rows, UNITS, has_bos=options.pop("has_bos", False), **options)(x, 0)
    assert found is not None
    return found


INTERVENTION = st.builds(
    Intervention,
    st.integers(0, 47),
    st.floats(-10, 10).map(lambda m: round(m, 2)),
    st.sampled_from(["clamp", "at_least", "add"]),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(INTERVENTION, max_size=4, unique_by=lambda i: i.feature).map(tuple), min_size=1, max_size=5),
    seed=st.integers(0, 99),
)
def test_any_rows_are_their_definitions(any_sae: SparseAutoencoder, rows: Any, seed: int) -> None:
    x = torch.randn(len(rows), 7, 32, generator=torch.Generator().manual_seed(seed)) * 3
    if not any(rows):
        assert FeatureEdit(any_sae, rows, UNITS, has_bos=False)(x, 0) is None
        return
    found = edited(any_sae, rows, x)
    for number, row in enumerate(rows):
        torch.testing.assert_close(found[number].double(), brute(any_sae, x[number], row), atol=1e-3, rtol=1e-4)
        if not row:
            assert torch.equal(found[number], x[number])


def test_at_least_raises_only_what_is_below(any_sae: SparseAutoencoder) -> None:
    x = torch.randn(1, 200, 32, generator=torch.Generator().manual_seed(1)) * 4
    f = any_sae.feature_acts(x, torch.tensor([3]))[0, :, 0]
    bar = float(f[f > 0].median())
    found = edited(any_sae, [(at_least(3, bar / float(UNITS.maxima[3])),)], x)
    changed = ((found - x).abs().amax(-1) > 1e-5)[0]
    assert torch.equal(changed, f < bar - 1e-4)
    assert torch.equal(edited(any_sae, [(at_least(3, 0.0),)], x), x)


def test_add_moves_by_a_fraction_of_the_norm_whatever_the_token(any_sae: SparseAutoencoder) -> None:
    x = torch.randn(1, 9, 32, generator=torch.Generator().manual_seed(1))
    found = edited(any_sae, [(add(3, 0.25),)], x) - x
    torch.testing.assert_close(found.norm(dim=-1), torch.full((1, 9), 0.25 * 7.0), atol=1e-4, rtol=1e-4)
    direction = any_sae.W_dec[3] / any_sae.W_dec[3].norm()
    torch.testing.assert_close(found[0, 4] / (0.25 * 7.0), direction, atol=1e-4, rtol=1e-4)


def test_add_without_a_norm_is_an_error(tiny_sae: SparseAutoencoder) -> None:
    with pytest.raises(ValueError, match="add needs the median residual norm"):
        FeatureEdit(tiny_sae, [(add(3, 0.3),)], Units(UNITS.maxima), has_bos=True)


def test_a_feature_without_a_direction_cannot_be_added(tiny_sae: SparseAutoencoder) -> None:
    W_dec = tiny_sae.W_dec.clone()
    W_dec[3] = 0
    with pytest.raises(ValueError, match="feature 3 has no decoder direction"):
        FeatureEdit(replace(tiny_sae, W_dec=W_dec), [(add(3, 0.3),)], UNITS, has_bos=True)


@pytest.mark.parametrize("item", [clamp(3, 4.0), at_least(3, 2.0), add(3, 0.4), ablate(3)])
def test_a_random_direction_changes_as_much_elsewhere(any_sae: SparseAutoencoder, item: Intervention) -> None:
    x = torch.randn(1, 400, 32, generator=torch.Generator().manual_seed(2)) * 3
    own = edited(any_sae, [(item,)], x) - x
    other = edited(any_sae, [(replace(item, random=5),)], x) - x
    torch.testing.assert_close(own.norm(dim=-1), other.norm(dim=-1), atol=1e-3, rtol=1e-3)
    moved = own.norm(dim=-1) > 1e-3
    assert moved.any()
    cosine = torch.cosine_similarity(own, other, dim=-1)[moved]
    assert float(cosine.abs().max()) < 0.7
    third = edited(any_sae, [(replace(item, random=6),)], x) - x
    assert not torch.allclose(other[moved], third[moved])


def test_the_installed_hook_at_a_features_own_value_changes_nothing(
    tiny: LanguageModel, any_sae: SparseAutoencoder
) -> None:
    """Token by token: each step clamps the feature to what it already is, and the logits stay within 1e-4."""
    text = torch.randint(2, 300, (STEPS,), generator=torch.Generator().manual_seed(0)).tolist()
    bare = logits_with(tiny, torch.tensor([[0, *text]]), HOOK, None)[0]
    f = any_sae.feature_acts(capture(tiny, torch.tensor([[0, *text]]), HOOK)[0], torch.arange(48))
    feature = int((f > 0).sum(0).argmax())
    own = iter(f[:, feature].tolist())
    live = lambda: [(clamp(feature, next(own) / float(UNITS.maxima[feature])),)]  # noqa: E731
    edit = FeatureEdit(any_sae, [()], UNITS, has_bos=True, live=live)
    loop = Loop(tiny, [tiny.hook(HOOK)], edit)
    with torch.inference_mode():
        found = torch.stack([loop.feed([[token]])[0] for token in [0, *text]])
    assert int((f[:, feature] > 0).sum()) > 3
    torch.testing.assert_close(found, bare, atol=1e-4, rtol=1e-4)


ROWS = [(), (clamp(3, 6.0),), (at_least(20, 2.0), add(11, -0.5)), (ablate(7), clamp(40, -3.0))]
PROMPTS = [(0, 50, 60, 70, 80), (0, 7), (0, 9, 8, 100, 101, 102, 103), (0, 5, 6)]


@pytest.mark.parametrize("where", ["both", "prompt", "generation"])
def test_cache_on_and_off_batch_and_single_agree(tiny: LanguageModel, any_sae: SparseAutoencoder, where: Any) -> None:
    """64 teacher-forced steps of padded rows in one cached batch, against a brute-force pass of each alone."""
    noise = torch.Generator().manual_seed(3)
    texts = [torch.randint(2, 300, (STEPS,), generator=noise).tolist() for _ in PROMPTS]
    lengths = [len(prompt) for prompt in PROMPTS]
    edit = FeatureEdit(any_sae, ROWS, UNITS, has_bos=True, n_prompt=lengths, where=where)
    loop = Loop(tiny, [tiny.hook(HOOK)], edit)
    with torch.inference_mode():
        found = [loop.begin(PROMPTS)]
        found += [loop.feed([[text[step]] for text in texts]) for step in range(STEPS)]
    together = torch.stack(found, dim=1)
    for number, (prompt, text) in enumerate(zip(PROMPTS, texts, strict=True)):
        first = {"both": 1, "prompt": 1, "generation": len(prompt)}[where]
        last = len(prompt) if where == "prompt" else len(prompt) + STEPS

        def by_hand(x: Tensor, number: int = number, first: int = first, last: int = last) -> Tensor:
            wanted = x.clone()
            wanted[0, first:last] = brute(any_sae, x[0, first:last], ROWS[number]).to(x.dtype)
            return wanted

        alone = logits_with(tiny, torch.tensor([[*prompt, *text]]), HOOK, by_hand)[0, len(prompt) - 1 :]
        torch.testing.assert_close(together[number], alone, atol=1e-4, rtol=1e-4)


def test_rows_without_an_intervention_are_the_bare_batch_bit_for_bit(
    tiny: LanguageModel, any_sae: SparseAutoencoder
) -> None:
    ids = torch.tensor([IDS, IDS])
    bare = logits_with(tiny, ids, HOOK, None)
    edit = FeatureEdit(any_sae, [(), (clamp(3, 9.0),)], UNITS, has_bos=True)
    found = logits_with(tiny, ids, HOOK, lambda x: edit(x, 0))  # type: ignore[arg-type, return-value]
    assert torch.equal(found[0], bare[0])
    assert not torch.allclose(found[1], bare[1], atol=1e-2)


def test_sinks_are_the_prompts_with_and_without_a_cache(
    spiky_llama: LanguageModel, tiny_sae: SparseAutoencoder
) -> None:
    """A token of massive norm is left alone in the prompt and when it is generated."""
    (sink,) = spiky_llama.tokens("Z", prepend_bos=False).ids
    prompt, text = (50, 60, sink, 70, 80), [90, sink, 91, 92]
    edit = FeatureEdit(tiny_sae, [(clamp(3, 5.0),)], UNITS, has_bos=False, n_prompt=[5])
    loop = Loop(spiky_llama, [spiky_llama.hook(HOOK)], edit)
    with torch.inference_mode():
        found = torch.stack([loop.begin([prompt])[0], *(loop.feed([[token]])[0] for token in text)])
    seen: list[list[bool]] = []
    again = FeatureEdit(tiny_sae, [(clamp(3, 5.0),)], UNITS, has_bos=False, n_prompt=[5])

    def watch(x: Tensor) -> Tensor:
        after = again(x, 0)
        assert after is not None
        seen.append((after != x).any(-1)[0].tolist())
        return after

    full = logits_with(spiky_llama, torch.tensor([[*prompt, *text]]), HOOK, watch)[0]
    assert seen == [[token != sink for token in [*prompt, *text]]]
    torch.testing.assert_close(found, full[4:], atol=1e-4, rtol=1e-4)


def test_a_transcoder_is_read_at_one_hook_and_written_at_the_other(tiny: LanguageModel, make_sae: Any) -> None:
    into, out = "blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out"
    sae = make_sae("relu", hook_name=into, hook_name_out=out, apply_b_dec_to_input=False)
    row = (clamp(3, 2.0), add(5, 0.5))
    edit = FeatureEdit(sae, [row], UNITS, has_bos=True)
    x, y = capture(tiny, torch.tensor([IDS]), into), capture(tiny, torch.tensor([IDS]), out)
    found = edit(x, 0, y)
    assert found is not None
    wide = sae.to(dtype=torch.float64)
    f = wide.encode(x.double()).dense(48)[..., 3:4]
    direction = wide.W_dec[5] / wide.W_dec[5].norm()
    expected = y.double() + (2.0 * float(UNITS.maxima[3]) - f) * wide.W_dec[3] + 0.5 * 7.0 * direction
    torch.testing.assert_close(found[:, 1:].double(), expected[:, 1:], atol=1e-4, rtol=1e-4)
    assert torch.equal(found[:, 0], y[:, 0])


# ---- live and traced ---------------------------------------------------------------------------------------------


def test_what_changes_meanwhile_changes_the_tokens_that_follow(
    tiny_llama: LanguageModel, any_sae: SparseAutoencoder
) -> None:
    """Nothing for eight steps, then two features: as if the first tokens had been the prompt, unsteered."""
    rows: list[Any] = [()]
    edit = FeatureEdit(any_sae, [()], UNITS, has_bos=True, n_prompt=[len(IDS)], live=lambda: rows)

    def stepped(n: int) -> None:
        if n == 8:
            rows[0] = (clamp(3, 8.0), add(20, 1.0))

    made = generate_rows(tiny_llama, [IDS], hook_names=(HOOK, ""), edit=edit, max_new_tokens=16, stepped=stepped)[0]
    bare = generate(tiny_llama, IDS, max_new_tokens=16)
    assert made[:8] == bare[:8]
    front = len(IDS) + 7  # the eighth new token is the first to be run with the change

    def by_hand(x: Tensor) -> Tensor:
        wanted = x.clone()
        wanted[0, front:] = brute(any_sae, x[0, front:], [clamp(3, 8.0), add(20, 1.0)]).to(x.dtype)
        return wanted

    expected = bare[:8]
    while len(expected) < 16:
        logits = logits_with(tiny_llama, torch.tensor([[*IDS, *expected]]), HOOK, by_hand)[0, -1]
        if int(logits.argmax()) in tiny_llama.stop_ids:
            break
        expected.append(int(logits.argmax()))
    assert made == expected != bare


def test_a_live_change_that_is_impossible_ends_it_unharmed(
    tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder, hooks_on: Any
) -> None:
    before = hooks_on(tiny_llama.module)
    edit = FeatureEdit(tiny_sae, [()], UNITS, has_bos=True, live=lambda: [(clamp(99, 1.0),)])
    with pytest.raises(ValueError, match="no feature 99"):
        generate(tiny_llama, IDS, hook_name=HOOK, edit=edit)
    assert hooks_on(tiny_llama.module) == before


@pytest.mark.parametrize("where", ["both", "prompt", "generation"])
def test_the_trace_is_what_a_second_reading_finds(tiny_llama: LanguageModel, any_sae: Any, where: Any) -> None:
    prompts, rows = [IDS, IDS[:3]], [(clamp(3, 2.0), at_least(20, 0.5)), ()]
    trace = Trace(any_sae, UNITS.maxima, [3])
    edit = FeatureEdit(any_sae, rows, UNITS, has_bos=True, n_prompt=[6, 3], where=where, trace=trace)
    made = generate_rows(tiny_llama, prompts, hook_names=(HOOK, ""), edit=edit, max_new_tokens=6)
    for number, (prompt, row) in enumerate(zip(prompts, rows, strict=True)):
        found = trace.steered(tiny_llama, number, prompt, made[number], "text")
        n = len(prompt) + len(made[number])
        assert (found.n_prompt, len(found), found.features, found.text) == (len(prompt), n, (3, 20), "text")
        x = capture(tiny_llama, torch.tensor([[*prompt, *made[number]]]), HOOK)[0, : n - 1]
        part = {"both": range(1, n - 1), "prompt": range(1, len(prompt)), "generation": range(len(prompt), n - 1)}
        steered = [bool(row) and at in part[where] for at in range(n - 1)]
        after = torch.stack([brute(any_sae, x[at : at + 1], row if on else ())[0] for at, on in enumerate(steered)])
        unit = torch.from_numpy(UNITS.maxima[[3, 20]]).double()
        wide = any_sae.to(dtype=torch.float64)
        read = wide.encode(after).dense(48)[:, [3, 20]] / unit
        before = wide.encode(x.double()).dense(48)[:, 20] / unit[1]
        assert found.modified.tolist() == [*steered, False]
        assert found.skipped.tolist() == [True, *[False] * (n - 1)]
        np.testing.assert_allclose(found.readback[:-1], read.numpy(), atol=1e-3)
        asked = np.array([[2.0, max(0.5, float(before[at]))] if on else [np.nan] * 2 for at, on in enumerate(steered)])
        np.testing.assert_allclose(found.requested[:-1], asked, atol=1e-4)
        assert np.isnan(found.readback[-1]).all() and np.isnan(found.requested[-1]).all()
