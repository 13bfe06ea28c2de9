"""Sizes of the network: the papers', and one that a CPU trains in minutes."""

from dataclasses import dataclass, field
from typing import Final

from panrecon.lidar.sparse import Size
from panrecon.lidar.voxels import NUSCENES, SEMANTIC_KITTI, CylinderGrid, grid_over


@dataclass(frozen=True)
class EncoderSizes:
    """Widths of the point MLP, of what voxels take from it, of the U-Net's levels with their strides, of the output."""

    points: tuple[int, ...] = (64, 128, 256)
    voxels: int = 16
    entry: int = 32
    levels: tuple[int, ...] = (64, 128, 256, 512)
    strides: tuple[Size, ...] = ((2, 2, 2), (2, 2, 2), (2, 2, 1), (2, 2, 1))
    output: int = 256

    def __post_init__(self) -> None:
        if not self.points or len(self.levels) != len(self.strides) or not self.levels:
            raise ValueError(
                f"{len(self.levels)} levels need a stride each, not {len(self.strides)}, and points an MLP."
            )


@dataclass(frozen=True)
class NetworkSizes:
    """Everything about a network but its weights and its words.

    `embedding` is the width of vision features and text embeddings. Without `geometry` the network sees nothing of a
    scan but the vision features; without `vision`, nothing but the scan. `fixed_queries`: one a base stuff class.
    `sampled_queries` of the free ones start from voxels, `waves` wavelengths tell places apart, and with `looks` masks
    and meanings hear of the vision features at the start and inside the mask: ours, for small training sets; the
    papers' have none of them.
    """

    grid: CylinderGrid
    encoder: EncoderSizes = field(default_factory=EncoderSizes)
    embedding: int = 768
    free_queries: int = 128
    sampled_queries: int = 0
    waves: int = 0
    looks: bool = False
    layers: int = 6
    heads: int = 8
    hidden: int = 2048
    geometry: bool = True
    vision: bool = True
    fixed_queries: bool = True

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"Features of width {self.width} cannot be shared among {self.heads} heads.")
        if self.sampled_queries > self.free_queries:
            raise ValueError(f"Of {self.free_queries} free queries {self.sampled_queries} cannot be sampled.")
        if not (self.geometry or self.vision):
            raise ValueError("A network without geometry and without vision sees nothing.")

    @property
    def width(self) -> int:
        return self.encoder.output


# Cylinder3D's encoder (Zhu et al., CVPR 2021) with P3Former's head (Xiao et al., 2023).
PAPER_SEMANTIC_KITTI: Final = NetworkSizes(SEMANTIC_KITTI)
PAPER_NUSCENES: Final = NetworkSizes(NUSCENES)

SMALL_ENCODER: Final = EncoderSizes((32, 64), 16, 16, (32, 48), ((2, 2, 2), (2, 2, 2)), 64)
SMALL: Final = NetworkSizes(
    grid_over((120, 120, 20), (-3.0, 3.0)),
    SMALL_ENCODER,
    embedding=64,
    free_queries=108,
    sampled_queries=100,
    waves=5,
    looks=True,
    layers=3,
    heads=4,
    hidden=128,
)
