"""The session: binding, and answers that agree with each other and with the bare model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import saewidgets as sw
from saewidgets.analysis import maxima as analysis_maxima
from saewidgets.lm.model import LanguageModel
from saewidgets.sae import files
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.session import Session

HOOK = "blocks.2.hook_resid_post"
TEXT = "The bridge over the river is golden."
CHAT = [{"role": "user", "content": "Hello"}]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAEWIDGETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(analysis_maxima, "SAMPLE_TOKENS", 8 * 128)


@pytest.fixture
def s(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> Session:
    return sw.load(tiny_llama, sae=tiny_sae)


@pytest.fixture
def chatty(new_llama: Callable[..., Any], chat_tokenizer: Any, tiny_sae: SparseAutoencoder) -> Session:
    return sw.load(new_llama(), sae=tiny_sae, tokenizer=chat_tokenizer)


@pytest.fixture
def folders(tiny_llama: LanguageModel, make_sae: Any, tmp_path: Path) -> tuple[Path, Path]:
    """Model and SAE on disk; the SAE names its model."""
    tiny_llama.module.save_pretrained(tmp_path / "model")  # type: ignore[operator]
    tiny_llama.tokenizer.save_pretrained(tmp_path / "model")
    sae = make_sae(hook_name=HOOK, model_name=str(tmp_path / "model"))
    return tmp_path / "model", files.save(sae, tmp_path / "sae")


# ---- binding -----------------------------------------------------------------------------------------------------


def test_by_path_and_by_object_is_the_same(s: Session, folders: tuple[Path, Path]) -> None:
    model, sae = folders
    for other in (sw.load(model, sae=sae), sw.load(str(model), sae=str(sae)), sw.load(sae=sae)):
        assert other.tokens(TEXT).equals(s.tokens(TEXT))
        assert other.hook_name == HOOK
        assert other.sae.hash() == s.sae.hash()


def test_by_module(s: Session, tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    other = sw.load(tiny_llama.module, sae=tiny_sae, tokenizer=tiny_llama.tokenizer, device="cpu")
    assert other.tokens(TEXT).equals(s.tokens(TEXT))
    assert other.model.worker is s.model.worker


def test_another_sae_on_a_loaded_model(s: Session, make_sae: Any) -> None:
    other = sw.load(s.model, sae=make_sae("relu", d_sae=20, hook_name="blocks.0.hook_mlp_out"))
    assert other.model is s.model
    assert other.hook_name == "blocks.0.hook_mlp_out"
    assert set(other.tokens(TEXT)["feature"]) <= set(range(20))
    assert other.provenance != s.provenance


def test_another_hook_than_the_saes(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder, s: Session) -> None:
    other = sw.load(tiny_llama, sae=tiny_sae, hook_name="blocks.1.hook_resid_post")
    assert other.hook_name == "blocks.1.hook_resid_post"
    assert not other.tokens(TEXT).equals(s.tokens(TEXT))


def test_dtype(folders: tuple[Path, Path]) -> None:
    model, sae = folders
    s = sw.load(model, sae=sae, dtype=torch.bfloat16)
    assert s.sae.dtype == torch.bfloat16
    assert {p.dtype for p in s.model.module.parameters()} == {torch.bfloat16}
    assert len(s.tokens(TEXT)) and s.generate("The", {3: 2.0}, max_new_tokens=2) is not None


def test_an_sae_whose_weights_want_gradients(
    tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder, s: Session
) -> None:
    from dataclasses import replace

    parameters = {n: torch.nn.Parameter(t) for n, t in tiny_sae.tensors().items()}
    other = sw.load(tiny_llama, sae=replace(tiny_sae, **parameters))
    assert other.tokens(TEXT).equals(s.tokens(TEXT))
    assert other.generate("The", {3: 2.0}, max_new_tokens=3) == s.generate("The", {3: 2.0}, max_new_tokens=3)
    assert np.array_equal(other.maxima, s.maxima)
    assert other.token_acts(TEXT).maximum is not None


@pytest.mark.parametrize(
    ("hook_name", "message"),
    [("blocks.9.hook_resid_post", "no hook"), ("nonsense", "near names"), ("blocks.2.mlp.hook_post", "64 wide")],
)
def test_a_hook_that_does_not_fit(tiny_llama: LanguageModel, tiny_sae: Any, hook_name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sw.load(tiny_llama, sae=tiny_sae, hook_name=hook_name)


def test_another_width(tiny_llama: LanguageModel, make_sae: Any) -> None:
    with pytest.raises(ValueError, match=r"is 32 wide, but this SAE reads d_in=16: it belongs to another model"):
        sw.load(tiny_llama, sae=make_sae(d_in=16, hook_name=HOOK))


def test_no_hook_name(tiny_llama: LanguageModel, make_sae: Any) -> None:
    with pytest.raises(ValueError, match="pass hook_name="):
        sw.load(tiny_llama, sae=make_sae())


def test_no_model(make_sae: Any) -> None:
    with pytest.raises(ValueError, match="does not name its model"):
        sw.load(sae=make_sae(hook_name=HOOK))


@pytest.mark.parametrize("sae", [None, 3, torch.zeros(2)], ids=str)
def test_an_sae_of_another_type(tiny_llama: LanguageModel, sae: Any) -> None:
    with pytest.raises(TypeError, match="sae must be a path"):
        sw.load(tiny_llama, sae=sae)


def test_no_such_sae(tiny_llama: LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        sw.load(tiny_llama, sae=tmp_path / "nowhere")


def test_repr_is_short(s: Session) -> None:
    assert len(repr(s)) < 200 and "tiny-llama" in repr(s) and HOOK in repr(s)


# ---- data --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["norm", "native"])
@pytest.mark.parametrize("text", [TEXT, [TEXT, "golden 🌉"]], ids=["one", "two"])
def test_tokens_acts_and_top_features_agree(s: Session, text: Any, scale: Any) -> None:
    frame, matrix, top = s.tokens(text, scale), s.acts(text, scale), s.top_features(text, 1000, scale)
    acts = s.token_acts(text, scale)
    assert matrix.shape == (len(acts), 48)
    assert matrix.nnz == len(frame)
    dense = matrix.toarray()
    starts = [0, *np.flatnonzero(np.diff(acts.text)) + 1]
    for row in frame.itertuples():
        assert dense[starts[row.text] + row.position, row.feature] == np.float32(row.activation)  # type: ignore[index, operator]
    for feature in range(48):
        assert acts.feature_acts(feature).tolist() == dense[:, feature].tolist()
    kept = dense[~acts.skipped]
    firing = {int(f): float(kept[:, f].max()) for f in np.flatnonzero(kept.max(0))}
    assert dict(zip(top["feature"], top["activation"], strict=True)) == pytest.approx(firing)
    assert top["activation"].is_monotonic_decreasing
    assert top["count"].tolist() == [int((kept[:, f] > 0).sum()) for f in top["feature"]]
    assert len(s.top_features(text, 3, scale)) == 3


def test_tokens_of_a_chat(chatty: Session) -> None:
    assert list(chatty.token_acts(CHAT).texts) == ["<|bos|>[user] Hello\n"]
    assert set(chatty.tokens([CHAT, "plain"])["text"]) == {0, 1}


@pytest.mark.parametrize("text", ["", [], [""], ["a", ""]])
def test_an_empty_text(s: Session, text: Any) -> None:
    with pytest.raises(ValueError, match="the text is empty"):
        s.tokens(text)


def test_prepend_bos_follows_the_sae(tiny_llama: LanguageModel, make_sae: Any) -> None:
    s = sw.load(tiny_llama, sae=make_sae(hook_name=HOOK, prepend_bos=False))
    assert s.prepend_bos is False
    assert "<|bos|>" not in s.token_acts(TEXT).str_tokens


# ---- maxima ------------------------------------------------------------------------------------------------------


def test_maxima_are_measured_once(s: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    assert s.token_acts(TEXT).maximum is None  # nothing is scanned just to show a text
    calls: list[int] = []
    original = analysis_maxima.sample_maxima
    monkeypatch.setattr(analysis_maxima, "sample_maxima", lambda *a: calls.append(1) or original(*a))
    assert s.maxima is s.maxima
    assert calls == [1]
    known = s.token_acts(TEXT).maximum
    assert known is not None
    np.testing.assert_allclose(known, s.maxima * np.linalg.norm(s.sae.W_dec.numpy(), axis=1), rtol=1e-5)
    assert s.token_acts(TEXT, "native").maximum is s.maxima


def test_maxima_that_came_with_the_sae(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    given = np.full(48, 2.0, np.float32)
    assert Session(tiny_llama, tiny_sae, maxima=given).maxima is given


# ---- generation --------------------------------------------------------------------------------------------------


@torch.inference_mode()
def by_hand(s: Session, ids: list[int], n: int, edit: Callable[[Tensor], Tensor] | None = None) -> str:
    """Greedy, a full pass a token, with a hook of our own on block 2."""

    def hook(module: Any, args: Any, output: Any) -> Any:
        x = output if isinstance(output, Tensor) else output[0]
        new = x if edit is None else torch.cat([x[:, :1], edit(x[:, 1:])], 1)
        return new if isinstance(output, Tensor) else (new, *output[1:])

    made: list[int] = []
    handle = s.model.module.model.layers[2].register_forward_hook(hook)  # type: ignore[union-attr, index]
    try:
        while len(made) < n:
            token = int(s.model.module(input_ids=torch.tensor([ids + made])).logits[0, -1].argmax())
            if token in s.model.stop_ids:
                break
            made.append(token)
    finally:
        handle.remove()
    return s.model.tokenizer.decode(made, skip_special_tokens=True)


@pytest.mark.parametrize("strengths", [None, {}, [], {3: None}], ids=str)
def test_without_strengths_it_is_the_bare_model(s: Session, strengths: Any) -> None:
    expected = by_hand(s, list(s.model.tokens(TEXT).ids), 15)
    assert s.generate(TEXT, strengths, max_new_tokens=15) == expected
    assert s._maxima is None  # and nothing was scanned for it


@pytest.mark.parametrize(
    "strengths", [{3: 4.0}, {3: 0}, {3: -2.0, 17: 5.0}, sw.clamp(3, 4.0), [sw.clamp(3, 4.0)]], ids=str
)
def test_with_strengths_it_is_the_definition(s: Session, strengths: Any) -> None:
    from saewidgets.records import as_interventions

    maxima = s.maxima

    def edit(x: Tensor) -> Tensor:
        dense = s.sae.encode(x).dense(48)
        changed = dense.clone()
        for item in as_interventions(strengths):
            changed[..., item.feature] = item.strength * float(maxima[item.feature])
        return x + (changed - dense) @ s.sae.W_dec

    expected = by_hand(s, list(s.model.tokens(TEXT).ids), 10, edit)
    assert s.generate(TEXT, strengths, max_new_tokens=10) == expected


def test_sampling_is_seeded_and_the_same_for_every_strength(s: Session) -> None:
    hot = {"temperature": 1.5, "max_new_tokens": 12}
    assert s.generate(TEXT, seed=1, **hot) == s.generate(TEXT, {}, seed=1, **hot) != s.generate(TEXT, seed=2, **hot)
    assert s.generate(TEXT, top_p=1e-6, **hot) == s.generate(TEXT, max_new_tokens=12)


def test_chat_template(chatty: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[str] = []
    tokens = type(chatty.model).tokens

    def spy(self: LanguageModel, *args: Any, **kwargs: Any) -> Any:
        found = tokens(self, *args, **kwargs)
        fed.append(found.text)
        return found

    monkeypatch.setattr(LanguageModel, "tokens", spy)
    template = "<|bos|>[user] Hello\n[assistant] "
    for prompt, chat in (("Hello", None), ("Hello", True), ("Hello", False), (CHAT, None), (CHAT, False)):
        chatty.generate(prompt, chat=chat, max_new_tokens=1)
    assert fed == [template, template, "Hello", template, template]


def test_chat_without_a_template(s: Session) -> None:
    assert s.generate("Hello", max_new_tokens=3) == s.generate("Hello", chat=False, max_new_tokens=3)
    for ask in (lambda: s.generate("Hello", chat=True), lambda: s.generate(CHAT)):
        with pytest.raises(ValueError, match="no chat template"):
            ask()


@pytest.mark.parametrize("prompt", ["", "  \n", []])
def test_an_empty_prompt(s: Session, prompt: Any) -> None:
    with pytest.raises(ValueError, match="is empty"):
        s.generate(prompt)


@pytest.mark.parametrize(
    ("strengths", "options", "message"),
    [
        ({48: 1.0}, {}, "no feature 48: this SAE has features 0 to 47"),
        ({-1: 1.0}, {}, "feature must be"),
        ({3: float("nan")}, {}, "finite"),
        ({3: float("inf")}, {}, "finite"),
        (None, {"max_new_tokens": 0}, "max_new_tokens"),
        (None, {"temperature": -1.0}, "temperature"),
        (None, {"top_p": 0.0}, "top_p"),
    ],
    ids=str,
)
def test_impossible_requests(s: Session, strengths: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        s.generate(TEXT, strengths, **options)


def test_an_unknown_feature_is_told_before_anything_is_scanned(s: Session) -> None:
    with pytest.raises(ValueError, match="no feature 48"):
        s.generate(TEXT, {48: 1.0})
    assert s._maxima is None


def test_a_prompt_over_the_context(s: Session) -> None:
    with pytest.raises(ValueError, match="context holds 192"):
        s.generate(TEXT * 40)


def test_two_sessions_on_one_model_do_not_meet(s: Session, make_sae: Any, hooks_on: Callable[..., int]) -> None:
    """Steering in one thread, reading in another: each gets what it gets alone."""
    other, before = sw.load(s.model, sae=make_sae("relu", seed=3, hook_name=HOOK)), hooks_on(s.model.module)
    steered, bare, frame = (
        s.generate(TEXT, {3: 6.0}, max_new_tokens=12),
        other.generate(TEXT, max_new_tokens=12),
        other.tokens(TEXT),
    )
    found: dict[str, Any] = {}

    def again() -> None:
        found["steered"] = [s.generate(TEXT, {3: 6.0}, max_new_tokens=12) for _ in range(4)]

    thread = threading.Thread(target=again)
    thread.start()
    for _ in range(4):
        assert other.generate(TEXT, max_new_tokens=12) == bare
        assert other.tokens(TEXT).equals(frame)
    thread.join(60)
    assert found["steered"] == [steered] * 4
    assert hooks_on(s.model.module) == before
