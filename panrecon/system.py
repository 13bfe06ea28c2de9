"""Import of Open3D, with a check of the system libraries that it needs."""

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from panrecon.errors import InputError, require_packages

# Debian's names of what Open3D 0.20 links against and pip cannot bring.
PACKAGE_OF_LIBRARY = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libX11.so.6": "libx11-6",
    "libudev.so.1": "libudev1",
}


@cache
def import_open3d() -> ModuleType:
    """The module Open3D; the libusb that it links against is taken from the `libusb-package` wheel.

    Raises:
        InputError: it is not installed, or a system library is missing.
    """
    require_packages("open3d")
    missing = missing_libraries()
    if missing:
        packages = " ".join(PACKAGE_OF_LIBRARY[library] for library in missing)
        raise InputError(f"Open3D needs {', '.join(missing)}; on Debian or Ubuntu: sudo apt-get install {packages}.")
    _preload_libusb()
    import open3d

    return open3d


def missing_libraries() -> list[str]:
    """Names of Open3D's system libraries that cannot be loaded on this machine."""
    return [library for library in PACKAGE_OF_LIBRARY if not _loads(library)]


def _preload_libusb() -> None:
    """Loads libusb, which Open3D links against for depth cameras only; a loaded library of that name satisfies it."""
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
    """Exit code 0 if Open3D can be imported; else 2, and prints which library is missing."""
    try:
        import_open3d()
    except InputError as error:
        print(error)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
