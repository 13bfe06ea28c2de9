"""Findings on the cameras: image sizes against intrinsics, and colour against depth."""

from typing import Literal

import numpy as np

from panrecon.diagnosis.alignment import ColorDepthAlignment
from panrecon.diagnosis.finding import SKIP, Finding, listed
from panrecon.diagnosis.image_sizes import ImageSizes
from panrecon.diagnosis.parameters import AlignmentParameters
from panrecon.structures import Camera


def image_size_findings(kind: Literal["colour", "depth"], sizes: ImageSizes, count: int) -> list[Finding]:
    """Whether the intrinsics are for the images' size, and frames of other sizes than the rest of `count` images."""
    findings = [_intrinsics(kind, sizes)]
    if sizes.odd:
        findings.append(
            Finding(
                "image size",
                "wrong",
                f"{len(sizes.odd)} of {count} {kind} images are not {_pixels(sizes.size)} like the others: "
                f"{listed(sizes.odd)}.",
                "the pipeline stops at the first of them",
                {SKIP: list(sizes.odd)},
            )
        )
    return findings


def _intrinsics(kind: Literal["colour", "depth"], sizes: ImageSizes) -> Finding:
    setting = "scan.color_intrinsics" if kind == "colour" else "scan.depth_intrinsics"
    if sizes.fits and sizes.stated == sizes.size:
        return Finding("image size", "fine", f"The {kind} images are {_pixels(sizes.size)}, as stated.")
    if sizes.fits:
        return Finding(
            "image size",
            "wrong",
            f"The {kind} images are {_pixels(sizes.size)}, stated are {sizes.stated[0]} x {sizes.stated[1]}; the "
            "intrinsics are for the images.",
            "the pipeline stops at the first image",
            {setting: list(sizes.intrinsics)},
        )
    sentence = (
        f"The intrinsics of {kind} are for images of {_pixels(sizes.intrinsics_size)}, by their principal point; the "
        f"images are {sizes.size[0]} x {sizes.size[1]}"
    )
    effect = "every pixel's ray has a wrong direction: the surface is bent, and colour falls off it"
    if not sizes.has_same_aspect:
        sentence = f"{sentence}, of another aspect ratio."
        return Finding("image size", "wrong", sentence, f"{effect}; export intrinsics and images again")
    values = [round(float(value), 4) for value in sizes.intrinsics]
    return Finding("image size", "wrong", f"{sentence}.", effect, {setting: values})


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} pixels"


def alignment_finding(
    alignment: ColorDepthAlignment | None,
    camera: Camera,
    color_camera: Camera,
    color_offset: tuple[float, float],
    parameters: AlignmentParameters = AlignmentParameters(),
) -> Finding:
    """Whether colour lies on depth; `color_camera` is shifted by `color_offset` (px) already.

    Shifts are in pixels of the colour images.
    """
    if alignment is None or not _is_certain(alignment, camera.width, parameters):
        sentence = "Depth has too few clear discontinuities to check whether colour is aligned with it."
        return Finding("colour-depth alignment", "note", sentence)
    right = alignment.shift[0] * color_camera.fx / camera.fx
    down = alignment.shift[1] * color_camera.fy / camera.fy
    effect = "masks and colours fall next to their objects, on what lies behind"
    if alignment.zoom != 1.0:
        values = (
            color_camera.fx * alignment.zoom,
            color_camera.fy * alignment.zoom,
            color_camera.cx + right - color_offset[0],
            color_camera.cy + down - color_offset[1],
        )
        return Finding(
            "colour-depth alignment",
            "wrong",
            f"Colour is {alignment.zoom:.3g} times as large as its intrinsics say: its focal length is about "
            f"{values[0]:.0f} px, not {color_camera.fx:.0f} ({_ratio(alignment)}).",
            f"{effect}, the more the farther from the middle",
            {"scan.color_intrinsics": [round(float(value), 3) for value in values]},
        )
    is_off = np.hypot(*alignment.shift) > parameters.min_shift * camera.width
    if is_off and alignment.ratio < parameters.max_ratio:
        offset = [round(float(color_offset[0] + right), 1), round(float(color_offset[1] + down), 1)]
        return Finding(
            "colour-depth alignment",
            "wrong",
            f"Colour lies {right:+.1f} px right and {down:+.1f} px down of depth ({_ratio(alignment)}).",
            effect,
            {"scan.color_offset": offset},
        )
    return Finding(
        "colour-depth alignment",
        "fine",
        f"Edges of colour lie within {np.hypot(right, down):.1f} px of those of depth (of {camera.width}).",
    )


def _is_certain(alignment: ColorDepthAlignment, width: int, parameters: AlignmentParameters) -> bool:
    max_spread = max(parameters.max_spread * width, parameters.max_spread_to_shift * np.hypot(*alignment.shift))
    return bool(alignment.strength >= parameters.min_strength and alignment.spread <= max_spread)


def _ratio(alignment: ColorDepthAlignment) -> str:
    return f"their edges correlate {alignment.ratio:.0%} as well as at best"
