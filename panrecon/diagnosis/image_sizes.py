"""Whether images are of the size that the intrinsics were stated for."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from panrecon.diagnosis.findings import SKIP, Finding, some
from panrecon.structures import Camera

Size = tuple[int, int]  # width and height, pixels
# Sizes that RGB-D cameras and their exporters give.
USUAL: Final[tuple[Size, ...]] = (
    *((1920, 1440), (1920, 1080), (1440, 1920), (1296, 968), (1280, 960), (1280, 720), (1024, 768)),
    *((960, 720), (968, 1296), (848, 480), (640, 480), (640, 360), (480, 640), (320, 240), (256, 192), (192, 256)),
)
CENTRED: Final = 0.2  # of the size, by which principal points may be off the middle; the real scan's is by 0.06
EXACT, NEAR = 0.01, 0.08  # sizes so near are preferred, exact ones of cameras, then simple ratios
RATIOS: Final = (2.0, 0.5, 4.0, 0.25, 3.0, 1 / 3, 1.5, 2 / 3)
ALIKE: Final = 0.02  # of the ratio of width to height: resized images


def sizes(kind: str, camera: Camera, found: Mapping[str, Size], other: Size) -> list[Finding]:
    """Images (`found` by frame) of one kind, colour or depth, against their camera as the files state it.

    `other` is the size of the other kind's images: intrinsics are often stated for those.
    """
    counts: dict[Size, int] = {}
    for size in found.values():
        counts[size] = counts.get(size, 0) + 1
    usual = max(counts, key=lambda size: counts[size])
    odd = [name for name, size in found.items() if size != usual]
    findings = [_intrinsics(kind, camera, usual, other)]
    if odd:
        findings.append(
            Finding(
                "image size",
                "wrong",
                f"{len(odd)} of {len(found)} {kind} images are not {usual[0]} x {usual[1]} pixels like the others: "
                f"{some(odd)}.",
                "the pipeline stops at the first of them",
                {SKIP: odd},
            )
        )
    return findings


def _intrinsics(kind: str, camera: Camera, size: Size, other: Size) -> Finding:
    """Whether the principal point is in the middle of the images, or in that of images of another size."""
    name = "color" if kind == "colour" else kind
    stated = (camera.width, camera.height)
    if _off_centre(camera, size) < CENTRED:
        if stated == size:
            return Finding("image size", "fine", f"The {kind} images are {size[0]} x {size[1]} pixels, as stated.")
        return Finding(
            "image size",
            "wrong",
            f"The {kind} images are {size[0]} x {size[1]} pixels, stated are {stated[0]} x {stated[1]}; the intrinsics "
            "are for the images.",
            "the pipeline stops at the first image",
            {f"scan.{name}_intrinsics": [camera.fx, camera.fy, camera.cx, camera.cy]},
        )
    resized = [(round(size[0] * ratio), round(size[1] * ratio)) for ratio in RATIOS]
    options = [
        own for own in (stated, other, *resized, *USUAL) if abs(own[0] * size[1] / (own[1] * size[0]) - 1) < ALIKE
    ]
    by_centre = sorted(options, key=lambda own: _off_centre(camera, own))
    exact = [own for own in by_centre if _off_centre(camera, own) < EXACT]
    near = [own for own in options if _off_centre(camera, own) < NEAR]
    fitting = (exact or near or by_centre)[:1]
    guessed = (round(2 * camera.cx + 1), round(2 * camera.cy + 1))
    snug = fitting[0] if fitting and _off_centre(camera, fitting[0]) < CENTRED else guessed
    x, y = size[0] / snug[0], size[1] / snug[1]
    sentence = (
        f"The intrinsics of {kind} have their centre at {camera.cx:.0f}, {camera.cy:.0f}, as for images of {snug[0]} x "
        f"{snug[1]} pixels; they are {size[0]} x {size[1]}."
    )
    effect = "everything is seen in the wrong direction: the surface is bent and colour beside it"
    if abs(x / y - 1) > ALIKE:
        return Finding("image size", "wrong", f"{sentence[:-1]}, of another shape.", f"{effect}; export them again")
    meant = (camera.fx * x, camera.fy * y, (camera.cx + 0.5) * x - 0.5, (camera.cy + 0.5) * y - 0.5)
    values = [round(float(value), 4) for value in meant]
    return Finding("image size", "wrong", sentence, effect, {f"scan.{name}_intrinsics": values})


def _off_centre(camera: Camera, size: Size) -> float:
    """How far the principal point is off the middle of images of a size, as a share of it."""
    return float(np.hypot((2 * camera.cx + 1) / size[0] - 1, (2 * camera.cy + 1) / size[1] - 1))
