"""What a figure belongs to: the commit and the machine."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).parents[1]


def provenance() -> dict[str, str]:
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return {"commit": commit.stdout.strip(), "machine": f"{os.cpu_count()} cores, {platform.platform()}"}
