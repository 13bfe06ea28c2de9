"""What a figure belongs to: command, commit, date, machine, versions."""

import os
import platform
import shlex
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

CHECKOUT: Final = Path(__file__).parents[1]
WITHOUT_EFFECT: Final = (":!docs", ":!*.md")  # files of git that move no figure
PACKAGES: Final = ("numpy", "torch", "numba")  # whose versions move times or bits


def provenance() -> dict[str, Any]:
    """Command, commit (and whether files of git other than documents differ from it), date, machine, versions."""
    module = Path(sys.argv[0]).stem
    load = os.getloadavg()[2]  # the mean of the last 15 minutes, what measures itself included
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *WITHOUT_EFFECT)
    return {
        "command": shlex.join(["python", "-m", f"benchmarks.{module}", *sys.argv[1:]]),
        "commit": _git("rev-parse", "HEAD"),
        "has_uncommitted_changes": bool(changed),
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores at a load of {load:.1f}, {_processor()}, {platform.system()}",
        "versions": {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}},
    }


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return result.stdout.strip()


def _processor() -> str:
    """The processor's name as Linux tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown processor")
