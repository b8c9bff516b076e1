"""sw.train and sw.toy from end to end, on a model of a few thousand weights."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import saewidgets as sw
from saewidgets.lm.model import LanguageModel
from saewidgets.sae.activations import JumpReLU, TopK
from saewidgets.sae.training import checkpoint
from saewidgets.sae.training.run import TrainingRun

HOOK = "blocks.1.hook_resid_post"
TEXTS = [f"Text {i}: the bridge over the river is {'very ' * (i % 5)}old, and the ferry is late." for i in range(40)]


def train(model: Any, texts: Any = TEXTS, **changes: Any) -> sw.TrainingMonitor:
    options: dict[str, Any] = {"d_sae": 24, "k": 3, "batch_size": 64, "context_size": 48, **changes}
    return sw.train(model, options.pop("hook_name", HOOK), texts, **options)


def test_a_model_is_learnt_and_looked_into(tiny_llama: LanguageModel, tmp_path: Path) -> None:
    monitor = train(tiny_llama, folder=tmp_path / "my-sae")
    sae = monitor.sae
    assert isinstance(monitor, sw.TrainingMonitor) and isinstance(sae, sw.SparseAutoencoder)
    assert (sae.hook_name, sae.model_name, sae.prepend_bos) == (HOOK, "tiny-llama", True)
    assert (sae.d_in, sae.d_sae) == (32, 24) and isinstance(sae.activation, JumpReLU)
    expected = {"model": "tiny-llama", "model_hash": tiny_llama.hash(), "context_size": 48, "finished": True, "k": 3}
    assert sae.card.items() >= expected.items()
    frame = monitor.frame
    assert frame["tokens"].iloc[-1] == sae.card["training_tokens"]
    assert "finished" in repr(monitor) and HOOK in repr(monitor)

    loaded = sw.load_sae(tmp_path / "my-sae")
    assert loaded.hash() == sae.hash() and dict(loaded.card) == dict(sae.card)
    for given in (sae, tmp_path / "my-sae"):
        session = sw.load(tiny_llama, sae=given)
        assert session.hook_name == HOOK and len(session.tokens(TEXTS[0]))


def test_the_same_call_gives_the_same_weights(tiny_llama: LanguageModel) -> None:
    first, second, other = (train(tiny_llama, seed=seed).sae for seed in (0, 0, 1))
    assert first.hash() == second.hash() != other.hash()


def test_topk_and_more_rounds_than_one(tiny_llama: LanguageModel) -> None:
    once = train(tiny_llama, architecture="topk").sae
    more = train(tiny_llama, architecture="topk", training_tokens=2 * once.card["training_tokens"] + 64, lr=1e-2).sae
    assert once.activation == more.activation == TopK(3)
    assert more.card["training_tokens"] > 2 * once.card["training_tokens"] and more.card["lr"] == 1e-2


def test_an_iterator_and_no_bos(tiny_llama: LanguageModel) -> None:
    sae = train(tiny_llama, (text for text in TEXTS), training_tokens=640, prepend_bos=False).sae
    assert sae.prepend_bos is False and sae.card["training_tokens"] == 640


def test_stopped_and_called_again_it_goes_on(
    tiny_llama: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = TrainingRun._learn

    def five_steps(run: TrainingRun, batch: torch.Tensor) -> None:
        learn(run, batch)
        if run.trainer is not None and run.trainer.step_number == 5:
            run.stop()

    with monkeypatch.context() as patch:
        patch.setattr(TrainingRun, "_learn", five_steps)
        stopped = train(tiny_llama, folder=tmp_path, training_tokens=1280)
        assert stopped.sae.card["training_tokens"] == 5 * 64
    for change, message in (
        ({"hook_name": "blocks.2.hook_resid_post"}, "holds another run, begun with hook_name="),
        ({"k": 4}, "holds another run, begun with k=3"),
        ({"texts": ["Other texts. " * 500]}, "not those this training began with"),
        ({"texts": TEXTS[:2]}, "not those this training began with"),
    ):
        with pytest.raises(ValueError, match=message):
            train(tiny_llama, **{"folder": tmp_path, "training_tokens": 1280, **change})
    again = train(tiny_llama, folder=tmp_path, training_tokens=1280).sae
    assert again.hash() == train(tiny_llama, training_tokens=1280).sae.hash()
    assert (tmp_path / checkpoint.NAME).exists()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"hook_name": "blocks.99.hook_resid_post"}, ValueError, "blocks"),
        ({"k": 24}, ValueError, "k must be from 1 to d_sae"),
        ({"k": 0}, ValueError, "k must be from 1 to d_sae"),
        ({"architecture": "gated"}, ValueError, "must be one of topk, batchtopk"),
        ({"texts": ["Too short to learn from, but long enough."]}, ValueError, "too little text: .* fewer than ten"),
        ({"texts": ["a"]}, ValueError, "too little text"),
        ({"texts": []}, ValueError, "the corpus is empty"),
        ({"texts": iter(TEXTS)}, ValueError, "say how many training_tokens"),
        ({"texts": None, "training_tokens": 640}, TypeError, "texts must be a string"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    ],
    ids=str,
)
def test_bad_input_is_told_at_once(
    tiny_llama: LanguageModel, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(tiny_llama, **changes)


def test_a_broken_model_fails_the_run(new_llama: Callable[..., Any], byte_tokenizer: Any) -> None:
    module = new_llama()
    with torch.no_grad():
        module.model.embed_tokens.weight[5:] = float("nan")
    monitor = train(LanguageModel(module, byte_tokenizer, "broken"))
    with pytest.raises(RuntimeError, match="gave NaN or infinity"):
        monitor.sae
    assert monitor.run.state == "failed" and "NaN" in monitor.run.error


def test_the_toy() -> None:
    panel = sw.toy(5, 2, active=0.3, training_tokens=60_000)
    assert panel.run.total_tokens == 60_000
    panel.run.sae
    assert isinstance(panel, sw.ToyPanel)
    assert list(panel.frame["feature"]) == [0, 1, 2, 3, 4] and min(panel.frame["cosine"]) > 0.9


@pytest.mark.parametrize("changes", [{"active": 0.0}, {"d_in": 1}, {"k": 200}, {"training_tokens": 100}], ids=str)
def test_impossible_toys(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        sw.toy(**changes)


CHILD = """
    import sys, time
    sys.path.insert(0, {tests!r})
    import torch
    import conftest
    import saewidgets as sw
    from transformers import LlamaConfig, LlamaForCausalLM
    from saewidgets.lm.model import LanguageModel
    from saewidgets.sae.toy import PlantedSource, planted
    from saewidgets.sae.training.run import TrainingRun

    torch.set_num_threads(1)
    tokenizer = conftest.byte_level_tokenizer()
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                         num_attention_heads=4, bos_token_id=0, eos_token_id=1)
    model = LanguageModel(LlamaForCausalLM(config).eval(), tokenizer, "tiny")
    monitor = sw.train(model, "blocks.0.hook_resid_post", conftest.SENTENCES * 9, d_sae=24, k=3, batch_size=16,
                       training_tokens=10**9, folder={folder!r})
    paused = TrainingRun(PlantedSource(planted(8, 4)), d_sae=12, k=2, total_tokens=10**9, batch_size=16)
    paused.pause()
    paused.start()
    while not len(monitor.frame) or paused.state != "paused":
        time.sleep(0.01)
    print("left at", monitor.run.trainer.step_number)
"""


def test_python_ends_quietly_while_runs_go_on(tmp_path: Path) -> None:
    """One running, one paused: no abort, no message, and what was learnt is kept."""
    code = textwrap.dedent(CHILD).format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert child.returncode == 0, child.stderr
    assert child.stdout.startswith("left at")
    assert not any(word in child.stderr for word in ("Traceback", "Fatal", "terminate", "Error")), child.stderr
    found = checkpoint.load(tmp_path)
    assert found is not None and found[1]["trainer"]["step_number"] >= int(child.stdout.split()[-1])
    assert sw.load_sae(tmp_path).card["finished"] is False
