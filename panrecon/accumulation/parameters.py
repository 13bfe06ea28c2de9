"""What decides which LiDAR points are dynamic, whether scans are motion compensated, and which pixels get a depth.

Set by hand for a 64-beam LiDAR on a car (KITTI-360's Velodyne HDL-64E) unless a source is given; the simulated street,
whose depth and motion are exact, tests them.
"""

from dataclasses import dataclass, field

Point = tuple[float, float, float]


@dataclass(frozen=True)
class ScanParameters:
    """Which scans are put together, and which of their points are left out."""

    spacing: float = 0.5  # m along the way, 0.1 to 2: a vehicle at rest adds no more scans
    tested_neighbours: int = 5  # scans before and after one, 1 to 20: their rays test whether its points are dynamic
    vehicle_min: Point = (-3.5, -1.3, -2.2)  # m in the LiDAR's frame: points between this corner and the next lie
    vehicle_max: Point = (2.2, 1.3, 0.3)  # on the vehicle itself; KITTI-360's station wagon


@dataclass(frozen=True)
class RangeImageParameters:
    """The spherical range images that ray tests are made in."""

    rows: int = 96  # 32 to 256; about 1.5 times the beams of a 64-beam LiDAR, over the elevations below
    columns: int = 720  # 360 to 2048; 0.5 degrees of azimuth each
    min_elevation_deg: float = -30.0  # -90 to 0; a Velodyne HDL-64E ends at -24.8
    max_elevation_deg: float = 15.0  # 0 to 90; a Velodyne HDL-64E ends at +2, other street LiDARs at +15


@dataclass(frozen=True)
class DynamicPointParameters:
    """When other scans show that a point moved: visibility as in Removert (Kim & Kim, IROS 2020)."""

    range_margin: float = 0.4  # m, 0.1 to 1: a ray that ends so much farther has passed through the point's place
    relative_range_margin: float = 0.02  # of the range, 0 to 0.1: added to the margin
    min_free_space_violations: int = 2  # scans, 1 to 5: so many rays through a point's place make it dynamic
    min_violations_per_hit: float = 0.5  # 0.1 to 2: a long car covers its own place for several scans
    cell_size: float = 0.4  # m, 0.1 to 1: dynamic points make the others of their cell dynamic
    min_dynamic_share: float = 0.4  # of a cell's points, 0.1 to 0.9


@dataclass(frozen=True)
class DeskewParameters:
    """How it is measured whether motion compensation makes pairs of scans fit each other better."""

    max_range: float = 25.0  # m, 10 to 60: farther rings lie too far apart for planes
    pair_count: int = 6  # pairs of scans, evenly spaced along the drive, 2 to 20
    pair_distance: float = 10.0  # m along the way between the scans of a pair, 2 to 20
    point_stride: int = 5  # every n-th point is compared, 1 to 50
    neighbours: int = 8  # points of the other scan that a plane is fitted to, 4 to 30
    max_neighbour_distance: float = 1.0  # m, 0.3 to 3
    max_vertical_normal: float = 0.7  # |z| of a unit normal, 0.3 to 1: steeper planes only, not the ground
    max_plane_distance: float = 0.3  # m, 0.1 to 1: larger distances are clipped to it
    max_distance_ratio: float = 0.97  # 0.8 to 1, of mean distances after and before: below, scans are compensated


@dataclass(frozen=True)
class DepthImageParameters:
    """How accumulated points become a dense depth image."""

    ring_spacing: float = 0.0073  # rad, 0.002 to 0.04: between the rings of a 64-beam LiDAR (26.8 deg / 63 = 0.0074)
    min_plane_distance: float = 1.5  # m from the camera to any plane, 0.5 to 3: bounds the gradient of inverse depth
    layer_thickness: float = 0.002  # 1/m of inverse depth, 0.0005 to 0.01: scatter of points of one surface
    min_weight: float = 0.5  # of points around a pixel, 0.1 to 3; a point at the pixel's centre weighs 1
    max_centroid_offset: float = 1.0  # px, 0.5 to 3: farther to one side, the pixel is outside a silhouette
    gradient_damping: float = 0.05  # px^2, 0 to 1: keeps gradients fitted to few points small


@dataclass(frozen=True)
class AccumulationParameters:
    """All parameters of the accumulation of LiDAR scans into depth images."""

    scans: ScanParameters = field(default_factory=ScanParameters)
    range_image: RangeImageParameters = field(default_factory=RangeImageParameters)
    dynamic_points: DynamicPointParameters = field(default_factory=DynamicPointParameters)
    deskew: DeskewParameters = field(default_factory=DeskewParameters)
    depth_image: DepthImageParameters = field(default_factory=DepthImageParameters)
