"""Weights of foreign networks, read without executing anything they hold: Hugging Face's folders, and `.pth` files."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from panrecon.errors import InputError
from panrecon.networks.inference import out_of_memory

if TYPE_CHECKING:
    from torch import Tensor


def read_folder(folder: Path, name: str, models: Mapping[str, Callable[..., Any]], surplus: bool = True) -> Any:
    """The network of a folder with `config.json` and `model.safetensors`, float32, on the CPU, for inference.

    `models` are transformers' `from_pretrained` by the model types that will do, `name` is what to call the network;
    with `surplus` the file may hold weights that the network does not have.

    Raises:
        InputError: the folder is of another model, or its weights are damaged or not all there.
    """
    from safetensors import SafetensorError

    kind = _model_type(folder / "config.json", name)
    if kind not in models:
        raise InputError(f"{folder} holds a model of type {kind!r}, not {name}; put {name}'s files there.")
    try:
        network, report = models[kind](
            folder, local_files_only=True, use_safetensors=True, dtype="float32", output_loading_info=True
        )
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        if out_of_memory(error):
            raise
        raise InputError(
            f"The weights of {name} in {folder} cannot be read ({summary(error)}); "
            "download config.json and model.safetensors again."
        ) from error
    not_fitting = [*report["missing_keys"], *(() if surplus else report["unexpected_keys"])]
    if not_fitting:
        raise InputError(
            f"The weights of {name} in {folder} do not fit its config.json (such as {min(not_fitting)}); "
            "download both again, from one model."
        )
    return network.eval().requires_grad_(False)


def read_state(file: Path, name: str, entry: str | None = None) -> "Mapping[str, Tensor]":
    """The tensors of a `.pth` file, or those below one of its entries.

    Raises:
        InputError: there is no such file, it is damaged, or it holds something else.
    """
    import torch

    if not file.is_file():
        raise InputError(f"The checkpoint {file} does not exist; download {name}'s weights.")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise InputError(f"The checkpoint {file} cannot be opened: {error.strerror}; mend its rights.") from error
    except Exception as error:  # torch's reader meets foreign bytes with nearly any of them
        if out_of_memory(error):
            raise
        raise InputError(
            f"The checkpoint {file} cannot be read, it is damaged ({type(error).__name__}); download it again."
        ) from error
    state = content.get(entry) if entry is not None and isinstance(content, Mapping) else content
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        below = f" below {entry!r}" if entry else ""
        raise InputError(
            f"The checkpoint {file} does not hold just weights by name{below}, as {name}'s; download that."
        )
    return state


def summary(error: Exception) -> str:
    """The last line of an error, where torch and transformers say what is wrong."""
    if isinstance(error, KeyError):
        return f"it has no {error}"
    last = (str(error).strip() or type(error).__name__).splitlines()[-1]
    return shorten(last.rstrip("."), 160, placeholder=" ...")


def _model_type(config: Path, name: str) -> str:
    try:
        return str(json.loads(config.read_text())["model_type"])
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{config} does not exist; download {name}'s config.json and model.safetensors.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{config} names no model_type; download it again.") from error
