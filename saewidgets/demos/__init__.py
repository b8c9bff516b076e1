"""The embedded default: SmolLM2-135M-Instruct with our own SAE, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from saewidgets.sae.autoencoder import SparseAutoencoder
    from saewidgets.session import Session

DATA = Path(__file__).parent / "data"


def demo(device: str = "cpu") -> Session:
    """A session on SmolLM2-135M-Instruct, the SAE shipped with this package and its corpus index, with no network.

    The model is what ``saewidgets fetch-demo`` put into the cache folder (once).

    Raises:
        FileNotFoundError: when it is not there yet; the message says what to run.

    Example:
        >>> demo().top_features("The Golden Gate Bridge").columns[0]
        'feature'
    """
    import numpy as np

    from saewidgets.demos.model import demo_model
    from saewidgets.lm.cache import cache_folder
    from saewidgets.sae import files
    from saewidgets.session import Session

    sae = files.load(DATA / "sae")
    session = Session(demo_model(device), sae, maxima=np.load(DATA / "maxima.npy", allow_pickle=False))
    if (DATA / "index").exists():
        # The reader's own labels do not belong among the package's files.
        session.open_index(DATA / "index", cache_folder() / "labels" / f"{sae.hash()}.csv")
    session.map_folders = (DATA / "map",)
    session.opened = "s = sw.demo()"
    session.recipes = recipes(sae, DATA / "steering.json")
    return session


def recipes(sae: SparseAutoencoder, path: Path) -> pd.DataFrame | None:
    """Features measured to have a clear effect, strongest first; None where the file is of another SAE, or not there.

    Columns: name, category, feature, strength, prompt, rate (concept words a hundred words), low, high, rate_random,
    rate_control, rate_prompt, rate_bare, perplexity, repetition, output_rank, promoted.
    """
    import pandas as pd

    from saewidgets.lm.cache import read_json

    found = read_json(path)
    if found is None or found["sae_hash"] != sae.hash():
        return None
    plain = ("name", "category", "feature", "strength", "prompt")
    after = ("perplexity", "repetition", "output_rank", "promoted")
    rates = {f"rate_{name}": name for name in ("random", "control", "prompt", "bare")}
    rows = [
        {name: row[name] for name in plain}
        | dict(zip(("rate", "low", "high"), row["rates"]["steered"], strict=True))
        | {column: row["rates"][name][0] for column, name in rates.items()}
        | {name: row[name] for name in after}
        for row in found["recipes"]
    ]
    return pd.DataFrame(rows, columns=[*plain, "rate", "low", "high", *rates, *after])
