# pyright: reportArgumentType=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false
"""The clamp against its definition on dense activations: x = SAE(x) + error, the error kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from saewidgets.analysis.steer import checked_feature, edit_of
from saewidgets.lm.capture import capture, logits_with
from saewidgets.lm.generate import Edit, generate
from saewidgets.lm.model import LanguageModel
from saewidgets.records import Intervention, clamp
from saewidgets.sae.autoencoder import SparseAutoencoder

HOOK = "blocks.2.hook_resid_post"
IDS = (0, 50, 60, 70, 80, 90)
MAXIMA = np.linspace(0.5, 5.0, 48).astype(np.float32)


def edit(sae: SparseAutoencoder, changes: Sequence[Intervention], has_bos: bool = True) -> Edit:
    found = edit_of(sae, changes, MAXIMA, has_bos)
    assert found is not None
    return found


def brute_edit(sae: SparseAutoencoder, x: Tensor, changes: Sequence[Intervention]) -> Tensor:
    """Every feature, in double precision: decode(f′) plus what the SAE leaves of x, at every position."""
    wide = sae.to(dtype=torch.float64)
    x = x.double()
    dense = wide.encode(x).dense(wide.d_sae)
    error = x - (dense @ wide.W_dec + wide.b_dec)
    for item in changes:
        dense[..., item.feature] = item.strength * float(MAXIMA[item.feature])
    return dense @ wide.W_dec + wide.b_dec + error


CHANGES = [
    [clamp(3, 1.0)],
    [clamp(3, 0.0)],
    [clamp(0, 4.0), clamp(47, -2.0), clamp(11, 0.5)],
    [clamp(feature, 1.0) for feature in range(48)],
]


@pytest.mark.parametrize("changes", CHANGES, ids=len)
@pytest.mark.parametrize("centre", [False, True])
def test_the_edit_is_the_definition(
    tiny: LanguageModel, make_sae: Any, any_sae: SparseAutoencoder, changes: list[Intervention], centre: bool
) -> None:
    from dataclasses import replace

    sae = replace(any_sae, center_input=centre)
    x = capture(tiny, torch.tensor([IDS, IDS[::-1]]), HOOK)
    found = edit(sae, changes, has_bos=False)(x, 0)
    if centre:  # the raw residual gets the delta that the centred one would
        mean = x.double().mean(-1, keepdim=True)
        expected = brute_edit(any_sae, x.double() - mean, changes) + mean
    else:
        expected = brute_edit(sae, x, changes)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-4)
    assert found.dtype == x.dtype


def test_the_clamped_feature_reads_back(tiny_llama: LanguageModel, make_sae: Any) -> None:
    """With orthonormal features that the encoder reads exactly, the requested activation is what comes out.

    Where the feature was silent, the error term keeps what the ReLU hid below 0.
    """
    from saewidgets.sae.activations import ReLU

    eye, zero = torch.eye(32), torch.zeros(32)
    sae = SparseAutoencoder(eye, zero, eye, zero, activation=ReLU())
    x = capture(tiny_llama, torch.tensor([IDS]), HOOK)
    edited = edit_of(sae, [clamp(5, 3.0)], np.full(32, 2.0, np.float32), True)
    assert edited is not None
    after = sae.encode(edited(x, 0)).feature(5)[0]
    assert 0 < int((x[0, 1:, 5] > 0).sum()) < 5
    torch.testing.assert_close(after[1:], 6.0 + x[0, 1:, 5].clamp_max(0))
    torch.testing.assert_close(after[0], sae.encode(x).feature(5)[0, 0])


def test_clamping_a_feature_to_its_own_value_changes_nothing(tiny: LanguageModel, any_sae: SparseAutoencoder) -> None:
    ids = torch.tensor([[0, 77]])
    values, indices = any_sae.encode(capture(tiny, ids, HOOK)[0, 1])
    bare = logits_with(tiny, ids, HOOK, None)
    for value, feature in zip(values[:3].tolist(), indices[:3].tolist(), strict=True):
        own = edit(any_sae, [clamp(feature, value / float(MAXIMA[feature]))])
        found = logits_with(tiny, ids, HOOK, lambda x, own=own: own(x, 0))
        torch.testing.assert_close(found, bare, atol=1e-4, rtol=1e-4)


def test_ablating_a_feature_that_does_not_fire_changes_nothing(tiny: LanguageModel, any_sae: SparseAutoencoder) -> None:
    ids = torch.tensor([IDS])
    dense = any_sae.encode(capture(tiny, ids, HOOK)[0, 1:]).dense(any_sae.d_sae)
    silent = [i for i in range(any_sae.d_sae) if not dense[:, i].any()]
    bare = logits_with(tiny, ids, HOOK, None)
    for feature in silent[:3]:
        ablated = edit(any_sae, [clamp(feature, 0.0)])
        found = logits_with(tiny, ids, HOOK, lambda x, ablated=ablated: ablated(x, 0))
        torch.testing.assert_close(found, bare, atol=1e-4, rtol=1e-4)


def test_no_intervention_is_no_edit(tiny_sae: SparseAutoencoder) -> None:
    assert edit_of(tiny_sae, [], MAXIMA, True) is None


# ---- where -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_bos", [True, False])
def test_position_0_is_left_alone_when_it_is_bos(
    tiny: LanguageModel, tiny_sae: SparseAutoencoder, has_bos: bool
) -> None:
    x = capture(tiny, torch.tensor([IDS]), HOOK)
    found = edit(tiny_sae, [clamp(3, 5.0)], has_bos)(x, 0)
    changed = (found != x).any(-1)[0].tolist()
    assert changed == [not has_bos, *[True] * 5]
    if has_bos:
        assert torch.equal(found[:, 0], x[:, 0])


def test_bos_alone_is_left_alone(tiny: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    x = capture(tiny, torch.tensor([[0]]), HOOK)
    assert torch.equal(edit(tiny_sae, [clamp(3, 5.0)])(x, 0), x)


def test_sinks_of_the_prompt_are_left_alone(spiky_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    tokens = spiky_llama.tokens("a bridge Z and Z", prepend_bos=False)
    (sink,) = spiky_llama.tokens("Z", prepend_bos=False).ids
    x = capture(spiky_llama, torch.tensor([tokens.ids]), HOOK)
    found = edit(tiny_sae, [clamp(3, 5.0)], tokens.has_bos)(x, 0)
    assert (found != x).any(-1)[0].tolist() == [token != sink for token in tokens.ids]


def test_every_row_of_a_batch_has_its_own_sinks(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    x = torch.randn(2, 6, 32, generator=torch.Generator().manual_seed(0))
    x[0, 2] *= 1000
    x[1, 4] *= 1000
    found = edit(tiny_sae, [clamp(3, 5.0)], has_bos=False)(x, 0)
    assert (found == x).all(-1).nonzero().tolist() == [[0, 2], [1, 4]]


def test_later_steps_are_steered_at_their_first_position(
    tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder
) -> None:
    x = torch.randn(1, 1, 32, generator=torch.Generator().manual_seed(0))
    found = edit(tiny_sae, [clamp(3, 5.0)], has_bos=True)(x, 7)
    torch.testing.assert_close(found.double(), brute_edit(tiny_sae, x, [clamp(3, 5.0)]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("strength", [6.0, 0.0, -4.0])
def test_steered_generation_is_that_of_full_passes_with_the_definition(
    tiny: LanguageModel, any_sae: SparseAutoencoder, strength: float
) -> None:
    changes = [clamp(3, strength), clamp(20, strength)]

    def by_hand(x: Tensor) -> Tensor:
        wanted = brute_edit(any_sae, x, changes).to(x.dtype)
        wanted[:, 0] = x[:, 0]
        return wanted

    expected: list[int] = []
    while len(expected) < 10:
        logits = logits_with(tiny, torch.tensor([[*IDS, *expected]]), HOOK, by_hand)[0, -1]
        if int(logits.argmax()) in tiny.stop_ids:
            break
        expected.append(int(logits.argmax()))
    assert generate(tiny, IDS, hook_name=HOOK, edit=edit(any_sae, changes), max_new_tokens=10) == expected


# ---- dtypes and errors -------------------------------------------------------------------------------------------


def test_a_half_model_under_a_full_sae(new_llama: Callable[..., Any], byte_tokenizer: Any, tiny_sae: Any) -> None:
    model = LanguageModel(new_llama().bfloat16(), byte_tokenizer, "half")
    x = capture(model, torch.tensor([IDS]), HOOK)
    found = edit(tiny_sae, [clamp(3, 5.0)])(x, 0)
    assert found.dtype == torch.bfloat16
    expected = brute_edit(tiny_sae, x, [clamp(3, 5.0)])[:, 1:]
    torch.testing.assert_close(found[:, 1:].double(), expected, atol=0.05, rtol=0.05)


def test_a_feature_that_never_fired_has_no_multiples(tiny_sae: SparseAutoencoder) -> None:
    maxima = MAXIMA.copy()
    maxima[7] = 0.0
    with pytest.raises(ValueError, match="feature 7 never fired"):
        edit_of(tiny_sae, [clamp(3, 1.0), clamp(7, 2.0)], maxima, True)
    assert edit_of(tiny_sae, [clamp(7, 0.0)], maxima, True) is not None


@pytest.mark.parametrize("feature", [48, 10_000])
def test_an_unknown_feature(tiny_sae: SparseAutoencoder, feature: int) -> None:
    with pytest.raises(ValueError, match=f"no feature {feature}: this SAE has features 0 to 47"):
        edit_of(tiny_sae, [clamp(feature, 1.0)], MAXIMA, True)


def test_checked_feature(tiny_sae: SparseAutoencoder) -> None:
    assert checked_feature(tiny_sae, 47) == 47
    with pytest.raises(ValueError, match="no feature -1"):
        checked_feature(tiny_sae, -1)
