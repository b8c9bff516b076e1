# pyright: reportArgumentType=false, reportGeneralTypeIssues=false
"""Steering through the session: texts, records, sweeps, and the panel with the model behind it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import saewidgets as sw
from saewidgets.analysis import maxima as analysis_maxima
from saewidgets.analysis.write import Steerer
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.worker import Stopped
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.session import Session
from saewidgets.session.pair import Pair

HOOK = "blocks.2.hook_resid_post"
TEXT = "The bridge over the river"
COLUMNS = ["kind", "strength", "readback", "kl", "perplexity", "repetition", "first_divergence", "delta_logprob"]
SETTINGS = {"max_new_tokens": 12, "temperature": 1.0, "top_p": 0.9, "seed": 1, "chat": None, "where": "both"}


@pytest.fixture(autouse=True)
def small_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAEWIDGETS_CACHE", str(tmp_path / "cache"))
    for name in ("SAMPLE_TOKENS", "NORM_TOKENS", "DENSITY_TOKENS"):
        monkeypatch.setattr(analysis_maxima, name, 4 * 128)


@pytest.fixture
def s(tiny_llama: LanguageModel, make_sae: Callable[..., SparseAutoencoder]) -> Session:
    return sw.load(tiny_llama, sae=make_sae("jumprelu", hook_name=HOOK))


def feature_of(s: Session) -> int:
    return int(np.argmax(s.maxima))


# ---- texts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [sw.clamp, sw.at_least, sw.add, lambda f, m: sw.ablate(f)])
def test_every_kind_steers_and_leaves_no_trace(s: Session, kind: Any, hooks_on: Any) -> None:
    before, bare = hooks_on(s.model.module), s.generate(TEXT, max_new_tokens=12)
    change = kind(feature_of(s), 5.0)
    steered = s.generate(TEXT, change, max_new_tokens=12)
    assert (steered != bare) or change.strength == 0
    assert s.generate(TEXT, [change], max_new_tokens=12) == steered
    assert s.generate(TEXT, max_new_tokens=12) == bare
    assert hooks_on(s.model.module) == before


def test_where(s: Session) -> None:
    change, options = {feature_of(s): 8.0}, {"max_new_tokens": 12}
    texts = {where: s.generate(TEXT, change, where=where, **options) for where in ("both", "prompt", "generation")}
    texts["bare"] = s.generate(TEXT, **options)
    assert len(set(texts.values())) >= 3
    with pytest.raises(ValueError, match='where must be "both", "prompt" or "generation", got \'nowhere\''):
        s.generate(TEXT, change, where="nowhere")  # type: ignore[arg-type]


def test_stop_strings(s: Session) -> None:
    whole = s.generate(TEXT, temperature=1.0, max_new_tokens=20)
    stop = whole[3:5]
    assert s.generate(TEXT, temperature=1.0, max_new_tokens=20, stop_strings=[stop]) == whole[: whole.find(stop)]


def test_the_steered_record_is_the_text_with_its_tokens(s: Session) -> None:
    feature = feature_of(s)
    found = s.steered(TEXT, {feature: 3.0}, max_new_tokens=8)
    assert found.text == s.generate(TEXT, {feature: 3.0}, max_new_tokens=8)
    assert "".join(found.str_tokens[1 : found.n_prompt]) == TEXT
    assert found.features == (feature,)
    np.testing.assert_allclose(found.requested[1:-1, 0], 3.0, rtol=1e-5)
    assert not found.modified[0] and found.modified[1:-1].all()
    bare = s.steered(TEXT, max_new_tokens=8)
    assert bare.text == s.generate(TEXT, max_new_tokens=8) and not bare.modified.any() and bare.features == ()


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), -float("inf")])
def test_impossible_strengths(s: Session, strength: float) -> None:
    for ask in (s.generate, s.steered):
        with pytest.raises(ValueError, match="must be a finite number"):
            ask(TEXT, {3: strength})


def test_unknown_features_empty_and_long_prompts(s: Session) -> None:
    for ask in (s.steered, s.generate):
        with pytest.raises(ValueError, match="no feature 48"):
            ask(TEXT, {48: 1.0})
        with pytest.raises(ValueError, match="the prompt is empty"):
            ask("  ", {3: 1.0})
        with pytest.raises(ValueError, match="context holds 192: shorten it"):
            ask(TEXT * 40, {3: 1.0})
    with pytest.raises(ValueError, match="no feature 48"):
        s.sweep(TEXT, 48)
    with pytest.raises(ValueError, match="the prompt is empty"):
        s.sweep("", 3)


def test_an_interrupt_ends_it_and_leaves_the_model_as_it_was(s: Session, hooks_on: Any) -> None:
    before, bare = hooks_on(s.model.module), s.generate(TEXT, max_new_tokens=4)
    feature = feature_of(s)
    running = threading.Event()

    def interrupt() -> None:
        running.wait(60)
        while hooks_on(s.model.module) == before:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        running.set()
        for _ in range(500):
            s.generate(TEXT, {feature: 2.0}, max_new_tokens=150, temperature=1.5)
    thread.join()
    assert hooks_on(s.model.module) == before
    assert s.generate(TEXT, max_new_tokens=4) == bare


# ---- sweeps ------------------------------------------------------------------------------------------------------


def test_a_sweep_is_a_table(s: Session) -> None:
    feature = feature_of(s)
    frame = s.sweep(TEXT, feature, [0, 2, 5], max_new_tokens=8, temperature=1.0)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == [*COLUMNS, "sweet_spot", "text"]
    assert frame["kind"].tolist()[:4] == ["bare", "steered", "steered", "steered"]
    assert {"random", "prompt"} <= set(frame["kind"])
    record = s.sweep_record(TEXT, feature, [0, 2, 5], max_new_tokens=8, temperature=1.0)
    pd.testing.assert_frame_equal(record.frame, frame)
    assert record.prompt == TEXT and record.provenance == s.provenance
    bare = s.sweep(TEXT, feature, [0, 2, 5], controls=False, max_new_tokens=8)
    assert set(bare["kind"]) == {"bare", "steered"}


def test_the_default_sweep_has_seventeen_strengths(s: Session) -> None:
    frame = s.sweep(TEXT, feature_of(s), controls=False, max_new_tokens=2)
    assert (frame["kind"] == "steered").sum() == 17


# ---- the panel ---------------------------------------------------------------------------------------------------


def test_side_by_side_streams_what_the_records_say(s: Session) -> None:
    feature, pieces = feature_of(s), {"bare": "", "steered": ""}

    def emit(row: str, piece: str) -> None:
        assert piece
        pieces[row] += piece

    changes = (sw.clamp(feature, 6.0),)
    bare, steered = Pair(s)(TEXT, changes, SETTINGS, emit, threading.Event(), lambda: changes)
    assert pieces == {"bare": bare.text, "steered": steered.text}
    assert bare.text == s.generate(TEXT, **SETTINGS) and steered.text == s.generate(TEXT, {feature: 6.0}, **SETTINGS)
    assert not bare.modified.any() and steered.modified.any()
    assert bare.features == steered.features == (feature,)
    assert not np.isnan(bare.readback[1:-1]).any()


def test_a_moved_slider_steers_what_follows(s: Session) -> None:
    feature, steps = feature_of(s), []

    def live() -> tuple[sw.Intervention, ...]:
        steps.append(len(steps))
        return (sw.clamp(feature, 9.0),) if len(steps) > 4 else ()  # the prompt and three tokens go by without

    bare, steered = Pair(s)(TEXT, (), SETTINGS, lambda row, piece: None, threading.Event(), live)
    assert steered.features == (feature,)
    assert np.flatnonzero(steered.modified).tolist() == list(range(steered.n_prompt + 3, len(steered) - 1))
    assert steered.str_tokens[: steered.n_prompt + 4] == bare.str_tokens[: bare.n_prompt + 4]
    assert not bare.modified.any()


def test_a_bare_text_is_written_once(s: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    pair, rows = Pair(s), []
    feature, other = feature_of(s), int(np.argsort(s.maxima)[-2])
    write = Steerer.write

    def spy(self: Steerer, prompts: Any, *args: Any, **more: Any) -> Any:
        rows.append(len(prompts))
        return write(self, prompts, *args, **more)

    monkeypatch.setattr(Steerer, "write", spy)

    def ask(changes: tuple[sw.Intervention, ...], text: str = TEXT, **more: Any) -> tuple[Any, Any, str]:
        pieces = {"bare": "", "steered": ""}
        settings = {**SETTINGS, **more}
        stop = threading.Event()
        both = pair(
            text, changes, settings, lambda row, piece: pieces.update({row: pieces[row] + piece}), stop, lambda: changes
        )
        assert pieces == {"bare": both[0].text, "steered": both[1].text}
        return *both, s.generate(text, changes, **settings)

    bare, steered, alone = ask((sw.clamp(feature, 1.0),))
    again, moved, moved_alone = ask((sw.clamp(feature, 6.0),))
    assert rows == [2, 1, 1, 1] and again is bare  # every second one is `generate`
    assert (steered.text, moved.text) == (alone, moved_alone)
    for changes, more in (
        ((sw.clamp(other, 2.0),), {}),  # the bare row must be read for this feature too
        ((sw.clamp(other, 2.0),), {"seed": 3}),
        ((sw.clamp(other, 2.0),), {"seed": 3, "text": "Another prompt"}),
    ):
        rows.clear()
        bare, *_ = ask(changes, **more)
        assert rows[0] == 2 and bare.features == (other,)


def test_a_stopped_text_is_not_kept_as_the_bare_one(s: Session) -> None:
    pair, stop, changes = Pair(s), threading.Event(), (sw.clamp(feature_of(s), 6.0),)
    with pytest.raises(Stopped):
        pair(TEXT, changes, {**SETTINGS, "max_new_tokens": 50}, lambda row, piece: stop.set(), stop, lambda: changes)
    bare, _ = pair(
        TEXT, changes, {**SETTINGS, "max_new_tokens": 50}, lambda *_: None, threading.Event(), lambda: changes
    )
    assert bare.text == s.generate(TEXT, **{**SETTINGS, "max_new_tokens": 50})


def test_the_panel_has_the_model_behind_it(s: Session) -> None:
    panel = s.steer(TEXT, {feature_of(s): 4.0}, max_new_tokens=6)
    assert panel.prompt == TEXT and panel.features == [feature_of(s)]
    found = s._find("bridge")
    assert list(found.columns)[:2] == ["feature", "label"] and len(found) == 20
    assert s._describe(feature_of(s)) == ("", pytest.approx(float(s.maxima.max())), "")
    swept = s._swept(TEXT, feature_of(s), [0.0, 3.0], SETTINGS, threading.Event(), lambda share: None, kind="clamp")
    assert swept.strengths == (0.0, 3.0)


def test_a_recipe_brings_what_was_measured_of_it(s: Session) -> None:
    feature = feature_of(s)
    row = {"name": "rivers", "feature": feature, "strength": 2.5, "prompt": TEXT, "rate": 3.04, "low": 1.7, "high": 4.5}
    row |= {"rate_random": 0.2, "rate_control": 0.0, "rate_bare": 0.07, "rate_prompt": 6.5}
    s.recipes = pd.DataFrame([row])
    panel = s.steer(recipe="river")
    assert (panel.prompt, panel.strengths) == (TEXT, {feature: 2.5})
    assert s._describe(feature).note == (
        "Recipe “rivers”: at 2.5 × max 3.0 of 100 words are its concept's (95 %: 1.7 to 4.5) · random direction 0.2 · "
        "another feature 0.0 · bare 0.1 · asked for in words 6.5"
    )
    assert s._describe(feature + 1 if feature + 1 < s.sae.d_sae else 0).note == ""


CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}]


@pytest.fixture
def chatty(new_llama: Any, chat_tokenizer: Any, make_sae: Callable[..., SparseAutoencoder]) -> Session:
    return sw.load(LanguageModel(new_llama(), chat_tokenizer, "chatty"), sae=make_sae("jumprelu", hook_name=HOOK))


def test_a_panel_of_a_chat_writes_and_sweeps_what_generate_and_sweep_do(chatty: Session) -> None:
    feature, options = feature_of(chatty), {"max_new_tokens": 8}
    panel = chatty.steer(CHAT, {feature: 5.0}, **options)
    panel.prompt = "Where?"
    panel.write()
    panel.wait(60)
    edited = [CHAT[0], {"role": "user", "content": "Where?"}]
    assert panel.results is not None
    bare, steered = panel.results
    assert bare.text == chatty.generate(edited, **options)
    assert steered.text == chatty.generate(edited, {feature: 5.0}, **options)
    prompt = "<|bos|>[system] Be brief.\n[user] Where?\n[assistant] "
    assert "".join(steered.str_tokens[: steered.n_prompt]) == prompt
    panel.run_sweep(feature, [0.0, 2.0])
    panel.wait(60)
    expected = chatty.sweep(edited, feature, [0.0, 2.0], **options)
    assert panel.sweeps[feature].frame["text"].tolist() == expected["text"].tolist()
    assert panel.frame["chat"].tolist() == [edited] * len(panel.frame)


@pytest.mark.parametrize(
    ("chat", "words"),
    [
        ([], "the chat is empty"),
        ([*CHAT, {"role": "assistant", "content": "There."}], "the chat ends with the assistant's turn"),
        ([{"role": "sytem", "content": "x"}, *CHAT], "turn 1 of the chat has the role 'sytem'; known are system"),
    ],
)
def test_a_chat_the_model_cannot_answer(chatty: Session, s: Session, chat: Any, words: str) -> None:
    for ask in (chatty.steer, chatty.generate, lambda chat: chatty.sweep(chat, 3)):
        with pytest.raises(ValueError, match=words):
            ask(chat)
    for ask in (s.steer, s.generate):
        with pytest.raises(ValueError, match="no chat template: pass a plain string"):
            ask(CHAT)
        with pytest.raises(TypeError, match="expected a string or a chat"):
            ask([3])


def test_a_recipe_is_found_by_part_of_its_name(s: Session) -> None:
    with pytest.raises(ValueError, match="no steering recipes"):
        s.steer(recipe="gate")
    s.recipes = pd.DataFrame(
        {"name": ["Golden Gate", "pirate"], "feature": [3, 5], "strength": [2.0, 4.0], "prompt": "Who?"}
    )
    panel = s.steer(recipe="golden")
    assert panel.prompt == "Who?" and panel.strengths == {3: 2.0}
    with pytest.raises(ValueError, match="no recipe 'opera'; there are: Golden Gate, pirate"):
        s.steer(recipe="opera")
