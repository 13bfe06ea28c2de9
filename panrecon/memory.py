"""The memory of this process, in bytes, as Linux counts it; swap is not in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

STATUS: Final = Path("/proc/self/status")
MACHINE: Final = Path("/proc/meminfo")
MEMBERSHIP: Final = Path("/proc/self/cgroup")
GROUPS: Final = Path("/sys/fs/cgroup")
CLEAR_REFERENCES: Final = Path("/proc/self/clear_refs")
RESET_PEAK: Final = "5"  # of proc(5): the peak becomes what is held now


def memory_now() -> int:
    """What this process holds."""
    return _value(STATUS, "VmRSS")


def peak_memory() -> int:
    """What this process held at most, since it was started or since the peak was last reset.

    What its parent held when it was started, which rusage adds, is not in.
    """
    return _value(STATUS, "VmHWM")


def reset_peak_memory() -> None:
    """Makes what is held now the peak, where the kernel lets a process do that."""
    try:
        CLEAR_REFERENCES.write_text(RESET_PEAK)
    except OSError:
        return


def available_memory() -> int:
    """What processes can still take without swapping, of the machine or of a control group that limits this process."""
    return max(min([_value(MACHINE, "MemAvailable"), *_left_in_groups()]), 0)


def _left_in_groups() -> Iterator[int]:
    """What is left to each of the control groups (version 2) of this process that has a limit, outermost last."""
    lines = MEMBERSHIP.read_text().splitlines() if MEMBERSHIP.is_file() else []
    for path in (line.removeprefix("0::/") for line in lines if line.startswith("0::/")):
        for group in (GROUPS / path, *(GROUPS / path).parents):
            if not group.is_relative_to(GROUPS):
                break
            try:
                limit = int((group / "memory.max").read_text())
                use = int((group / "memory.current").read_text())
                statistics = (group / "memory.stat").read_text().splitlines()
            except (OSError, ValueError):  # it counts no memory, or its limit is "max"
                continue
            cached = next((int(line.split()[1]) for line in statistics if line.startswith("inactive_file ")), 0)
            yield limit - use + cached  # files that were read give way


def _value(file: Path, key: str) -> int:
    lines = file.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))
