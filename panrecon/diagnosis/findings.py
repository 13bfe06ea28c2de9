"""What a check says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["fine", "note", "wrong"]
SKIP = "scan.skip_frames"


@dataclass(frozen=True)
class Finding:
    """One check's result: `sentence` has its number, `effect` what it does to the reconstruction.

    `repair` are settings by their full name that undo it; None where there are none.
    """

    check: str
    severity: Severity
    sentence: str
    effect: str = ""
    repair: Mapping[str, Any] | None = None


def repairs(findings: Iterable[Finding]) -> dict[str, Any]:
    """All settings together: frames left out add up, of other settings the last counts."""
    result: dict[str, Any] = {}
    for finding in findings:
        for key, value in (finding.repair or {}).items():
            result[key] = sorted({*result.get(key, ()), *value}, key=frame_order) if key == SKIP else value
    return result


def frame_order(name: str) -> tuple[int, str]:
    """Frames by their numbers."""
    return (int(name), name) if name.isdigit() else (0, name)


def some(names: Iterable[str], most: int = 6) -> str:
    """The first few of a list of frames."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
