"""What the real SAELens makes of files we wrote: run where ``saelens.py`` runs, after ``ours.py``."""

from __future__ import annotations

import warnings

import torch
from common import FIXTURES, expect, inputs, versions
from sae_lens import SAE

warnings.filterwarnings("ignore")
for seed, folder in enumerate(sorted((FIXTURES / "written_by_us").iterdir())):
    sae = SAE.load_from_disk(folder)
    metadata = sae.cfg.metadata
    x = inputs(seed)
    centred = bool((metadata.model_from_pretrained_kwargs or {}).get("center_writing_weights"))
    given = x - x.mean(-1, keepdim=True) if centred else x  # as the processed model would give it
    given = given.reshape(len(x), 2, -1) if sae.cfg.reshape_activations == "hook_z" else given
    with torch.no_grad():
        acts, out = sae.encode(given), sae(given).reshape(len(x), -1)
    out = out + x.mean(-1, keepdim=True) if centred else out
    about = {key: metadata[key] for key in ("hook_name", "hook_name_out", "model_name", "prepend_bos")}
    kind = {"architecture": sae.cfg.architecture(), "centred": centred}
    expect(folder, x, acts, out, **about, **kind, versions=versions("sae-lens", "transformer-lens", "torch"))
