"""The memory of this process, in bytes, as Linux counts it; swap is not in."""

from pathlib import Path
from typing import Final

STATUS: Final = Path("/proc/self/status")
GROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")  # of control groups, version 2
GROUP_USE: Final = Path("/sys/fs/cgroup/memory.current")
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
    """What processes can still take without swapping, of the machine or of the control group that limits this one."""
    machine = _value(Path("/proc/meminfo"), "MemAvailable")
    try:
        group = int(GROUP_LIMIT.read_text()) - int(GROUP_USE.read_text())
    except (OSError, ValueError):  # there is no control group, or its limit is "max"
        return machine
    return max(min(machine, group), 0)


def _value(file: Path, key: str) -> int:
    lines = file.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))
