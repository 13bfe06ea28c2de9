"""The numbers that decide labels in the last stage, with units, ranges and sources."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RefinementParameters:
    """Lengths in voxels of the mesh, whose edge is `voxel_size` (m).

    Unless a source is named, a value was set by hand on the development scenes (simulated rooms, rendered flats, a
    real scan) by their strict PQ, with voxels of 2 cm; drives of KITTI-360, with voxels of 10 cm, take the same
    numbers. Ranges are those in which the value keeps its meaning; shares lie in [0, 1].
    """

    voxel_size: float  # m, above 0: edge of a voxel of the fused mesh

    # The mesh that is labelled, where it is the field's own surface (`panoptic.surface`).
    max_surface_distance: float = 3.0  # voxels, 1 to 10: what lies farther from the fused mesh is left out

    # Which vertices near a boundary between segments are labelled again, and by what (`boundaries`, `labelling`).
    boundary_distance: float = 2.5  # voxels, 1 to 5: vertices so near to a boundary are labelled again
    min_interior_share: float = 0.5  # share of its vertices: a segment needs a larger interior to be compared with
    appearance_neighbors: int = 15  # 5 to 50: interior vertices that a vertex is compared with
    appearance_distance: float = 7.5  # voxels, this and the next two: one unit of appearance distance
    appearance_color: float = 0.06  # of RGB in [0, 1]
    appearance_normal: float = 0.3  # of the difference of unit normals, in [0, 2]
    max_appearance_distance: float = 4.0  # units, 2 to 6: what differs more has no similarity
    adjacent_vertices: int = 24  # 8 to 60: nearest vertices whose segments a vertex may take
    similarity_floor: float = 0.05  # above 0, below 1: similarity to a segment that no neighbour is of
    prior_odds: float = 7.4  # 1 (none) to 100: odds of the label that a vertex has already; exp(2)
    field_weight: float = 0.5  # 0 to 1: of the field's log odds beside appearance; neighbours err together
    probability_floor: float = 1e-4  # above 0, to 0.01: no probability counts as less, lest one head vetoes alone
    full_reliability: float = 0.95  # share, above 0.5: a field that agrees with so many prior labels counts in full

    # Which objects are rejected (`labelling`). Of ten objects on ten scenes that are detected so rarely nine were
    # false; the field verified the tenth.
    min_detection_rate: float = 0.3  # share of the frames that see an object: detected by fewer, it must be verified
    min_field_agreement: float = 0.85  # share of its vertices that the field must give to it to verify it
    min_field_reliability: float = 0.8  # share of prior labels: a field that agrees with fewer rejects nothing

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

    # Elongated segments and small objects (`fine_structures`, `visibility`).
    min_support: float = 0.4  # share of the frames that show a segment: more must give a vertex to it
    min_support_frames: int = 2  # 1 to 5: frames that show the segment and see the vertex
    max_interior_share: float = 0.8  # share of its vertices: a segment with a larger interior is not elongated
    elongated_radius: float = 10.0  # voxels, 2 to 20: vertices so near to an elongated segment may join it
    release_distance: float = 1.0  # units of appearance, 0 to 4: from its segment's interior, for a vertex to leave it
    freeze_distance: float = 2.0  # units, above the former: from which one frame suffices and the label is final
    small_area: float = 250.0  # square voxels, 0 to 2000: objects of less area are small
    small_radius: float = 1.5  # voxels, 0.5 to 5: the mesh is subdivided, and vertices may join, so near to them
    depth_tolerance: float = 2.0  # voxels, 0.5 to 4: between a vertex and the depth at its pixel, to be visible
    min_shown_share: float = 0.3  # share of a segment's visible vertices that a frame must give to it to show it
    min_shown_vertices: int = 5  # 1 to 50: visible vertices, for a frame to show a segment
    max_sampled_vertices: int = 1000  # 100 upwards: of a segment, that are looked up in every frame

    # Thin structures (`thin_structures`).
    image_side: int = 320  # pixels: the longer side of the images that are searched
    cell_size: float = 1.0  # voxels, 0.5 to 2: edge of the cells that pixels are collected in
    neighbor_radius: float = 1.5  # voxels, 1 to 3: pixels and cells so near are neighbours
    link_radius: float = 1.75  # voxels, above the former: cells so near are of one piece
    min_gap: float = 4.0  # voxels, 2 to 8: between a pixel's surface and the mesh behind it
    min_vertex_distance: float = 2.0  # voxels, 1 to 4: from every vertex of the mesh
    tube_radius: float = 0.5  # voxels, 0.25 to 1: radius of the surface that is made around cells
    tube_spacing: float = 0.5  # voxels, up to the former: of the grid from which that surface is extracted
    depth_noise: float = 0.002  # 1/m, of depth squared: standard deviation of a structured-light camera (Nguyen 2012)
    gap_deviations: float = 4.0  # of depth noise, 2 to 6: the gap is at least so large
    tolerance_deviations: float = 2.0  # of depth noise, 1 to 4: added to a cell's edge where depth is compared with it
    max_window: int = 8  # pixels, 1 to 20: a frame is asked for its depth no farther around a cell
    max_gap_share: float = 0.2  # share of a frame's pixels in front of the mesh: with more its pose is taken for wrong
    min_line_share: float = 0.6  # share of the pixels of a line through its neighbourhood that must be neighbours
    min_thin_frames: int = 3  # 2 to 10: frames that measure something in a cell or beside it
    max_free_space_share: float = 0.2  # share of the frames that see a cell and measure something behind it
    min_mask_share: float = 0.2  # share of a piece's pixels that masks give to an object which does not lie behind

    def metres(self, voxels: float) -> float:
        """A length in metres."""
        return voxels * self.voxel_size
