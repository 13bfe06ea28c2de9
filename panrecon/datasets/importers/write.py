"""Writes a foreign scan in ScanNet's export layout, which the pipeline reads."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from panrecon.datasets.importers.base import OWN_NAME, SUFFIX_OF_MAGIC, Source, SourceFrame, pixels_of
from panrecon.datasets.selection import sharpness
from panrecon.errors import InputError
from panrecon.geometry.projective import register
from panrecon.io.files import write_json
from panrecon.io.images import write_depth, write_image
from panrecon.structures import Camera
from panrecon.visualization import evenly_spaced

MAX_DEPTH: Final = 65.535  # m: what 16 bits of millimetres hold
MAX_INTRINSICS: Final = 1e6  # pixels
MAX_POSITION: Final = 1e6  # m from a scan's local origin
MAX_FAR_SHARE: Final = 0.5  # of what is measured; more beyond `MAX_DEPTH` is a wrong scale, no view
SCALE_CHECK_FRAMES: Final = 10  # evenly spaced ones that tell this share before anything is written


def posed_frames(source: Source) -> list[SourceFrame]:
    """The frames whose pose is finite.

    Raises:
        InputError: there is none.
    """
    posed = [frame for frame in source.frames if np.isfinite(frame.world_from_camera).all()]
    if not posed:
        raise InputError(f"None of the {len(source.frames)} frames has a pose; export the scan with its poses.")
    return posed


def write_source(
    folder: Path,
    source: Source,
    frames: Sequence[SourceFrame],
    track: Callable[[Sequence[SourceFrame]], Iterator[SourceFrame]],
    record: Mapping[str, Any],
) -> list[str]:
    """Writes color/, depth/ (mm), pose/ and intrinsic/ of these posed frames, and `record` as import.json.

    What the scan carries joins them: files are copied, those in folders linked where the file system can do so. The
    folder is whole or absent. Colour is resampled to the depth camera where the two cameras have different poses.
    Depth beyond `MAX_DEPTH` is void, and counted in the notes returned, which join those of the record.

    Raises:
        InputError: an image is missing, damaged or of another size than its camera's, or most depth is too far.
    """
    _check_cameras(source, frames)
    _check_scale(frames)
    with _atomic_folder(folder) as partial:
        far_counts = np.array([_write_frame(partial, source, frame) for frame in track(frames)], dtype=np.int64)
        _write_cameras(partial / "intrinsic", source)
        for name, path in source.carried.items():
            _carry(path, partial / (folder.name + name.removeprefix(OWN_NAME) if name.startswith(OWN_NAME) else name))
        far_note = (
            f"{far_counts.sum()} pixels of depth in {np.count_nonzero(far_counts)} frames are beyond 65 m, "
            "the most that is stored, and are left void."
        )
        notes = [far_note] if far_counts.any() else []
        write_json(partial / "import.json", {**record, "notes": [*record.get("notes", []), *notes]})
    return notes


def _check_cameras(source: Source, frames: Sequence[SourceFrame]) -> None:
    """Raises InputError where a camera or a pose is none that there can be, whatever format it comes from."""
    for kind, camera in {"depth": source.camera, "colour": source.color_camera}.items():
        numbers = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
        is_sound = np.isfinite(numbers).all() and (np.abs(numbers) < MAX_INTRINSICS).all() and (numbers[:2] > 0).all()
        if not is_sound:
            raise InputError(
                f"The {kind} camera has fx, fy, cx, cy {', '.join(f'{number:g}' for number in numbers)} pixels; no "
                "camera has: mend the scan's intrinsics."
            )
    if not np.isfinite(source.color_from_depth).all():
        raise InputError("The motion from the depth to the colour camera holds inf or nan; mend the extrinsics.")
    for frame in frames:
        farthest = float(np.abs(frame.world_from_camera[:3, 3]).max())
        if farthest > MAX_POSITION:
            raise InputError(
                f"The camera of frame {frame.name} is {farthest:.3g} m from the origin, too far for any scan; mend "
                "the poses or their unit."
            )


def _check_scale(frames: Sequence[SourceFrame]) -> None:
    """Raises InputError where most of the depth of evenly spaced frames is farther than can be stored."""
    depths = [frames[index].depth() for index in evenly_spaced(len(frames), SCALE_CHECK_FRAMES)]
    far = sum(np.count_nonzero(depth > MAX_DEPTH) for depth in depths)
    measured = sum(np.count_nonzero(depth > 0) for depth in depths)
    if far > MAX_FAR_SHARE * measured:
        median = np.median(np.concatenate([depth[depth > 0] for depth in depths]))
        raise InputError(
            f"{far / measured:.0%} of the depth is more than 65 m, the most that is stored (median {median:.0f} m); "
            "check the scale of the depth images."
        )


@contextmanager
def _atomic_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder`, which takes its place only if the block succeeds."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}; name another with --out.") from error
    try:
        yield partial
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_frame(folder: Path, source: Source, frame: SourceFrame) -> int:
    """Writes one frame; the number of its pixels that are too far to be stored."""
    measured = _checked(frame.name, "depth image", frame.depth(), source.camera)
    far = measured > MAX_DEPTH
    depth = np.where(far, np.float32(0), measured)
    write_depth(folder / "depth" / f"{frame.name}.png", depth)
    if source.shares_viewpoint:
        _write_source_image(folder / "color" / frame.name, frame, source.color_camera)
    else:
        color = _checked(frame.name, "image", pixels_of(frame.color()), source.color_camera)
        registered = register(color, source.color_camera, depth, source.camera, source.color_from_depth)
        write_image(folder / "color" / f"{frame.name}.jpg", registered)
    pose = folder / "pose" / f"{frame.name}.txt"
    pose.parent.mkdir(exist_ok=True)
    np.savetxt(pose, frame.world_from_camera, fmt="%.9g")
    return int(np.count_nonzero(far))


def _write_source_image(stem: Path, frame: SourceFrame, camera: Camera) -> None:
    """The image as it is where it is encoded already."""
    image = frame.color()
    _checked(frame.name, "image", pixels_of(image), camera)
    stem.parent.mkdir(exist_ok=True)
    if isinstance(image, Path):
        _link(image, stem.with_name(f"{stem.name}{image.suffix.lower()}"))
    elif isinstance(image, bytes):
        suffix = next(suffix for magic, suffix in SUFFIX_OF_MAGIC.items() if image.startswith(magic))
        stem.with_name(f"{stem.name}{suffix}").write_bytes(image)
    else:
        write_image(stem.with_name(f"{stem.name}.jpg"), image)


def _carry(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, target, copy_function=_link)
    else:
        shutil.copyfile(path, target)


def _link(source: Path | str, target: Path | str) -> None:
    """A copy that takes no room where the file system can do so."""
    try:
        os.link(Path(source).resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def _checked(name: str, what: str, image: np.ndarray, camera: Camera) -> np.ndarray:
    if image.shape[:2] != (camera.height, camera.width):
        raise InputError(
            f"The {what} of frame {name} is {image.shape[1]} x {image.shape[0]} pixels, its camera is "
            f"{camera.width} x {camera.height}; all images of a scan need one size."
        )
    return image


def _write_cameras(folder: Path, source: Source) -> None:
    folder.mkdir()
    color_camera = source.color_camera if source.shares_viewpoint else source.camera
    for kind, camera in (("depth", source.camera), ("color", color_camera)):
        matrix = np.eye(4)
        matrix[:3, :3] = camera.matrix
        np.savetxt(folder / f"intrinsic_{kind}.txt", matrix, fmt="%.9g")


def sharpest_frames(
    frames: Sequence[SourceFrame],
    stride: int,
    track: Callable[[Sequence[Sequence[SourceFrame]]], Iterator[Sequence[SourceFrame]]],
) -> list[SourceFrame]:
    """Of every `stride` consecutive frames the sharpest, by the variance of the image's Laplacian."""
    groups = [frames[start : start + stride] for start in range(0, len(frames), stride)]
    return [max(group, key=lambda frame: sharpness(pixels_of(frame.color()))) for group in track(groups)]
