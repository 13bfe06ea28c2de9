"""Open3D, and the system libraries it needs: said in one sentence before anything is tried."""

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from panrecon.errors import InputError

# Debian's names of what Open3D 0.20 links against and pip cannot bring.
PACKAGE_OF_LIBRARY = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11.so.6": "libx11-6",
    "libudev.so.1": "libudev1",
}


@cache
def import_open3d() -> ModuleType:
    """Open3D, with the libusb that its wheel wants taken from the `libusb-package` wheel.

    Raises:
        InputError: a system library is missing.
    """
    missing = missing_libraries()
    if missing:
        packages = " ".join(PACKAGE_OF_LIBRARY[library] for library in missing)
        raise InputError(f"Open3D needs {', '.join(missing)}; on Debian or Ubuntu: sudo apt-get install {packages}.")
    _preload_libusb()
    import open3d

    return open3d


def missing_libraries() -> list[str]:
    """Those of Open3D's system libraries that this machine lacks."""
    return [library for library in PACKAGE_OF_LIBRARY if not _loads(library)]


def _preload_libusb() -> None:
    """Open3D links libusb for a depth camera we never open; a loaded library of that name satisfies it."""
    spec = importlib.util.find_spec("libusb_package")
    if not _loads("libusb-1.0.so.0") and spec is not None and spec.origin is not None:
        ctypes.CDLL(str(Path(spec.origin).with_name("libusb-1.0.so")), mode=ctypes.RTLD_GLOBAL)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def main() -> int:
    """Exit code 2 and one sentence where a library is missing."""
    try:
        import_open3d()
    except InputError as error:
        print(error)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
