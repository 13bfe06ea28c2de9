"""torchvision, importable beside a CPU build of torch.

PyPI's torchvision is linked against CUDA: beside a CPU build of torch its compiled operators do not load, and importing
it fails where it describes two of them. Its Python part, which is all that our networks use, asks no more than that
these two are declared.
"""

import importlib
import importlib.util
import sys
from functools import cache
from typing import Any, Final

DECLARED: Final = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_libraries: list[Any] = []  # a torch.library.Library takes what it declared with it


@cache
def ensure_torchvision() -> None:
    """Makes `import torchvision` work where it is installed; call it before importing what may import it.

    Where the compiled operators do not load, calling one still fails, with torchvision's own explanation.
    """
    if importlib.util.find_spec("torchvision") is None or _imports():
        return
    import torch

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in DECLARED:
        library.define(schema)
    _libraries.append(library)
    importlib.import_module("torchvision")


def _imports() -> bool:
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        return False
    return True
