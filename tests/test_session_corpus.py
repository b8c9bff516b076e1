"""A session's corpus: scan, cards, search, labels, ablation, and an index opened again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import saewidgets as sw
from saewidgets.index.index import Index
from saewidgets.lm.model import LanguageModel
from saewidgets.records import INTERVALS, FeatureCardData
from saewidgets.sae.autoencoder import SparseAutoencoder

HOOK = "blocks.2.hook_resid_post"
TEXTS = [f"Text {i}: the bridge over the river is {'very ' * (i % 7)}old, and the ferry is late." for i in range(60)]


@pytest.fixture(scope="module")
def session(
    tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder, tmp_path_factory: pytest.TempPathFactory
) -> sw.Session:
    session = sw.load(tiny_llama, sae=tiny_sae)
    session.scan(TEXTS, tmp_path_factory.mktemp("session") / "index", context_size=48)
    return session


def all_acts(session: sw.Session) -> tuple[np.ndarray, np.ndarray]:
    """Native activations of every feature on every token of the texts, a loop over texts; and the token numbers."""
    rows, ids = [], []
    for text in TEXTS:
        acts = session.token_acts(text, scale="native")
        dense = np.stack([acts.feature_acts(f) for f in range(acts.d_sae)], 1)
        rows.append(dense[~acts.skipped])
        ids.append(np.array(session.model.tokens(text).ids)[~acts.skipped])
    return np.concatenate(rows), np.concatenate(ids)


def index_of(session: sw.Session) -> Index:
    assert session.index is not None
    return session.index


def test_statistics_are_those_of_every_text_alone(session: sw.Session) -> None:
    dense, ids = all_acts(session)
    index = index_of(session)
    assert index.n_tokens == len(dense) == len(ids)
    np.testing.assert_array_equal(index.counts, (dense > 0).sum(0))
    np.testing.assert_allclose(index.maximum, dense.max(0), rtol=1e-5)
    fires = index.counts > 0
    np.testing.assert_allclose(
        index.mean[fires], dense.sum(0, dtype=np.float64)[fires] / index.counts[fires], rtol=1e-5
    )
    np.testing.assert_allclose(index.density, (dense > 0).mean(0))
    np.testing.assert_array_equal(np.flatnonzero(index.token_counts), np.unique(ids))
    assert index.sample.shape == (len(dense), session.sae.d_sae)
    frame = index.frame
    assert list(frame) == ["feature", "density", "maximum", "mean", "label", "label_score"]
    assert len(frame) == session.sae.d_sae


def test_maxima_and_labels_reach_the_views(session: sw.Session) -> None:
    index = index_of(session)
    fires = index.maximum > 0
    np.testing.assert_array_equal(session.maxima[fires], index.maximum[fires])
    top = session.top_features(TEXTS[0], k=5)
    assert top["label"].tolist() == [index.labels[f] for f in top["feature"]]
    assert any(top["label"])


def test_a_card_shows_what_the_index_and_the_model_say(session: sw.Session) -> None:
    index, feature = index_of(session), int(index_of(session).counts.argmax())
    card = session.card(feature)
    norm = float(session.sae.decoder_norms()[feature])
    assert card.stats.count == index.counts[feature] and card.stats.n_tokens == index.n_tokens
    assert card.stats.maximum == pytest.approx(float(index.maximum[feature]) * norm)
    assert int(card.stats.histogram.sum()) == card.stats.count
    assert card.stats.edges[0] <= card.top[-1].value and card.stats.edges[-1] >= card.stats.maximum
    assert len(card.top) == 20 and card.top[0].value == pytest.approx(card.stats.maximum, rel=1e-4)
    assert [e.value for e in card.top] == sorted((e.value for e in card.top), reverse=True)
    for example in (*card.top, *card.intervals):
        acts = session.token_acts("".join(example.str_tokens[1:]))  # behind BOS: these texts are plain ASCII
        assert acts.str_tokens == tuple(example.str_tokens)
        np.testing.assert_allclose(
            example.activations, np.where(acts.skipped, 0, acts.feature_acts(feature)), atol=card.stats.maximum / 250
        )
    for example in card.intervals:
        low, high = card.stats.intervals[example.interval - 1 : example.interval + 1]
        assert low * 0.999 < example.value <= high * 1.001 and 1 <= example.interval <= INTERVALS
    assert len(card.frame) == len(card.top) + len(card.intervals)


def test_logit_weights_against_the_model_itself(session: sw.Session) -> None:
    """The last norm by hand: scale, unembed, subtract the median over the tokens that count."""
    module: Any = session.model.module
    feature = int(index_of(session).counts.argmax())
    direction = session.sae.W_dec[feature]
    logits = module.lm_head.weight @ (direction / direction.norm() * module.model.norm.weight)
    special = session.model.tokenizer.all_special_ids
    usual = [i for i in range(len(session.model.tokenizer)) if i not in special]
    centred = (logits - logits[usual].median()).detach()
    best = sorted(usual, key=lambda i: -float(centred[i]))
    card = session.card(feature)
    np.testing.assert_allclose([w for _, w in card.promoted], centred[best[:10]], rtol=2e-3)
    np.testing.assert_allclose([w for _, w in card.suppressed], centred[best[::-1][:10]], rtol=2e-3)
    assert card.logits["weight"].is_monotonic_decreasing


def test_neighbors_and_neurons(session: sw.Session) -> None:
    feature = int(index_of(session).counts.argmax())
    card = session.card(feature)
    W = torch.nn.functional.normalize(session.sae.W_dec, dim=1).detach()
    cosines = (W @ W[feature]).numpy()
    cosines[feature] = -2
    expected = [f for f in np.argsort(-cosines) if cosines[f] > 0][:10]
    assert [r.feature for r in card.neighbors] == expected
    np.testing.assert_allclose([r.value for r in card.neighbors], cosines[expected], rtol=1e-4)
    assert card.neurons and all(-1 <= n.correlation <= 1 for n in card.neurons)
    sizes = [abs(n.correlation) for n in card.neurons]
    assert sizes == sorted(sizes, reverse=True)


def test_a_feature_that_never_fires_has_a_card_that_says_so(
    tiny_llama: LanguageModel, make_sae: Callable[..., SparseAutoencoder], tmp_path: Path
) -> None:
    sae = make_sae("jumprelu", hook_name=HOOK)
    with torch.no_grad():
        sae.activation.threshold[5] = 1e9  # type: ignore[union-attr]
    session = sw.load(tiny_llama, sae=sae)
    session.scan(TEXTS[:8], tmp_path / "index")
    card = session.card(5)
    assert card.stats.count == 0 and card.stats.maximum == 0 and not card.top and not card.intervals
    assert any("never fired" in note for note in card.notes)
    assert card.promoted and card.neighbors, "the weights still say something"
    assert session.feature(5).frame.empty


def test_the_widget_answers_from_the_session(session: sw.Session) -> None:
    feature = int(index_of(session).counts.argmax())
    widget = session.feature(feature)
    assert widget.feature == feature and len(widget.all_features) == session.sae.d_sae
    other = int(np.argsort(-index_of(session).counts)[1])
    widget.feature = other
    assert widget.data.feature == other


def test_ones_own_sentence(session: sw.Session) -> None:
    feature = int(index_of(session).counts.argmax())
    example = session._sentence("the bridge is old", feature, threading.Event())
    acts = session.token_acts("the bridge is old")
    np.testing.assert_array_equal(example.activations, np.where(acts.skipped, 0, acts.feature_acts(feature)))
    assert example.str_tokens == acts.str_tokens and example.value == example.activations.max()


def test_ablation_against_the_model_run_by_hand(session: sw.Session) -> None:
    feature, text = int(index_of(session).counts.argmax()), TEXTS[3]
    sae, module = session.sae, session.model.module
    ids = torch.tensor([session.model.tokens(text).ids])

    def log_probs(edit: Any) -> torch.Tensor:
        handle = module.model.layers[2].register_forward_hook(edit) if edit else None
        try:
            with torch.inference_mode():
                logits = module(input_ids=ids).logits[0]
        finally:
            if handle:
                handle.remove()
        return logits.log_softmax(-1)[:-1].gather(-1, ids[0, 1:, None])[:, 0]

    def ablate(_module: Any, _args: Any, output: Any) -> Any:
        x = output[0] if isinstance(output, tuple) else output
        changed = x.clone()
        for position in range(1, x.shape[1]):  # BOS stays as it is
            acts = sae.encode(x[0, position]).dense(sae.d_sae)
            error = x[0, position] - (acts @ sae.W_dec + sae.b_dec)
            acts[feature] = 0
            changed[0, position] = acts @ sae.W_dec + sae.b_dec + error
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    expected = (log_probs(None) - log_probs(ablate)).numpy()
    found = session.ablation(text, feature)
    assert np.isnan(found[0]) and np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found[1:], expected, atol=1e-4)


def test_search_by_token_label_and_promoted_token(session: sw.Session) -> None:
    index = index_of(session)
    found = session.search("bridge", k=5)
    assert list(found) == ["feature", "label", "score", "why"] and len(found)
    assert found["score"].is_monotonic_decreasing
    feature = int(found["feature"].to_numpy()[0])
    assert any(word in found["why"].to_numpy()[0] for word in ("label", "fires on", "promotes"))
    other = next(f for f in range(index.d_sae) if f != feature)
    session.label(other, "The Golden Gate")
    try:
        golden = session.search("golden")
        assert golden["feature"].to_numpy()[0] == other and "label" in golden["why"].to_numpy()[0]
    finally:
        session.label(other, "")
    assert session.search("zzzzqqq").empty
    with pytest.raises(ValueError, match="the query is empty"):
        session.search("  ")


def test_labels_by_hand_are_saved_and_win(session: sw.Session) -> None:
    index = index_of(session)
    feature = int(index.counts.argmax())
    automatic = index.labels[feature]
    session.label(feature, " Brücken, „alle“ ")
    assert session.card(feature).stats.label == "Brücken, „alle“" and session.card(feature).stats.label_source == "you"
    assert Index(index.folder).labels[feature] == "Brücken, „alle“"
    session.label(feature, "")
    assert index.labels[feature] == automatic == Index(index.folder).labels[feature]
    with pytest.raises(ValueError, match="there is no feature 48: this SAE has features 0 to 47"):
        session.label(48, "x")


def test_labels_from_a_file_a_mapping_and_a_callable(session: sw.Session, tmp_path: Path) -> None:
    index = index_of(session)
    path = tmp_path / "labels.csv"
    path.write_text("index,description,other\n3,ferries,x\n7,\n", "utf-8")
    try:
        assert session.load_labels(path) == 1 and index.labels[3] == "ferries"
        assert session.load_labels({4: "rivers"}) == 1 and index.labels[3:5] == ["ferries", "rivers"]
        asked: list[int] = []

        def labeller(card: FeatureCardData) -> str:
            asked.append(card.feature)
            return f"number {card.feature}"

        assert session.load_labels(labeller, limit=2) == 2
        assert asked == np.argsort(-index.counts, kind="stable")[:2].tolist()
        path.write_text("a,b\n1,2\n")
        with pytest.raises(ValueError, match="needs the columns feature and label, it has a, b"):
            session.load_labels(path)
        path.write_text("feature,label\n1,ok\nx,2\n")
        with pytest.raises(ValueError, match="line 3: 'x' is no feature number"):
            session.load_labels(path)
        before = list(index.labels)
        for wrong in ({99: "x"}, {1: "fine", -1: "x"}):
            with pytest.raises(ValueError, match="there is no feature"):
                session.load_labels(wrong)
        with pytest.raises(TypeError, match="a label must be a string"):
            session.load_labels({1: 5})
        assert index.labels == before
    finally:
        index.set_labels({})


def test_without_an_index(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    session = sw.load(tiny_llama, sae=tiny_sae)
    for ask in (lambda: session.feature(3), lambda: session.search("bridge"), lambda: session.label(3, "x")):
        with pytest.raises(ValueError, match=r"no corpus index yet.*s\.scan"):
            ask()


def test_an_index_is_opened_with_load(session: sw.Session) -> None:
    again = sw.load(session.model, sae=session.sae, index=index_of(session).folder)
    assert again.index is not None and again.index.n_tokens == index_of(session).n_tokens
    assert again.card(3).frame.equals(session.card(3).frame)


def test_an_index_of_another_sae_or_hook_is_refused(
    session: sw.Session, make_sae: Callable[..., SparseAutoencoder], tiny_llama: LanguageModel
) -> None:
    folder = index_of(session).folder
    with pytest.raises(ValueError, match="is of another SAE"):
        sw.load(tiny_llama, sae=make_sae("topk", hook_name=HOOK, seed=1), index=folder)
    with pytest.raises(ValueError, match="is of another SAE"):
        sw.load(tiny_llama, sae=make_sae("relu", hook_name=HOOK), index=folder)
    with pytest.raises(ValueError, match=r"another hook: blocks.2.hook_resid_post, but the session has blocks.1"):
        sw.load(tiny_llama, sae=session.sae, hook_name="blocks.1.hook_resid_post", index=folder)


def test_an_index_of_another_tokenizer_is_refused(session: sw.Session, new_llama: Any, bosless_tokenizer: Any) -> None:
    other = LanguageModel(new_llama(), bosless_tokenizer, "tiny-llama")
    with pytest.raises(ValueError, match="is of another tokenizer"):
        sw.load(other, sae=session.sae, index=index_of(session).folder)


def test_only_another_number_format_warns_and_names_both(session: sw.Session, tiny_llama: LanguageModel) -> None:
    half = session.sae.to(dtype=torch.bfloat16).to(dtype=torch.float32)
    with pytest.warns(UserWarning, match=f"{session.sae.hash()}.*{half.hash()}"):
        opened = sw.load(tiny_llama, sae=half, index=index_of(session).folder)
    assert opened.index is not None


def test_another_model_of_the_same_tokenizer_warns(session: sw.Session, new_llama: Any, byte_tokenizer: Any) -> None:
    other = LanguageModel(new_llama(seed=1), byte_tokenizer, "other-llama")
    with pytest.warns(UserWarning, match=f"tiny-llama {session.model.hash()}.*other-llama {other.hash()}"):
        sw.load(other, sae=session.sae, index=index_of(session).folder)


def test_a_stopped_scan_leaves_the_session_and_the_model_as_they_were(
    tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder, tmp_path: Path, hooks_on: Callable[..., int]
) -> None:
    session = sw.load(tiny_llama, sae=tiny_sae)
    before = hooks_on(tiny_llama.module)

    def texts() -> Any:
        yield from TEXTS[:20]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.scan(texts(), tmp_path / "index")
    assert session.index is None and hooks_on(tiny_llama.module) == before


@pytest.mark.parametrize("wrong", [[], [""], ["  \n"]])
def test_an_empty_corpus(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder, tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(ValueError, match="corpus"):
        sw.load(tiny_llama, sae=tiny_sae).scan(wrong, tmp_path / "index")


def test_a_file_that_is_not_utf_8(tiny_llama: LanguageModel, tiny_sae: SparseAutoencoder, tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("für alle".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8: byte 1 is 0xFC"):
        sw.load(tiny_llama, sae=tiny_sae).scan(path, tmp_path / "index")
