"""A training run on its own thread: watched, paused, stopped and kept, continued after a kill."""

from __future__ import annotations

import atexit
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from saewidgets.sae import files
from saewidgets.sae.autoencoder import SparseAutoencoder
from saewidgets.sae.training import checkpoint
from saewidgets.sae.training.buffer import ShuffleBuffer, Source
from saewidgets.sae.training.control import Control, StopAsked
from saewidgets.sae.training.start import Initial, initial_directions
from saewidgets.sae.training.trainer import Architecture, Trainer, check_sizes

COLUMNS = ("step", "tokens", "loss", "fvu", "l0", "dead", "lr", "tokens_per_second", "seconds")
EVERY_SECONDS = 600.0  # between checkpoints
NOTE_SECONDS, NOTE_STEPS = 0.1, 10  # a row of history after at least so long and so many steps


class TrainingRun(Control):
    """One dictionary being trained in the background.

    Args:
        source: activations, position 0 and outliers left out.
        d_sae: number of features.
        k: active features a token (a mean over the batch for BatchTopK).
        total_tokens: how many to learn from; the run ends earlier, saying so, where the source does.
        architecture: ``"batchtopk"`` or ``"topk"``.
        batch_size: tokens a step.
        buffer_tokens: rows of the shuffle buffer.
        lr: peak learning rate; by default 2e-3: of 8e-4 to 5e-3 the lower ones learn far slower at 4 096 and 16 384
            features, higher ones leave more features dead.
        dead_after: tokens without firing after which a feature counts as dead; by default a twentieth of the run,
            at most 10 million.
        seed: of directions and shuffling.
        initial: where directions begin: half way to samples, which takes far fewer tokens, or at random.
        folder: where checkpoints and the finished SAE are kept; a run begun there is continued.
        about: what else the SAE should know: ``hook_name``, ``model_name``, ``prepend_bos``, ``card``.
        device: where to train.

    Raises:
        ValueError: for sizes that cannot be trained, or a folder that holds another run.

    Example:
        >>> run = TrainingRun(source, d_sae=4096, k=32, total_tokens=1_000_000).start()
        >>> run.sae
    """

    def __init__(
        self,
        source: Source,
        *,
        d_sae: int,
        k: int,
        total_tokens: int,
        architecture: Architecture = "batchtopk",
        batch_size: int = 2048,
        buffer_tokens: int = 1 << 17,
        lr: float | None = None,
        dead_after: int | None = None,
        seed: int = 0,
        initial: Initial = "data",
        folder: Path | None = None,
        about: dict[str, Any] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        check_sizes(d_sae, k, architecture)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if total_tokens < 10 * batch_size:
            raise ValueError(
                f"too little text: {total_tokens:,} tokens make fewer than ten batches of {batch_size:,}; "
                "give more text or a smaller batch_size"
            )
        self.d_sae, self.k, self.total_tokens, self.batch_size = d_sae, k, total_tokens, batch_size
        self.about = about or {}
        self.folder = folder
        self.device = torch.device(device)
        self._settings = {
            "d_sae": d_sae,
            "k": k,
            "architecture": architecture,
            "steps": total_tokens // batch_size,
            "lr": lr or 2e-3,
            "dead_after": dead_after or min(10_000_000, max(total_tokens // 20, 10 * batch_size)),
            "seed": seed,
            "initial": initial,
        }
        size = max(2 * batch_size, min(buffer_tokens, total_tokens))
        self._identity = {
            **self._settings,
            "batch_size": batch_size,
            "buffer_tokens": size,
            **{key: self.about[key] for key in ("hook_name", "prepend_bos") if key in self.about},
            **{key: value for key, value in self.about.get("card", {}).items() if key == "model_hash"},
        }
        self._buffer = ShuffleBuffer(
            source,
            size=size,
            batch_size=batch_size,
            seed=seed,
            between=self._between_reads,
        )
        self.title = f"d_sae {d_sae:,} · {'TopK' if architecture == 'topk' else 'BatchTopK'} {k}".replace(",", " ")
        self.title += f" · {self.about['hook_name']}" if self.about.get("hook_name") else ""
        self.trainer: Trainer | None = None
        self._rows: list[tuple[float, ...]] = []
        self._thread = threading.Thread(target=self._main, name="saewidgets-training", daemon=True)
        # Waited for in place of the thread: before Python 3.13 an interrupted join takes a running thread for dead.
        self._over = threading.Event()
        self._seconds = self._noted = self._saved = self._clock = 0.0
        self._result: SparseAutoencoder | BaseException | None = None
        self._continue()

    def __repr__(self) -> str:
        done = self._rows[-1][1] if self._rows else 0
        return f"TrainingRun({self.title}, {self.state}, {done:,.0f} of {self.total_tokens:,} tokens)"

    def start(self) -> TrainingRun:
        """Begin, on a thread of its own; returns itself."""
        atexit.register(self._leave)
        self._thread.start()
        return self

    @property
    def history(self) -> pd.DataFrame:
        """One row every few steps: step, tokens, loss, fvu, l0, dead, lr, tokens_per_second, seconds."""
        rows = pd.DataFrame(list(self._rows), columns=list(COLUMNS), dtype=float)
        return rows.astype(dict.fromkeys(("step", "tokens", "dead"), int))

    @property
    def sae(self) -> SparseAutoencoder:
        """The trained SAE, in the state it has at the end; waits for it. An interrupt stops the run and keeps it.

        Raises:
            RuntimeError: when the run failed.
        """
        try:
            self._wait()
        except KeyboardInterrupt:
            self.stop()
            self._over.wait()
            raise
        if not isinstance(self._result, SparseAutoencoder):
            raise RuntimeError(self.error) from self._result
        return self._result

    def directions(self, d_in: int) -> Tensor:
        """Unit decoder rows ``[d_sae, d_in]`` as they are; before the first step, the random ones it begins from."""
        if self.trainer is None:
            return initial_directions(self.d_sae, d_in, self._settings["seed"])
        return self.trainer.directions().cpu()

    # ---- the training thread -------------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            self._tell("running")
            whole = self._train()
            self._result = self._finished(whole)
            self._tell("finished" if whole else "stopped")
        except BaseException as error:  # shown in the widget and raised by `sae`
            self._result = error
            self.error = f"{type(error).__name__}: {error}{self._kept()}"
            self._tell("failed")
        finally:
            self._over.set()
            atexit.unregister(self._leave)

    def _train(self) -> bool:
        """Steps until the end, or False when asked to stop."""
        self._saved = self._clock = time.monotonic()
        steps = self._settings["steps"]
        try:
            while self.trainer is None or self.trainer.step_number < steps:
                self._clock += self._breathe()
                batch = self._buffer.next()
                if batch is None or len(batch) < self.batch_size:  # a few last tokens have no variance to speak of
                    self.detail = "the text ended early"
                    return True
                self._learn(batch.to(self.device))
        except StopAsked:
            return False
        return True

    def _learn(self, batch: Tensor) -> None:
        if self.trainer is None:
            waiting = self._buffer.rows()
            first = batch if waiting is None else torch.cat([batch, waiting.to(batch)])
            self.trainer = Trainer(first[: max(len(batch), self.d_sae)], **self._settings)
        self.trainer.step(batch)
        self._seconds += time.monotonic() - self._clock
        self._clock = time.monotonic()
        done = self.trainer.step_number
        if done == self._settings["steps"] or (done % NOTE_STEPS == 0 and self._seconds - self._noted > NOTE_SECONDS):
            self._note()
        if time.monotonic() - self._saved > EVERY_SECONDS:
            self.save()

    def _between_reads(self, share: float) -> None:
        self.detail = f"reading text: the shuffle buffer is {share:.0%} full" if share < 1 else ""
        self._call()
        self._clock += self._breathe()

    def _note(self) -> None:
        assert self.trainer is not None
        figures = self.trainer.figures
        tokens, seconds = (self._rows[-1][1], self._rows[-1][8]) if self._rows else (0, 0.0)
        speed = (figures["tokens"] - tokens) / max(self._seconds - seconds, 1e-9)
        self._rows.append((*(figures[c] for c in COLUMNS[:7]), speed, self._seconds))
        self._noted = self._seconds
        self._call()

    # ---- keeping -------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint into the run's folder (nothing without one); called every ten minutes."""
        self._saved = time.monotonic()
        if self.folder is None or self.trainer is None:
            return
        tensors, numbers = self.trainer.state()
        done = self.trainer.step_number == self._settings["steps"]
        rows = None if done else self._buffer.rows()
        extra = {"history": torch.tensor(self._rows, dtype=torch.float64).reshape(-1, len(COLUMNS))}
        if rows is not None:
            extra["buffer"] = rows
        about = {"settings": self._identity, "seconds": self._seconds, "place": self._buffer.place()}
        checkpoint.save(self.folder, tensors | extra, {**about, "trainer": numbers})
        self.detail = f"checkpoint saved at {numbers['tokens']:,} tokens"

    def _continue(self) -> None:
        found = checkpoint.load(self.folder) if self.folder is not None else None
        if found is None:
            return
        tensors, about = found
        settings = about["settings"]
        differing = [key for key, value in self._identity.items() if key in settings and settings[key] != value]
        if differing:
            was = ", ".join(f"{key}={settings[key]!r} (now {self._identity[key]!r})" for key in differing)
            raise ValueError(f"{self.folder} holds another run, begun with {was}: choose another folder, or delete it")
        rows = tensors.pop("buffer", None)
        self._rows = [tuple(row) for row in tensors.pop("history").tolist()]
        self._buffer.go_to(about["place"], rows)
        start = torch.ones(1, tensors["b_dec"].shape[0], device=self.device)
        self.trainer = Trainer(start, **self._settings)
        self.trainer.restore(tensors, about["trainer"])
        self._seconds = self._noted = about["seconds"]

    def _finished(self, whole: bool) -> SparseAutoencoder:
        if self.trainer is None and whole:
            raise ValueError(f"too little text: it does not fill one batch of {self.batch_size:,}")
        if self.trainer is None:
            raise RuntimeError("stopped before the first step: nothing was learnt")
        figures, fvu = self.trainer.figures, [row[COLUMNS.index("fvu")] for row in self._rows[-20:]]
        card = {
            **self.about.get("card", {}),
            **{key: self._settings[key] for key in ("architecture", "k", "lr", "seed", "initial")},
            "batch_size": self.batch_size,
            "training_tokens": self.trainer.tokens,
            "training_fvu": round(sum(fvu) / len(fvu), 4) if fvu else figures.get("fvu"),
            "finished": whole,
        }
        sae = replace(self.trainer.sae(**{k: v for k, v in self.about.items() if k != "card"}), card=card)
        sae = sae.to(device="cpu") if self.device.type != "cpu" else sae
        if self.folder is not None:
            self.save()  # a finished run too, so that the same call gives its SAE again instead of training anew
            files.save(sae, self.folder)
        return sae

    def _kept(self) -> str:
        if self.folder is not None and (self.folder / checkpoint.NAME).exists():
            return f". The last good checkpoint is kept in {self.folder}."
        return ""

    def _wait(self) -> None:
        from tqdm.auto import tqdm

        if self._thread.ident is None:
            self.start()
        done = self.trainer.tokens if self.trainer else 0
        with tqdm(total=self.total_tokens, initial=done, unit="tok", unit_scale=True, desc="training") as bar:
            over = False
            while not over:
                over = self._over.wait(0.2)
                figures = self.trainer.figures if self.trainer else {}
                if figures:
                    bar.update(int(figures["tokens"]) - bar.n)
                    bar.set_postfix(fvu=f"{figures['fvu']:.3f}", dead=int(figures["dead"]), refresh=False)

    def _leave(self) -> None:
        """Python is ending: a thread inside torch would abort it."""
        self.stop()
        self._over.wait(30)
