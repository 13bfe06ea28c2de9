"""The numbers that decide what a field learns, with units, ranges and sources."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class LossWeights:
    """Weights, 0 upwards, of the terms of the loss: the released settings of PanopticRecon (Yu et al. 2024)."""

    depth: float = 2.5
    surface: float = 30.0
    free_space: float = 10.0
    eikonal: float = 1.0
    color: float = 30.0
    category: float = 80.0
    instance: float = 80.0
    feature: float = 80.0

    def by_term(self) -> Mapping[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class RenderingParameters:
    """The samples from which a trained field is rendered; set by hand."""

    search_samples: int = 96  # 16 upwards: along a ray through the whole box, where no depth hint shows the surface
    near_samples: int = 5  # 2 upwards: within the truncation of the surface
    top_samples: int = 2  # 1 to `near_samples`: those of greatest weight, at which colour and labels are read
    min_opacity: float = 0.5  # 0 to 1: a ray of less sees nothing


@dataclass(frozen=True)
class FieldParameters:
    """Lengths in truncations of the field (`field.truncation`, m).

    Unless a source is named, a value was set by hand on the development scenes (simulated rooms, rendered flats, a
    real scan). Shares lie in [0, 1].
    """

    loss_weights: LossWeights = LossWeights()

    # The untrained field.
    initial_sharpness: float = 5.46  # per truncation, above 0: a surface about a fifth of a truncation thick
    initial_distance: float = 1.0  # truncations, above 0: untrained space is free
    initial_table_range: float = 1e-4  # above 0: the hash tables' numbers begin within it (Instant-NGP, section 4)

    # Supervision.
    image_side: int = 320  # pixels, 100 upwards: the longer side of training images
    box_margin: float = 1.0  # truncations, 0.5 upwards: of free space around the surface, inside the field's box
    depth_tolerance: float = 0.5  # truncations, 0.1 to 1: between a pixel's depth and the mesh whose labels it takes
    disagreement_weight: float = 0.3  # share: confidence of a mask's label where the 3D labels disagree

    # Samples.
    labelled_share: float = 0.5  # share of a batch drawn among labelled pixels, the rest among all that have a depth
    min_depth: float = 0.3  # m, 0 upwards: samples in free space begin here; no sensor measures nearer surfaces

    # Losses.
    surface_band: float = 1.5  # truncations along the ray, 0.5 to 3: so near to a surface its distance is the target
    free_space_decay: float = 0.5  # per truncation, above 0: how steeply negative distance in free space costs
    eikonal_floor: float = 0.1  # truncations, above 0: weight of a sample on the surface itself
    min_incidence_cosine: float = 0.2  # 0.05 to 1: rays at more than 78 degrees count as if they came at 78

    # Optimisation by Adam. The authors take five times our steps with a rate of 2e-4.
    table_rate: float = 1e-2  # learning rate of the hash tables (Instant-NGP, Mueller et al. 2022)
    head_rate: float = 6e-3  # learning rate of the heads; labels of small objects need so much in a fifth of the steps
    joint_rate_share: float = 0.3  # share of both rates at which the joint pass begins: it only polishes
    final_rate_share: float = 0.1  # share to which rates decay, exponentially, over each pass
