"""A run on its own thread: held, left and taken up again, killed, and failed, with nothing lost."""

from __future__ import annotations

import _thread
import logging
import math
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from saewidgets.sae import files
from saewidgets.sae.activations import JumpReLU, TopK
from saewidgets.sae.toy import PlantedSource, planted
from saewidgets.sae.training import checkpoint
from saewidgets.sae.training import run as running
from saewidgets.sae.training.run import COLUMNS, TrainingRun
from saewidgets.sae.training.trainer import Diverged

BATCH, STEPS = 32, 40
ENDLESS = 10**9


class Small(PlantedSource):
    """A toy's samples, fifty a read; ``at`` maps numbers of reads to what happens in them."""

    def __init__(self, at: dict[int, Callable[[], Any]] | None = None, last: int = ENDLESS, slow: float = 0.0) -> None:
        super().__init__(planted(8, 5, active=1.5))
        self.at, self.last, self.slow = at or {}, last, slow

    def read(self) -> Tensor | None:  # type: ignore[override]
        if self.reads >= self.last:
            return None
        time.sleep(self.slow)
        x, _ = self.toy.sample(50, seed=self.reads)
        self.reads += 1
        change = self.at.get(self.reads)
        instead = change() if change else None
        return x if instead is None else instead


def new(folder: Path | None = None, source: Any = None, **changes: Any) -> TrainingRun:
    options: dict[str, Any] = {"d_sae": 12, "k": 2, "total_tokens": BATCH * STEPS, "batch_size": BATCH}
    options |= {"buffer_tokens": 300, "lr": 1e-2, "folder": folder, **changes}
    return TrainingRun(source or Small(), **options)


def wait(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def after_step(run: TrainingRun, number: int, act: Callable[[], Any]) -> TrainingRun:
    """``act()`` on the training thread, behind step ``number``."""
    learn = run._learn

    def learn_and_act(batch: Tensor) -> None:
        learn(batch)
        if run.trainer is not None and run.trainer.step_number == number:
            act()

    run._learn = learn_and_act  # type: ignore[method-assign]
    return run


@pytest.fixture(autouse=True)
def every_tenth_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """History by steps alone, not by the clock."""
    monkeypatch.setattr(running, "NOTE_SECONDS", -1.0)


@pytest.fixture(scope="module")
def whole() -> TrainingRun:
    """A run nobody disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "NOTE_SECONDS", -1.0)
        run = new()
        run.sae
    return run


def same_history(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    later = list(COLUMNS[7:])
    pd.testing.assert_frame_equal(found.drop(columns=later), expected.drop(columns=later), check_exact=True)


# ---- a run to its end --------------------------------------------------------------------------------------------


def test_a_whole_run(tmp_path: Path, whole: TrainingRun) -> None:
    about = {"hook_name": "blocks.1.hook_resid_post", "model_name": "m", "prepend_bos": False, "card": {"corpus": "c"}}
    run = new(tmp_path, about=about)
    states: list[str] = []
    run.subscribe(lambda: states.append(run.state))
    assert run.state == "waiting" and "waiting" in repr(run)
    sae = run.sae
    assert (states[0], states[-1], set(states)) == ("running", "finished", {"running", "finished"})
    assert (sae.hook_name, sae.model_name, sae.prepend_bos) == ("blocks.1.hook_resid_post", "m", False)
    assert isinstance(sae.activation, JumpReLU)
    assert sae.card.items() >= {"corpus": "c", "finished": True, "k": 2, "seed": 0, "batch_size": BATCH}.items()
    assert sae.card["training_tokens"] == BATCH * STEPS
    assert sae.card["training_fvu"] == pytest.approx(run.history["fvu"].mean(), abs=1e-4)
    assert run.error == "" and "finished" in repr(run) and run.title == "d_sae 12 · BatchTopK 2 · " + sae.hook_name
    kept = {"cfg.json", "card.json", "sae_weights.safetensors", checkpoint.NAME}
    assert {path.name for path in tmp_path.iterdir()} == kept
    loaded = files.load(tmp_path)
    assert loaded.hash() == sae.hash() and dict(loaded.card) == dict(sae.card)
    assert run.sae is sae
    assert all(torch.equal(t, whole.sae.tensors()[name]) for name, t in sae.tensors().items())


def test_the_history(whole: TrainingRun) -> None:
    history = whole.history
    assert tuple(history.columns) == COLUMNS
    assert history["step"].tolist() == [10, 20, 30, 40]
    assert history["tokens"].tolist() == [10 * BATCH * i for i in range(1, 5)]
    assert min(*history["tokens_per_second"], *history["seconds"]) > 0
    assert history["seconds"].is_monotonic_increasing
    assert [history[name].dtype.kind for name in ("step", "tokens", "dead", "loss")] == ["i", "i", "i", "f"]
    history.loc[0, "loss"] = 99.0
    assert max(whole.history["loss"]) < 99.0


def test_the_history_before_anything_happened() -> None:
    assert tuple(new().history.columns) == COLUMNS and len(new().history) == 0
    assert new().history["step"].dtype.kind == "i"


def test_seeds(whole: TrainingRun) -> None:
    assert new().sae.hash() == whole.sae.hash() != new(seed=1).sae.hash()


def test_topk_stays_topk() -> None:
    run = new(architecture="topk")
    assert run.sae.activation == TopK(2) and "TopK 2" in run.title


def test_directions_before_and_after() -> None:
    run = new()
    before = run.directions(5)
    assert before.shape == (12, 5)
    sae = run.sae
    assert torch.equal(run.directions(5), sae.W_dec)
    assert not torch.equal(before, sae.W_dec)
    run = after_step(new(lr=1e-30, initial="random"), 1, lambda: None)
    before = run.directions(5)
    run.sae
    torch.testing.assert_close(run.directions(5), before)  # where it begins is what was shown


def test_the_default_learning_rate_and_dead_after() -> None:
    assert new(lr=None, d_sae=4096)._settings["lr"] == new(lr=None)._settings["lr"] == 2e-3
    assert new()._settings["dead_after"] == 10 * BATCH
    assert new(total_tokens=ENDLESS)._settings["dead_after"] == 10_000_000


# ---- held from another thread ------------------------------------------------------------------------------------


def test_pause_resume_and_stop() -> None:
    run = new(total_tokens=ENDLESS).start()
    wait(lambda: len(run.history) > 0)
    run.pause()
    wait(lambda: run.state == "paused")
    assert run.trainer is not None
    at, began = run.trainer.step_number, time.monotonic()
    time.sleep(0.3)
    assert (run.trainer.step_number, run.state) == (at, "paused")
    run.resume()
    wait(lambda: run.trainer is not None and run.trainer.step_number > at + 20)
    assert run.state == "running"
    run.stop()
    sae = run.sae
    assert run.state == "stopped" and sae.card["finished"] is False
    assert sae.card["training_tokens"] == run.trainer.tokens
    rows = run.history
    gaps = rows["seconds"].diff().iloc[1:]
    across = gaps[(rows["step"].iloc[1:] > at) & (rows["step"].iloc[1:] <= at + 10)]
    assert across.sum() < time.monotonic() - began - 0.3 + 1e-3  # standing still is not training


def test_stop_while_paused_keeps_what_was_learnt() -> None:
    run = new(total_tokens=ENDLESS).start()
    wait(lambda: run.trainer is not None and run.trainer.step_number > 0)
    run.pause()
    wait(lambda: run.state == "paused")
    run.stop()
    assert run.sae.d_sae == 12 and run.state == "stopped"


def test_pause_before_the_start_and_after_the_end() -> None:
    run = new()
    run.pause()
    run.start()
    wait(lambda: run.state == "paused")
    assert run.trainer is None
    run.resume()
    run.sae
    run.pause()
    run.stop()
    assert run.state == "finished" and run.sae.card["finished"] is True


def test_pause_and_stop_while_the_buffer_is_filled() -> None:
    """A fill of a minute is left within a second."""
    run = new(source=Small(slow=0.05), total_tokens=ENDLESS, buffer_tokens=8 * 60_000).start()
    wait(lambda: "reading text" in run.detail)
    run.pause()
    wait(lambda: run.state == "paused", 1.0)
    run.resume()
    wait(lambda: run.state == "running", 1.0)
    run.stop()
    run._thread.join(1.0)
    assert not run._thread.is_alive()
    assert run.state == "failed"
    with pytest.raises(RuntimeError, match="stopped before the first step: nothing was learnt"):
        run.sae


def test_stop_in_a_later_fill_keeps_what_was_learnt(tmp_path: Path, whole: TrainingRun) -> None:
    runs: list[TrainingRun] = []
    runs.append(new(tmp_path, Small({7: lambda: runs[0].stop()})))
    assert runs[0].sae.card["finished"] is False
    assert runs[0]._buffer._pending  # in the middle of it
    again = new(tmp_path)
    assert again.sae.hash() == whole.sae.hash()
    same_history(again.history, whole.history)


def test_an_interrupt_while_waiting_stops_and_keeps() -> None:
    run = new(total_tokens=ENDLESS)
    done: list[None] = []

    def interrupt() -> None:
        if not done and len(run.history):
            done.append(None)
            _thread.interrupt_main()

    run.subscribe(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run.sae
    assert run.state == "stopped"
    assert run.sae.card["finished"] is False


def test_listeners_are_called_until_they_are_undone() -> None:
    run = new()
    calls: dict[str, list[Any]] = {"both": [], "first": []}
    undo = run.subscribe(lambda: calls["first"].append(run.state))
    run.subscribe(lambda: calls["both"].append((run.state, len(run.history))))
    after_step(run, 15, undo)
    run.sae
    undo()
    assert calls["both"][0] == ("running", 0) and calls["both"][-1] == ("finished", 4)
    assert {rows for _, rows in calls["both"]} == {0, 1, 2, 3, 4}
    assert "finished" not in calls["first"] and calls["first"]


def test_a_listener_that_fails_is_logged_and_the_training_goes_on(
    caplog: pytest.LogCaptureFixture, whole: TrainingRun
) -> None:
    run = new()
    heard: list[str] = []

    def broken() -> None:
        raise RuntimeError("the page is gone")

    run.subscribe(broken)
    run.subscribe(lambda: heard.append(run.state))
    with caplog.at_level(logging.ERROR):
        assert run.sae.hash() == whole.sae.hash()
    assert run.state == "finished" == heard[-1] and run.error == ""
    assert "the page is gone" in caplog.text


# ---- left and taken up again -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stops", [[1], [39], [6, 7, 8], [3, 20, 33]], ids=str)
@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
def test_stopped_and_continued_is_the_same_as_never_stopped(
    tmp_path: Path, stops: list[int], architecture: Any
) -> None:
    changes: dict[str, Any] = {"architecture": architecture, "dead_after": 100}
    for number in stops:
        run = new(tmp_path, **changes)
        assert after_step(run, number, run.stop).sae.card["finished"] is False
        assert run.trainer is not None and run.trainer.step_number == number
        assert (tmp_path / checkpoint.NAME).exists() and files.load(tmp_path).hash() == run.sae.hash()
    last, expected = new(tmp_path, **changes), new(**changes)
    assert f"{stops[-1] // 10 * 10 * BATCH:,} of 1,280" in repr(last)
    assert last.sae.hash() == expected.sae.hash()
    same_history(last.history, expected.history)
    assert last.history["seconds"].is_monotonic_increasing
    again = new(tmp_path, **changes)  # finished: the same call gives the same SAE, and trains nothing
    assert again.sae.hash() == expected.sae.hash() and again.state == "finished"
    same_history(again.history, expected.history)
    with pytest.raises(ValueError, match="another run"):
        new(tmp_path, **{**changes, "dead_after": 101})


CHILD = """
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    import torch
    from saewidgets.sae.training import checkpoint, run as running
    from sae.training import test_run

    torch.set_num_threads(1)
    running.EVERY_SECONDS, running.NOTE_SECONDS = -1.0, -1.0
    write, saves = checkpoint.save_file, []

    def killed_in_the_twelfth(tensors, path, **options):
        write(tensors, path, **options)
        saves.append(path)
        if len(saves) == 12:
            os.truncate(path, path.stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.save_file = killed_in_the_twelfth
    test_run.new(Path({folder!r})).sae
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_killed_and_continued_is_the_same_as_never_killed(tmp_path: Path, whole: TrainingRun) -> None:
    """A real kill -9, with the twelfth checkpoint half on disk: the eleventh is there, and goes on to the same end."""
    code = textwrap.dedent(CHILD).format(tests=str(Path(__file__).parents[2]), folder=str(tmp_path))
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert child.returncode == -9, child.stderr
    assert {path.name for path in tmp_path.iterdir()} == {checkpoint.NAME, f"{checkpoint.NAME}.tmp"}
    run = new(tmp_path)
    assert run.trainer is not None and run.trainer.step_number == 11
    assert run.sae.hash() == whole.sae.hash()
    same_history(run.history, whole.history)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 3}, r"begun with k=2 \(now 3\): choose another folder, or delete it"),
        ({"d_sae": 13}, "d_sae=12"),
        ({"seed": 5}, "seed=0"),
        ({"lr": 2e-2}, "lr=0.01"),
        ({"architecture": "topk"}, "architecture='batchtopk'"),
        ({"total_tokens": BATCH * STEPS * 2}, "steps=40"),
        ({"total_tokens": STEPS * 16, "batch_size": 16, "dead_after": 320}, r"batch_size=32 \(now 16\)"),
        ({"buffer_tokens": 200}, "buffer_tokens=300"),
        ({"about": {"hook_name": "blocks.2.hook_resid_post"}}, r"hook_name='blocks\.1\.hook_resid_post'"),
        ({"about": {"card": {"model_hash": "b"}}}, r"model_hash='a' \(now 'b'\)"),
    ],
)
def test_another_run_in_the_same_folder(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    about = {"hook_name": "blocks.1.hook_resid_post", "card": {"model_hash": "a"}}
    run = new(tmp_path, about=about)
    after_step(run, 2, run.stop).sae
    with pytest.raises(ValueError, match=f"holds another run, .*{message}"):
        new(tmp_path, **{"about": about, **changes})
    new(tmp_path, about={**about, "model_name": "spelt otherwise", "card": {"model_hash": "a", "note": "new"}})


def test_a_damaged_checkpoint_is_told_at_once(tmp_path: Path) -> None:
    run = new(tmp_path)
    after_step(run, 2, run.stop).sae
    path = tmp_path / checkpoint.NAME
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        new(tmp_path)


# ---- failed ------------------------------------------------------------------------------------------------------


def spoiled() -> Tensor:
    return torch.full((50, 5), math.nan)


def test_bad_numbers_end_the_run_and_the_last_good_checkpoint_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: TrainingRun
) -> None:
    monkeypatch.setattr(running, "EVERY_SECONDS", -1.0)
    run = new(tmp_path, Small({10: spoiled}))
    with pytest.raises(RuntimeError, match="not finite at step") as caught:
        run.sae
    assert isinstance(caught.value.__cause__, Diverged)
    assert run.state == "failed"
    assert run.error.startswith("Diverged: the loss is not finite")
    assert run.error.endswith(f". The last good checkpoint is kept in {tmp_path}.")
    assert not (tmp_path / "sae_weights.safetensors").exists()
    found = checkpoint.load(tmp_path)
    assert found is not None and all(t.isfinite().all() for t in found[0].values() if t.is_floating_point())
    assert run.trainer is not None and found[1]["trainer"]["step_number"] <= run.trainer.step_number


def test_a_failure_without_a_folder() -> None:
    run = new(source=Small({1: spoiled}))
    with pytest.raises(RuntimeError, match="training needs finite activations"):
        run.sae
    assert "checkpoint" not in run.error and run.state == "failed"


def test_what_the_source_raises_ends_the_run() -> None:
    def fail() -> None:
        raise OSError("the disk is away")

    run = new(source=Small({3: fail}))
    with pytest.raises(RuntimeError, match="OSError: the disk is away"):
        run.sae


def test_divergence_ends_the_run() -> None:
    with pytest.raises(RuntimeError, match=r"Diverged: .* lower lr"):
        new(lr=1e4).sae


def test_a_full_disk_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(files, "save", full)
    run = new(tmp_path)
    with pytest.raises(RuntimeError, match="No space left"):
        run.sae
    assert run.state == "failed"


# ---- too little --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [13, 14])
def test_a_source_that_ends_early(last: int) -> None:
    """Also where the last batch is a few rows, whose variance says nothing."""
    run = new(source=Small(last=last))
    assert run.sae.card["training_tokens"] == last * 50 // BATCH * BATCH
    assert run.state == "finished" and run.detail == "the text ended early"


def test_one_row_left_over_is_no_divergence() -> None:
    run = new(source=Small({13: lambda: torch.ones(BATCH * 20 + 1 - 600, 5)}, last=13))
    assert run.sae.card["training_tokens"] == BATCH * 20


@pytest.mark.parametrize("last", [0, 1])
def test_a_source_below_one_batch(last: int) -> None:
    with pytest.raises(RuntimeError, match="too little text: it does not fill one batch of 64"):
        new(source=Small(last=last), batch_size=64, total_tokens=640).sae


def test_too_little_text_and_other_impossible_sizes() -> None:
    with pytest.raises(ValueError, match="too little text: 319 tokens make fewer than ten batches of 32"):
        new(total_tokens=319)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        new(batch_size=0)
    with pytest.raises(ValueError, match="k must be from 1 to d_sae"):
        new(k=12)
    with pytest.raises(ValueError, match="architecture must be one of topk, batchtopk"):
        new(architecture="gated")
