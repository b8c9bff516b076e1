"""Numbers as they arrive from people, pandas and browsers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np


def as_int(given: Any) -> int | None:
    """``given`` as an int where it is one (numpy's too, bool not), else None."""
    if isinstance(given, (bool, np.bool_)):
        return None
    try:
        return operator.index(given)
    except TypeError:
        return None
