# pyright: reportMissingImports=false
"""The peer of ``scan.py``: SAEDashboard 0.8 on the same model, SAE and tokens. Runs where SAEDashboard is installed.

``python scan_saedashboard.py JOB``, with the job as JSON; the last line printed is the result as JSON.
"""

from __future__ import annotations

import importlib.metadata
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch


def result(seconds: float, cpu: float, *packages: str, **more: Any) -> str:
    """What a side reports, as one line of JSON."""
    found = {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "versions": {name: importlib.metadata.version(name) for name in packages},
        **more,
    }
    return json.dumps(found)


def hooked(folder: str) -> Any:
    """The GPT-2 in a folder as a HookedTransformer; what the hub would be asked for is read from the folder."""
    from transformer_lens import HookedTransformer
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    module = AutoModelForCausalLM.from_pretrained(folder)
    module.config.n_ctx = module.config.n_positions  # read under a name of GPT-2s older than transformers 5
    # Its transformers is older than the one that wrote the folder, and does not know that one's tokenizer classes.
    told = json.loads((Path(folder) / "tokenizer_config.json").read_text("utf-8"))
    special = {name: told[name] for name in ("bos_token", "eos_token", "pad_token", "unk_token") if told.get(name)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{folder}/tokenizer.json", **special)
    tokenizer.init_kwargs |= {"name_or_path": folder, "add_bos_token": True}  # or a hub is asked for one that does
    AutoConfig.from_pretrained = lambda *args, **kwargs: module.config  # type: ignore[method-assign]
    return HookedTransformer.from_pretrained_no_processing("gpt2", hf_model=module, tokenizer=tokenizer, device="cpu")  # pyright: ignore[reportAttributeAccessIssue]


def dashboards(job: dict[str, Any]) -> str:
    """Dashboards with SAEDashboard's own settings, but for its batch of tokens, which is ours."""
    from sae_dashboard.sae_vis_data import SaeVisConfig
    from sae_dashboard.sae_vis_runner import SaeVisRunner
    from sae_lens import SAE

    model = hooked(job["model"])
    sae = SAE.load_from_disk(job["sae"], device="cpu")
    tokens = torch.from_numpy(np.load(job["tokens"]).astype(np.int64))
    config = SaeVisConfig(
        hook_point=job["hook_name"],
        features=list(range(job["features"])),
        minibatch_size_tokens=max(1, 1024 // tokens.shape[1]),
        device="cpu",
    )
    started, cpu = time.perf_counter(), time.process_time()
    found = SaeVisRunner(config).run(encoder=sae, model=model, tokens=tokens)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    stats = found.feature_stats
    density, maximum = list(map(float, stats.frac_nonzero)), list(map(float, stats.max))
    packages = ("sae-dashboard", "sae-lens", "transformer-lens", "torch")
    return result(seconds, cpu, *packages, density=density, maximum=maximum)


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    torch.set_num_threads(task["threads"])
    print(dashboards(task))
