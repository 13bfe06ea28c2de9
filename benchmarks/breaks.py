"""Ways to break a good raw scene in ScanNet's layout, each as it happens to people; the originals stay as they are."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from panrecon.datasets.label_images import in_order
from panrecon.datasets.poses import read_matrix
from panrecon.geometry.projective import FLIP, nearest_pixel, pixel_directions, project, unproject
from panrecon.geometry.trajectory import poses_at
from panrecon.io.files import write_text
from panrecon.io.images import read_color, write_image
from panrecon.structures import Camera

Matrix = Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Break:
    """What is done to a copy of a scene, the check that has to find it, and the `settings` it is then read with."""

    name: str
    check: str
    apply: Callable[[Path], None]
    settings: Mapping[str, Any] = field(default_factory=dict)
    has_repair: bool = True
    severity: str = "wrong"  # the least one of the finding


def copied(scene: Path, folder: Path) -> Path:
    """A copy of a raw scene in a folder, with links instead of images."""
    target = folder / scene.name
    for kind in ("color", "depth"):
        shutil.copytree(scene / kind, target / kind, copy_function=lambda a, b: Path(b).symlink_to(Path(a).resolve()))
    for kind in ("pose", "intrinsic"):
        shutil.copytree(scene / kind, target / kind)
    if (scene / f"{scene.name}.txt").is_file():
        shutil.copy(scene / f"{scene.name}.txt", target)
    return target


def names_of(scene: Path) -> list[str]:
    """Names of all frames, in order."""
    return [path.stem for path in in_order((scene / "color").iterdir())]


def evenly_spaced_names(scene: Path, count: int) -> list[str]:
    """Names of evenly spaced frames, neither the first nor the last."""
    names = names_of(scene)
    return [names[int(frame_index)] for frame_index in np.linspace(0, len(names) - 1, count + 2)[1:-1]]


def poses_of(scene: Path) -> dict[str, Matrix]:
    """The pose of every frame as its file states it, by the frame's name."""
    return {name: read_matrix(scene / "pose" / f"{name}.txt") for name in names_of(scene)}


def write_poses(scene: Path, of_frame: Mapping[str, Matrix]) -> None:
    """Overwrites the pose files of these frames."""
    for name, pose in of_frame.items():
        write_matrix(scene / "pose" / f"{name}.txt", pose)


def write_matrix(path: Path, matrix: Matrix) -> None:
    """Writes a matrix as text, a row a line."""
    write_text(path, "\n".join(" ".join(f"{value:.9g}" for value in row) for row in matrix) + "\n")


def change_poses(scene: Path, change: Callable[[Matrix], Matrix]) -> None:
    """Replaces every pose by a function of it."""
    write_poses(scene, {name: change(pose) for name, pose in poses_of(scene).items()})


def offset_poses(scene: Path, frames: int) -> None:
    """Writes the pose of image i into the file of image i + `frames`; at the end poses repeat."""
    names = names_of(scene)
    old = poses_of(scene)
    frame_indices = np.clip(np.arange(len(names)) - frames, 0, len(names) - 1)
    write_poses(scene, {name: old[names[frame_index]] for name, frame_index in zip(names, frame_indices, strict=True)})


def repeat_poses(scene: Path, frames: int) -> None:
    """Repeats a pose for `frames` frames, as if tracking had stopped."""
    names = names_of(scene)
    old = poses_of(scene)
    start = len(names) // 2
    write_poses(scene, dict.fromkeys(names[start + 1 : start + 1 + frames], old[names[start]]))


def jump_poses(scene: Path, names: Sequence[str], metres: float) -> None:
    """Moves the poses of these frames by so many metres."""
    old = poses_of(scene)
    shift = np.eye(4)
    shift[:3, 3] = metres / np.sqrt(3)
    write_poses(scene, {name: shift @ old[name] for name in names})


def lose_poses(scene: Path) -> None:
    """Writes three poses that are not finite, as ScanNet does where tracking is lost."""
    write_poses(scene, {name: np.full((4, 4), -np.inf) for name in evenly_spaced_names(scene, 3)})


def rescale_depth(scene: Path, factor: float) -> None:
    """Multiplies all depth images, as if depth were stored in another unit."""
    change_depth(scene, names_of(scene), lambda raw: np.clip(np.rint(raw * factor), 0, 65535).astype(np.uint16))


def change_depth(scene: Path, names: Sequence[str], change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Replaces the depth images of these frames by a function of the stored values."""
    for name in names:
        path = scene / "depth" / f"{name}.png"
        raw = image_of(path)
        path.unlink()
        cv2.imwrite(str(path), change(raw))


def lose_depth(scene: Path, names: Sequence[str], share: float) -> None:
    """Removes depth at a share of the pixels, in blocks, as glass and black surfaces do."""

    def holes(raw: np.ndarray) -> np.ndarray:
        blocks = np.random.default_rng(0).random((raw.shape[0] // 16 + 1, raw.shape[1] // 16 + 1)) < share
        return np.where(np.kron(blocks, np.ones((16, 16), bool))[: raw.shape[0], : raw.shape[1]], 0, raw)

    change_depth(scene, names, holes)


def change_color(scene: Path, names: Sequence[str], change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Replaces the colour images of these frames by a function of them."""
    for name in names:
        (path,) = (scene / "color").glob(f"{name}.*")
        image = change(read_color(path))
        path.unlink()
        write_image(path, image)


def shift_color(scene: Path, right: int, down: int) -> None:
    """Shifts all colour images by so many pixels, around the edges."""
    change_color(scene, names_of(scene), lambda image: np.roll(image, (down, right), (0, 1)))


def turn_color(scene: Path) -> None:
    """Turns all colour images by 180 degrees, as programs do that take EXIF's orientation literally."""
    change_color(scene, names_of(scene), lambda image: image[::-1, ::-1])


def blur_color(scene: Path) -> None:
    """Blurs three frames as motion does, by a Gaussian of a hundredth of the width."""

    def smear(image: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(image, (0, 0), image.shape[1] / 100)

    change_color(scene, evenly_spaced_names(scene, 3), smear)


def expose_color(scene: Path, factor: float) -> None:
    """Multiplies the brightness of three frames."""
    change_color(
        scene,
        evenly_spaced_names(scene, 3),
        lambda image: np.clip(image.astype(float) * factor, 0, 255).astype(np.uint8),
    )


def shrink_color(scene: Path) -> None:
    """Halves the size of two colour images."""
    change_color(scene, evenly_spaced_names(scene, 2), lambda image: image[::2, ::2])


def scale_intrinsics(scene: Path, kinds: Sequence[str], focal: float = 1.0, size: float = 1.0) -> None:
    """Multiplies focal lengths, or states the intrinsics of images `size` times as large."""
    for kind in kinds:
        path = scene / "intrinsic" / f"intrinsic_{kind}.txt"
        matrix = read_matrix(path)
        matrix[[0, 1], [0, 1]] *= focal * size
        matrix[:2, 2] = (matrix[:2, 2] + 0.5) * size - 0.5
        write_matrix(path, matrix)


def state_sizes(scene: Path) -> None:
    """States the image sizes of ScanNet's camera, whatever the images are."""
    write_text(
        scene / f"{scene.name}.txt", "colorHeight = 968\ncolorWidth = 1296\ndepthHeight = 484\ndepthWidth = 648\n"
    )


def interpolate_poses(scene: Path, frames_late: Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " n"]]) -> None:
    """Writes the pose of so many frames before, a function of the share of the scan that is over, for every image."""
    names = names_of(scene)
    poses = np.stack(list(poses_of(scene).values()))
    index = np.arange(len(names), dtype=np.float64)
    late = poses_at(poses, np.clip(index - frames_late(index / max(len(names) - 1, 1)), 0, len(names) - 1))
    write_poses(scene, dict(zip(names, late, strict=True)))


def reorder_quaternions(pose: Matrix) -> Matrix:
    """The pose that a reader of x, y, z, w makes of a quaternion that was written as w, x, y, z."""
    x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
    result = pose.copy()
    result[:3, :3] = Rotation.from_quat([w, x, y, z]).as_matrix()
    return result


def scale_shift(pose: Matrix, factor: float) -> Matrix:
    """The pose in another unit."""
    result = pose.copy()
    result[:3, 3] *= factor
    return result


def measure_along_rays(scene: Path) -> None:
    """Turns depth along the optical axis into depth along every pixel's ray."""
    names = names_of(scene)
    height, width = image_of(scene / "depth" / f"{names[0]}.png").shape
    matrix = read_matrix(scene / "intrinsic" / "intrinsic_depth.txt")
    camera = Camera(width, height, matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
    lengths = np.linalg.norm(pixel_directions(camera), axis=-1)
    change_depth(scene, names, lambda raw: np.clip(np.rint(raw * lengths), 0, 65535).astype(np.uint16))


def image_of(path: Path) -> np.ndarray:
    """An image as it is stored."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def unregister_depth(scene: Path, metres: float, focal: float) -> None:
    """Depth as a camera sees it that stands so far left of the colour camera and has another focal length."""
    names = names_of(scene)
    matrix = read_matrix(scene / "intrinsic" / "intrinsic_depth.txt")
    height, width = image_of(scene / "depth" / f"{names[0]}.png").shape
    camera = Camera(width, height, matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
    other = replace(camera, fx=camera.fx * focal, fy=camera.fy * focal)

    def seen_from_beside(raw: np.ndarray) -> np.ndarray:
        points = unproject(camera, raw.astype(np.float64))[raw > 0]
        points[:, 0] += metres * 1000
        pixels, z = project(other, points)
        column, row, inside = nearest_pixel(other, pixels)
        result = np.zeros_like(raw)
        order = np.argsort(-z[inside], kind="stable")  # the nearest is written last
        result[row[inside][order], column[inside][order]] = np.rint(z[inside][order]).astype(raw.dtype)
        return np.where(result > 0, result, cv2.medianBlur(result, 3))

    change_depth(scene, names, seen_from_beside)
    depth_from_color = np.eye(4)
    depth_from_color[0, 3] = -metres
    change_poses(scene, lambda pose: pose @ depth_from_color)
    matrix[[0, 1], [0, 1]] *= focal
    for kind in BOTH:  # as people state them who take one camera for the other
        write_matrix(scene / "intrinsic" / f"intrinsic_{kind}.txt", matrix)


def keep(scene: Path, is_kept: Callable[[int, int], bool]) -> None:
    """Removes the frames for which `is_kept`(frame index, number of frames) is false."""
    names = names_of(scene)
    for frame_index, name in enumerate(names):
        if not is_kept(frame_index, len(names)):
            for kind in ("color", "depth", "pose"):
                for path in (scene / kind).glob(f"{name}.*"):
                    path.unlink()


def _half_world(scene: Path) -> None:
    names = names_of(scene)
    jump_poses(scene, names[len(names) // 2 :], 0.6)


BOTH: Final = ("color", "depth")
ALIGNMENT: Final = "colour-depth alignment"
CONVENTION: Final = "pose convention"
BREAKS: Final = (
    Break("world to camera", CONVENTION, partial(change_poses, change=np.linalg.inv)),
    Break("OpenGL axes", CONVENTION, partial(change_poses, change=lambda pose: pose @ FLIP)),
    Break("both of these", CONVENTION, partial(change_poses, change=lambda pose: np.linalg.inv(pose @ FLIP))),
    Break("quaternions begin with w", CONVENTION, partial(change_poses, change=reorder_quaternions)),
    Break(
        "poses half a frame late", "time offset", lambda scene: interpolate_poses(scene, lambda over: 0.5 + 0 * over)
    ),
    Break(
        "poses 4 frames late at the end", "time offset", lambda scene: interpolate_poses(scene, lambda over: 4 * over)
    ),
    Break("poses in millimetres", "pose scale", partial(change_poses, change=partial(scale_shift, factor=1000.0))),
    Break("depth along the ray", "depth direction", measure_along_rays),
    Break("colour upside down", "colour orientation", turn_color),
    Break("depth camera 4 cm beside", ALIGNMENT, partial(unregister_depth, metres=0.04, focal=1.1)),
    Break("poses 1 frame late", "time offset", partial(offset_poses, frames=1)),
    Break("poses 3 frames early", "time offset", partial(offset_poses, frames=-3)),
    Break("depth in 1/5000 m", "depth scale", partial(rescale_depth, factor=5.0)),
    Break("depth in 1/6553.5 m", "depth scale", partial(rescale_depth, factor=6.5535)),
    Break("depth in 1/4000 m", "depth scale", partial(rescale_depth, factor=4.0)),
    Break("depth in 1/256 m", "depth scale", partial(rescale_depth, factor=0.256)),
    Break("depth said to be metres", "depth scale", lambda _: None, {"depth_scale": 1.0}),
    Break("depth 30 % too small", "depth scale", partial(rescale_depth, factor=0.7)),
    Break("focal length 20 % off", "intrinsics", partial(scale_intrinsics, kinds=BOTH, focal=1.2)),
    Break(
        "colour's focal length 12 % off",
        ALIGNMENT,
        partial(scale_intrinsics, kinds=("color",), focal=1.12),
    ),
    Break("colour shifted (8, -6)", ALIGNMENT, partial(shift_color, right=8, down=-6)),
    Break("colour shifted (0, 6)", ALIGNMENT, partial(shift_color, right=0, down=6)),
    Break("colour intrinsics of twice the size", "image size", partial(scale_intrinsics, kinds=("color",), size=2.0)),
    Break("depth intrinsics of half the size", "image size", partial(scale_intrinsics, kinds=("depth",), size=0.5)),
    Break("all intrinsics of twice the size", "image size", partial(scale_intrinsics, kinds=BOTH, size=2.0)),
    Break("other sizes stated", "image size", state_sizes),
    Break("2 images of half the size", "image size", shrink_color),
    Break("3 poses lost", "lost poses", lose_poses),
    Break("4 poses stuck", "stuck poses", partial(repeat_poses, frames=4)),
    Break("3 poses jump by 0.5 m", "pose jumps", lambda s: jump_poses(s, evenly_spaced_names(s, 3), 0.5)),
    Break("second half moved by 0.6 m", "pose jumps", _half_world, has_repair=False),
    Break("3 frames blurred", "blur", blur_color),
    Break("3 frames at 0.3 of the light", "exposure", partial(expose_color, factor=0.3)),
    Break("3 frames at 4 times the light", "exposure", partial(expose_color, factor=4.0)),
    Break("3 frames almost without depth", "valid depth", lambda s: lose_depth(s, evenly_spaced_names(s, 3), 0.95)),
    Break("80 % of all depth lost", "valid depth", lambda s: lose_depth(s, names_of(s), 0.8), has_repair=False),
    Break(
        "every 6th frame only",
        "coverage",
        partial(keep, is_kept=lambda frame_index, _: frame_index % 6 == 0),
        has_repair=False,
    ),
    Break(
        "middle third missing",
        "gaps",
        partial(keep, is_kept=lambda frame_index, n: not n / 3 < frame_index < 2 * n / 3),
        has_repair=False,
        severity="note",
    ),
)
