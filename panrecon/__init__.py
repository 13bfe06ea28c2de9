"""Zero-shot panoptic 3D reconstruction from posed RGB-D scans (method: PanopticRecon, Yu et al., IROS 2024).

What is listed in `__all__` is loaded when it is first used, so that `import panrecon` takes no time.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from panrecon.api import Reconstruction, RgbdScan, read_scan, reconstruct, show_progress
    from panrecon.config import Settings, load_settings
    from panrecon.errors import InputError
    from panrecon.io.categories import read_categories
    from panrecon.io.detections import read_detections
    from panrecon.io.mesh import read_panoptic_mesh
    from panrecon.roles import Role
    from panrecon.structures import Category, CategoryTable

__version__ = "0.2.0"
__all__ = [
    "Category",
    "CategoryTable",
    "InputError",
    "Reconstruction",
    "RgbdScan",
    "Role",
    "Settings",
    "load_settings",
    "read_categories",
    "read_detections",
    "read_panoptic_mesh",
    "read_scan",
    "reconstruct",
    "show_progress",
]

_MODULES: Final = {
    "panrecon.api": ("Reconstruction", "RgbdScan", "read_scan", "reconstruct", "show_progress"),
    "panrecon.config": ("Settings", "load_settings"),
    "panrecon.errors": ("InputError",),
    "panrecon.io.categories": ("read_categories",),
    "panrecon.io.detections": ("read_detections",),
    "panrecon.io.mesh": ("read_panoptic_mesh",),
    "panrecon.roles": ("Role",),
    "panrecon.structures": ("Category", "CategoryTable"),
}
_MODULE_OF_NAME: Final = {name: module for module, names in _MODULES.items() for name in names}

# GNU's OpenMP, when it is loaded, reads how long its threads spin at a barrier before they sleep. By default that is so
# long that beside one busy process a training step of the field takes ten times as long.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module 'panrecon' has no attribute {name!r}")
    from panrecon.errors import missing_package_as

    with missing_package_as(ImportError):
        return getattr(import_module(_MODULE_OF_NAME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
