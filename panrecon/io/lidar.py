"""A trained LiDAR network: `network.safetensors`, `network.json` (settings, classes, scans), `losses.csv`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from panrecon.errors import InputError
from panrecon.io.files import read_json, write_json, write_text
from panrecon.io.tensors import read_tensors, write_tensors
from panrecon.lidar.network import PanopticNetwork
from panrecon.lidar.settings import (
    AugmentationSettings,
    EncoderSettings,
    MatchingSettings,
    NetworkSettings,
    TrainingSettings,
)
from panrecon.lidar.train import TrainedNetwork
from panrecon.lidar.voxels import CylinderGrid

CHECKPOINT = "checkpoint.safetensors"
CHECKPOINT_RECORD = "checkpoint.json"


@dataclass(frozen=True)
class NetworkRecord:
    """What is needed to use a network or to resume its training, besides its weights.

    `layout` and `features` are the layout of the training scans and the name of the folders of their vision features;
    `novel` classes had no labels in training; `ensemble` marks the baseline, labelled by `segment_scan_by_ensemble`.
    """

    network: NetworkSettings
    layout: str
    novel: tuple[str, ...]
    base_is_thing: tuple[bool, ...]
    features: str
    ensemble: bool
    training: TrainingSettings
    scans: tuple[str, ...]


def write_network(folder: Path, trained: TrainedNetwork, record: NetworkRecord) -> None:
    """Writes network.safetensors, network.json and losses.csv (a line a step), and removes the checkpoint."""
    write_tensors(folder / "network.safetensors", trained.network.state_dict())
    history = np.stack(list(trained.losses.values()), axis=1)
    lines = [",".join([str(step), *(f"{value:.6g}" for value in losses)]) for step, losses in enumerate(history)]
    write_text(folder / "losses.csv", "\n".join([",".join(["step", *trained.losses]), *lines]) + "\n")
    write_json(folder / "network.json", asdict(record))
    (folder / CHECKPOINT).unlink(missing_ok=True)
    (folder / CHECKPOINT_RECORD).unlink(missing_ok=True)


def read_network(folder: Path) -> tuple[PanopticNetwork, NetworkRecord]:
    """The network, on the CPU and in evaluation mode, and its record.

    Raises:
        InputError: there is none, it is damaged, or it was not written by this version's `panrecon lidar train`.
    """
    weights_file = folder / "network.safetensors"
    record_file = folder / "network.json"
    missing = next((file for file in (record_file, weights_file) if not file.is_file()), None)
    if missing is not None:
        raise InputError(f"There is no {missing.name} in {folder}; name a folder that `panrecon lidar train` finished.")
    content = read_json(record_file)
    try:
        record = _record(content)
    except (KeyError, TypeError) as error:
        raise InputError(f"{record_file} is no record of a LiDAR network: {error}; train again.") from error
    network = PanopticNetwork(record.network, np.array(record.base_is_thing))
    try:
        network.load_state_dict(read_tensors(weights_file))
    except RuntimeError as error:
        raise InputError(f"{weights_file} holds no weights of the network of {record_file}; train again.") from error
    return network.eval(), record


def write_checkpoint(folder: Path, state: Mapping[str, Tensor], record: NetworkRecord) -> None:
    """Writes the state that a training of the same record resumes from (`Trainer.state`)."""
    write_json(folder / CHECKPOINT_RECORD, asdict(record))
    write_tensors(folder / CHECKPOINT, state)


def read_checkpoint(folder: Path, record: NetworkRecord) -> dict[str, Tensor] | None:
    """The state to resume from; `None` where there is no checkpoint.

    Raises:
        InputError: it is of another training: other scans, settings or features, or an older version.
    """
    state_file = folder / CHECKPOINT
    record_file = folder / CHECKPOINT_RECORD
    if not (state_file.is_file() and record_file.is_file()):
        return None
    try:
        is_same = _record(read_json(record_file)) == record
    except (KeyError, TypeError):  # written by another version
        is_same = False
    if not is_same:
        raise InputError(
            f"The half-finished training in {folder} is of other scans or settings, or of another version; remove "
            f"{state_file} to train anew, or choose another --out."
        )
    return read_tensors(state_file)


def _record(content: Any) -> NetworkRecord:
    network = dict(content["network"])
    network["grid"] = CylinderGrid(*(_tuple(network["grid"][name]) for name in ("shape", "low", "high")))
    network["encoder"] = EncoderSettings(**{name: _tuple(value) for name, value in network["encoder"].items()})
    training = {name: _tuple(value) for name, value in content["training"].items()}
    training["augmentation"] = AugmentationSettings(**training["augmentation"])
    training["matching"] = MatchingSettings(**training["matching"])
    lists = {name: tuple(content[name]) for name in ("novel", "base_is_thing", "scans")}
    settings = {"network": NetworkSettings(**network), "training": TrainingSettings(**training)}
    return NetworkRecord(**{**content, **lists, **settings})


def _tuple(value: Any) -> Any:
    return tuple(_tuple(item) for item in value) if isinstance(value, list) else value
