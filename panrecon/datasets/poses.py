"""Poses of cameras (m): 4 x 4 text files, one or a folder of them, and the poses of a `scan.json`."""

import re
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float

from panrecon.errors import InputError, reason
from panrecon.io.files import read_json

NOT_A_NUMBER: Final = re.compile(r"-?1\.#\w+")  # -1.#INF, -1.#IND, 1.#QNAN: what Visual C++ writes
MAX_BYTES: Final = 100_000  # of a file of 16 numbers
ROTATION_TOLERANCE: Final = 0.01  # by which an entry of R R^T of a pose may differ from the identity's


def read_pose(path: Path) -> Float[np.ndarray, "4 4"]:
    """The pose of a text file: a rotation and a shift (m), or not finite where tracking was lost.

    Raises:
        InputError: the file is missing, not 4 x 4 numbers, or neither.
    """
    return rigid(read_matrix(path), str(path))


def read_poses(path: Path) -> dict[str, Float[np.ndarray, "4 4"]]:
    """`world_from_camera` (m) by name, of the `<name>.txt` of a folder or the frames of a JSON file like `scan.json`.

    Raises:
        InputError: there is no pose, or one of them is not finite, no rotation and shift, or named like no file.
    """
    if path.is_dir():
        poses = {file.stem: read_pose(file) for file in sorted(path.glob("*.txt"))}
    else:
        poses = _poses_of_json(path)
    if not poses:
        raise InputError(f"{path} holds no pose; it must be a folder of <name>.txt (4 x 4) or a file like scan.json.")
    for name, pose in poses.items():
        if not np.isfinite(pose).all():
            raise InputError(f"The pose {name} of {path} holds inf or nan; leave it out.")
        if Path(name).name != name:
            raise InputError(f"The pose {name!r} of {path} cannot be a file's name; rename it.")
    return poses


def read_matrix(path: Path) -> Float[np.ndarray, "4 4"]:
    """The 4 x 4 numbers of a text file.

    Raises:
        InputError: it is missing or holds anything else.
    """
    try:
        if path.exists() and not (path.is_file() and path.stat().st_size <= MAX_BYTES):
            raise ValueError(f"it is no file of at most {MAX_BYTES // 1000} kB")
        matrix = np.loadtxt(NOT_A_NUMBER.sub("nan", path.read_text()).splitlines(), dtype=np.float64)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as 4 x 4 numbers: {reason(error)}; export it again.") from error
    if matrix.shape != (4, 4):
        raise InputError(f"{path} holds numbers of shape {matrix.shape}, not 4 x 4; export it again.")
    return matrix


def _poses_of_json(path: Path) -> dict[str, Float[np.ndarray, "4 4"]]:
    content = read_json(path)
    poses = {}
    try:
        for frame in content["frames"]:
            poses[str(frame["name"])] = np.array(frame["world_from_camera"], dtype=np.float64).reshape(4, 4)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no list of poses: {error!r}; it needs frames with a name and a 4 x 4 world_from_camera."
        ) from error
    return {name: rigid(pose, f"{name} of {path}") for name, pose in poses.items()}


def rigid(matrix: Float[np.ndarray, "4 4"], what: str) -> Float[np.ndarray, "4 4"]:
    """The pose itself, if it is a rotation and a shift, or not finite where tracking was lost, as zeros say, too.

    Raises:
        InputError: it is neither; the sentence calls it `what`.
    """
    if not np.isfinite(matrix).all():
        return matrix
    if not matrix.any():
        return np.full_like(matrix, np.nan)
    rotation = matrix[:3, :3]
    deviation = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    determinant = float(np.linalg.det(rotation))
    is_affine = np.allclose(matrix[3], [0, 0, 0, 1])
    if deviation > ROTATION_TOLERANCE or determinant <= 0 or not is_affine:
        last_row = " ".join(f"{value:g}" for value in matrix[3])
        raise InputError(
            f"The pose {what} is no rotation and shift: R R^T differs from the identity by {deviation:.2g}, det R is "
            f"{determinant:.2g}, the last row is {last_row}; export it without scale, shear or mirroring, row by row."
        )
    return matrix
