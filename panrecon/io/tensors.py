"""Tensors by name in safetensors files, whole or absent."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from panrecon.errors import InputError, reason
from panrecon.io.files import atomic_write


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes the tensors, wherever they are and whatever memory they share."""
    with atomic_write(path) as partial:
        partial.write_bytes(save({name: value.detach().clone().contiguous() for name, value in tensors.items()}))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of an existing file, on the CPU.

    Raises:
        InputError: the file is cut or of another format.
    """
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(
            f"{path} cannot be read as safetensors: {reason(error)}; remove it and make it anew."
        ) from error
