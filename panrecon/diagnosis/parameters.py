"""What decides the doctor's findings. One instance goes from `diagnose` and `examine` down to every estimator.

Thresholds named "fitted" lie between what seven unbroken scans show (three built-in rooms, three rendered scenes, a
real one) and what the breaks of `benchmarks/breaks.py` make of them, measured by `benchmarks/doctor_breaks.py`. The
others were set by hand on the same scans; ranges are what makes sense, not what was tried. Confidences alone are fitted
on places that nothing is reported of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

Size = tuple[int, int]  # width and height, pixels


@dataclass(frozen=True)
class SampleParameters:
    """How a scan is thinned out before it is examined: 200 frames take 40 MB."""

    depth_width: int = 160  # px, 80 to 640: of the small depth images; enough for agreement within 2 %
    points_per_frame: int = 1500  # 300 to 20000: points that are reprojected into other frames
    max_color_width: int = 400  # px, 100 to 2000: colour images are decoded at most about so wide, where they allow it
    black_level: int = 3  # of 255, 0 to 20: darker pixels are clipped
    white_level: int = 252  # of 255, 235 to 255: brighter pixels are clipped


@dataclass(frozen=True)
class PoseSearchParameters:
    """The pose hypotheses that are scored, and when one is accepted."""

    pairs: int = 16  # 8 to 100: frame pairs of one gap, and as many of half and of twice the gap
    rotation_deg: float = 15.0  # 3 to 30: within a gap; enough to tell hypotheses apart, little enough to overlap
    max_gap: float = 0.2  # of the frames, 0.05 to 0.5
    point_stride: int = 3  # 1 to 10: every n-th point of a frame scores hypotheses
    coarse_stride: int = 15  # 3 to 50: and of those that are looked through for one that is worth it
    max_offset: int = 5  # frames, 1 to 20: between an image and its pose
    # Units per metre of depth images: mm, TUM RGB-D, Replica (as for SLAM), Redwood, KITTI, m.
    common_depth_scales: tuple[float, ...] = (1000.0, 5000.0, 6553.5, 4000.0, 256.0, 1.0)
    depth_factors: tuple[float, float] = (0.05, 20.0)  # of the depth: least and greatest that are tried
    depth_factor_steps: int = 61  # 20 to 200: 10 % apart, for agreement holds within 2 % and falls off slowly
    focal_factors: tuple[float, float] = (0.6, 1.67)  # of the focal length: least and greatest
    focal_factor_steps: int = 21  # 10 to 100: 5 % apart
    refinement: tuple[float, float] = (0.94, 1.06)  # of the best factor: least and greatest
    refinement_steps: int = 25  # 5 to 100: 0.5 % apart
    max_changes: int = 4  # 1 to 4: convention with offset, depth and focal length, and one of them again
    # Poses' units a metre that happen: mm, cm, inches, feet.
    pose_units: tuple[float, ...] = (1000.0, 100.0, 39.37, 3.2808)
    min_change: float = 0.05  # of the depth, 0.02 to 0.3: at a pixel, from frame to frame
    min_changed: float = 0.4  # of the pixels, 0.1 to 0.8, that change so: tells hypotheses apart as a rotation does
    min_score_to_best: float = 0.5  # 0.2 to 0.9: of what agrees; less explains too little, however well it fits
    min_gain: float = 0.03  # 0.01 to 0.1: of the fit, of a better hypothesis over the one before
    min_overlap: float = 0.1  # of a frame, 0.02 to 0.3: mean below which hypotheses are not distinguished
    min_fit: float = 0.7  # 0.5 to 0.85: of points that could be seen again; below, poses are not depth's


@dataclass(frozen=True)
class DepthScaleParameters:
    """When a depth scale is a common one, cannot be determined, or makes a scene of an impossible extent."""

    common_scale_tolerance: float = 0.04  # log ratio, 0.01 to 0.1: scales are found within 1 or 2 %
    max_static_share: float = 0.9  # 0.7 to 1: of the agreement that is left if the camera is assumed to be static
    min_median: float = 0.15  # m, 0.05 to 0.3: median depth of the nearest scans
    max_median: float = 60.0  # m, 20 to 100: and of the farthest
    min_extent: float = 0.3  # m, 0.05 to 2: no indoor scan is smaller
    max_extent: float = 100.0  # m, 20 to 1000: no indoor scan is larger
    extent_percentile: float = 5.0  # %, 0 to 20: left out at either end of every axis, for stray points


@dataclass(frozen=True)
class StuckPoseParameters:
    """When a frame repeats the pose of the frame before although the camera moved."""

    max_pose_change: float = 1e-6  # m and entries of rotation matrices, 0 to 1e-4: no tracker repeats itself so closely
    min_image_change: float = 3.0  # of 255, 1 to 10, mean over small images: noise of a static camera is under 1


@dataclass(frozen=True)
class PoseJumpParameters:
    """When neighbouring frames do not fit together."""

    min_fit: float = 0.6  # 0.3 to 0.8: of points that could be seen again
    min_told: float = 0.02  # 0.005 to 0.1: of the points, that could be seen again; fewer tell nothing
    min_overlap: float = 0.1  # of a frame, 0.02 to 0.3; fitted: neighbours in unbroken scans have 0.34 at least
    min_median_overlap: float = 0.35  # 0.1 to 0.6: below, a jump may be a gap; fitted: good scans have 0.58
    max_frames: int = 10  # 1 to 50: after which the poses are back


@dataclass(frozen=True)
class ValidDepthParameters:
    """When depth is missing. Fitted: unbroken frames have 56 to 100 %, those of the real scan 35 to 82 %."""

    min_median: float = 0.3  # of the pixels, 0.1 to 0.5: of half of all frames
    max_fragmentation: float = 50.0  # 30 to 300: less is a thing or two before a background that has no depth
    min_frame: float = 0.15  # of the pixels, 0.02 to 0.3: of a single frame
    min_frame_to_median: float = 0.4  # 0.1 to 0.8: of the median, which counts where it is stricter


@dataclass(frozen=True)
class NeighbourParameters:
    """How a frame's colour is compared with its neighbours' where both see the same surface."""

    gaps: tuple[int, ...] = (1, 2, 3)  # frames before and behind, 1 to 10
    depth_tolerance: float = 0.03  # of the depth, 0.01 to 0.1: of the same surface
    pixel_stride: int = 2  # 1 to 8: every n-th row and column of the small images is compared
    min_points: int = 100  # 20 to 1000: shared ones
    min_gray_of_darker: float = 6.0  # of 255, 0 to 30: darker pixels do not follow the exposure
    min_gray_of_lighter: float = 60.0  # of 255, 30 to 128
    max_gray_of_lighter: float = 245.0  # of 255, 200 to 255: lighter pixels do not follow the exposure


@dataclass(frozen=True)
class BlurParameters:
    """When a frame is blurred: its detail as a share of its neighbours'.

    Fitted: the fastest frames of the unbroken rendered kitchen and of the real scan have 0.31; a Gaussian blur of 3 px
    leaves 0.01 to 0.1.
    """

    max_detail: float = 0.2  # 0.1 to 0.3: below, blurred
    max_detail_noted: float = 0.4  # 0.2 to 0.8: below, worth a note


@dataclass(frozen=True)
class ExposureParameters:
    """When a frame's brightness is off: as a ratio to its neighbours'.

    Fitted: the real scan's automatic exposure makes a frame up to 2.1 times as bright; simulated scans drift by 7 %.
    """

    max_ratio: float = 2.7  # 2.1 to 4: above, wrong
    max_step_noted: float = 1.5  # 1.1 to 2.5: from a frame to the next; above, worth a note
    max_clipped: float = 0.4  # of the pixels, 0.3 to 0.8; fitted: unbroken frames have 0.3 (windows of the real scan)
    max_frames: float = 0.5  # of all frames, 0.2 to 0.9: leaving out more than this repairs nothing


@dataclass(frozen=True)
class CoverageParameters:
    """When too little of the surface is seen by several frames."""

    max_frames: int = 60  # 20 to 500: whose points are looked for in all frames
    points_per_frame: int = 100  # 20 to 1000
    depth_tolerance: float = 0.05  # of the depth, 0.02 to 0.1: within which a point lies on a frame's surface
    min_frames: int = 3  # 2 to 10: that a fused surface and a vote of masks need
    min_share_noted: float = 0.65  # of the surface, 0.4 to 0.8: below, worth a note
    min_share: float = 0.42  # of the surface, 0.1 to 0.5: below, wrong
    revisit: float = 0.25  # of all frames, 0.1 to 0.8: between two observations of a point that is seen again later


@dataclass(frozen=True)
class GapParameters:
    """When consecutive frames have nothing in common."""

    min_overlap: float = 0.1  # of a frame, 0.02 to 0.3; fitted: neighbours in unbroken scans have 0.34 at least
    missing_steps: float = 10.0  # 3 to 100: median steps between frame numbers, from which on frames are missing


@dataclass(frozen=True)
class ImageSizeParameters:
    """For which image size intrinsics were stated: that in whose middle the principal point lies."""

    max_decentring: float = 0.2  # of the size, 0.05 to 0.4: of principal points; the real scan's is off by 0.06
    exact_decentring: float = 0.01  # 0 to 0.03: sizes so exact are preferred, of cameras first
    near_decentring: float = 0.08  # 0.02 to 0.2: then sizes so near, simple ratios first
    ratios: tuple[float, ...] = (2.0, 0.5, 4.0, 0.25, 3.0, 1 / 3, 1.5, 2 / 3)  # of resized images
    aspect_tolerance: float = 0.02  # 0.005 to 0.1: of width over height, within which images are resized, not cropped
    # Sizes of RGB-D cameras and of what exports their images, by their data sheets and documentation.
    common_sizes: tuple[Size, ...] = (
        *((1920, 1440), (1920, 1080), (1440, 1920), (1296, 968), (1280, 960), (1280, 720), (1024, 768)),
        *((960, 720), (968, 1296), (848, 480), (640, 480), (640, 360), (480, 640), (320, 240), (256, 192), (192, 256)),
    )


@dataclass(frozen=True)
class AlignmentParameters:
    """How colour is aligned with depth by their gradients, and when it is off.

    Fitted: in unbroken scans colour is found within 2 px of 640 (edges of depth lie next to those of colour by so
    much), the correlation ratio is 0.98 to 1, the peak at 4.1 to 5.7 standard deviations, and parts differ by 2 px.
    """

    frames: int = 18  # 6 to 100: that are correlated
    width: int = 320  # px, 160 to 640: of the images that are correlated
    max_shift: int = 16  # of these px, 4 to 64: right, left, up and down
    depth_window: int = 3  # px, 0 to 8: holes so wide do not hide an edge of depth
    min_depth_step: float = 0.08  # of the depth, 0.02 to 0.3: smaller discontinuities are surface
    max_depth_step: float = 0.5  # of the depth, 0.2 to 2: larger discontinuities count as this
    max_gradient_percentile: float = 98.0  # %, 90 to 100: larger gradients of colour count as this
    zooms: tuple[float, float] = (0.8, 1.25)  # least and greatest that are tried
    zoom_steps: int = 10  # 5 to 50: 5 % apart
    zoom_refinement: float = 0.04  # 0.01 to 0.1: on either side of the best zoom
    zoom_refinement_steps: int = 9  # 3 to 30: 1 % apart
    min_zoom: float = 0.04  # 0.01 to 0.1: from 1; fitted, as the next
    min_zoom_gain: float = 1.15  # 1 to 1.5: correlation at the best zoom over that at 1
    turn_stride: int = 3  # 1 to 6: every n-th of them tells whether colour is turned
    min_turn_gain: float = 1.5  # 1.1 to 3: correlation with colour turned by 180 degrees over that as it is
    min_inverse_difference: float = 0.15  # 1/m, 0.05 to 0.5: of near and far edges, for parallax
    min_strength: float = 3.0  # standard deviations, 2 to 5: of the correlation's peak
    deviations: float = 3.0  # 1 to 5: standard deviations of a shift or of a parallax that tell it from none
    min_shift: float = 0.006  # of the width, 0.002 to 0.03
    max_ratio: float = 0.92  # 0.5 to 0.98: correlation as it is over that at the best shift


@dataclass(frozen=True)
class ConfidenceParameters:
    """How sure a check is of what it suspects: the logistic of an offset and a slope times its evidence.

    Fitted by `benchmarks/doctor_confidence.py` on simulated places that are broken and unbroken; but for "poses", of
    which there was no example: set by hand.
    """

    models: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {
            "pose search": (0.52, 1.54),
            "poses": (-0.88, 3.0),
            "pose jumps": (-1.53, 1.58),
            "colour-depth alignment": (-1.81, 1.51),
            "colour orientation": (-0.88, 2.25),
        }
    )
    trusted: float = 0.9  # 0.5 to 0.99: less is a note


@dataclass(frozen=True)
class DiagnosisParameters:
    """All parameters of the diagnosis of a scan."""

    depth_tolerance: float = 0.02  # of the depth, 0.005 to 0.1: agreement is half there; sensors err by 0.3 to 1 %
    sample: SampleParameters = field(default_factory=SampleParameters)
    pose_search: PoseSearchParameters = field(default_factory=PoseSearchParameters)
    depth_scale: DepthScaleParameters = field(default_factory=DepthScaleParameters)
    stuck_poses: StuckPoseParameters = field(default_factory=StuckPoseParameters)
    pose_jumps: PoseJumpParameters = field(default_factory=PoseJumpParameters)
    valid_depth: ValidDepthParameters = field(default_factory=ValidDepthParameters)
    neighbours: NeighbourParameters = field(default_factory=NeighbourParameters)
    blur: BlurParameters = field(default_factory=BlurParameters)
    exposure: ExposureParameters = field(default_factory=ExposureParameters)
    coverage: CoverageParameters = field(default_factory=CoverageParameters)
    gaps: GapParameters = field(default_factory=GapParameters)
    image_size: ImageSizeParameters = field(default_factory=ImageSizeParameters)
    alignment: AlignmentParameters = field(default_factory=AlignmentParameters)
    confidence: ConfidenceParameters = field(default_factory=ConfidenceParameters)
