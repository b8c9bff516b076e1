"""Token activations against a loop over positions, features and windows in numpy."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from saewidgets.analysis.tokens import SINK_RATIO, sinks, text_list, token_acts, with_known
from saewidgets.lm import model as lm_model
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.worker import Stopped
from saewidgets.records import TokenActs
from saewidgets.sae.activations import JumpReLU, TopK
from saewidgets.sae.autoencoder import SparseAutoencoder

HOOK = "blocks.2.hook_resid_post"
TEXTS = ["The bridge over the river.", "🌉 golden", "x"]
LONG = "The bridge over the river is golden in the evening light, she said, and the ferry was late. " * 2


@torch.inference_mode()
def residuals(model: LanguageModel, ids: Sequence[int]) -> np.ndarray:
    """Behind block 2, by Hugging Face's own output_hidden_states."""
    out = model.module(input_ids=torch.tensor([list(ids)]), output_hidden_states=True)
    return out.hidden_states[3][0].double().numpy()


def brute_features(sae: SparseAutoencoder, x: np.ndarray, norm: bool) -> list[tuple[int, float]]:
    """Active features of one token, strongest first, ties by number."""
    W_enc, b_enc, W_dec, b_dec = (t.double().numpy() for t in (sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec))
    pre = (x - b_dec) @ W_enc + b_enc
    order = sorted(range(sae.d_sae), key=lambda i: (-pre[i], i))
    if isinstance(sae.activation, TopK):
        order = order[: sae.activation.k]
    if isinstance(sae.activation, JumpReLU):
        order = [i for i in order if pre[i] > float(sae.activation.threshold[i])]
    size = np.sqrt((W_dec**2).sum(1)) if norm else np.ones(sae.d_sae)
    found = [(i, float(pre[i] * size[i])) for i in order if pre[i] > 0]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def brute_windows(ids: Sequence[int], size: int, has_bos: bool) -> list[tuple[list[int], int]]:
    """Windows by hand: (tokens to run, how many at the front are a repeated BOS)."""
    found, rest = [(list(ids[:size]), 0)], list(ids[size:])
    while rest:
        room = size - 1 if has_bos else size
        found.append(([ids[0], *rest[:room]], 1) if has_bos else (rest[:room], 0))
        rest = rest[room:]
    return found


def check_against_loop(
    acts: TokenActs, model: LanguageModel, sae: SparseAutoencoder, texts: Sequence[Any], size: int, norm: bool = True
) -> None:
    """Every row of the frame, in order, and nothing else."""
    expected, skipped, seams = [], [], []
    for number, text in enumerate(texts):
        tokens, position = model.tokens(text), 0
        for window, (ids, repeated) in enumerate(brute_windows(tokens.ids, size, tokens.has_bos)):
            x = residuals(model, ids)
            norms = np.sqrt((x**2).sum(1))
            typical = np.sort(norms)[(len(norms) - 1) // 2]
            if window:
                seams.append(len(skipped))
            for place in range(repeated, len(ids)):
                skipped.append(bool(norms[place] > SINK_RATIO * typical or (position == 0 and tokens.has_bos)))
                expected += [(number, position, f, v) for f, v in brute_features(sae, x[place], norm)]
                position += 1
    frame = acts.frame
    assert list(zip(frame["text"], frame["position"], frame["feature"], strict=True)) == [row[:3] for row in expected]
    np.testing.assert_allclose(frame["activation"], [row[3] for row in expected], rtol=1e-3, atol=1e-4)
    assert acts.skipped.tolist() == skipped
    assert list(acts.seams) == seams


@pytest.mark.parametrize("scale", ["norm", "native"])
def test_several_texts(tiny: LanguageModel, any_sae: SparseAutoencoder, scale: Any) -> None:
    acts = token_acts(tiny, any_sae, TEXTS, HOOK, scale=scale)
    check_against_loop(acts, tiny, any_sae, TEXTS, 192, norm=scale == "norm")
    assert acts.scale == scale
    assert acts.texts == tuple(TEXTS)
    assert acts.d_sae == any_sae.d_sae
    assert len(acts) == sum(len(tiny.tokens(text).ids) for text in TEXTS) == len(acts.values)
    assert acts.values.dtype == np.float32 and acts.indices.dtype == np.int32


def test_scales_differ_by_the_decoder_norms(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    norm, native = (token_acts(tiny_llama, tiny_sae, TEXTS, HOOK, scale=s) for s in ("norm", "native"))
    size = np.linalg.norm(tiny_sae.W_dec.numpy(), axis=1)
    for feature in range(tiny_sae.d_sae):
        np.testing.assert_allclose(norm.feature_acts(feature), native.feature_acts(feature) * size[feature], rtol=1e-5)
    assert (np.diff(norm.values, axis=1) <= 0).all() and (np.diff(native.values, axis=1) <= 0).all()


def test_ties_go_by_feature_number_in_either_scale(tiny_llama: LanguageModel) -> None:
    """Feature 1 is natively the strongest of three; times the decoder's norms all are equal."""
    W_enc, b_enc = torch.zeros(32, 3), torch.tensor([1.0, 2.0, 1.0])
    W_dec = torch.zeros(3, 32)
    W_dec[:, 0] = torch.tensor([2.0, 1.0, 2.0])
    sae = SparseAutoencoder(W_enc, b_enc, W_dec, torch.zeros(32), activation=TopK(3))
    native = token_acts(tiny_llama, sae, ["ab"], HOOK, scale="native")
    assert native.indices.tolist() == [[1, 0, 2]] * len(native)
    norm = token_acts(tiny_llama, sae, ["ab"], HOOK)
    assert norm.values.tolist() == [[2.0, 2.0, 2.0]] * len(norm)
    assert norm.indices.tolist() == [[0, 1, 2]] * len(norm)


@pytest.mark.parametrize("size", [2, 16, 31])
def test_long_texts_are_run_in_windows(
    tiny: LanguageModel, any_sae: SparseAutoencoder, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lm_model, "WINDOW", size)
    texts = [LONG[:160], "short", LONG[:90]]
    acts = token_acts(tiny, any_sae, texts, HOOK)
    check_against_loop(acts, tiny, any_sae, texts, size)
    assert len(acts.seams) > 0
    assert all(acts.position[seam] > 0 for seam in acts.seams)


def test_windows_without_bos(
    new_llama: Callable[..., Any],
    bosless_tokenizer: Any,
    tiny_sae: SparseAutoencoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = LanguageModel(new_llama(), bosless_tokenizer, "bosless")
    monkeypatch.setattr(lm_model, "WINDOW", 16)
    acts = token_acts(model, tiny_sae, [LONG[:170], "a"], HOOK)
    check_against_loop(acts, model, tiny_sae, [LONG[:170], "a"], 16)
    assert acts.seams[:2] == (16, 32)
    assert not acts.skipped.any()


def test_a_text_of_exactly_one_window_has_no_seam(
    tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = len(tiny_llama.tokens(LONG[:40]).ids)
    for size, seams in ((n, ()), (n - 1, (n - 1,))):
        monkeypatch.setattr(lm_model, "WINDOW", size)
        assert token_acts(tiny_llama, tiny_sae, [LONG[:40]], HOOK).seams == seams


def test_a_text_beyond_the_context_is_no_error(tiny_gpt2: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    text = LONG * 3
    acts = token_acts(tiny_gpt2, tiny_sae, [text], HOOK)
    assert len(acts) == len(tiny_gpt2.tokens(text).ids) > tiny_gpt2.context
    assert acts.seams[0] == tiny_gpt2.context


def test_sinks_are_marked_wherever_they_are(spiky_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    acts = token_acts(spiky_llama, tiny_sae, ["a bridge Z and Z", "golden"], HOOK)
    expected = [i for i, token in enumerate(acts.str_tokens) if token in ("<|bos|>", "Z")]
    assert np.flatnonzero(acts.skipped).tolist() == expected
    assert len(expected) == 4
    check_against_loop(acts, spiky_llama, tiny_sae, ["a bridge Z and Z", "golden"], 192)
    top = acts.top_features(1000)
    assert not set(top["str_token"]) & {"<|bos|>", "Z"}


def test_sinks_of_vectors() -> None:
    x = torch.ones(9, 4)
    x[3] *= 10.01
    x[4] *= 9.99
    assert sinks(x).tolist() == [i == 3 for i in range(9)]
    assert sinks(torch.ones(1, 4) * 1e6).tolist() == [False]
    x[3] *= 2
    assert sinks(x.half()).tolist() == sinks(x.bfloat16()).tolist() == [i == 3 for i in range(9)]


def test_tokens_are_written_byte_for_byte_and_texts_never_join(
    tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder
) -> None:
    texts = ["</script>\x00", "𝔘", "a\n"]
    acts = token_acts(tiny_llama, tiny_sae, texts, HOOK)
    for number, text in enumerate(texts):
        own = [token for token, t in zip(acts.str_tokens, acts.text, strict=True) if t == number]
        assert own[0] == "<|bos|>"
        joined = "".join(own[1:])
        assert joined == (text if number != 1 else "\\xF0\\x9D\\x94\\x98")
    parts = [acts.split[i] for i in range(len(acts)) if i in acts.split]
    assert [part for part, _, _ in parts] == list(range(1, len(parts) + 1))
    assert {(n, char) for _, n, char in parts} == {(len(parts), "𝔘")}
    assert {int(acts.text[i]) for i in acts.split} == {1}


def test_a_chat_is_a_text(new_llama: Callable[..., Any], chat_tokenizer: Any, tiny_sae: SparseAutoencoder) -> None:
    model = LanguageModel(new_llama(), chat_tokenizer, "chatty")
    chat = [{"role": "user", "content": "Hello"}]
    acts = token_acts(model, tiny_sae, [chat, "plain"], HOOK)
    assert acts.texts == ("<|bos|>[user] Hello\n", "plain")
    assert acts.str_tokens.count("<|bos|>") == 2
    check_against_loop(acts, model, tiny_sae, [chat, "plain"], 192)


def test_bos_can_be_left_out(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    acts = token_acts(tiny_llama, tiny_sae, ["The bridge"], HOOK, prepend_bos=False)
    assert "<|bos|>" not in acts.str_tokens
    assert not acts.skipped[0]


@pytest.mark.parametrize(
    ("given_as", "expected"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        (("a",), ["a"]),
        ([{"role": "user", "content": "x"}], [[{"role": "user", "content": "x"}]]),
        (["a", [{"role": "user", "content": "x"}]], ["a", [{"role": "user", "content": "x"}]]),
    ],
    ids=str,
)
def test_one_text_or_several(given_as: Any, expected: list[Any]) -> None:
    assert text_list(given_as) == expected


@pytest.mark.parametrize("wrong", [[], ()])
def test_no_texts(wrong: Any) -> None:
    with pytest.raises(ValueError, match="the text is empty"):
        text_list(wrong)


@pytest.mark.parametrize("wrong", [None, 3, {"role": "user"}, iter("ab")], ids=str)
def test_texts_of_another_type(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected a string, a chat, or a list"):
        text_list(wrong)


def test_errors(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder, make_sae: Any) -> None:
    with pytest.raises(ValueError, match='scale must be "norm" or "native"'):
        token_acts(tiny_llama, tiny_sae, ["a"], HOOK, scale="raw")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the text is empty"):
        token_acts(tiny_llama, tiny_sae, ["a", ""], HOOK)
    with pytest.raises(ValueError, match="no hook"):
        token_acts(tiny_llama, tiny_sae, ["a"], "blocks.4.hook_resid_post")
    with pytest.raises(ValueError, match="32 wide, but this SAE reads d_in=16"):
        token_acts(tiny_llama, make_sae(d_in=16), ["a"], HOOK)


def test_stop(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        token_acts(tiny_llama, tiny_sae, ["a"], HOOK, stop=stop)


def test_what_the_caller_knows_is_added(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    acts = token_acts(tiny_llama, tiny_sae, ["a"], HOOK)
    assert acts.maximum is None and acts.provenance.model == "tiny-llama" and acts.provenance.hook_name == HOOK
    known = with_known(acts, maximum=np.ones(48, np.float32), labels={1: "one"})
    assert known.maximum is not None and known.labels == {1: "one"} and known.values is acts.values


def test_a_sink_on_which_all_features_fire_does_not_widen_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    from saewidgets.analysis import tokens
    from saewidgets.sae.activations import SparseActs

    random = torch.Generator().manual_seed(0)
    values = torch.rand(5, 40, generator=random).sort(descending=True).values
    values[:, 6:] *= torch.tensor([1, 0, 0, 0, 0]).unsqueeze(1)  # row 0, the sink, has all 40; the others 6
    acts = SparseActs(values, torch.arange(40).expand(5, 40))
    sink = torch.tensor([True, False, False, False, False])
    assert tokens._narrowed(acts, sink) is acts  # small: nothing is cut
    monkeypatch.setattr(tokens, "WIDE", 100)
    monkeypatch.setattr(tokens, "SINK_FEATURES", 4)
    narrow = tokens._narrowed(acts, sink)
    assert narrow.values.shape == (5, 6)
    assert torch.equal(narrow.dense(40)[1:], acts.dense(40)[1:])  # ordinary tokens keep everything
    assert torch.equal(narrow.values[0], values[0, :6])  # the sink keeps its strongest
    monkeypatch.setattr(tokens, "SINK_FEATURES", 30)
    assert tokens._narrowed(acts, sink).values.shape == (5, 30)
