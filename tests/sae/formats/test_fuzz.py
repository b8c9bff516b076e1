"""Damaged files end in a clear error: nothing is executed, nothing hangs, no memory is taken."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent / "fuzz.py"


def fuzzed(count: int, seed: int, timeout: int) -> dict:
    done = subprocess.run(
        [sys.executable, str(FUZZ), str(count), str(seed)], capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def harmless(report: dict) -> None:
    assert report["failures"] == []
    assert report["forbidden"] == [] and not report["pwned"]
    assert report["grown_mb"] < 48  # of files of a few kB; one bomb of 128 MB that went off would show
    assert report["outcomes"]["ValueError"] > report["files"] / 4
    assert report["outcomes"]["opened"] > 0


def test_five_hundred_damaged_files_do_no_harm() -> None:
    harmless(fuzzed(520, seed=0, timeout=240))


@pytest.mark.slow
def test_ten_thousand_damaged_files_do_no_harm() -> None:
    report = fuzzed(10_400, seed=1, timeout=1800)
    harmless(report)
    assert report["combinations"] >= 80
