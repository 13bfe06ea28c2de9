"""What Python users hand in, as this package takes it: every mistake in it is one sentence."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import ArrayLike

from panrecon.config import Settings
from panrecon.datasets.poses import rigid
from panrecon.errors import InputError, reason
from panrecon.io.categories import find_table, read_categories, require_distinct
from panrecon.roles import Role
from panrecon.structures import VOID, Camera, CategoryTable, Detections, FeatureMap

Mask = tuple[str, float, Bool[np.ndarray, "_ _"]]  # a word of the class table, a score in [0, 1], pixels
PINHOLE: Final = "give one matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels, fx and fy above 0"


def color_images(color: ArrayLike) -> UInt8[np.ndarray, "n h w 3"]:
    """RGB images of one size.

    Raises:
        InputError: they are of another shape, or not of bytes.
    """
    images = _array("color", color)
    if images.ndim != 4 or images.shape[3] != 3 or not images[:1].size:
        raise InputError(f"color is of shape {images.shape}, not frames x rows x columns x 3; give RGB images.")
    if images.dtype != np.uint8:
        raise InputError(f"color is of type {images.dtype}; give RGB from 0 to 255 as uint8.")
    return images


def depth_images(depth: ArrayLike) -> Float[np.ndarray, "n h w"]:
    """Depth images (m) of one size, 0 where they are not finite.

    Raises:
        InputError: they are of another shape, of integers (which are no metres), or negative.
    """
    images = _array("depth", depth)
    if images.ndim != 3:
        raise InputError(f"depth is of shape {images.shape}, not frames x rows x columns; give depth images.")
    if images.dtype.kind != "f":
        raise InputError(f"depth is of type {images.dtype}; give metres as floats, such as depth / 1000.0 of mm.")
    images = images.astype(np.float32)
    images[~np.isfinite(images)] = 0
    if (images < 0).any():
        frame_index = int((images < 0).any(axis=(1, 2)).argmax())
        raise InputError(
            f"depth of frame {frame_index} holds {images[frame_index].min():g} m; give depth along the optical axis, "
            "0 where there is none."
        )
    return images


def camera_poses(world_from_camera: ArrayLike) -> Float[np.ndarray, "n 4 4"]:
    """Poses of cameras (m).

    Raises:
        InputError: they are of another shape, and one is not finite or no rotation and shift.
    """
    poses = _array("world_from_camera", world_from_camera)
    if poses.ndim != 3 or poses.shape[1:] != (4, 4) or poses.dtype.kind not in "fiu":
        raise InputError(
            f"world_from_camera is of shape {poses.shape}, {poses.dtype}, not frames x 4 x 4 numbers; give one matrix "
            "a frame, the last row 0 0 0 1."
        )
    for frame_index, pose in enumerate(poses):
        if not np.isfinite(pose).all():
            raise InputError(f"The pose of frame {frame_index} holds inf or nan; leave this frame out of all arrays.")
        rigid(pose.astype(np.float64), f"of frame {frame_index}")
    return poses.astype(np.float64)


def pinhole_camera(intrinsics: ArrayLike, height: int, width: int) -> Camera:
    """The camera of an intrinsic matrix.

    Raises:
        InputError: it is none, or has skew.
    """
    matrix = _array("intrinsics", intrinsics)
    if matrix.shape != (3, 3) or matrix.dtype.kind not in "fiu":
        raise InputError(f"intrinsics are of shape {matrix.shape}, {matrix.dtype}; {PINHOLE}.")
    fx, fy, cx, cy = (float(matrix[index]) for index in ((0, 0), (1, 1), (0, 2), (1, 2)))
    camera = Camera(width, height, fx, fy, cx, cy)
    if not (np.isfinite(matrix).all() and min(fx, fy) > 0 and np.allclose(matrix, camera.matrix)):
        raise InputError(f"intrinsics are {matrix.tolist()}; {PINHOLE}.")
    return camera


def class_table(classes: str | Path | CategoryTable) -> CategoryTable:
    """A table as it is, of a CSV file, or of a name.

    Raises:
        InputError: there is no such table, it lists no class, two classes have one id or name, or a role is none.
    """
    if isinstance(classes, str | Path):
        return read_categories(find_table(classes))
    if not isinstance(classes, CategoryTable):
        raise InputError(
            f"classes is a {type(classes).__name__}; give a panrecon.CategoryTable, a CSV file or the name of a table."
        )
    require_distinct("The class table", classes)
    for category in classes:
        if category.stated_role is not None and category.stated_role not in tuple(Role):
            raise InputError(
                f"The class {category.name} has the role {category.stated_role!r}; give one of panrecon.Role "
                f"({', '.join(Role)}), or None for that of its name."
            )
    return classes


def masks_of_frames(masks: Sequence[Sequence[Mask]]) -> list[Sequence[Mask]]:
    """The masks of every frame, frames in order.

    Raises:
        InputError: it is no list of lists of triples.
    """
    masks_of_frame = _list("masks", masks, "one list of (word, score, mask) a frame")
    for frame_index, of_frame in enumerate(masks_of_frame):
        for mask_index, triple in enumerate(_list(f"masks[{frame_index}]", of_frame, "(word, score, mask) triples")):
            if not isinstance(triple, Sequence) or len(triple) != 3:
                raise InputError(f"masks[{frame_index}][{mask_index}] is no triple; give (word, score, mask).")
    return masks_of_frame


def detections_of(frame: str, masks: Sequence[Mask], table: CategoryTable, size: tuple[int, int]) -> Detections:
    """The masks of one frame, whose image is of `size` (rows, columns).

    Raises:
        InputError: a word is of no class, a score is none, or a mask is not boolean or of another size than the image.
    """
    for word, score, mask in masks:
        if not isinstance(word, str) or table.index_of(word) == VOID:
            words = ", ".join(category.name for category in table)
            raise InputError(f"The word {word!r} of a mask of frame {frame} is in no class; the classes are {words}.")
        if not isinstance(score, float | int | np.floating | np.integer) or not 0 <= score <= 1:
            raise InputError(f"The score of a mask ({word}) of frame {frame} is {score!r}; give a number from 0 to 1.")
        if not isinstance(mask, np.ndarray) or mask.dtype != bool:
            kind = mask.dtype if isinstance(mask, np.ndarray) else type(mask).__name__
            raise InputError(f"A mask ({word}) of frame {frame} is of type {kind}; give a boolean array.")
        if mask.shape != size:
            raise InputError(
                f"Masks of frame {frame} are {mask.shape} (rows, columns), its image is {size}; scale them."
            )
    return Detections(
        np.array([table.index_of(word) for word, _, _ in masks], dtype=np.int32),
        np.array([score for _, score, _ in masks], dtype=np.float32),
        np.stack([mask for _, _, mask in masks]),
    )


def feature_maps(features: Sequence[Float[np.ndarray, "gh gw D"]]) -> list[FeatureMap]:
    """The dense features of every frame, frames in order.

    Raises:
        InputError: a map is of another shape, has another number of dimensions than the first, or is not finite.
    """
    maps: list[FeatureMap] = []
    every = list(features) if isinstance(features, np.ndarray) else features
    for frame_index, values in enumerate(_list("features", every, "one array a frame")):
        name = f"features[{frame_index}]"
        array = _array(name, values)
        if array.ndim != 3 or not array.size or array.dtype.kind not in "fiu":
            raise InputError(f"{name} is of shape {array.shape}, {array.dtype}; give rows x columns x dimensions.")
        if maps and array.shape[2] != maps[0].values.shape[2]:
            raise InputError(
                f"{name} has {array.shape[2]} dimensions, features[0] has {maps[0].values.shape[2]}; extract all "
                "frames with one model."
            )
        if not np.isfinite(array).all():
            raise InputError(f"{name} holds inf or nan; extract this frame again.")
        maps.append(FeatureMap(array.astype(np.float32)))
    return maps


def require_equal_counts(counts: Mapping[str, int]) -> None:
    """Raises: InputError where arrays are of different numbers of frames, or of none."""
    if len(set(counts.values())) > 1 or not all(counts.values()):
        stated = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(f"The arrays are not of the same frames ({stated}); give one entry a frame.")


def require_settings(settings: Settings) -> None:
    """Raises: InputError where they are anything else, such as a dictionary."""
    if not isinstance(settings, Settings):
        raise InputError(
            f"settings is a {type(settings).__name__}; give panrecon.Settings, such as "
            'panrecon.load_settings(overrides=["mesh.voxel_size=0.03"]).'
        )


def _array(name: str, values: ArrayLike) -> np.ndarray:
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # unequal lengths; a tensor of a GPU or with a gradient
        raise InputError(f"{name} cannot be taken as one array: {reason(error)}; give a numpy array.") from error


def _list(name: str, values: Any, expected: str) -> list[Any]:
    if not isinstance(values, list | tuple):
        raise InputError(f"{name} is a {type(values).__name__}; give a list: {expected}.")
    return list(values)
