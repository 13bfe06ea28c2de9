"""SemanticKITTI's files (Behley et al., ICCV 2019) in KITTI's odometry layout (Geiger et al., 2012).

sequences/<NN>/velodyne/<frame>.bin      float32 x, y, z, remission in the LiDAR's frame (x forward, y left, z up)
sequences/<NN>/labels/<frame>.label      uint32: class id in the low, instance id (0 = none) in the high 16 bits
sequences/<NN>/image_{2,3}/<frame>.png   rectified colour images
sequences/<NN>/calib.txt                 P0 .. P3: 3 x 4, pixels from camera 0; Tr: 3 x 4, camera 0 from LiDAR
sequences/<NN>/poses.txt                 3 x 4 a frame: camera 0 of the first frame from camera 0
sequences/<NN>/times.txt                 seconds from the first frame
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from panrecon.datasets.points import read_points
from panrecon.datasets.poses import rigid
from panrecon.errors import InputError, reason
from panrecon.geometry.projective import invert
from panrecon.io.files import atomic_write, write_text
from panrecon.io.ids import categories_of_raw_ids, instances_of_ids
from panrecon.io.images import read_size
from panrecon.structures import Camera, CategoryTable, Labels, LidarImage, LidarScan

IMAGE_FOLDERS: Final = {"image_2": "P2", "image_3": "P3"}
MATRICES: Final = ("P0", "P1", "P2", "P3", "Tr")
LIMIT: Final = 1 << 16  # ids of classes and of instances have 16 bits each


def frame_name(frame_index: int) -> str:
    """The stem of a frame's files: six digits."""
    return f"{frame_index:06d}"


def sequence_folder(root: Path, sequence: str) -> Path:
    """The folder of a sequence of two digits."""
    return root / "sequences" / sequence


def scan_names(sequence: Path) -> tuple[str, ...]:
    """The frames of a sequence in order.

    Raises:
        InputError: there is none.
    """
    names = tuple(sorted(path.stem for path in (sequence / "velodyne").glob("*.bin")))
    if not names:
        raise InputError(f"There is no scan <frame>.bin in {sequence / 'velodyne'}; name a folder of sequences/.")
    return names


def read_scan(sequence: Path, name: str, table: CategoryTable) -> LidarScan:
    """A scan, its labels where the sequence has any, and the images that lie beside it.

    Raises:
        InputError: a file is missing or damaged.
    """
    points = read_points(sequence / "velodyne" / f"{name}.bin")
    labelled = sequence / "labels" / f"{name}.label"
    labels = read_labels(labelled, table, len(points)) if labelled.is_file() else None
    matrices = read_calibration(sequence / "calib.txt")
    images = [
        _image(sequence / folder / f"{name}.png", matrices[matrix], matrices["Tr"])
        for folder, matrix in IMAGE_FOLDERS.items()
        if (sequence / folder / f"{name}.png").is_file()
    ]
    return LidarScan(name, points, labels, tuple(images))


def read_labels(path: Path, table: CategoryTable, count: int) -> Labels:
    """Labels of the `count` points of a scan by the table's raw ids; others become void.

    Instance ids are unique within a class only; instances here are raw class id * 65536 + id - 1, `VOID` for id 0.

    Raises:
        InputError: there is no such file, or it has another number of points.
    """
    semantic, instance = read_raw_labels(path)
    if len(semantic) != count:
        raise InputError(f"{path} labels {len(semantic)} points, its scan has {count}; copy both again.")
    ids = np.where(instance > 0, semantic * LIMIT + instance, 0)
    return Labels(categories_of_raw_ids(semantic, table.index_of_raw_id), instances_of_ids(ids))


def read_raw_labels(path: Path) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Class and instance ids (0 = none) as the file has them.

    Raises:
        InputError: there is no such file, or it is cut.
    """
    if not path.is_file():
        raise InputError(f"The labels {path} do not exist; predict or copy them.")
    if path.stat().st_size % 4:
        raise InputError(f"The labels {path} have {path.stat().st_size} bytes, no multiple of 4; copy them again.")
    packed = np.fromfile(path, dtype="<u4").astype(np.int64)
    return packed % LIMIT, packed // LIMIT


def write_raw_labels(path: Path, semantic: Int[np.ndarray, " n"], instance: Int[np.ndarray, " n"]) -> None:
    """Writes class and instance ids (0 = none) of a scan's points.

    Raises:
        InputError: an id does not fit 16 bits.
    """
    for what, ids in (("class", semantic), ("instance", instance)):
        wrong = ids[(ids < 0) | (ids >= LIMIT)]
        if len(wrong):
            raise InputError(f"The {what} id {wrong[0]} does not fit the 16 bits of {path}; number them below {LIMIT}.")
    with atomic_write(path) as partial:
        partial.write_bytes((instance.astype("<u4") << 16 | semantic.astype("<u4")).astype("<u4").tobytes())


def read_calibration(path: Path) -> dict[str, Float[np.ndarray, "3 4"]]:
    """The matrices P0 .. P3 (pixels from camera 0) and Tr (camera 0 from LiDAR; m).

    Raises:
        InputError: there is no such file, a line holds no 12 numbers, or one of P2, P3 and Tr is missing.
    """
    if not path.is_file():
        raise InputError(f"The calibration {path} does not exist; it comes with KITTI's odometry calibration.")
    matrices = {}
    for line in path.read_text().splitlines():
        name, colon, numbers = line.partition(":")
        if colon and name.strip() in MATRICES:
            matrices[name.strip()] = _matrix(path, name.strip(), numbers)
    missing = [name for name in (*IMAGE_FOLDERS.values(), "Tr") if name not in matrices]
    if missing:
        raise InputError(f"The calibration {path} has no {', '.join(missing)}; take the calib.txt of the sequence.")
    return matrices


def write_calibration(path: Path, matrices: Mapping[str, Float[np.ndarray, "3 4"]]) -> None:
    """Writes matrices by name, a line each."""
    write_text(path, "".join(f"{name}: {_numbers(matrix)}\n" for name, matrix in matrices.items()))


def read_poses(sequence: Path) -> Float[np.ndarray, "n 4 4"]:
    """`first_from_lidar` (m): the LiDAR of the first frame from the LiDAR of every frame.

    Raises:
        InputError: poses or calibration are missing or damaged.
    """
    path = sequence / "poses.txt"
    if not path.is_file():
        raise InputError(f"The poses {path} do not exist; copy those of the sequence there.")
    lines = path.read_text().splitlines()
    poses = [_motion(path, f"line {i}", _matrix(path, f"line {i}", line)) for i, line in enumerate(lines, 1)]
    calibration = sequence / "calib.txt"
    camera_from_lidar = _motion(calibration, "Tr", read_calibration(calibration)["Tr"])
    return np.stack([invert(camera_from_lidar) @ pose @ camera_from_lidar for pose in poses])


def write_poses(path: Path, first_from_camera: Sequence[Float[np.ndarray, "4 4"]]) -> None:
    """Writes the poses (m) of camera 0, in the frame of the first."""
    write_text(path, "".join(_numbers(pose[:3]) + "\n" for pose in first_from_camera))


def write_times(path: Path, seconds: Sequence[float]) -> None:
    """Writes when the frames were taken, seconds from the first."""
    write_text(path, "".join(f"{second:.6e}\n" for second in seconds))


def _image(path: Path, projection: Float[np.ndarray, "3 4"], lidar: Float[np.ndarray, "3 4"]) -> LidarImage:
    """The camera of a projection matrix: its last column says how far beside camera 0 it sits."""
    width, height = read_size(path)
    matrix = projection[:, :3]
    camera = Camera(width, height, *(float(matrix[index]) for index in ((0, 0), (1, 1), (0, 2), (1, 2))))
    camera_from_first = np.eye(4)
    first_from_lidar = np.eye(4)
    camera_from_first[:3, 3] = np.linalg.solve(matrix, projection[:, 3])
    first_from_lidar[:3] = lidar
    return LidarImage(path.parent.name, path, camera, camera_from_first @ first_from_lidar)


def _matrix(path: Path, name: str, numbers: str) -> Float[np.ndarray, "3 4"]:
    try:
        values = np.array(numbers.split(), dtype=np.float64)
    except ValueError as error:
        raise InputError(f"{name} of {path} is no row of numbers: {reason(error)}; copy the file again.") from error
    if len(values) != 12 or not np.isfinite(values).all():
        raise InputError(f"{name} of {path} has {len(values)} numbers; 12 finite ones are needed.")
    return values.reshape(3, 4)


def _motion(path: Path, name: str, matrix: Float[np.ndarray, "3 4"]) -> Float[np.ndarray, "4 4"]:
    return rigid(np.vstack([matrix, [0.0, 0.0, 0.0, 1.0]]), f"{name} of {path}")


def _numbers(matrix: Float[np.ndarray, "3 4"]) -> str:
    return " ".join(f"{value:.12e}" for value in matrix.ravel().tolist())
