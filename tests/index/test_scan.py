# pyright: reportPrivateImportUsage=false
"""Scans that are stopped, killed, resumed and spread over workers end with the same bytes."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from saewidgets.index import scan, store
from saewidgets.index.corpus import Shard, shards, text_windows
from saewidgets.index.fingerprint import fingerprint
from saewidgets.index.index import Index
from saewidgets.index.reader import ModelReader, StoredReader
from saewidgets.index.remote import workers
from saewidgets.lm.capture import capture
from saewidgets.lm.load import load_model
from saewidgets.lm.model import LanguageModel
from saewidgets.lm.worker import Stopped
from saewidgets.sae import files
from saewidgets.sae.autoencoder import SparseAutoencoder

from .tiny import HOOK, TEXTS

CONTEXT, SIZE = 24, 12


class Tiny(NamedTuple):
    model: LanguageModel
    sae: SparseAutoencoder
    model_folder: Path
    sae_folder: Path

    @property
    def about(self) -> dict[str, Any]:
        return {**fingerprint(self.model, self.sae, HOOK, True), "seed": 0, "context_size": CONTEXT}

    @property
    def work(self) -> scan.Work:
        return scan.local(ModelReader(self.model, self.sae, HOOK))

    def shards(self, texts: list[str] = TEXTS) -> Iterator[Shard]:
        return shards(text_windows(self.model, texts, context_size=CONTEXT), size=SIZE)

    def scan(self, folder: Path, work: scan.Work | None = None, **more: Any) -> Path:
        return scan.scan(work or self.work, self.shards(), folder, self.about, **more)


@pytest.fixture(scope="module")
def tiny(
    new_llama: Callable[..., Any], byte_tokenizer: Any, tiny_sae: SparseAutoencoder, tmp_path_factory: Any
) -> Tiny:
    """A model and an SAE on disk, as workers and other processes need them."""
    folder = tmp_path_factory.mktemp("tiny")
    new_llama().save_pretrained(folder / "model")
    byte_tokenizer.save_pretrained(folder / "model")
    files.save(tiny_sae, folder / "sae")
    return Tiny(load_model(str(folder / "model")), files.load(folder / "sae"), folder / "model", folder / "sae")


@pytest.fixture(scope="module")
def whole(tiny: Tiny, tmp_path_factory: Any) -> Path:
    """The index of one undisturbed scan."""
    return tiny.scan(tmp_path_factory.mktemp("whole") / "index")


def bytes_of(folder: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
    manifest = json.loads((folder / store.MANIFEST).read_text())
    assert {name: store.sha256(data) for name, data in found.items()} == {
        name: about["sha256"] for name, about in manifest["files"].items()
    }
    return found | {"corpus": manifest["corpus"].encode(), "n_tokens": str(manifest["n_tokens"]).encode()}


def test_there_is_enough_to_scan(tiny: Tiny, whole: Path) -> None:
    assert len(list(tiny.shards())) >= 6
    index = Index(whole)
    assert (index.counts > 0).sum() > 20
    assert not (whole / "shards").exists(), "finished shards are not kept twice"
    store.verify(whole)


def test_a_scan_stopped_anywhere_goes_on(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    n = len(list(tiny.shards()))
    for at in (0, 2, n - 1):
        folder = tmp_path / str(at)
        read: list[int] = []

        def work(shard: Shard, bars: Any, at: int = at, read: list[int] = read) -> dict[str, np.ndarray]:
            if shard.number == at and at not in read:
                read.append(at)
                raise Stopped
            read.append(shard.number)
            return tiny.work(shard, bars)

        with pytest.raises(Stopped):
            tiny.scan(folder, work)
        assert len(store.shards_in(folder)) == at
        tiny.scan(folder, work)
        assert read == [*range(at), at, *range(at, n)], "no finished shard is read again"
        assert bytes_of(folder) == bytes_of(whole)


def test_stop_is_heard(tiny: Tiny, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        tiny.scan(tmp_path / "index", stop=stop)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_kill_9_loses_at_most_the_shard_that_was_being_read(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    command = [sys.executable, "-m", "index.tiny", str(tiny.model_folder), str(tiny.sae_folder), str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "begin 3":
            process.kill()
            break
    process.wait()
    process.stdout.close()
    assert sorted(store.shards_in(folder))[:3] == [0, 1, 2]
    read: list[int] = []

    def work(shard: Shard, bars: Any) -> dict[str, np.ndarray]:
        read.append(shard.number)
        return tiny.work(shard, bars)

    tiny.scan(folder, work)
    assert not {0, 1, 2} & set(read)
    assert bytes_of(folder) == bytes_of(whole)


def test_a_damaged_shard_is_read_again(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    calls = itertools.count()

    def work(shard: Shard, bars: Any) -> dict[str, np.ndarray]:
        if next(calls) == 3:
            raise Stopped
        return tiny.work(shard, bars)

    with pytest.raises(Stopped):
        tiny.scan(folder, work)
    path = store.shards_in(folder)[1]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    tiny.scan(folder)
    assert bytes_of(folder) == bytes_of(whole)


class Shuffled(ThreadPoolExecutor):
    """Finishes tasks in another order than they came."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(lambda: (threading.Event().wait(0.05 * (7 - args[0].number % 8)), fn(*args))[1])


def test_any_executor_gives_the_same_bytes(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    task = workers(tiny.model, tiny.sae, HOOK, tmp_path / "index" / "sae", "cpu", 0)
    with Shuffled(3) as executor:
        tiny.scan(tmp_path / "index", task, executor=executor)
    assert bytes_of(tmp_path / "index") == bytes_of(whole)


def test_processes_give_the_same_bytes(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    import multiprocessing

    task = workers(tiny.model, tiny.sae, HOOK, tmp_path / "index" / "sae", "cpu", 0)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        tiny.scan(tmp_path / "index", task, executor=executor)
    assert bytes_of(tmp_path / "index") == bytes_of(whole)


@pytest.mark.slow
def test_dask_with_a_worker_killed_on_the_way(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    import dask

    task = workers(tiny.model, tiny.sae, HOOK, tmp_path / "index" / "sae", "cpu", 0)
    with (
        # A worker that is kept from running for minutes, on a busy machine, is not given up.
        dask.config.set({"distributed.scheduler.worker-ttl": None}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        victim = next(iter(client.run(os.getpid).values()))
        killer = threading.Thread(target=kill_once_a_shard_is_there, args=(tmp_path / "index", victim), daemon=True)
        killer.start()
        tiny.scan(tmp_path / "index", task, executor=client.get_executor())
        killer.join()
        assert victim not in client.run(os.getpid).values()
    assert bytes_of(tmp_path / "index") == bytes_of(whole)


def kill_once_a_shard_is_there(folder: Path, pid: int) -> None:
    import signal

    while not store.shards_in(folder) and not (folder / store.MANIFEST).exists():
        threading.Event().wait(0.01)
    os.kill(pid, signal.SIGKILL)


def test_a_worker_with_another_model_says_so(tiny: Tiny, tmp_path: Path) -> None:
    task = workers(tiny.model, tiny.sae, HOOK, tmp_path / "sae", "cpu", 0)
    other = type(task)(**{**task.__dict__, "model_hash": "0123456789abcdef"})
    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="a worker loaded another model"):
        tiny.scan(tmp_path / "index", other, executor=executor)


def test_a_model_that_workers_cannot_load(tiny: Tiny, tiny_llama: LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a model that workers can load"):
        workers(tiny_llama, tiny.sae, HOOK, tmp_path, "cpu", 0)


def test_a_finished_scan_is_not_done_again(tiny: Tiny, whole: Path) -> None:
    def work(shard: Shard, bars: Any) -> dict[str, np.ndarray]:
        raise AssertionError("read again")

    before = bytes_of(whole)
    assert tiny.scan(whole, work) == whole and bytes_of(whole) == before


@pytest.mark.parametrize("finished", [True, False])
def test_other_inputs_are_refused(tiny: Tiny, whole: Path, tmp_path: Path, finished: bool) -> None:
    folder = tmp_path / "index"
    if finished:
        shutil.copytree(whole, folder)
    else:
        calls = itertools.count()

        def work(shard: Shard, bars: Any) -> dict[str, np.ndarray]:
            if next(calls) == 2:
                raise Stopped
            return tiny.work(shard, bars)

        with pytest.raises(Stopped):
            tiny.scan(folder, work)
    with pytest.raises(ValueError, match="the texts are not those"):
        scan.scan(tiny.work, tiny.shards(["Another " + TEXTS[0], *TEXTS[1:]]), folder, tiny.about)
    for key, value in (("seed", 1), ("sae_hash", "other"), ("hook_name", "blocks.1.hook_resid_post")):
        with pytest.raises(ValueError, match=f"with {key} .*choose another path"):
            scan.scan(tiny.work, tiny.shards(), folder, {**tiny.about, key: value})
    if not finished:
        tiny.scan(folder)
    assert bytes_of(folder) == bytes_of(whole)


@pytest.mark.parametrize("finished", [True, False])
def test_what_an_older_version_left_is_refused(tiny: Tiny, whole: Path, tmp_path: Path, finished: bool) -> None:
    """Its index can still be opened; the first version wrote no number."""
    folder = tmp_path / "index"
    shutil.copytree(whole, folder) if finished else folder.mkdir()
    about = {**tiny.about, **json.loads((whole / store.MANIFEST).read_text())}
    del about["method"]
    (folder / (store.MANIFEST if finished else scan.BEGUN)).write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"by method 1, this one has method 2: choose another path, or delete"):
        tiny.scan(folder)
    if finished:
        assert Index(folder).n_tokens == Index(whole).n_tokens


def test_a_folder_that_cannot_be_written(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"cannot write the index into .*choose another path"):
        tiny.scan(tmp_path / "file")


def test_a_full_disk_keeps_what_was_scanned(
    tiny: Tiny, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write itself fails, as it does on a full disk."""
    import errno

    folder, real, calls = tmp_path / "index", os.fsync, itertools.count()

    def fsync(handle: int) -> None:
        if next(calls) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="the disk is full: free some space; finished shards are kept"):
        tiny.scan(folder)
    assert len(store.shards_in(folder)) == 3
    assert not list(folder.rglob(".*")), "no half-written file is left"
    tiny.scan(folder)
    assert bytes_of(folder) == bytes_of(whole)


def test_fewer_examples_where_the_files_would_be_too_large(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    size = sum(path.stat().st_size for path in whole.glob("*.safetensors"))
    tiny.scan(tmp_path / "index", most_bytes=size - 1)
    assert sum(path.stat().st_size for path in (tmp_path / "index").glob("*.safetensors")) < size
    full, small = Index(whole), Index(tmp_path / "index")
    for feature in range(tiny.sae.d_sae):
        kept, every = ({e[:2] + e[5:6] for e in index.examples(feature)} for index in (small, full))
        assert kept <= every
        assert {e for e in kept if e[0] == 0} == {e for e in every if e[0] == 0}, "the strongest stay"
    with pytest.raises(ValueError, match="the index is over 100 bytes with the strongest examples alone"):
        tiny.scan(tmp_path / "other", most_bytes=100)
    assert len(store.shards_in(tmp_path / "other")) == len(list(tiny.shards()))


def test_a_damaged_index_says_so(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    shutil.copytree(whole, folder)
    data = bytearray((folder / "examples.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "examples.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match=r"examples\.safetensors is damaged or missing"):
        store.verify(folder)
    (folder / "examples.safetensors").write_bytes(data[:-8])
    with pytest.raises(ValueError, match=r"examples\.safetensors is damaged or missing"):
        Index(folder)
    (folder / store.MANIFEST).write_text("{")
    with pytest.raises(ValueError, match=r"index\.json is damaged"):
        Index(folder)
    with pytest.raises(FileNotFoundError, match="there is no index in"):
        Index(tmp_path)


def test_activations_on_disk_give_what_the_model_gives(tiny: Tiny, whole: Path, tmp_path: Path) -> None:
    def rows(shard: Shard) -> tuple[np.ndarray, np.ndarray]:
        keys, acts = [], []
        for place, window in enumerate(shard.windows):
            x = capture(tiny.model, torch.from_numpy(window.astype(np.int64))[None], HOOK)[0, 1:]
            keys.append((shard.first + place << 16) + np.arange(1, len(window)))
            acts.append(x.numpy())
        order = np.random.default_rng(shard.number).permutation(sum(map(len, keys)))
        return np.concatenate(keys)[order], np.concatenate(acts)[order]

    tiny.scan(tmp_path / "index", scan.local(StoredReader(tiny.sae, rows)))
    stored, direct = Index(tmp_path / "index"), Index(whole)
    assert stored.n_tokens == direct.n_tokens
    np.testing.assert_array_equal(stored.counts, direct.counts)
    np.testing.assert_allclose(stored.maximum, direct.maximum, rtol=1e-4)
    np.testing.assert_array_equal(stored.sample.toarray(), direct.sample.toarray())


def test_sinks_and_bos_do_not_count(spiky_llama: LanguageModel, tiny_sae: SparseAutoencoder) -> None:
    texts = ["The bridge Z over the river is golden.", "A ferry without it."]
    (shard,) = shards(text_windows(spiky_llama, texts))
    firings = ModelReader(spiky_llama, tiny_sae, HOOK).read(shard)
    (z,) = spiky_llama.tokens("Z", prepend_bos=False).ids
    expected = [
        (window << 16) + position
        for window, ids in enumerate(shard.windows)
        for position, token in enumerate(ids.tolist())
        if position and token != z
    ]
    assert firings.keys.tolist() == expected


def test_windows_of_texts(tiny: Tiny) -> None:
    found = list(text_windows(tiny.model, ["short", "  ", "The bridge over the river. " * 12], context_size=20))
    bos = tiny.model.tokenizer.bos_token_id
    assert all(window[0] == bos and len(window) <= 20 for window in found)
    ids = tiny.model.tokens("The bridge over the river. " * 12).ids[1:]
    joined = np.concatenate([window[1:] for window in found[1:]])
    assert joined.tolist() == list(ids[: len(joined)]) and len(ids) - len(joined) < 8
    assert found[0].tolist() == list(tiny.model.tokens("short").ids)


def test_out_of_memory_halves_the_batch(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a device does it: whatever is larger than it can hold fails."""
    from saewidgets.index import reader as room

    (shard, *_) = tiny.shards()
    plain = ModelReader(tiny.model, tiny.sae, HOOK).read(shard)
    held: list[int] = []

    def capture_some(model: LanguageModel, ids: torch.Tensor, hook_name: str) -> torch.Tensor:
        if len(ids) > 3:
            raise torch.cuda.OutOfMemoryError
        held.append(len(ids))
        return capture(model, ids, hook_name)

    monkeypatch.setattr(room, "capture", capture_some)
    reader = ModelReader(tiny.model, tiny.sae, HOOK)
    halved = reader.read(shard)
    assert max(held) <= 3 and sum(held) == len(shard.windows)
    np.testing.assert_array_equal(halved.keys, plain.keys)
    np.testing.assert_allclose(halved.acts.toarray(), plain.acts.toarray(), atol=1e-4)
