"""The vocabulary: what passes between functions, on one page.

Metres and radians. Cameras look along +z with x right and y down (OpenCV); pixel centres lie at integer coordinates.
A category is a class index into the scene's `CategoryTable` (0 .. C-1), an instance an object index (0 .. I-1);
`VOID` (-1) means none. Only files use the table's ids, where 0 means none (`panrecon.io`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, SupportsIndex

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from panrecon.roles import Role, default_role

VOID: Final = -1
UNKNOWN: Final = "unknown"  # the class of objects that no class of the prompts names
UNKNOWN_ID: Final = 65535  # its id in files: the last that a 16-bit label image holds, which no other table takes
BACKGROUND_CLASSES: Final = ("sky",)  # images show them, but no surface has them
PosesAre = Literal["camera_to_world", "world_to_camera"]
QuaternionOrder = Literal["xyzw", "wxyz"]  # of files of poses: wxyz begins with the real part
DepthAlong = Literal["axis", "ray"]  # what depth images measure along: the optical axis, or every pixel's own ray
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
        """The intrinsic matrix K, in pixels."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)

    def scaled(self, factor: float) -> "Camera":
        """The camera of the same image resized by `factor`; pixel centres stay at integer coordinates."""
        width = round(self.width * factor)
        height = round(self.height * factor)
        x = width / self.width
        y = height / self.height
        return Camera(width, height, self.fx * x, self.fy * y, (self.cx + 0.5) * x - 0.5, (self.cy + 0.5) * y - 0.5)


@dataclass(frozen=True)
class Frame:
    """The files of one RGB-D image of a scan, and its pose."""

    name: str
    color: Path
    depth: Path
    world_from_camera: Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Scan:
    """A posed RGB-D sequence; colour is registered to depth, so that one `camera` sees both.

    `source_camera` is that of the colour images as recorded: precomputed detections and features lie on its pixels.
    `source_from_camera` is its pose relative to `camera`, None where they coincide; only a raw scan may have another,
    and images that have to be turned by `source_turned` degrees counter-clockwise when they are read.
    """

    scene: str
    camera: Camera
    source_camera: Camera
    depth_scale: float  # depth image units per metre
    frames: tuple[Frame, ...]
    source_from_camera: Float[np.ndarray, "4 4"] | None = None
    source_turned: int = 0

    @property
    def needs_registration(self) -> bool:
        """Whether colour has to be turned or resampled to lie on depth."""
        is_elsewhere = self.source_camera != self.camera or self.source_from_camera is not None
        return is_elsewhere or self.source_turned != 0

    @property
    def poses(self) -> Float[np.ndarray, "n 4 4"]:
        """`world_from_camera` of every frame."""
        return np.stack([frame.world_from_camera for frame in self.frames])


@dataclass(frozen=True)
class View:
    """One frame in memory: colour in RGB, depth in metres along the optical axis, 0 where not measured."""

    name: str
    camera: Camera
    world_from_camera: Float[np.ndarray, "4 4"]
    color: UInt8[np.ndarray, "h w 3"]
    depth: Float[np.ndarray, "h w"]


@dataclass(frozen=True)
class Rig:
    """The calibration of a vehicle with a stereo pair of cameras and a LiDAR.

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
        """The poses of the two rectified cameras on the vehicle."""
        first, second = zip(self.vehicle_from_camera, self.rectified_from_camera, strict=True)
        return first[0] @ np.linalg.inv(first[1]), second[0] @ np.linalg.inv(second[1])

    @property
    def vehicle_from_lidar(self) -> Float[np.ndarray, "4 4"]:
        """The pose of the LiDAR on the vehicle."""
        return self.vehicle_from_camera[0] @ np.linalg.inv(self.lidar_from_camera)


@dataclass(frozen=True)
class Views:
    """Frames of one camera to be read in any order, and again; their names and poses are known before."""

    names: tuple[str, ...]
    camera: Camera
    poses: Float[np.ndarray, "n 4 4"]  # world from camera
    read: Callable[[int], View]

    @classmethod
    def of(cls, views: Sequence[View]) -> "Views":
        """Views that are in memory."""
        names = tuple(view.name for view in views)
        return cls(names, views[0].camera, np.stack([view.world_from_camera for view in views]), views.__getitem__)


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
    """One class; `id` is its label in files, `raw_ids` are the data set's own label ids that map to it.

    `thing` classes have instances, others are stuff; only `evaluated` ones are scored. Synonyms are further words by
    which detections may name the class. `stated_role` is None where its words say its role.
    """

    id: int
    name: str
    thing: bool
    evaluated: bool = True
    synonyms: tuple[str, ...] = ()
    raw_ids: tuple[int, ...] = ()
    stated_role: Role | None = None

    @property
    def role(self) -> Role:
        """What gravity and planes say of the class: as stated, else by its name and synonyms."""
        if self.stated_role is not None:
            return self.stated_role
        return default_role(normalised(self.name), [normalised(synonym) for synonym in self.synonyms])


@dataclass(frozen=True)
class CategoryTable:
    """The classes of a scene, in order; label arrays hold indices into this table."""

    categories: tuple[Category, ...]

    def __len__(self) -> int:
        return len(self.categories)

    def __iter__(self) -> Iterator[Category]:
        return iter(self.categories)

    def __getitem__(self, category_index: SupportsIndex) -> Category:
        return self.categories[category_index]

    @cached_property
    def is_thing(self) -> Bool[np.ndarray, " C"]:
        """Whether the class has instances (thing) or none (stuff)."""
        return np.array([category.thing for category in self.categories], dtype=bool)

    @cached_property
    def is_evaluated(self) -> Bool[np.ndarray, " C"]:
        """Whether the class counts when a result is scored."""
        return np.array([category.evaluated for category in self.categories], dtype=bool)

    @cached_property
    def is_background(self) -> Bool[np.ndarray, " C"]:
        """Whether the class lies behind all surfaces (sky), so that no vertex can have it."""
        return np.array([normalised(category.name) in BACKGROUND_CLASSES for category in self.categories], dtype=bool)

    @property
    def background(self) -> int:
        """The index of the background class (sky); `VOID` where the table has none."""
        return next((index for index, background in enumerate(self.is_background) if background), VOID)

    @cached_property
    def ids(self) -> Int[np.ndarray, " C"]:
        """The label of every class in files; all are positive, for 0 means void there."""
        return np.array([category.id for category in self.categories], dtype=np.int32)

    @cached_property
    def _index_of_word(self) -> dict[str, int]:
        names = {normalised(category.name): index for index, category in enumerate(self.categories)}
        synonyms = {
            normalised(synonym): index
            for index, category in enumerate(self.categories)
            for synonym in category.synonyms
        }
        return synonyms | names

    @cached_property
    def index_of_raw_id(self) -> dict[int, int]:
        """The class index of every label id of the data set that maps to a class."""
        return {raw_id: index for index, category in enumerate(self.categories) for raw_id in category.raw_ids}

    @property
    def unknown(self) -> int:
        """The index of the class `unknown`, of objects without a name; `VOID` where the table has none of things."""
        index = self.index_of(UNKNOWN)
        return index if index != VOID and self.categories[index].thing else VOID

    def with_unknown(self) -> "CategoryTable":
        """The table with the class `unknown` at its end, which is not evaluated; a table that has its own keeps it."""
        if self.index_of(UNKNOWN) != VOID:
            return self
        free_id = next(label for label in range(UNKNOWN_ID, 0, -1) if label not in self.ids)
        return CategoryTable((*self.categories, Category(free_id, UNKNOWN, thing=True, evaluated=False)))

    def index_of(self, word: str) -> int:
        """The class index of a name or synonym, whatever its case; a name precedes a synonym, no class is `VOID`."""
        return self._index_of_word.get(normalised(word), VOID)


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
    """A mesh seen by a camera: depth along the optical axis (m, 0 = no surface) and the face hit (`VOID` = none)."""

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
    """Vision features of a LiDAR scan's points; those that are not `valid` lie in no image and are zero."""

    values: Float[np.ndarray, "n D"]
    valid: Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class SuperfaceGraph:
    """Votes of all frames for and against each pair of superfaces being one object, in frames; first < second."""

    first: Int[np.ndarray, " E"]
    second: Int[np.ndarray, " E"]
    votes_for: Float[np.ndarray, " E"]
    votes_against: Float[np.ndarray, " E"]


@dataclass(frozen=True)
class SupportingMask:
    """A mask of an object: its frame, its index among the frame's detections, its class and its score in [0, 1].

    `vertices` is how many of the mesh it covers.
    """

    frame: str
    detection: int
    category: int
    score: float
    vertices: int


@dataclass(frozen=True)
class SceneObject:
    """One object (instance of a thing class) and the evidence for it; `confidence` in [0, 1].

    `votes_for` and `votes_against` are summed over the pairs of its superfaces, in frames. `contradicting` are the
    frames that view it well, do not detect it, and have most of it in other objects' masks or in stuff.
    """

    category: int
    confidence: float
    votes_for: float
    votes_against: float
    masks: tuple[SupportingMask, ...]
    contradicting: tuple[str, ...]

    @property
    def frames(self) -> tuple[str, ...]:
        """The frames with a mask of it, in order."""
        return tuple(dict.fromkeys(mask.frame for mask in self.masks))


@dataclass(frozen=True)
class Labels:
    """Category and instance of every point (vertex, superface, pixel ...).

    Predictions have instances only on things; annotations may have instances of stuff too, which few protocols count.
    """

    category: Int[np.ndarray, "*points"]
    instance: Int[np.ndarray, "*points"]

    def at(self, index: Int[np.ndarray, "*queries"]) -> "Labels":
        """The labels of the points `index`; an index of `VOID` gives void."""
        category = np.append(self.category, VOID)[index].astype(np.int32)  # the last is read by VOID
        instance = np.append(self.instance, VOID)[index].astype(self.instance.dtype)
        return Labels(category, instance)


def listed(category: Int[np.ndarray, "*points"]) -> Int[np.ndarray, "*points"]:
    """The class indices, void where a number below `VOID` remembers an id without a class (`panrecon.io.ids`)."""
    return np.maximum(category, VOID)


def only_things(labels: Labels, table: CategoryTable) -> Labels:
    """The labels without the instances of stuff."""
    thing = np.append(table.is_thing, False)[labels.category]
    return Labels(labels.category, np.where(thing, labels.instance, VOID).astype(labels.instance.dtype))


def with_categories(labels: Labels, objects: Sequence[SceneObject]) -> Labels:
    """The labels, in which the points of every object have the object's class."""
    category_of_object = np.array([scene_object.category for scene_object in objects], dtype=np.int32)
    on_object = labels.instance != VOID
    category = labels.category.copy()
    category[on_object] = category_of_object[labels.instance[on_object]]
    return Labels(category, labels.instance)


@dataclass(frozen=True)
class Instances:
    """Labels of every superface, and the objects that the instances index."""

    of_superface: Labels
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True)
class SegmentedScene:
    """A mesh of V vertices cut into superfaces, and the instances that masks made of them."""

    mesh: TriangleMesh
    superface_of_vertex: Int[np.ndarray, " V"]
    instances: Instances
    table: CategoryTable


LabelsOfView = Callable[[View], Labels]  # a view's own labels, of its masks, at its size; called from several threads


@dataclass(frozen=True)
class LabelledScene:
    """A mesh with a label for each of its V vertices, the objects that instances index, and the labels of any view."""

    mesh: TriangleMesh
    labels: Labels
    objects: Sequence[SceneObject]
    table: CategoryTable
    labels_of_view: LabelsOfView


@dataclass(frozen=True)
class PointSemantics:
    """Class probabilities of every point; rows sum to 1, or are all 0 where no frame gave the point a feature."""

    probability: Float[np.ndarray, "V C"]

    @property
    def category(self) -> Int[np.ndarray, " V"]:
        """The most likely class of every point; `VOID` where it has no feature."""
        known = self.probability.any(axis=1)
        return np.where(known, self.probability.argmax(axis=1), VOID).astype(np.int32)

    @property
    def confidence(self) -> Float[np.ndarray, " V"]:
        """The probability of the most likely class, in [0, 1]; 0 where there is no feature."""
        return np.asarray(self.probability.max(axis=1))


@dataclass(frozen=True)
class PanopticMesh:
    """The result: a mesh with a category and an instance at every vertex.

    Raises:
        ValueError: there are more or fewer labels than vertices.
    """

    mesh: TriangleMesh
    labels: Labels

    def __post_init__(self) -> None:
        if len(self.labels.category) != len(self.mesh.vertices):
            raise ValueError(
                f"{len(self.labels.category)} vertex labels do not fit a mesh of {len(self.mesh.vertices)} vertices."
            )
