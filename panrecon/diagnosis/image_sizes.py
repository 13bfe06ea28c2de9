"""Estimator of the image size that intrinsics were stated for."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from panrecon.diagnosis.parameters import ImageSizeParameters, Size
from panrecon.structures import Camera


@dataclass(frozen=True)
class ImageSizes:
    """Sizes (width and height, px) of the images of one kind, as stated and as the intrinsics fit best.

    `size` is the most common one and `odd` are the frames of others. `intrinsics_size` is the size in whose middle
    the principal point lies: `size` itself where it is near the middle. With `has_same_aspect`, images of
    `intrinsics_size` may have been resized to `size`, for which `intrinsics` (fx, fy, cx, cy in px) are then.
    """

    size: Size
    odd: tuple[str, ...]
    stated: Size
    intrinsics_size: Size
    has_same_aspect: bool
    intrinsics: tuple[float, float, float, float]

    @property
    def fits(self) -> bool:
        """Whether the principal point lies near the middle of the images."""
        return self.intrinsics_size == self.size


def image_sizes(
    camera: Camera,
    size_of_frame: Mapping[str, Size],
    other_size: Size,
    parameters: ImageSizeParameters = ImageSizeParameters(),
) -> ImageSizes:
    """The images of one kind, colour or depth, against their camera as the files state it.

    `other_size` is the size of the other kind's images: intrinsics are often stated for those.
    """
    size = most_common_size(size_of_frame)
    odd = tuple(name for name, own_size in size_of_frame.items() if own_size != size)
    stated = (camera.width, camera.height)
    if decentring(camera, size) < parameters.max_decentring:
        return ImageSizes(size, odd, stated, size, True, (camera.fx, camera.fy, camera.cx, camera.cy))
    intrinsics_size = _centred_size(camera, size, other_size, parameters)
    x = size[0] / intrinsics_size[0]
    y = size[1] / intrinsics_size[1]
    scaled = (camera.fx * x, camera.fy * y, (camera.cx + 0.5) * x - 0.5, (camera.cy + 0.5) * y - 0.5)
    has_same_aspect = bool(abs(x / y - 1) <= parameters.aspect_tolerance)
    return ImageSizes(size, odd, stated, intrinsics_size, has_same_aspect, scaled)


def most_common_size(size_of_frame: Mapping[str, Size]) -> Size:
    """The size that most frames have; of equals the first."""
    sizes = list(size_of_frame.values())
    return max(dict.fromkeys(sizes), key=sizes.count)


def decentring(camera: Camera, size: Size) -> float:
    """The principal point's distance from the middle of images of a size, as a share of the half size."""
    return float(np.hypot((2 * camera.cx + 1) / size[0] - 1, (2 * camera.cy + 1) / size[1] - 1))


def _centred_size(camera: Camera, size: Size, other_size: Size, parameters: ImageSizeParameters) -> Size:
    """A likely size of the same aspect in whose middle the principal point lies; else twice the principal point."""
    stated = (camera.width, camera.height)
    resized = [(round(size[0] * ratio), round(size[1] * ratio)) for ratio in parameters.ratios]
    options = [
        option
        for option in (stated, other_size, *resized, *parameters.common_sizes)
        if abs(option[0] * size[1] / (option[1] * size[0]) - 1) < parameters.aspect_tolerance
    ]
    by_decentring = sorted(options, key=lambda option: decentring(camera, option))
    exact = [option for option in by_decentring if decentring(camera, option) < parameters.exact_decentring]
    near = [option for option in options if decentring(camera, option) < parameters.near_decentring]
    best = (exact or near or by_decentring)[:1]
    if best and decentring(camera, best[0]) < parameters.max_decentring:
        return best[0]
    return round(2 * camera.cx + 1), round(2 * camera.cy + 1)
