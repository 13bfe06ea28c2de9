"""The vocabulary: what passes between functions, on one page.

Metres and radians. Cameras look along +z with x right and y down (OpenCV); pixel centres lie at integer coordinates.
Categories are rows of the scene's `CategoryTable` (0 .. C-1) and instances are 0 .. I-1; `VOID` (-1) means none.
Only files use the table's ids, where 0 means none (`panrecon.io`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, SupportsIndex

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

VOID: Final = -1
SURFACELESS: Final = ("sky",)  # classes that images show and no surface has
PosesAre = Literal["camera_to_world", "world_to_camera"]
Axes = Literal["opencv", "opengl"]  # of a camera: x right, y down, z forward; or x right, y up, z backward


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion; `width` and `height` in pixels, focal lengths and centre in pixels."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    @property
    def matrix(self) -> Float[np.ndarray, "3 3"]:
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)

    def scaled(self, factor: float) -> "Camera":
        """The camera of the same image resized by `factor`; pixel centres stay at integer coordinates."""
        width, height = round(self.width * factor), round(self.height * factor)
        x, y = width / self.width, height / self.height
        return Camera(width, height, self.fx * x, self.fy * y, (self.cx + 0.5) * x - 0.5, (self.cy + 0.5) * y - 0.5)


@dataclass(frozen=True)
class Frame:
    """Where one RGB-D image of a scan lies on disk and from where it was taken."""

    name: str
    color: Path
    depth: Path
    world_from_camera: Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Scan:
    """A posed RGB-D sequence; colour is registered to depth, so that one `camera` sees both.

    `source_camera` saw the colour images as they came: precomputed detections and features lie on its pixels.
    `source_from_camera` is where it stood, None for the place of `camera`; only a raw scan's may stand elsewhere.
    """

    scene: str
    camera: Camera
    source_camera: Camera
    depth_scale: float  # depth image units per metre
    frames: tuple[Frame, ...]
    source_from_camera: Float[np.ndarray, "4 4"] | None = None

    @property
    def needs_registration(self) -> bool:
        """Whether colour has to be resampled to lie on depth."""
        return self.source_camera != self.camera or self.source_from_camera is not None

    @property
    def poses(self) -> Float[np.ndarray, "n 4 4"]:
        """`world_from_camera` of every frame."""
        return np.stack([frame.world_from_camera for frame in self.frames])


@dataclass(frozen=True)
class View:
    """One frame, read: colour in RGB, depth in metres along the optical axis, 0 where not measured."""

    name: str
    camera: Camera
    world_from_camera: Float[np.ndarray, "4 4"]
    color: UInt8[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]


@dataclass(frozen=True)
class Rig:
    """A vehicle with two cameras side by side and a LiDAR, and where they sit.

    The vehicle's frame has x forward, y right and z down; a LiDAR has x forward, y left and z up. Cameras as they are
    mounted turn into the rectified ones, whose images are used, by the rotation `rectified_from_camera`. Both
    rectified cameras look the same way, the second `baseline` metres to the right of the first.
    """

    camera: Camera
    baseline: float
    vehicle_from_camera: tuple[Float[np.ndarray, "4 4"], Float[np.ndarray, "4 4"]]
    rectified_from_camera: tuple[Float[np.ndarray, "4 4"], Float[np.ndarray, "4 4"]]
    lidar_from_camera: Float[np.ndarray, "4 4"]  # of the first camera as it is mounted

    @property
    def vehicle_from_rectified(self) -> tuple[Float[np.ndarray, "4 4"], Float[np.ndarray, "4 4"]]:
        """Where the images are seen from."""
        first, second = zip(self.vehicle_from_camera, self.rectified_from_camera, strict=True)
        return first[0] @ np.linalg.inv(first[1]), second[0] @ np.linalg.inv(second[1])

    @property
    def vehicle_from_lidar(self) -> Float[np.ndarray, "4 4"]:
        return self.vehicle_from_camera[0] @ np.linalg.inv(self.lidar_from_camera)


@dataclass(frozen=True)
class Views:
    """Frames of one camera to be read in any order, and again; from where they were taken is known before."""

    camera: Camera
    poses: Float[np.ndarray, "n 4 4"]
    read: Callable[[int], View]

    @classmethod
    def of(cls, views: Sequence[View]) -> "Views":
        """Views that are in memory."""
        return cls(views[0].camera, np.stack([view.world_from_camera for view in views]), views.__getitem__)


@dataclass(frozen=True)
class LidarImage:
    """An image taken while a LiDAR turned; `camera_from_lidar` takes the scan's points into its rectified camera."""

    name: str
    path: Path
    camera: Camera
    camera_from_lidar: Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class LidarScan:
    """One turn of a LiDAR: x, y, z (m) in the sensor's frame and intensity in [0, 1]; `labels` where annotated."""

    name: str
    points: Float[np.ndarray, "n 4"]
    labels: "Labels | None"
    images: tuple[LidarImage, ...]


@dataclass(frozen=True)
class Category:
    """A row of a class table; `id` is its number in files, `raw_ids` the data set's own label ids that mean it."""

    id: int
    name: str
    thing: bool
    evaluated: bool = True
    synonyms: tuple[str, ...] = ()
    raw_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class CategoryTable:
    """The classes of a scene; arrays hold row numbers of this table."""

    categories: tuple[Category, ...]

    def __len__(self) -> int:
        return len(self.categories)

    def __iter__(self) -> Iterator[Category]:
        return iter(self.categories)

    def __getitem__(self, row: SupportsIndex) -> Category:
        return self.categories[row]

    @cached_property
    def is_thing(self) -> Bool[np.ndarray, " C"]:
        return np.array([category.thing for category in self.categories], dtype=bool)

    @cached_property
    def is_evaluated(self) -> Bool[np.ndarray, " C"]:
        return np.array([category.evaluated for category in self.categories], dtype=bool)

    @cached_property
    def has_surface(self) -> Bool[np.ndarray, " C"]:
        """Whether surfaces can be of the class: what sees the sky saw past all of them."""
        return np.array([normalised(category.name) not in SURFACELESS for category in self.categories], dtype=bool)

    @property
    def beyond(self) -> int:
        """The row of what lies behind all surfaces; `VOID` where no class does."""
        return next((row for row, surface in enumerate(self.has_surface) if not surface), VOID)

    @cached_property
    def ids(self) -> Int[np.ndarray, " C"]:
        return np.array([category.id for category in self.categories], dtype=np.int32)

    @cached_property
    def _row_of_word(self) -> dict[str, int]:
        names = {normalised(category.name): row for row, category in enumerate(self.categories)}
        synonyms = {normalised(word): row for row, category in enumerate(self.categories) for word in category.synonyms}
        return synonyms | names

    @cached_property
    def row_of_raw_id(self) -> dict[int, int]:
        return {raw: row for row, category in enumerate(self.categories) for raw in category.raw_ids}

    def row_of(self, word: str) -> int:
        """The row a name or synonym stands for, whatever its case; `VOID` for a word of no class."""
        return self._row_of_word.get(normalised(word), VOID)


def normalised(word: str) -> str:
    """A class word in lower case with single spaces."""
    return " ".join(word.lower().replace("_", " ").split())


@dataclass(frozen=True)
class TriangleMesh:
    """A surface in the world frame; triangles turn counter-clockwise seen from outside (from the free space)."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    colors: UInt8[np.ndarray, "V 3"]


@dataclass(frozen=True)
class SurfaceImage:
    """What a camera sees of a mesh: depth along the optical axis (m, 0 = nothing) and the face hit (`VOID` = none)."""

    depth: Float[np.ndarray, "h w"]
    face: Int[np.ndarray, "h w"]


@dataclass(frozen=True)
class Detections:
    """The detections of one frame, most certain first; masks may overlap."""

    category: Int[np.ndarray, " D"]
    score: Float[np.ndarray, " D"]
    mask: Bool[np.ndarray, "D h w"]

    def __len__(self) -> int:
        return len(self.category)


@dataclass(frozen=True)
class FeatureMap:
    """Dense features of one frame on a grid; cell (gx, gy) lies at pixel u = (gx + 0.5) * width / w - 0.5, v alike."""

    values: Float[np.ndarray, "h w D"]


@dataclass(frozen=True)
class PointFeatures:
    """Vision features of a scan's points; those that are not `valid` were in no image and are zero."""

    values: Float[np.ndarray, "n D"]
    valid: Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class SuperfaceGraph:
    """Votes of all masks on pairs of superfaces: `votes_for` being one object and `votes_against`; first < second."""

    first: Int[np.ndarray, " E"]
    second: Int[np.ndarray, " E"]
    votes_for: Float[np.ndarray, " E"]
    votes_against: Float[np.ndarray, " E"]


@dataclass(frozen=True)
class SupportingMask:
    """A mask of an object: its frame, its place among the frame's detections, and what it says of the class."""

    frame: str
    detection: int
    category: int
    score: float


@dataclass(frozen=True)
class SceneObject:
    """One thing of the scene and the evidence for it; `confidence` in [0, 1].

    Votes are those on pairs of its superfaces. `contradicting` are the frames that see it well and call it something
    else, as another object's mask or as stuff.
    """

    category: int
    confidence: float
    votes_for: float
    votes_against: float
    masks: tuple[SupportingMask, ...]
    contradicting: tuple[str, ...]

    @property
    def frames(self) -> tuple[str, ...]:
        """The frames that detected it, in order."""
        return tuple(dict.fromkeys(mask.frame for mask in self.masks))


@dataclass(frozen=True)
class Labels:
    """Category and instance of every point (vertex, superface, pixel ...).

    What the pipeline finds has instances only on things; annotations may number stuff too, which few protocols count.
    """

    category: Int[np.ndarray, "*points"]
    instance: Int[np.ndarray, "*points"]

    def at(self, index: Int[np.ndarray, "*queries"]) -> "Labels":
        """The labels of the points `index`; an index of `VOID` gives void."""
        found = index != VOID
        return Labels(
            np.where(found, self.category[index], VOID).astype(np.int32),
            np.where(found, self.instance[index], VOID).astype(self.instance.dtype),
        )


def only_things(labels: Labels, table: CategoryTable) -> Labels:
    """The labels, instances kept on things alone."""
    thing = np.append(table.is_thing, False)[labels.category]
    return Labels(labels.category, np.where(thing, labels.instance, VOID).astype(labels.instance.dtype))


def with_categories(labels: Labels, objects: Sequence[SceneObject]) -> Labels:
    """The labels, every object's points with its object's class."""
    category_of_object = np.array([found.category for found in objects], dtype=np.int32)
    mine = labels.instance != VOID
    category = labels.category.copy()
    category[mine] = category_of_object[labels.instance[mine]]
    return Labels(category, labels.instance)


@dataclass(frozen=True)
class Instances:
    """What the graph found: labels of every superface, and the objects that its instance numbers stand for."""

    of_superface: Labels
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class PointSemantics:
    """Class probabilities of every point; rows sum to 1, or are all 0 where no frame gave the point a feature."""

    probability: Float[np.ndarray, "V C"]

    @property
    def category(self) -> Int[np.ndarray, " V"]:
        known = self.probability.any(axis=1)
        return np.where(known, self.probability.argmax(axis=1), VOID).astype(np.int32)

    @property
    def confidence(self) -> Float[np.ndarray, " V"]:
        return np.asarray(self.probability.max(axis=1))


@dataclass(frozen=True)
class PanopticMesh:
    """The result: a surface whose every vertex knows its class and its object."""

    mesh: TriangleMesh
    labels: Labels

    def __post_init__(self) -> None:
        if len(self.labels.category) != len(self.mesh.vertices):
            raise ValueError(
                f"{len(self.labels.category)} vertex labels do not fit a mesh of {len(self.mesh.vertices)} vertices."
            )
