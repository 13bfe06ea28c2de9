"""Findings on the cameras: image sizes against intrinsics, and colour against depth."""

from typing import Any, Final, Literal

import numpy as np

from panrecon.config import ScanSettings
from panrecon.diagnosis.alignment import ColorDepthAlignment
from panrecon.diagnosis.finding import SKIP, Finding, listed, suspicion
from panrecon.diagnosis.image_sizes import ImageSizes
from panrecon.diagnosis.parameters import DiagnosisParameters
from panrecon.geometry.projective import invert
from panrecon.structures import Scan

MAX_CROP: Final = 0.5  # of half the image: the principal point's distance from the middle, up to which it may be so
POSITION: Final = "scan.color_position"
EFFECT: Final = "masks and colours fall next to their objects, on what lies behind"


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
    if not sizes.has_same_aspect and np.hypot(*(np.divide(sizes.intrinsics_size, sizes.size) - 1)) < MAX_CROP:
        sentence = f"The principal point of {kind} lies off the middle, as in images that were cropped or rectified."
        return Finding("image size", "note", sentence)
    if not sizes.has_same_aspect:
        sentence = f"{sentence}, of another aspect ratio."
        return Finding("image size", "wrong", sentence, f"{effect}; export intrinsics and images again")
    values = [round(float(value), 4) for value in sizes.intrinsics]
    return Finding("image size", "wrong", f"{sentence}.", effect, {setting: values})


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} pixels"


def orientation_finding(
    gain: float, turned: int, parameters: DiagnosisParameters = DiagnosisParameters()
) -> Finding | None:
    """Colour that stands upside down on depth, by how much better edges correlate if it is turned; None if not.

    It is turned by so many degrees already.
    """
    if gain < parameters.alignment.min_turn_gain:
        return None
    finding = Finding(
        "colour orientation",
        "wrong",
        f"Colour stands upside down on depth: edges correlate {gain:.1f} times as well if it is turned by 180 degrees.",
        EFFECT,
        {"scan.color_turned": (turned + 180) % 360},
    )
    return suspicion(finding, float(np.log(gain)), parameters.confidence)


def alignment_findings(
    alignment: ColorDepthAlignment | None,
    scan: Scan,
    settings: ScanSettings,
    parameters: DiagnosisParameters = DiagnosisParameters(),
) -> list[Finding]:
    """Whether colour lies on depth; several findings are alternatives, whose repairs are to be tried.

    The scan's colour camera is that of the settings. Shifts are in pixels of colour.
    """
    limits = parameters.alignment
    if alignment is None or alignment.strength < limits.min_strength:
        sentence = "Depth has too few clear edges to check whether colour is aligned with it."
        return [Finding("colour-depth alignment", "note", sentence)]
    size = max(float(np.hypot(*alignment.shift)), abs(alignment.zoom - 1) * scan.camera.width / 4)
    least = limits.min_shift * scan.camera.width
    if size < least or alignment.ratio > limits.max_ratio:
        offset = np.hypot(*_in_color_pixels(alignment, scan))
        sentence = f"Edges of colour lie within {offset:.1f} px of those of depth (of {scan.camera.width})."
        return [Finding("colour-depth alignment", "fine", sentence)]
    certainty = np.log(size / np.hypot(least, limits.deviations * alignment.deviation))
    gain = np.log(limits.max_ratio / max(alignment.ratio, limits.max_ratio / 2))
    evidence = float(certainty + gain + 2 * np.log(alignment.strength / limits.min_strength))
    return [
        suspicion(_misaligned(alignment, scan, settings, is_beside), evidence, parameters.confidence)
        for is_beside in ([False, True] if np.dot(alignment.parallax.shift, alignment.shift) > 0 else [False])
    ]


def _in_color_pixels(alignment: ColorDepthAlignment, scan: Scan) -> tuple[float, float]:
    right, down = alignment.shift
    return right * scan.source_camera.fx / scan.camera.fx, down * scan.source_camera.fy / scan.camera.fy


def color_position(alignment: ColorDepthAlignment, scan: Scan) -> list[float]:
    """Where the colour camera is in the depth camera's frame (m), if all of the shift comes from its being beside."""
    per_metre = alignment.parallax.inverse_depth * np.array([scan.camera.fx, scan.camera.fy])
    before = np.zeros(3) if scan.source_from_camera is None else invert(scan.source_from_camera)[:3, 3]
    moved = np.array([*(-np.array(alignment.shift) / per_metre), 0.0])
    return [round(float(value), 4) for value in before + moved]


def _misaligned(alignment: ColorDepthAlignment, scan: Scan, settings: ScanSettings, is_beside: bool) -> Finding:
    """A shift of the image, or a camera beside, which shifts what is near by more; either with a zoom."""
    color = scan.source_camera
    right, down = _in_color_pixels(alignment, scan)
    correlated = f"their edges correlate {alignment.ratio:.0%} as well as at best"
    focal = color.fx * alignment.zoom, color.fy * alignment.zoom
    stated = color.cx - settings.color_offset[0], color.cy - settings.color_offset[1]
    repair: dict[str, Any] = {}
    clauses = []
    if alignment.zoom != 1.0:
        clauses.append(
            f"is {alignment.zoom:.3g} times as large as its intrinsics say: its focal length is about "
            f"{focal[0]:.0f} px, not {color.fx:.0f}"
        )
        centre = stated if is_beside else (stated[0] + right, stated[1] + down)
        repair["scan.color_intrinsics"] = [round(float(value), 3) for value in (*focal, *centre)]
    if is_beside:
        position = color_position(alignment, scan)
        clauses.append(
            f"is not registered to depth: it lies {right:+.1f} px right and {down:+.1f} px down of it, more where "
            "things are near, as the image of a camera beside"
        )
        repair[POSITION] = position
    elif alignment.zoom == 1.0:
        clauses.append(f"lies {right:+.1f} px right and {down:+.1f} px down of depth")
        offset = (settings.color_offset[0] + right, settings.color_offset[1] + down)
        repair["scan.color_offset"] = [round(float(value), 1) for value in offset]
    return Finding("colour-depth alignment", "wrong", f"Colour {' and '.join(clauses)} ({correlated}).", EFFECT, repair)
