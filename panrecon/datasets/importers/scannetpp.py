"""The iPhone's part of scenes of ScanNet++ (Yeshwanth et al., ICCV 2023), as downloaded or as its toolbox unpacks it.

<scene>/iphone/, or the folder itself
    pose_intrinsic_imu.json   of `frame_000000` and so on: `aligned_pose` (4 x 4, m, camera to the world of the scene's
                              mesh, x right, y down, z forward) or ARKit's `pose`; `intrinsic` (3 x 3) of colour
    rgb/frame_000000.jpg      colour (1920 x 1440), or rgb.mkv, rgb.mp4: the frames of all entries
    depth/frame_000000.png    16 bit, mm (256 x 192), or depth.bin
depth.bin: float32 metres of all frames as one raw DEFLATE stream; or of every frame its length (4 bytes, little endian)
and LZ4 of 16-bit millimetres or raw DEFLATE of float32 metres.
"""

import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from panrecon.datasets.importers.arkit import median_camera, resized, sideways_notes
from panrecon.datasets.importers.base import Source, SourceFrame
from panrecon.datasets.importers.video import Video
from panrecon.datasets.poses import rigid
from panrecon.errors import InputError, import_optional
from panrecon.io.files import read_json
from panrecon.io.images import read_depth, read_size

STATEMENT: Final = "pose_intrinsic_imu.json"
PACKED: Final = "depth.bin"
VIDEOS: Final = ("rgb.mkv", "rgb.mp4")
HEIGHT, WIDTH = 192, 256  # of depth
MILLIMETRES: Final = 1000.0  # a metre
IN_METRES: Final = np.dtype("<f4")
IN_MILLIMETRES: Final = np.dtype("<u2")
PIECE: Final = 1 << 20  # bytes of a stream read at once

Image = Float[np.ndarray, "h w"]


class ScanNetPlusPlus:
    """An Importer of one scene's iPhone recording."""

    name = "scannetpp"
    needs = f"a scene of ScanNet++ with iphone/{STATEMENT}, rgb/ or rgb.mkv, and depth/ or {PACKED}"
    files = (f"iphone/{STATEMENT}", "iphone/rgb*", "iphone/depth*")

    def recognise(self, path: Path) -> str | None:
        """Names the file of poses and intrinsics, where there is one; else None."""
        folder = phone_folder(path)
        return f"it holds {(folder / STATEMENT).relative_to(path)}" if folder is not None else None

    def read(self, path: Path) -> Source:
        """The frames that have pose, intrinsics, colour and depth, in order.

        Raises:
            InputError: a file is missing or damaged, or no frame has all.
        """
        folder = phone_folder(path)
        if folder is None:
            raise InputError(f"{path} has no {STATEMENT}, here or in iphone/; download the scene's iPhone assets.")
        entries = read_entries(folder / STATEMENT)
        colors, size = find_colors(folder, list(entries))
        depths = find_depths(folder, list(entries))
        used = [name for name in entries if name in colors and name in depths]
        if not used:
            raise InputError(
                f"{folder} has {len(entries)} poses, {len(colors)} colour images and {len(depths)} depth images, but "
                "no frame has all; unpack the scene again."
            )
        key = "aligned_pose" if all("aligned_pose" in entries[name] for name in used) else "pose"
        poses = {name: matrix_of(entries[name], key, 4, f"of {name} in {folder / STATEMENT}") for name in used}
        intrinsics = [intrinsics_of(entries[name], f"of {name} in {folder / STATEMENT}") for name in used]
        color, notes = median_camera(np.stack(intrinsics), used, size, str(folder / STATEMENT))
        frames = [SourceFrame(name.removeprefix("frame_"), poses[name], colors[name], depths[name]) for name in used]
        height, width = frames[0].depth().shape
        left_out = len(entries) - len(used)
        notes += [f"{left_out} frames lack colour or depth and are left out"] if left_out else []
        notes += ["Poses are ARKit's own: the scene's annotation is in another world."] if key == "pose" else []
        notes += sideways_notes(frames)
        return Source(resized(color, width, height, f"depth images of {folder}"), color, frames, notes)


def phone_folder(path: Path) -> Path | None:
    """The folder of the iPhone's assets, which is `path` or in it; None where it is neither."""
    return next((folder for folder in (path, path / "iphone") if (folder / STATEMENT).is_file()), None)


def read_entries(file: Path) -> Mapping[str, Mapping[str, Any]]:
    """What is stated of every frame, in the order of their numbers.

    Raises:
        InputError: the file is damaged, or of another form.
    """
    content = read_json(file)
    is_form = isinstance(content, dict) and all(
        name.startswith("frame_") and name.removeprefix("frame_").isdecimal() and isinstance(entry, dict)
        for name, entry in content.items()
    )
    if not is_form or not content:
        raise InputError(f"{file} has no entries such as frame_000000; download it again.")
    return dict(sorted(content.items(), key=lambda item: int(item[0].removeprefix("frame_"))))


def matrix_of(entry: Mapping[str, Any], key: str, size: int, what: str) -> Float[np.ndarray, "n n"]:
    """A pose (4 x 4; not finite where tracking was lost) or intrinsics (3 x 3) of an entry.

    Raises:
        InputError: it is missing, of another shape, or a pose that is no rotation and shift.
    """
    try:
        matrix = np.array(entry[key], dtype=np.float64).reshape(size, size)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{key} {what} is missing or not {size} x {size} numbers; download it again.") from error
    return rigid(matrix, f"{key} {what}") if size == 4 else matrix


def intrinsics_of(entry: Mapping[str, Any], what: str) -> Float[np.ndarray, "4"]:
    """fx, fy, cx, cy (pixels) of an entry.

    Raises:
        InputError: they are missing.
    """
    matrix = matrix_of(entry, "intrinsic", 3, what)
    return np.array([matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]])


def find_colors(folder: Path, names: list[str]) -> tuple[Mapping[str, Callable[[], Any]], tuple[int, ...]]:
    """Readers of the colour of frames, by name, and its width and height.

    Raises:
        InputError: there are neither images nor a video.
    """
    images = {name: folder / "rgb" / f"{name}.jpg" for name in names}
    images = {name: file for name, file in images.items() if file.is_file()}
    if images:
        return {name: partial(Path, file) for name, file in images.items()}, read_size(next(iter(images.values())))
    file = next((folder / video for video in VIDEOS if (folder / video).is_file()), None)
    if file is None:
        raise InputError(f"{folder} has neither rgb/frame_*.jpg nor {VIDEOS[0]}; download the scene's iPhone assets.")
    video = Video(file)
    return {name: partial(video.frame, index) for index, name in enumerate(names[: video.count])}, video.size


def find_depths(folder: Path, names: list[str]) -> Mapping[str, Callable[[], Image]]:
    """Readers of the depth (m) of frames, by name.

    Raises:
        InputError: there is none, or it is damaged.
    """
    images = {name: folder / "depth" / f"{name}.png" for name in names}
    images = {name: file for name, file in images.items() if file.is_file()}
    if images:
        return {name: partial(read_depth, file, MILLIMETRES) for name, file in images.items()}
    file = folder / PACKED
    if not file.is_file():
        raise InputError(f"{folder} has neither depth/frame_*.png nor {PACKED}; download the scene's iPhone assets.")
    lengths = frame_lengths(file)
    if lengths is None:
        stream = DepthStream(file)
        return {name: partial(stream.frame, index) for index, name in enumerate(names)}
    starts = np.cumsum([4, *[length + 4 for length in lengths]])
    return {
        name: partial(read_packed, file, int(start), length)
        for name, start, length in zip(names, starts, lengths, strict=False)
    }


def frame_lengths(file: Path) -> list[int] | None:
    """The bytes of every frame, where the file states them up to its end; None where it is one stream."""
    lengths = []
    end = file.stat().st_size
    with file.open("rb") as stream:
        while stream.tell() < end:
            stated = stream.read(4)
            length = int.from_bytes(stated, "little")
            if len(stated) < 4 or not 0 < length <= end - stream.tell():
                return None
            lengths.append(length)
            stream.seek(length, 1)
    return lengths


def read_packed(file: Path, start: int, length: int) -> Image:
    """The depth (m) of a frame that is packed on its own.

    Raises:
        InputError: it is damaged, or packed with LZ4 and lz4 is not installed.
    """
    with file.open("rb") as stream:
        stream.seek(start)
        packed = stream.read(length)
    unpacker = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        metres = unpacker.decompress(packed, HEIGHT * WIDTH * IN_METRES.itemsize + 1)
    except zlib.error:
        metres = b""
    if unpacker.eof and len(metres) == HEIGHT * WIDTH * IN_METRES.itemsize:
        return _cleaned(np.frombuffer(metres, IN_METRES).reshape(HEIGHT, WIDTH))
    lz4 = import_optional("lz4.block", need="The depth of this scene is packed with LZ4; to read it")
    try:
        content = lz4.decompress(packed, uncompressed_size=HEIGHT * WIDTH * IN_MILLIMETRES.itemsize)
        return (np.frombuffer(content, IN_MILLIMETRES).reshape(HEIGHT, WIDTH) / np.float32(MILLIMETRES)).astype(
            np.float32
        )
    except (lz4.LZ4BlockError, ValueError, MemoryError) as error:
        raise InputError(
            f"The depth at byte {start} of {file} is neither LZ4 nor DEFLATE of {WIDTH} x {HEIGHT} pixels; download it "
            "again."
        ) from error


class DepthStream:
    """The depth of all frames in one stream, unpacked one after another; asked for an earlier one it starts again."""

    def __init__(self, file: Path) -> None:
        """Nothing is read yet."""
        self._file = file
        self._restart()

    def frame(self, index: int) -> Image:
        """The depth (m) of a frame, counted from 0.

        Raises:
            InputError: the stream is damaged, or ends before it.
        """
        if index < self._next - 1:
            self._restart()
        while self._next <= index:
            self._last = self._read_frame()
            self._next += 1
        return _cleaned(np.frombuffer(self._last, IN_METRES).reshape(HEIGHT, WIDTH))

    def _restart(self) -> None:
        self._unpacker = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        self._position = 0
        self._next = 0
        self._last = b""

    def _read_frame(self) -> bytes:
        wanted = HEIGHT * WIDTH * IN_METRES.itemsize
        content = b""
        with self._file.open("rb") as stream:
            stream.seek(self._position)
            while len(content) < wanted:
                packed = self._unpacker.unconsumed_tail or stream.read(PIECE)
                if not packed:
                    raise InputError(f"{self._file} ends in frame {self._next}; it is cut, download it again.")
                try:
                    content += self._unpacker.decompress(packed, wanted - len(content))
                except zlib.error as error:
                    raise InputError(f"{self._file} is damaged in frame {self._next}; download it again.") from error
            self._position = stream.tell()
        return content


def _cleaned(depth: Image) -> Image:
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0)).astype(np.float32)
