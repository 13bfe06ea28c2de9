"""Laws of torchvision beside a CPU build of torch, each tried in a fresh interpreter."""

import importlib.util
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed")
ENSURE = "from panrecon.networks.torchvision_ops import ensure_torchvision; ensure_torchvision(); "


def said(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_what_needs_it_imports_whatever_comes_first() -> None:
    assert said(ENSURE + "import torchvision.transforms.functional as f; print(f.resize.__name__)") == "resize"
    assert said("import torch; " + ENSURE + "import torchmetrics.detection, timm; print('both')") == "both"


def test_a_second_call_changes_nothing() -> None:
    program = ENSURE + "import torchvision as a; ensure_torchvision(); import torchvision as b; print(a is b)"
    assert said(program) == "True"


def test_without_torchvision_nothing_is_imported() -> None:
    hidden = "import importlib.util as u; u.find_spec = lambda name: None; "
    assert said(hidden + ENSURE + "import sys; print({'torch', 'torchvision'} & set(sys.modules))") == "set()"
