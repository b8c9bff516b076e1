"""A scan of texts from beginning to end: statistics, then what the weights add."""

from __future__ import annotations

import threading
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from saewidgets.analysis.meaning import add_meaning
from saewidgets.index.corpus import shards, text_windows
from saewidgets.index.fingerprint import fingerprint
from saewidgets.index.index import Index
from saewidgets.index.reader import ModelReader
from saewidgets.index.remote import workers
from saewidgets.index.scan import Work, local, scan
from saewidgets.lm.model import LanguageModel
from saewidgets.sae.autoencoder import SparseAutoencoder


def scan_texts(
    model: LanguageModel,
    sae: SparseAutoencoder,
    hook_name: str,
    texts: Any,
    folder: Path,
    prepend_bos: bool,
    executor: Executor | None,
    stop: threading.Event | None,
    *,
    context_size: int,
    seed: int,
) -> Index:
    """Scan ``texts`` into ``folder`` and open the index; see `Session.scan`."""
    windows = text_windows(model, texts, context_size=context_size, prepend_bos=prepend_bos)
    about = {**fingerprint(model, sae, hook_name, prepend_bos), "seed": seed, "context_size": context_size}
    work: Work
    if executor is None:
        work = local(ModelReader(model, sae, hook_name), seed, stop)
    else:
        work = workers(model, sae, hook_name, folder / "sae", str(model.device), seed)
    scan(work, shards(windows), folder, about, executor=executor, stop=stop)
    return add_meaning(folder, model, sae, hook_name, stop=stop)
