"""Whether an SAE fits a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from saewidgets.records.provenance import Provenance

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["green", "amber", "red"]


@dataclass(frozen=True)
class Finding:
    """One line of the trust panel: what was measured, what is expected, how it was judged, the likely cause."""

    name: str
    value: float
    status: Status
    expected: str
    cause: str = ""


@dataclass(frozen=True)
class TrustReport:
    """Whether an SAE fits the model it is used on, as measured on a fixed sample of text."""

    findings: tuple[Finding, ...]
    n_tokens: int
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def status(self) -> Status:
        """The worst status among the findings."""
        found = {finding.status for finding in self.findings}
        return "red" if "red" in found else "amber" if "amber" in found else "green"

    @property
    def summary(self) -> str:
        """One line: the verdict and, where it is not green, the likeliest cause."""
        if self.status == "green":
            return "This SAE fits this model."
        causes = [f.cause for f in self.findings if f.status == self.status and f.cause]
        lead = "This SAE does not fit this model" if self.status == "red" else "This SAE may not fit this model"
        return f"{lead}: {causes[0]}" if causes else f"{lead}."

    @property
    def frame(self) -> pd.DataFrame:
        """One row a finding: name, value, status, expected, cause."""
        import pandas as pd

        rows = [(f.name, f.value, f.status, f.expected, f.cause) for f in self.findings]
        return pd.DataFrame(rows, columns=["name", "value", "status", "expected", "cause"])
