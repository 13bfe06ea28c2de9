"""The `field` artifact: weights, what they need to be rebuilt, losses; and checkpoints to resume from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from panrecon.config import FieldSettings
from panrecon.errors import InputError
from panrecon.field.field import PanopticField, SceneBox, build_field
from panrecon.field.fit import FittedField
from panrecon.field.sampling import FieldData
from panrecon.io.files import read_json, write_json, write_text
from panrecon.io.tensors import read_tensors, write_tensors


def write_field(
    folder: Path, fitted: FittedField, data: FieldData, settings: FieldSettings, held_out: Sequence[str]
) -> None:
    """Writes `field.safetensors`, `field.json` (box, sizes, settings, held-out frames) and `losses.csv`."""
    write_tensors(folder / "field.safetensors", fitted.field.state_dict())
    box = {"origin": data.box.origin.tolist(), "size": data.box.size.tolist()}
    sizes = {"categories": data.categories, "instances": data.instances, "feature_width": data.feature_width}
    about = {"box": box, **sizes, "held_out": list(held_out), "settings": settings.model_dump(mode="json")}
    write_json(folder / "field.json", about)
    rows = np.stack(list(fitted.losses.values()), axis=1)
    lines = [",".join([str(step), *(f"{value:.6g}" for value in row)]) for step, row in enumerate(rows)]
    write_text(folder / "losses.csv", "\n".join([",".join(["step", *fitted.losses]), *lines]) + "\n")


def read_field(folder: Path) -> tuple[PanopticField, SceneBox]:
    """The trained field, on the CPU, and its box.

    Raises:
        InputError: its weights are damaged.
    """
    content = read_json(folder / "field.json")
    box = SceneBox(np.array(content["box"]["origin"]), np.array(content["box"]["size"]))
    settings = FieldSettings.model_validate(content["settings"])
    sizes = (content["categories"], content["instances"], content["feature_width"])
    field = build_field(box, settings, *sizes)
    field.load_state_dict(read_tensors(folder / "field.safetensors"))
    return field.eval(), box


def read_held_out(folder: Path) -> list[str]:
    """The names of the frames that the field was not trained on."""
    return list(read_json(folder / "field.json")["held_out"])


def write_checkpoint(folder: Path, state: Mapping[str, Tensor]) -> None:
    """Writes the state of a training that a later run resumes from."""
    write_tensors(folder / "checkpoint.safetensors", state)


def read_checkpoint(folder: Path) -> dict[str, Tensor] | None:
    """The state that a killed run left; None without any, or if a crash cut it off: training begins anew."""
    path = folder / "checkpoint.safetensors"
    try:
        return read_tensors(path) if path.is_file() else None
    except InputError:
        return None


def remove_checkpoint(folder: Path) -> None:
    """Removes the checkpoint, if there is one."""
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
