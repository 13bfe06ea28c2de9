"""A trained LiDAR network: `network.safetensors`, `network.json` (sizes, classes, how it was trained), `losses.csv`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save
from torch import Tensor

from panrecon.errors import InputError
from panrecon.io.files import aside, read_json, write_json, write_text
from panrecon.lidar.network import PanopticNetwork
from panrecon.lidar.settings import EncoderSizes, NetworkSizes
from panrecon.lidar.train import TrainedNetwork, TrainingSettings
from panrecon.lidar.voxels import CylinderGrid

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class NetworkRecord:
    """What a network has to be known with: its sizes, layout, classes, the name of its features, how it was trained.

    `ensemble`: it is the baseline, whose classes are an ensemble's.
    """

    sizes: NetworkSizes
    layout: str
    novel: tuple[str, ...]
    base_is_thing: tuple[bool, ...]
    source: str
    ensemble: bool
    settings: TrainingSettings
    scans: tuple[str, ...]


def write_network(folder: Path, trained: TrainedNetwork, record: NetworkRecord) -> None:
    _write_tensors(folder / "network.safetensors", trained.network.state_dict())
    rows = np.stack(list(trained.losses.values()), axis=1)
    lines = [",".join([str(step), *(f"{value:.6g}" for value in row)]) for step, row in enumerate(rows)]
    write_text(folder / "losses.csv", "\n".join([",".join(["step", *trained.losses]), *lines]) + "\n")
    write_json(folder / "network.json", asdict(record))
    (folder / CHECKPOINT).unlink(missing_ok=True)
    (folder / "checkpoint.json").unlink(missing_ok=True)


def read_network(folder: Path) -> tuple[PanopticNetwork, NetworkRecord]:
    """The network, on the CPU, ready to label scans.

    Raises:
        InputError: there is none, or it was not written by `panrecon lidar train`.
    """
    path, about = folder / "network.safetensors", folder / "network.json"
    missing = next((file for file in (about, path) if not file.is_file()), None)
    if missing is not None:
        raise InputError(f"There is no {missing.name} in {folder}; name a folder that `panrecon lidar train` finished.")
    content = read_json(about)
    try:
        record = _record(content)
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / 'network.json'} is no record of a LiDAR network: {error}; train again.") from error
    network = PanopticNetwork(record.sizes, np.array(record.base_is_thing))
    network.load_state_dict(load_file(path))
    return network.eval(), record


def write_checkpoint(folder: Path, state: Mapping[str, Tensor], record: NetworkRecord) -> None:
    """What training goes on from, if it is the same training."""
    write_json(folder / "checkpoint.json", asdict(record))
    _write_tensors(folder / CHECKPOINT, state)


def read_checkpoint(folder: Path, record: NetworkRecord) -> dict[str, Tensor] | None:
    """The state that the same training left when it was stopped, `None` if it left none."""
    path, about = folder / CHECKPOINT, folder / "checkpoint.json"
    if not (path.is_file() and about.is_file()) or _record(read_json(about)) != record:
        return None
    return load_file(path)


def _record(content: Any) -> NetworkRecord:
    sizes, encoder, grid = dict(content["sizes"]), content["sizes"]["encoder"], content["sizes"]["grid"]
    sizes["grid"] = CylinderGrid(*(_tuple(grid[name]) for name in ("shape", "low", "high")))
    sizes["encoder"] = EncoderSizes(**{name: _tuple(value) for name, value in encoder.items()})
    lists = {name: tuple(content[name]) for name in ("novel", "base_is_thing", "scans")}
    settings = TrainingSettings(**{name: _tuple(value) for name, value in content["settings"].items()})
    return NetworkRecord(**{**content, **lists, "sizes": NetworkSizes(**sizes), "settings": settings})


def _tuple(value: Any) -> Any:
    return tuple(_tuple(item) for item in value) if isinstance(value, list) else value


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    with aside(path) as partial:
        partial.write_bytes(save({name: value.detach().clone().contiguous() for name, value in tensors.items()}))
