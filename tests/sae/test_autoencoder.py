"""The autoencoder against its definition, written out feature by feature in numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from saewidgets.sae import autoencoder
from saewidgets.sae.activations import JumpReLU, ReLU, TopK
from saewidgets.sae.autoencoder import SparseAutoencoder

Make = Callable[..., SparseAutoencoder]
D_IN, D_SAE, K = 6, 11, 3


@pytest.fixture
def small(make_sae: Make) -> Make:
    def make(activation: str = "topk", **meaning: Any) -> SparseAutoencoder:
        return make_sae(activation, d_in=D_IN, d_sae=D_SAE, k=K, **meaning)

    return make


def numbers(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 2 + 0.5


def brute_dense(sae: SparseAutoencoder, x: Tensor) -> np.ndarray:
    """feature_acts of every feature, ``[n, d_sae]``, by the definition in double precision, one number at a time."""
    W_enc, b_enc, b_dec = (t.double().numpy() for t in (sae.W_enc, sae.b_enc, sae.b_dec))
    rows = []
    for row in x.double().reshape(-1, sae.d_in).numpy():
        if sae.center_input:
            row = row - sum(row) / len(row)
        if sae.apply_b_dec_to_input:
            row = row - b_dec
        pre = [sum(row[j] * W_enc[j, i] for j in range(sae.d_in)) + b_enc[i] for i in range(sae.d_sae)]
        if isinstance(sae.activation, TopK):
            kept = sorted(range(sae.d_sae), key=lambda i: (-pre[i], i))[: sae.activation.k]
        elif isinstance(sae.activation, JumpReLU):
            kept = [i for i in range(sae.d_sae) if pre[i] > float(sae.activation.threshold[i])]
        else:
            kept = list(range(sae.d_sae))
        rows.append([max(pre[i], 0.0) if i in kept else 0.0 for i in range(sae.d_sae)])
    return np.array(rows)


def brute_decode(sae: SparseAutoencoder, dense: np.ndarray) -> np.ndarray:
    W_dec, b_dec = sae.W_dec.double().numpy(), sae.b_dec.double().numpy()
    return np.stack([b_dec + sum(f[i] * W_dec[i] for i in range(sae.d_sae)) for f in dense])


SETTINGS = [
    {"apply_b_dec_to_input": subtract, "center_input": centre} for subtract in (True, False) for centre in (True, False)
]


@pytest.mark.parametrize("meaning", SETTINGS, ids=str)
@pytest.mark.parametrize("activation", ["topk", "relu", "jumprelu"])
def test_against_the_definition(small: Make, activation: str, meaning: dict[str, bool]) -> None:
    sae, x = small(activation, **meaning), numbers(7, D_IN)
    dense = brute_dense(sae, x)
    acts = sae.encode(x)
    assert (np.diff(acts.values.numpy(), axis=1) <= 0).all()
    np.testing.assert_allclose(acts.dense(D_SAE).numpy(), dense, atol=1e-5)
    np.testing.assert_allclose(sae.decode(acts).numpy(), brute_decode(sae, dense), atol=1e-5)
    mean = x.double().numpy().mean(1, keepdims=True) if sae.center_input else 0.0
    np.testing.assert_allclose(sae.reconstruct(x).numpy(), brute_decode(sae, dense) + mean, atol=1e-5)
    chosen = torch.tensor([4, 0, 10, 4])
    np.testing.assert_allclose(sae.feature_acts(x, chosen).numpy(), dense[:, chosen.numpy()], atol=1e-5)


@pytest.mark.parametrize("activation", ["topk", "relu", "jumprelu"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-10), (torch.float32, 1e-5), (torch.float16, 0.02), (torch.bfloat16, 0.2)],
)
def test_every_dtype_computes_in_its_own_and_reconstructs_in_that_of_x(
    small: Make, activation: str, dtype: torch.dtype, tolerance: float
) -> None:
    sae, x = small(activation, dtype=dtype), numbers(5, D_IN)
    acts = sae.encode(x)
    assert acts.values.dtype == dtype
    assert sae.decode(acts).dtype == dtype
    assert sae.feature_acts(x, torch.tensor([1])).dtype == dtype
    assert sae.reconstruct(x).dtype == torch.float32
    assert sae.reconstruct(x.bfloat16()).dtype == torch.bfloat16
    found = sae.decode(acts).double().numpy()
    expected = brute_decode(sae, acts.dense(D_SAE).double().numpy())
    np.testing.assert_allclose(found, expected, atol=tolerance)
    if activation != "topk":  # there, a rounding error may choose another feature
        np.testing.assert_allclose(acts.dense(D_SAE).double().numpy(), brute_dense(sae, x), atol=4 * tolerance)


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3), (2, 1, 3), (0,), (2, 0)])
@pytest.mark.parametrize("activation", ["topk", "relu", "jumprelu"])
def test_batch_shapes(small: Make, activation: str, shape: tuple[int, ...]) -> None:
    sae, x = small(activation), numbers(*shape, D_IN)
    values, indices = acts = sae.encode(x)
    assert values.shape[:-1] == indices.shape[:-1] == shape
    assert sae.decode(acts).shape == sae.reconstruct(x).shape == (*shape, D_IN)
    assert sae.feature_acts(x, torch.tensor([3, 1])).shape == (*shape, 2)
    flat = acts.dense(D_SAE).reshape(-1, D_SAE).numpy()
    np.testing.assert_allclose(flat, brute_dense(sae, x).reshape(-1, D_SAE), atol=1e-5)


@pytest.mark.parametrize("activation", ["topk", "relu", "jumprelu"])
def test_chunks_change_nothing(small: Make, activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sae, x = small(activation), numbers(13, D_IN)
    x[:4] = 0.0  # a chunk with other widths than the rest
    whole = sae.encode(x)
    for rows in (1, 4, 13, 100):
        monkeypatch.setattr(autoencoder, "ENCODE_CHUNK", rows * D_SAE)
        acts = sae.encode(x)
        assert torch.equal(acts.indices, whole.indices)
        torch.testing.assert_close(acts.values, whole.values)
    monkeypatch.setattr(autoencoder, "ENCODE_CHUNK", 1)
    torch.testing.assert_close(sae.encode(x).values, whole.values)


def test_ties_at_the_kth_place_go_to_the_lower_number() -> None:
    sae = SparseAutoencoder(torch.ones(2, 5), torch.zeros(5), torch.ones(5, 2), torch.zeros(2), activation=TopK(2))
    values, indices = sae.encode(torch.tensor([[1.0, 2.0], [-1.0, 0.0], [0.0, 0.0]]))
    assert indices.tolist() == [[0, 1], [0, 0], [0, 0]]
    assert values.tolist() == [[3.0, 3.0], [0.0, 0.0], [0.0, 0.0]]


def test_the_error_term_is_what_reconstruct_leaves(small: Make) -> None:
    """With a decoder that inverts the encoder, nothing is left: centring and b_dec come back."""
    eye, zero = torch.eye(D_IN), torch.zeros(D_IN)
    both = torch.cat([eye, -eye], 1)
    for centre in (True, False):
        sae = SparseAutoencoder(both, torch.zeros(2 * D_IN), both.T, zero + 0.7, activation=ReLU(), center_input=centre)
        x = numbers(4, D_IN)
        torch.testing.assert_close(sae.reconstruct(x), x)


@pytest.mark.parametrize("method", ["encode", "reconstruct"])
def test_wrong_width_is_an_error(small: Make, method: str) -> None:
    with pytest.raises(ValueError, match=r"7 wide, but this SAE reads d_in=6"):
        getattr(small(), method)(torch.zeros(3, 7))


def test_wrong_width_for_single_features_is_an_error(small: Make) -> None:
    with pytest.raises(ValueError, match="7 wide"):
        small("relu").feature_acts(torch.zeros(3, 7), torch.tensor([0]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_activations_that_are_not_finite_are_an_error(small: Make, bad: float) -> None:
    x = numbers(3, D_IN)
    x[1, 2] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        small().encode(x)


@pytest.mark.parametrize("name", ["W_enc", "b_enc", "W_dec", "b_dec", "threshold"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_an_error(small: Make, name: str, bad: float) -> None:
    sae = small("jumprelu")
    broken = sae.tensors()[name].clone()
    broken.view(-1)[1] = bad
    with pytest.raises(ValueError, match=f"{name} holds NaN or infinite"):
        replace(sae, activation=JumpReLU(broken)) if name == "threshold" else replace(sae, **{name: broken})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("b_enc", (10,)),
        ("b_enc", (11, 1)),
        ("W_dec", (6, 11)),
        ("b_dec", (11,)),
        ("threshold", (6,)),
        ("threshold", ()),
    ],
)
def test_shapes_that_disagree_are_an_error(small: Make, name: str, shape: tuple[int, ...]) -> None:
    sae, wrong = small("jumprelu"), torch.zeros(shape)
    with pytest.raises(ValueError, match=f"{name} has shape"):
        replace(sae, activation=JumpReLU(wrong)) if name == "threshold" else replace(sae, **{name: wrong})


@pytest.mark.parametrize("shape", [(6,), (6, 0), (0, 11), (1, 6, 11), ()])
def test_an_encoder_that_is_no_matrix_is_an_error(small: Make, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="W_enc must be"):
        replace(small(), W_enc=torch.zeros(shape))


def test_more_active_features_than_features_is_an_error(small: Make) -> None:
    with pytest.raises(ValueError, match="k is 12"):
        replace(small(), activation=TopK(12))


def test_decoder_norms(small: Make) -> None:
    sae = small(dtype=torch.float64)
    expected = np.sqrt((sae.W_dec.numpy() ** 2).sum(1))
    np.testing.assert_allclose(sae.decoder_norms().numpy(), expected, rtol=1e-5)
    assert sae.decoder_norms().dtype == torch.float32


def test_moving_keeps_everything_else(small: Make) -> None:
    sae = small("jumprelu", hook_name="blocks.1.hook_resid_post", prepend_bos=False, center_input=True, card={"a": 1})
    moved = sae.to(dtype=torch.float64)
    assert {t.dtype for t in moved.tensors().values()} == {torch.float64}
    kept = ("hook_name", "prepend_bos", "center_input", "apply_b_dec_to_input", "card", "model_name")
    assert [getattr(moved, name) for name in kept] == [getattr(sae, name) for name in kept]
    assert moved.to(dtype=torch.float32).hash() == sae.hash()


def test_the_hash_names_weights_and_meaning(small: Make) -> None:
    sae = small("jumprelu")
    assert sae.hash() == small("jumprelu").hash() == replace(sae, card={"other": 1}, model_name="m").hash()
    assert len(sae.hash()) == 16
    others = [small("jumprelu", center_input=True), small("jumprelu", apply_b_dec_to_input=False)]
    others += [small("relu"), small("topk"), replace(small(), activation=TopK(K + 1))]
    others += [small("jumprelu", seed=5), sae.to(dtype=torch.float16)]
    for name, tensor in sae.tensors().items():
        changed = tensor.clone()
        changed.view(-1)[-1] += 1e-3
        others += [
            replace(sae, activation=JumpReLU(changed)) if name == "threshold" else replace(sae, **{name: changed})
        ]
    assert len({sae.hash(), *(other.hash() for other in others)}) == 1 + len(others)


def test_the_hash_reads_values_not_memory_layout(small: Make) -> None:
    sae = small()
    assert replace(sae, W_enc=sae.W_enc.T.contiguous().T).hash() == sae.hash()


def test_repr_is_short_and_says_what_it_is(small: Make) -> None:
    assert repr(small(hook_name="blocks.1.hook_resid_post")) == (
        "SparseAutoencoder(d_in=6, d_sae=11, topk, hook_name='blocks.1.hook_resid_post')"
    )
