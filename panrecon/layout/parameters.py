"""The numbers that decide gravity, levels and situations, with units, ranges and sources."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LayoutParameters:
    """Lengths in metres, angles in radians. Values were set from what is said of them, none by a scene's labels."""

    # Cameras (`gravity`): hand-held ones look a little downwards, and wherever the scanning person turns.
    camera_pitch: float = np.deg2rad(15)  # 0 to 30 degrees: below the horizon, how far cameras look on the mean
    camera_deviation: float = np.deg2rad(15)  # 5 to 30 degrees: standard deviation of their mean up, where all agree
    max_tilt: float = np.deg2rad(40)  # 20 to 60 degrees: where all cameras agree, gravity is not farther from them

    # Planes (`gravity`): horizontal and vertical surface tells gravity, the rest is clutter.
    normal_deviation: float = np.deg2rad(5)  # 2 to 10 degrees: of normals of one plane; the kernel's bandwidth
    clutter: float = 0.1  # above 0, to 0.5: likelihood of a normal in clutter, relative to the kernels' peaks
    patch_area: float = 0.1  # m^2, 0.02 to 0.5: surface whose normals err together, so that it counts as one
