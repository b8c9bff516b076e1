"""Activations of a corpus against a loop that runs every window alone and never pads."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from saewidgets.analysis import harvest
from saewidgets.analysis.harvest import TextActivations
from saewidgets.lm.capture import capture
from saewidgets.lm.model import LanguageModel

HOOK, CONTEXT = "blocks.1.hook_resid_post", 24
CHAT = [{"role": "user", "content": "Is the bridge closed?"}, {"role": "assistant", "content": "It is, for today."}]
TEXTS = [f"Text {i}: the bridge over the river is {'very ' * (i % 7)}old, and the ferry is late." for i in range(30)]


def new(model: LanguageModel, texts: Any = TEXTS, **changes: Any) -> TextActivations:
    return TextActivations(model, HOOK, texts, **{"context_size": CONTEXT, **changes})


def windows_of(model: LanguageModel, texts: Sequence[Any], context: int = CONTEXT, bos: bool = True) -> list[list[int]]:
    """Texts cut by hand: BOS in front of every window, remainders below eight tokens dropped."""
    found = []
    for text in texts:
        tokens = model.tokens(text, prepend_bos=bos)
        front, ids = list(tokens.ids[: int(tokens.has_bos)]), list(tokens.ids[int(tokens.has_bos) :])
        while len(ids) >= 8:
            room = context - len(front)
            found.append(front + ids[:room])
            ids = ids[room:]
    return found


def alone(model: LanguageModel, windows: list[list[int]]) -> list[Tensor]:
    """Activations of every window by Hugging Face itself, position 0 left out where it is BOS."""
    found = []
    for window in windows:
        with torch.inference_mode():
            states = model.module(input_ids=torch.tensor([window]), output_hidden_states=True).hidden_states
        found.append(states[2][0, int(window[0] == model.tokenizer.bos_token_id) :])
    return found


def usual(parts: list[Tensor]) -> Tensor:
    x = torch.cat(parts)
    norms = x.norm(dim=1)
    return x[norms <= 4 * norms.median()]


def read_all(source: TextActivations) -> list[Tensor]:
    found = []
    while (x := source.read()) is not None:
        found.append(x)
    return found


@pytest.mark.parametrize("bos", [True, False])
def test_reads_are_those_of_every_window_alone(tiny_llama: LanguageModel, bos: bool) -> None:
    windows = windows_of(tiny_llama, TEXTS, bos=bos)
    assert len(windows) % 16 and len({len(w) for w in windows}) > 3  # a last read that is short, padding everywhere
    assert max(map(len, windows)) == CONTEXT
    found = read_all(new(tiny_llama, iter(TEXTS), prepend_bos=bos))
    expected = [usual(alone(tiny_llama, windows[at : at + 16])) for at in range(0, len(windows), 16)]
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_a_model_without_bos_keeps_position_0(new_llama: Callable[..., Any], bosless_tokenizer: Any) -> None:
    model = LanguageModel(new_llama(), bosless_tokenizer, "bosless")
    (found,) = read_all(new(model, iter(TEXTS[:4])))
    windows = windows_of(model, TEXTS[:4])
    torch.testing.assert_close(found, usual(alone(model, windows)), rtol=1e-4, atol=1e-4)
    assert len(found) == sum(map(len, windows))


def test_sinks_are_dropped(spiky_llama: LanguageModel) -> None:
    texts = [f"{'Z' if i % 3 else 'A'} {text}" for i, text in enumerate(TEXTS[:9])]
    windows = windows_of(spiky_llama, texts)
    (spike,) = spiky_llama.tokens("Z", prepend_bos=False).ids
    (found,) = read_all(new(spiky_llama, iter(texts), context_size=96))
    windows = windows_of(spiky_llama, texts, 96)
    assert sum(w.count(spike) for w in windows) == 6
    assert len(found) == sum(len(w) - 1 for w in windows) - 6
    assert found.norm(dim=1).max() < 50 < torch.cat(alone(spiky_llama, windows)).norm(dim=1).max()


def test_chats_are_read_as_the_template_writes_them(tiny_llama: LanguageModel, chat_tokenizer: Any) -> None:
    model = LanguageModel(tiny_llama.module, chat_tokenizer, "chatty")
    texts = [CHAT, "A plain text, as long as it must be.", CHAT]
    (found,) = read_all(new(model, iter(texts)))
    windows = windows_of(model, texts)
    assert all(window.count(0) == 1 for window in windows)  # the template's own BOS, and no second one
    torch.testing.assert_close(found, usual(alone(model, windows)), rtol=1e-4, atol=1e-4)


def test_short_and_empty_texts_are_left_out(tiny_llama: LanguageModel) -> None:
    short, exact, *_ = "", "", ""
    while len(tiny_llama.tokens(short + "q", prepend_bos=False).ids) < 8:
        short += "q"
    exact = short + "q"
    (found,) = read_all(new(tiny_llama, iter(["", "  \n", short, exact])))
    assert len(found) == 8


@pytest.mark.parametrize(("asked", "used"), [(2, 9), (9, 9), (50, 50), (10_000, 192)])
def test_the_context_is_one_the_model_and_a_window_can_use(tiny_llama: LanguageModel, asked: int, used: int) -> None:
    source = new(tiny_llama, ["The bridge. " * 100], context_size=asked)
    assert source.context_size == used
    assert source.read() is not None


def test_the_end_of_a_round_is_the_beginning_of_the_next(tiny_llama: LanguageModel) -> None:
    source = new(tiny_llama)
    once = read_all(new(tiny_llama, iter(TEXTS)))
    for _ in range(2):
        for expected in once:
            found = source.read()
            assert found is not None and torch.equal(found, expected)


def test_count_is_what_one_round_gives_but_for_outliers(tiny_llama: LanguageModel) -> None:
    source = new(tiny_llama)
    assert source.count() == sum(len(w) - 1 for w in windows_of(tiny_llama, TEXTS))
    first = source.read()
    source.count()  # leaves reading where it is
    second = source.read()
    again = new(tiny_llama)
    expected = [again.read(), again.read()]
    assert all(torch.equal(a, b) for a, b in zip((first, second), expected, strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["list", "iterator"])
@pytest.mark.parametrize("reads", [0, 1, 2, 3, 4])
def test_it_goes_on_from_a_place(tiny_llama: LanguageModel, reads: int, kind: str) -> None:
    """Also from the end of a round, and into the second; an iterator as far as it goes."""

    def texts() -> Any:
        return TEXTS if kind == "list" else iter(TEXTS)

    source = new(tiny_llama, texts())
    for _ in range(reads):
        source.read()
    place = json.loads(json.dumps(source.place()))
    other = new(tiny_llama, texts())
    other.go_to(place)
    for _ in range(3):
        mine, theirs = other.read(), source.read()
        assert (mine is None and theirs is None) or torch.equal(mine, theirs)  # type: ignore[arg-type]
    assert other.place() == source.place()


def test_a_list_can_go_back(tiny_llama: LanguageModel) -> None:
    source = new(tiny_llama)
    place, first = source.place(), source.read()
    source.read()
    source.go_to(place)
    again = source.read()
    assert first is not None and again is not None and torch.equal(first, again)


@pytest.mark.parametrize(
    "changed", [["Another text " * 9, *TEXTS[1:]], TEXTS[1:], TEXTS[:9], [*TEXTS[:5], TEXTS[5] + "!", *TEXTS[6:]]]
)
def test_other_texts_are_noticed(tiny_llama: LanguageModel, changed: list[str]) -> None:
    source = new(tiny_llama)
    source.read()
    source.read()
    for texts in (changed, iter(changed)):
        with pytest.raises(ValueError, match="the texts are not those this training began with"):
            new(tiny_llama, texts).go_to(source.place())


def test_another_context_is_noticed(tiny_llama: LanguageModel) -> None:
    source = new(tiny_llama)
    source.read()
    with pytest.raises(ValueError, match="not those this training began with"):
        new(tiny_llama, context_size=20).go_to(source.place())


def test_an_iterator_is_read_once(tiny_llama: LanguageModel) -> None:
    source = new(tiny_llama, iter(TEXTS))
    with pytest.raises(ValueError, match="an iterator of texts can be read only once: say how many training_tokens"):
        source.count()
    place = source.place()
    assert source.read() is not None  # and count took nothing from it
    with pytest.raises(ValueError, match="an iterator of texts cannot go back"):
        source.go_to(place)


def test_texts_come_from_files_too(tiny_llama: LanguageModel, tmp_path: Any) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in TEXTS), "utf-8")
    mine, theirs = new(tiny_llama, path), new(tiny_llama)
    for _ in range(4):
        a, b = mine.read(), theirs.read()
        assert a is not None and b is not None and torch.equal(a, b)


def test_no_window_at_all(tiny_llama: LanguageModel) -> None:
    source = new(tiny_llama, ["a", "b"])
    assert source.count() == 0 and source.read() is None and source.read() is None


def test_things_that_are_no_texts_are_told_at_once(tiny_llama: LanguageModel) -> None:
    for texts in (None, 3, {"text": "a"}):
        with pytest.raises(TypeError, match="texts must be a string, a chat"):
            new(tiny_llama, texts)


def test_an_unknown_hook_is_told_at_once(tiny_llama: LanguageModel) -> None:
    with pytest.raises(ValueError, match="hook_resid_pots"):
        TextActivations(tiny_llama, "blocks.1.hook_resid_pots", TEXTS)


def test_weights_that_are_not_numbers(tiny_llama: LanguageModel) -> None:
    module = copy.deepcopy(tiny_llama.module)
    with torch.no_grad():
        next(iter(module.model.layers[1].parameters()))[0] = float("nan")
    source = new(LanguageModel(module, tiny_llama.tokenizer, "broken"))
    with pytest.raises(ValueError, match="hook_resid_post gave NaN or infinity: check the model's weights"):
        source.read()


def test_the_model_is_left_as_it_was(tiny_llama: LanguageModel, hooks_on: Callable[..., int]) -> None:
    before = hooks_on(tiny_llama.module), tiny_llama.hash()
    x = new(tiny_llama).read()
    assert (hooks_on(tiny_llama.module), tiny_llama.hash()) == before
    assert x is not None and not x.requires_grad
    torch.nn.functional.linear(x, torch.ones(1, 32, requires_grad=True)).sum().backward()  # can be learnt from


def test_windows_are_read_sixteen_and_run_four_at_once(
    tiny_llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, ...]] = []

    def spy(model: LanguageModel, ids: Tensor, hook_name: str) -> Tensor:
        shapes.append(tuple(ids.shape))
        return capture(model, ids, hook_name)

    monkeypatch.setattr(harvest, "capture", spy)
    windows = windows_of(tiny_llama, TEXTS)
    read_all(new(tiny_llama, iter(TEXTS)))
    read = [16] * (len(windows) // 16) + [len(windows) % 16]
    assert [rows for rows, _ in shapes] == [len(part) for n in read for part in torch.zeros(n).split(4)]
    assert all(width <= CONTEXT for _, width in shapes)
