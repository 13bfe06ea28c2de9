"""Hyper-parameters of the LiDAR method: network, training, inference, and the baseline's ensemble.

Sources are named beside the values. "Ours" marks what the papers do not have; its values were set by hand on simulated
streets, of which no record was kept.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from panrecon.lidar.sparse import Size3
from panrecon.lidar.voxels import NUSCENES, SEMANTIC_KITTI, CylinderGrid, grid_over

LOSS_NAMES: Final = ("class", "mask", "dice", "position", "false_mask", "semantic", "lovasz", "object", "voxel")

FOCAL_ALPHA: Final = 0.25  # weight of positives in focal loss, in [0, 1] (Lin et al., ICCV 2017)
CLASS_FOCUS: Final = 4.0  # exponent of the focal loss of classes, >= 0 (P3Former, Xiao et al., 2023)
MASK_FOCUS: Final = 2.0  # exponent of the focal loss of masks, >= 0 (P3Former)

Distance = Literal["l1", "cosine"]
UnlabelledVoxels = Literal["ignored", "not_stuff", "negative"]


@dataclass(frozen=True)
class EncoderSettings:
    """Widths of Cylinder3D's encoder (Zhu et al., CVPR 2021); defaults are those of P3Former (Xiao et al., 2023).

    `point_mlp`: layers of the MLP over points; `voxel_width`: what a voxel keeps of its maximum; `level_widths`: levels
    of the U-Net from fine to coarse, each entered with the stride of the same index in `strides`.
    """

    point_mlp: tuple[int, ...] = (64, 128, 256)
    voxel_width: int = 16
    entry_width: int = 32
    level_widths: tuple[int, ...] = (64, 128, 256, 512)
    strides: tuple[Size3, ...] = ((2, 2, 2), (2, 2, 2), (2, 2, 1), (2, 2, 1))
    output_width: int = 256

    def __post_init__(self) -> None:
        """Raises ValueError where levels and strides are not as many, or a list is empty."""
        if not self.point_mlp or len(self.level_widths) != len(self.strides) or not self.level_widths:
            raise ValueError(
                f"{len(self.level_widths)} levels need a stride each, not {len(self.strides)}, and points an MLP."
            )


@dataclass(frozen=True)
class NetworkSettings:
    """Everything that defines a network except its weights and its text embeddings.

    Without `geometry` the network has no encoder and takes vision features alone; without `vision` it takes none.
    With `fixed_queries` there is one query for every base stuff class. `anchored_queries` of the free ones start from
    voxels of the scan (ours, after Mask3D); `appearance` makes masks and class embeddings depend on the vision features
    at the anchor and inside the mask (ours). The papers have neither.
    """

    grid: CylinderGrid
    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    embedding_width: int = 768  # of vision features and text embeddings; CLIP ViT-L/14 (Radford et al., ICML 2021)
    free_queries: int = 128  # P3Former
    anchored_queries: int = 0  # of the free queries; ours
    wavelengths: int = 0  # sine and cosine pairs per axis in the Cartesian position encoding; ours
    appearance: bool = False
    layers: int = 6  # of the decoder (P3Former)
    heads: int = 8  # of its self-attention (P3Former)
    feed_forward_width: int = 2048  # P3Former
    geometry: bool = True
    vision: bool = True
    fixed_queries: bool = True
    shortest_wavelength: float = 4.0  # m, > 0; each of `wavelengths` is twice the one before; ours
    anchor_spacing: float = 5.0  # m, > 0: anchors farther apart do not compete in their sampling; ours
    anchor_radius: float = 3.0  # m, > 0: initial standard deviation of an anchored query's mask, half a vehicle; ours
    appearance_scale: float = 4.0  # >= 0: initial decrease of a mask logit at appearance distance 1; ours
    initial_temperature: float = 0.07  # > 0: of cosines, learned on (CLIP)
    initial_probability: float = 0.01  # in (0, 1): of every class before training (focal loss, Lin et al., ICCV 2017)

    def __post_init__(self) -> None:
        """Raises ValueError where the settings contradict each other."""
        if self.width % self.heads:
            raise ValueError(f"Features of width {self.width} cannot be shared among {self.heads} heads.")
        if self.anchored_queries > self.free_queries:
            raise ValueError(f"Of {self.free_queries} free queries {self.anchored_queries} cannot be anchored.")
        if not (self.geometry or self.vision):
            raise ValueError("A network needs geometry or vision; both are switched off.")

    @property
    def width(self) -> int:
        """Width of voxel features and queries, that of the encoder's output."""
        return self.encoder.output_width

    @property
    def uses_appearance(self) -> bool:
        """Whether masks and class embeddings depend on vision features; never without `vision`."""
        return self.appearance and self.vision


# Cylinder3D's encoder (Zhu et al., CVPR 2021) with P3Former's head (Xiao et al., 2023).
PAPER_SEMANTIC_KITTI: Final = NetworkSettings(SEMANTIC_KITTI)
PAPER_NUSCENES: Final = NetworkSettings(NUSCENES)

SMALL_ENCODER: Final = EncoderSettings((32, 64), 16, 16, (32, 48), ((2, 2, 2), (2, 2, 2)), 64)
SMALL: Final = NetworkSettings(  # a CPU trains it in minutes
    grid_over((120, 120, 20), (-3.0, 3.0)),
    SMALL_ENCODER,
    embedding_width=64,
    free_queries=108,
    anchored_queries=100,
    wavelengths=5,
    appearance=True,
    layers=3,
    heads=4,
    feed_forward_width=128,
)


@dataclass(frozen=True)
class AugmentationSettings:
    """Random changes of training scans; probabilities are shares of scans, in [0, 1]."""

    min_scale: float = 0.95  # as Cylinder3D in mmdetection3d
    max_scale: float = 1.05
    jitter: float = 0.01  # m, >= 0: standard deviation of Gaussian noise on x, y and z; set by hand
    mix_probability: float = 0.0  # of PolarMix or LaserMix, either as often
    copy_paste_probability: float = 0.0  # of adding another scan's labelled objects (PolarMix's second half)
    min_bands: int = 3  # of inclination in LaserMix, >= 1 (mmdetection3d)
    max_bands: int = 6
    band_quantile: float = 0.01  # in [0, 0.5): share of points at either end outside the bands' limits; set by hand


@dataclass(frozen=True)
class MatchingSettings:
    """Weights, >= 0, of the terms of the Hungarian matching's cost, and exponents of its focal losses (P3Former)."""

    class_cost: float = 1.0
    mask_cost: float = 1.0
    dice_cost: float = 2.0
    class_focus: float = CLASS_FOCUS
    mask_focus: float = MASK_FOCUS


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained: AdamW with a learning rate that falls to a tenth at every milestone.

    `object_weight` and `voxel_weight` are those of the two distillation losses. What `unlabelled` voxels, among them
    all novel ones, are to masks: "ignored"; "negative" as in P3Former, which teaches masks to avoid novel objects;
    "not_stuff", negative to the fixed queries alone, right where every point of a base stuff class is labelled (ours).
    With `normalize_masks`, overlapping masks share a voxel in voxel-level distillation; with `balance_masks` every mask
    has the same weight in it, however small (both ours).
    """

    steps: int
    scans_per_step: int = 1
    rate: float = 8e-4  # learning rate (arXiv 2401.02402)
    weight_decay: float = 0.01  # arXiv 2401.02402
    milestones: tuple[float, ...] = (0.6, 0.9)  # shares of the steps; set by hand
    object_weight: float = 1.0
    voxel_weight: float = 0.1  # small: a large one disrupts training (arXiv 2401.02402)
    dice_weight: float = 2.0  # P3Former
    position_weight: float = 0.4  # of the dice loss of masks by position alone (P3Former)
    false_mask_weight: float = 0.0  # of keeping unmatched queries off labelled voxels; ours
    distance: Distance = "l1"  # of voxel-level distillation
    normalize_masks: bool = False
    balance_masks: bool = False
    class_focus: float = CLASS_FOCUS
    mask_focus: float = MASK_FOCUS
    unlabelled: UnlabelledVoxels = "ignored"
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    matching: MatchingSettings = field(default_factory=MatchingSettings)
    checkpoint_every: int = 100  # steps
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return float(self.rate * 0.1 ** sum(step >= share * self.steps for share in self.milestones))

    @property
    def weights(self) -> dict[str, float]:
        """The weight of every loss by its name, in the order of `LOSS_NAMES`."""
        weights = {
            "dice": self.dice_weight,
            "position": self.position_weight,
            "false_mask": self.false_mask_weight,
            "object": self.object_weight,
            "voxel": self.voxel_weight,
        }
        return dict.fromkeys(LOSS_NAMES, 1.0) | weights


def small_training(steps: int, seed: int) -> TrainingSettings:
    """Settings for the small network and some tens of scans; set by hand (see the head of this file)."""
    return TrainingSettings(
        steps,
        rate=2e-3,
        milestones=(0.7, 0.9),
        voxel_weight=1.0,
        normalize_masks=True,
        balance_masks=True,
        unlabelled="not_stuff",
        false_mask_weight=0.3,
        class_focus=2.0,
        augmentation=AugmentationSettings(copy_paste_probability=0.5),
        seed=seed,
    )


def paper_training(steps: int, seed: int) -> TrainingSettings:
    """Settings of arXiv 2401.02402, with LaserMix and PolarMix on every scan as mmdetection3d trains Cylinder3D."""
    return TrainingSettings(steps, augmentation=AugmentationSettings(mix_probability=1.0), seed=seed)


@dataclass(frozen=True)
class InferenceSettings:
    """Which masks become segments."""

    threshold: float = 0.4  # in [0, 1]: queries of a lower score are dropped (P3Former)
    thing_weight: float = 2.0  # > 0: factor on scores of things (P3Former)
    min_share_left: float = 0.8  # in [0, 1]: of its own mask that a segment must win to be kept (P3Former)
    duplicate_iou: float = 0.5  # in [0, 1]: thing masks of a higher IoU are of one object; ours


@dataclass(frozen=True)
class EnsembleSettings:
    """Exponents, in [0, 1], of frozen features' probabilities in the ensemble (FC-CLIP, Yu et al., NeurIPS 2023)."""

    base_exponent: float = 0.4  # FC-CLIP's alpha
    novel_exponent: float = 0.8  # FC-CLIP's beta
    logit_scale: float = 100.0  # factor on cosines before the softmax (CLIP)


DEFAULT_MATCHING: Final = MatchingSettings()
DEFAULT_AUGMENTATION: Final = AugmentationSettings()
DEFAULT_INFERENCE: Final = InferenceSettings()
DEFAULT_ENSEMBLE: Final = EnsembleSettings()
