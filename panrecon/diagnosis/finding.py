"""What a check reports, and the settings that several reports ask for together."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from panrecon.diagnosis.parameters import ConfidenceParameters

Severity = Literal["fine", "note", "wrong"]
SKIP = "scan.skip_frames"
# Their evidence is by how much the log odds of agreement rise.
OF_POSE_SEARCH = ("pose convention", "time offset", "depth scale", "pose scale", "intrinsics", "depth direction")


@dataclass(frozen=True)
class Finding:
    """One check's result: `sentence` states the measured value, `effect` what it does to the reconstruction.

    `repair` maps full names of settings to values that repair it; None where no setting does. `confidence` in [0, 1] is
    that what the sentence says is so, by the `evidence` for it (None where it is plain); what is not trusted is a note,
    and never repaired.
    """

    check: str
    severity: Severity
    sentence: str
    effect: str = ""
    repair: Mapping[str, Any] | None = None
    confidence: float = 1.0
    evidence: float | None = None

    @property
    def skipped_frames(self) -> tuple[str, ...]:
        """Names of the frames that the repair leaves out."""
        return tuple((self.repair or {}).get(SKIP, ()))


def suspicion(finding: Finding, evidence: float, parameters: ConfidenceParameters = ConfidenceParameters()) -> Finding:
    """The finding, wrong or noted by the confidence that the evidence for it gives."""
    offset, slope = parameters.models[model_of(finding.check)]
    confidence = float(1 / (1 + np.exp(-(offset + slope * evidence))))
    is_trusted = confidence >= parameters.trusted
    sentence = finding.sentence if is_trusted else f"{finding.sentence} Confidence {confidence:.0%}: look yourself."
    severity: Severity = "wrong" if is_trusted else "note"
    return replace(finding, severity=severity, sentence=sentence, confidence=confidence, evidence=evidence)


def model_of(check: str) -> str:
    """The name of the curve of confidence of a check's suspicions."""
    return "pose search" if check in OF_POSE_SEARCH else check


def repairs(findings: Iterable[Finding]) -> dict[str, Any]:
    """The settings of all repairs together: frames left out add up, of any other setting the last value counts."""
    result: dict[str, Any] = {}
    for finding in findings:
        for key, value in (finding.repair or {}).items():
            result[key] = sorted({*result.get(key, ()), *value}, key=frame_order) if key == SKIP else value
    return result


def frame_order(name: str) -> tuple[int, str]:
    """A sort key that orders frames by their numbers."""
    return (int(name), name) if name.isdigit() else (0, name)


def counted(count: int, noun: str) -> str:
    """The number with its noun, which gets an s unless the number is 1."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Iterable[str], at_most: int = 6) -> str:
    """The first few names of a list in words."""
    names = list(names)
    return ", ".join(names[:at_most]) + (f" and {len(names) - at_most} more" if len(names) > at_most else "")
