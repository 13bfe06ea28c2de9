"""Settings of every stage: pydantic models, read from YAML and overridden with `section.key=value`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from panrecon.errors import InputError, reason, told
from panrecon.structures import Axes, DepthAlong, PosesAre, QuaternionOrder

# Settings of earlier versions, by what they are called today.
RENAMED: Final[dict[str, str]] = {
    "mesh.slanted": "mesh.point_to_plane",
    "scan.sweep": "scan.deskew",
    "semantics.name_alike": "semantics.similarity_relabelling",
    "field.reach": "field.truncation",
    "panoptic.sharpen": "panoptic.boundary_projection",
    "panoptic.thin": "panoptic.thin_structures",
}

# Settings of earlier versions that are gone, and what does their work.
RETIRED: Final[dict[str, str]] = {
    f"panoptic.{name}": "one energy decides all labels" for name in ("details", "fine_structures")
}


def _from_here(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ValueError(f"{path} is in the home of nobody here") from error


# A path of the user's, from where they stand: stages work in another folder.
UserPath = Annotated[Path, AfterValidator(_from_here)]


def _bare_name_or_absolute(path: Path) -> Path:
    is_name = len(path.parts) == 1 and not path.suffix and not path.is_file()
    return path if is_name else _from_here(path)


TableName = Annotated[Path, AfterValidator(_bare_name_or_absolute)]  # of a table that comes with the package, or a file


def _known_protocols(names: tuple[str, ...]) -> tuple[str, ...]:
    """Checked with the settings: the stage that scores comes last."""
    from panrecon.evaluation.protocols import parse_protocol

    try:
        return tuple(str(parse_protocol(name)) for name in names)
    except InputError as error:
        raise ValueError(str(error)) from error


class StageSettings(BaseModel):
    """Frozen and strict: an unknown key is an error that names itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _names(value: Any) -> Any:
    """Names of frames are numbers in most files."""
    return [str(name) if isinstance(name, int) else name for name in value] if isinstance(value, list) else value


Intrinsics = tuple[PositiveFloat, PositiveFloat, float, float]


class ScanSettings(StageSettings):
    classes: TableName | None = Field(
        None,
        description="class table, a file or a name such as indoor; default: the scene's classes.csv, else ScanNet-20",
    )
    frame_stride: PositiveInt = Field(1, description="take every n-th frame")
    sharpest: bool = Field(False, description="of every frame_stride frames take the sharpest, not the first")
    depth_scale: PositiveFloat = Field(1000.0, description="depth image units per metre")
    skip_invalid_poses: bool = Field(False, description="leave out frames whose pose is not finite (lost tracking)")
    cameras: tuple[Literal["image_00", "image_01"], ...] = Field(
        ("image_00",), min_length=1, description="of a drive, whose images are frames"
    )
    accumulate: PositiveFloat = Field(
        20.0, description="of a drive: LiDAR scans so far along the way, before and behind, give a frame's depth, m"
    )
    deskew: Literal["auto"] | bool = Field(
        "auto",
        description="of a drive: compensate scans for the vehicle's motion; auto: if they then fit better",
    )
    ego_mask: UserPath | None = Field(
        None,
        description="of a drive: image, not 0 where it shows the vehicle itself; default: the scene's ego_mask.png",
    )
    skip_frames: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        (), description="names of frames that are left out"
    )
    poses_are: PosesAre = Field("camera_to_world", description="what the pose files hold")
    axes: Axes = Field("opencv", description="of the poses' cameras; opengl: y up, z backward")
    quaternions: QuaternionOrder = Field(
        "xyzw", description="order in the files that poses were made of; wxyz: w came first but was read last"
    )
    pose_scale: PositiveFloat = Field(1.0, description="metres of a unit of the poses; 0.001 for millimetres")
    pose_offset: float = Field(
        0.0, description="an image has the pose of the file so many frames later; between two it is interpolated"
    )
    pose_drift: float = Field(
        0.0, description="frames by which pose_offset is larger at the last image than at the first"
    )
    depth_along: DepthAlong = Field("axis", description="what depth is measured along: the optical axis, or every ray")
    color_offset: tuple[float, float] = Field(
        (0.0, 0.0), description="colour lies so far right and down of where its intrinsics say, pixels"
    )
    color_turned: Literal[0, 90, 180, 270] = Field(
        0, description="colour images are turned counter-clockwise by so many degrees when they are read"
    )
    color_position: tuple[float, float, float] | None = Field(
        None, description="of the colour camera in the depth camera's frame, m; default: as the scene's files state"
    )
    color_intrinsics: Intrinsics | None = Field(
        None, description="fx, fy, cx, cy of the colour images, pixels; default: as the scene's files state"
    )
    depth_intrinsics: Intrinsics | None = Field(
        None, description="fx, fy, cx, cy of the depth images, pixels; default: as the scene's files state"
    )
    axis_alignment: bool = Field(
        False, description="turn poses, and the scene's own truth, by axisAlignment of <scene>.txt"
    )


class MeshSettings(StageSettings):
    backend: Literal["numba", "open3d"] = Field(
        "numba", description="of the fusion: our kernels, or Open3D's VoxelBlockGrid, on CUDA where there is one"
    )
    voxel_size: PositiveFloat = Field(0.02, description="edge of a TSDF voxel, m")
    truncation: PositiveFloat = Field(4.0, description="truncation distance, voxels")
    depth_max: PositiveFloat = Field(6.0, description="farther measurements are not fused, m")
    point_to_plane: bool = Field(
        False,
        description="distance to the plane through a pixel's neighbours, not along its ray: for smooth depth",
    )
    weight_threshold: PositiveFloat = Field(0.5, description="observations a voxel needs to give surface")
    chunk_size: PositiveFloat | None = Field(
        None, description="edge of the pieces of space that are fused one after another, m; default: 1,280 voxels"
    )
    min_component_faces: NonNegativeInt = Field(6, description="smaller loose pieces of surface are dropped, faces")


class MasksSettings(StageSettings):
    backend: Literal["precomputed", "grounded_sam"] = Field("precomputed", description="where detections come from")
    detections: UserPath | None = Field(
        None, description="COCO results; default: detections.json, else first of detections/"
    )
    min_area: NonNegativeInt = Field(25, description="smaller masks are dropped, pixels")
    implementation: Literal["transformers", "original"] = Field(
        "transformers", description="of Grounded-SAM: Hugging Face's, or segment-anything and groundingdino-py"
    )
    detector: Literal["swin_t", "swin_b"] = Field("swin_t", description="GroundingDINO's size")
    segmenter: Literal["vit_h", "vit_l", "vit_b"] = Field("vit_h", description="SAM's size")
    detector_weights: UserPath | None = Field(
        None, description="your own GroundingDINO, a folder or a .pth file; its size is read from it"
    )
    segmenter_weights: UserPath | None = Field(
        None, description="your own SAM, a folder or a .pth file; its size is read from it"
    )
    box_threshold: float = Field(0.25, ge=0, le=1, description="less certain boxes are dropped")
    text_threshold: float = Field(0.25, ge=0, le=1, description="tokens that agree less are not part of a box's phrase")
    duplicate_iou: float = Field(0.8, gt=0, le=1, description="masks of one class that overlap more are one")
    batch_size: PositiveInt = Field(
        4, description="images a network gets at once on CUDA, halved where memory runs out; a CPU takes one"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: CUDA where there is one")
    precision: Literal["float32", "float16", "bfloat16"] = Field("float32", description="in which networks compute")


class FeaturesSettings(StageSettings):
    backend: Literal["auto", "precomputed", "color", "dinov2"] = Field(
        "auto", description="where dense features come from; auto: precomputed if there are any, else colour statistics"
    )
    folder: UserPath | None = Field(None, description="<frame>.npy files; default: features/ of the raw scene")
    dimensions: PositiveInt = Field(64, description="features are projected to at most this many principal components")
    model: Literal["vits14", "vitb14", "vitl14"] = Field("vits14", description="DINOv2's size")
    registers: bool = Field(False, description="take DINOv2 with registers (Darcet et al., 2024)")
    weights: UserPath | None = Field(
        None, description="your own DINOv2, a folder or a .pth file; its size is read from it"
    )
    pixels_per_feature: float = Field(
        8.0, ge=1, le=1000, description="edge of what a feature stands for; images are resized, pixels"
    )
    batch_size: PositiveInt = Field(4, description="images the network gets at once; halved where memory runs out")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: CUDA where there is one")
    precision: Literal["float32", "float16", "bfloat16"] = Field("float32", description="in which the network computes")


class GraphSettings(StageSettings):
    rule: Literal["consensus", "panopticrecon"] = Field(
        "consensus", description="how masks vote on superfaces: by consensus of the frames, or as the paper writes"
    )
    superface_threshold: PositiveFloat = Field(0.1, description="k of Felzenszwalb-Huttenlocher: larger merges more")
    superface_min_vertices: PositiveInt = Field(20, description="smaller superfaces join a neighbour, vertices")
    color_weight: float = Field(0.2, ge=0, description="weight of colour in a superface edge; 0 = normals only")
    overlap: float = Field(0.5, ge=0.5, lt=1, description="a mask that covers a greater share of a superface holds it")
    depth_tolerance: PositiveFloat = Field(0.05, description="measured and cast depth agree within this, m")
    min_frames: PositiveInt = Field(2, description="an object needs masks in this many frames")


class SemanticsSettings(StageSettings):
    hidden_width: PositiveInt = Field(64, description="width of the classifier's hidden layer")
    iterations: PositiveInt = Field(400, description="optimiser steps at most; a held-out split stops earlier")
    depth_tolerance: PositiveFloat = Field(
        0.03, description="a vertex so near to the surface that its pixel sees takes the pixel's feature, m"
    )
    min_confidence: float = Field(0.5, ge=0, le=1, description="unlabelled points keep void below this probability")
    similarity_relabelling: bool = Field(
        True, description="objects of similar appearance share the words of their masks"
    )
    seed: int = Field(0, description="of the weights that the classifier starts from, and of its held-out split")


class FieldSettings(StageSettings):
    encoding: Literal["auto", "tcnn"] = Field(
        "auto", description="of the hash volumes on a CUDA device: plain torch, or tiny-cuda-nn (a CPU has its own)"
    )
    levels: PositiveInt = Field(6, description="resolutions of each hash volume")
    features_per_level: PositiveInt = Field(4, description="numbers per level and volume")
    base_resolution: PositiveInt = Field(16, description="cells along the longest side at the coarsest level")
    finest_cell: PositiveFloat = Field(0.02, description="cell of the finest level, m")
    truncation: PositiveFloat = Field(
        0.1, description="so near to a measured surface distance and labels are supervised; 5 finest cells, m"
    )
    log2_table_size: PositiveInt = Field(17, description="rows of a level's table, as a power of 2")
    hidden_width: PositiveInt = Field(64, description="width of the heads' hidden layers")
    rays: PositiveInt = Field(640, description="rays per optimiser step")
    near_samples: PositiveInt = Field(6, description="samples per ray around the measured depth")
    free_samples: NonNegativeInt = Field(4, description="samples per ray in front of it")
    label_samples: PositiveInt = Field(
        2, description="samples of greatest weight per ray, at which colour and labels are rendered"
    )
    geometry_iterations: NonNegativeInt = Field(200, description="steps of the first pass: geometry alone")
    frozen_iterations: NonNegativeInt = Field(700, description="steps of the second: the rest, SDF frozen")
    joint_iterations: NonNegativeInt = Field(100, description="steps of the third: everything")
    checkpoint_every: PositiveInt = Field(100, description="steps between resumable checkpoints")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: CUDA where there is one")
    held_out_frames: NonNegativeInt = Field(
        4, description="frames left out of training and compared with renderings, evenly spread; at most one in five"
    )
    seed: int = Field(0, description="of the weights that the field starts from, and of its rays and samples")

    @property
    def steps(self) -> int:
        """Optimiser steps of all three passes."""
        return self.geometry_iterations + self.frozen_iterations + self.joint_iterations


class PanopticSettings(StageSettings):
    surface: Literal["tsdf", "field"] = Field("tsdf", description="which surface carries the labels")
    boundary_projection: bool = Field(
        True,
        description="projects vertices near a boundary onto the surface of their segment (moving least squares)",
    )
    thin_structures: bool = Field(
        True, description="adds what is too thin for the fused surface, where depth images show it"
    )
    unknown_objects: bool = Field(
        False, description="gives objects that no mask explains an id and the class `unknown`, which is not scored"
    )


class QualitySettings(StageSettings):
    protocols: Annotated[tuple[str, ...], AfterValidator(_known_protocols)] = Field(
        ("strict", "panopticrecon", "pvlff", "panoptic_lifting", "panogs"),
        min_length=1,
        description="rules of panoptic quality, as name or name@threshold; the first is the headline",
    )
    radius: PositiveFloat = Field(0.05, description="a true vertex takes the nearest predicted label within this, m")
    visible_only: bool = Field(False, description="what no camera saw is void, where the truth tells (KITTI-360)")
    by_area: bool = Field(False, description="a true vertex counts its area instead of 1")
    ground_truth: UserPath | None = Field(None, description="labelled PLY; default: the raw scene's own annotation")
    seed: int = Field(0, ge=0, description="of the intervals and of the points sampled on surfaces")


class Settings(StageSettings):
    """One section a stage."""

    scan: ScanSettings = ScanSettings()
    mesh: MeshSettings = MeshSettings()
    masks: MasksSettings = MasksSettings()
    features: FeaturesSettings = FeaturesSettings()
    graph: GraphSettings = GraphSettings()
    semantics: SemanticsSettings = SemanticsSettings()
    field: FieldSettings = FieldSettings()
    panoptic: PanopticSettings = PanopticSettings()
    quality: QualitySettings = QualitySettings()


def load_settings(files: Sequence[Path] = (), overrides: Sequence[str] = ()) -> Settings:
    """Defaults, then each YAML file, then each `section.key=value`; later ones win.

    Raises:
        InputError: a file is missing or no mapping, a key is unknown, or a value does not fit.
    """
    if isinstance(overrides, str):
        raise InputError(f"The overrides are the text {overrides!r}; give a list, such as [{overrides!r}].")
    merged: dict[str, Any] = {}
    for file in files:
        merged = _merged(merged, read_settings_file(file))
    for override in overrides:
        merged = _merged(merged, _parse_override(override))
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise InputError(_first_problem(error)) from error


def read_settings_file(file: Path) -> Mapping[str, Any]:
    """The sections of one YAML file, not checked."""
    if file.is_dir():
        raise InputError(f"The settings file {file} is a folder; name a YAML file in it.")
    if not file.is_file():
        raise InputError(f"The settings file {file} does not exist; name a YAML file.")
    try:
        content = yaml.safe_load(file.read_text()) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # of syntax, encoding, dates, digits, depth
        raise InputError(f"The settings file {file} is not YAML: {reason(error)}; mend it.") from error
    if not isinstance(content, Mapping):
        raise InputError(f"The settings file {file} holds {type(content).__name__}, not sections such as 'mesh:'.")
    return content


def _parse_override(override: str) -> Mapping[str, Any]:
    key, equals, text = override.partition("=")
    section, dot, name = key.partition(".")
    if not (equals and dot and section and name):
        raise InputError(f"The setting {override!r} is not section.key=value, such as mesh.voxel_size=0.02.")
    try:
        return {section: {name: yaml.safe_load(text)}}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"The value of the setting {override!r} is not YAML; write a number or a word.") from error


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    name = ".".join(str(part) for part in problem["loc"])
    reason = problem["msg"].lower().removeprefix("value error, ").rstrip(".")
    if problem["type"] == "extra_forbidden" and name in RENAMED:
        return f"The setting {name!r} is called {RENAMED[name]!r} now; change its name."
    if problem["type"] == "extra_forbidden" and name in RETIRED:
        return f"There is no setting {name!r} any more: {RETIRED[name]}; leave it out."
    if problem["type"] == "extra_forbidden":
        return f"There is no setting {name!r}; `panrecon settings` lists them all."
    return f"The setting {name} = {told(problem['input'])} does not fit: {reason}."
