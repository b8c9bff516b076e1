"""Labels that a user gave features, as a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from saewidgets.index import store


def read_labels(path: Path) -> dict[int, str]:
    """Labels of a CSV file with columns ``feature`` (or ``index``) and ``label`` (or ``description``).

    Raises:
        ValueError: when the columns are missing, or a feature is no number; the message names the line.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        columns = rows.fieldnames or []
        feature = next((name for name in ("feature", "index") if name in columns), None)
        label = next((name for name in ("label", "description") if name in columns), None)
        if feature is None or label is None:
            raise ValueError(f"{path} needs the columns feature and label, it has {', '.join(columns) or 'none'}")
        found: dict[int, str] = {}
        for row in rows:
            try:
                found[int(row[feature])] = (row[label] or "").strip()
            except (TypeError, ValueError):
                raise ValueError(f"{path}, line {rows.line_num}: {row[feature]!r} is no feature number") from None
    return {number: text for number, text in found.items() if text}


def write_labels(path: Path, labels: Mapping[int, str]) -> None:
    """Put all labels into a file that appears whole or not at all, by feature.

    Raises:
        OSError: when the file cannot be written.
    """
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(("feature", "label"))
    writer.writerows(sorted(labels.items()))
    store.write(path, lines.getvalue().encode())
