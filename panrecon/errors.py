"""The exceptions for what a user can cause and mend, optional packages that are not installed among them."""

import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

# The smallest extra of setup.cfg that brings the package of an imported module and whatever that is used with.
EXTRA_OF_MODULE: Final = {
    "OpenEXR": "exr",
    "groundingdino": "original",
    "huggingface_hub": "all",
    "libusb_package": "open3d",
    "lz4": "lz4",
    "open3d": "open3d",
    "open_clip": "clip",
    "requests": "all",
    "rosbags": "ros",
    "safetensors": "all",
    "segment_anything": "original",
    "skimage": "simulation",
    "snakemake": "all",
    "tensorboard": "tensorboard",
    "tokenizers": "all",
    "torch": "all",
    "torchvision": "original",
    "transformers": "all",
}


class InputError(Exception):
    """The user's input is wrong. The message is one sentence: what, where, the value, what to do. Exit code 2."""


class OutOfMemoryError(InputError):
    """Not even the smallest piece of work fits into memory; what was done before it is kept."""


class UnwritableError(InputError):
    """A file cannot be written, for want of rights or room; what was done before it is kept."""


def reason(error: Exception) -> str:
    """What a library says was wrong, to stand within a sentence: on one line, without its own full stop."""
    return " ".join(str(error).split()).rstrip(".")


def told(value: object) -> str:
    """A value from a file as a sentence tells it: shortened, whatever its size and however often it holds itself."""
    short = reprlib.Repr()
    short.maxlevel = 2
    short.maxstring = short.maxother = 120
    return short.repr(value)


def reason_of_system(error: OSError) -> str:
    """What the operating system says was wrong with a file, to stand within a sentence."""
    return (error.strerror or reason(error)).lower()


def install_command(module: str) -> str:
    """The shell command that installs the optional package of a module, a key of `EXTRA_OF_MODULE`."""
    return f'pip install "panrecon[{EXTRA_OF_MODULE[module]}]"'


def import_optional(module: str, *, need: str) -> Any:
    """A module of an optional package; `need` is how the sentence begins that ends with the way to install it.

    Raises:
        InputError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(f"{need}, {install_command(module.partition('.')[0])}.") from error


def require_packages(*modules: str) -> None:
    """Checks that optional packages are installed, without importing them.

    Raises:
        InputError: one of them, a key of `EXTRA_OF_MODULE`, is not.
    """
    for module in modules:
        if find_spec(module) is None:
            raise InputError(_missing(module))


@contextmanager
def missing_package_as(exception: type[Exception]) -> Iterator[None]:
    """Turns the failed import of an optional package into an exception that says how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in EXTRA_OF_MODULE:
            raise
        raise exception(_missing(error.name)) from error


def _missing(module: str) -> str:
    return f"This needs {module}, which is not installed; {install_command(module)}."
