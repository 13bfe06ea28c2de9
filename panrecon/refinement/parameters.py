"""The numbers that decide labels in the last stage, with units, ranges and sources."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TermWeights:
    """How much every term of the energy counts: factors of log likelihoods, 0 (not at all) and above."""

    object_votes: float = 1.16
    stuff_votes: float = 0.79
    thing: float = 0.64  # log odds of a thing, any sign: shares of things and of stuff are of different frames
    field: float = 0.29
    features: float = 0.68
    layout: float = 0.59
    contradicted_layout: float = 0.4  # more of the layout where it contradicts the masks of a scan often


@dataclass(frozen=True)
class EnergyParameters:
    """The energy of the final labels (`energy`), fitted on simulated rooms by `benchmarks/label_parameters.py`.

    Lengths in voxels of the mesh.
    """

    weights: TermWeights = TermWeights()
    contradiction_scale: float = 0.05  # share of contradicted stuff labels at which half of that weight counts
    share_floor: float = 0.01  # added to every share and probability: votes leave out what is less; not fitted

    # Neighbours on the mesh agree, the more the more they are alike.
    smoothness: float = 1.5  # log odds, 0 to 10: of an edge between two vertices that look the same
    color_scale: float = 0.08  # of RGB in [0, 1], 0.02 to 0.3: one unit of appearance distance
    normal_scale: float = 0.4  # of the difference of unit normals, 0.1 to 1: the same

    temperature: float = 2.5  # 1 to 10: divides the solved log odds; neighbours that agree are no independent judges

    # A vertex near a boundary is similar to the interior of its own segment (`boundaries`).
    appearance: float = 1.0  # weight of that log similarity
    appearance_distance: float = 7.5  # voxels, 2 to 15: one unit of appearance distance
    boundary_distance: float = 3.8  # voxels, 1 to 8: vertices so near to a boundary are compared


@dataclass(frozen=True)
class UnknownParameters:
    """Objects without a name (`unknown`). The two models were fitted on simulated rooms of seeds 100 to 102 by an
    earlier form of `benchmarks/unknown_parameters.py`; what has a range was set by hand on them.
    """

    # Log odds that the stuff which a vertex was given does not explain it.
    unmasked: float = 2.73  # per unit of the log of the share of its views in which it lies in no mask
    share: float = -0.94  # per unit of the log of the share that the stuff has there
    bias: float = 2.69
    share_floor: float = 0.01  # added to shares; not fitted

    # What is not explained falls into pieces.
    gap: float = 4.0  # voxels, 2 to 6: surface that stands out and lies so near to each other is one piece
    min_vertices: int = 50  # 20 to 200: a smaller piece is none
    min_top_area: float = 0.1  # m^2, 0.05 to 0.3: horizontal surface on which other things may stand

    # Log odds that a piece is an object.
    contrast: float = 20.2  # per unit of the contrast at its boundary, in [0, 1]
    log_area: float = 3.06  # per unit of the log of its area in m^2
    standing: float = 5.15  # per unit of the share of its boundary with surface that faces up, in [0, 1]
    object_bias: float = -12.8
    max_flat_area: float = 1.0  # m^2, 0.5 to 2: a larger piece in the plane of a wall is a part of it, as a door


@dataclass(frozen=True)
class RefinementParameters:
    """Lengths in voxels of the mesh, whose edge is `voxel_size` (m).

    Unless a source is named, a value was set by hand on the development scenes (simulated rooms, rendered flats, a
    real scan) by their strict PQ, with voxels of 2 cm; drives of KITTI-360, with voxels of 10 cm, take the same
    numbers. Ranges are those in which the value keeps its meaning; shares lie in [0, 1].
    """

    voxel_size: float  # m, above 0: edge of a voxel of the fused mesh
    energy: EnergyParameters = field(default_factory=EnergyParameters)
    unknown: UnknownParameters = field(default_factory=UnknownParameters)

    # The mesh that is labelled, where it is the field's own surface (`panoptic.surface`).
    max_surface_distance: float = 3.0  # voxels, 1 to 10: what lies farther from the fused mesh is left out

    # Moving-least-squares projection of boundary vertices (`projection`).
    projection_distance: float = 2.0  # voxels, 1 to 4: vertices so near to a boundary are moved
    interior_distance: float = 1.5  # voxels, below the former: interior vertices keep this distance from boundaries
    projection_radius: float = 7.5  # voxels, 3 to 15: interior vertices so near make the plane
    projection_neighbors: int = 30  # 10 to 60: interior vertices, at most, that make it
    min_interior_vertices: int = 10  # 3 to 50: a segment of fewer has no plane
    min_planarity: float = 0.95  # length of the mean of unit normals, 0 to 1: below, interior vertices share no plane
    smoothing_iterations: int = 2  # 0 to 5: of positions and normals before planes are fitted
    min_relief: float = 0.1  # voxels, above 0: height difference from which there is a depth discontinuity
    parallel_cosine: float = 0.9  # 0 to 1: between normals of two surfaces with a step between them

    # Thin structures (`thin_structures`): an occupancy grid, whose cells are voxels. The two rates and the prior odds
    # were fitted on simulated rooms of seeds 100 to 103 by an earlier form of `benchmarks/thin_parameters.py`.
    image_side: int = 320  # pixels: the longer side of the images that are searched
    depth_noise: float = 0.002  # 1/m, of depth squared: standard deviation of a structured-light camera (Nguyen 2012)
    min_gap: float = 4.0  # voxels, 2 to 8: between two surfaces one behind the other, at least
    gap_deviations: float = 4.0  # of depth noise, 2 to 6: the gap is at least so large
    neighbor_radius: float = 1.5  # voxels, 1 to 3: pixels, cells and vertices so near are of one surface
    hit_rate: float = 0.64  # 0.3 to 0.95: of frames whose depth reaches an occupied cell, those that measure it
    clutter_rate: float = 0.11  # above 0, below the former: the same of a free cell that holds a pixel of some frame
    occupancy_prior_odds: float = 0.024  # 0.001 to 1: that a cell which holds a pixel in front of the mesh is occupied
    min_occupancy: float = 0.5  # probability, 0.1 to 0.9: posterior from which a cell is occupied
    tube_radius: float = 0.5  # voxels, 0.25 to 1: radius of the surface that is made around cells
    min_mask_share: float = 0.2  # share of a piece's pixels that masks give to an object which does not lie behind

    def metres(self, voxels: float) -> float:
        """A length in metres."""
        return voxels * self.voxel_size
