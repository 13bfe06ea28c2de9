"""The numbers that decide gravity, levels and situations, with units, ranges and sources."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LayoutParameters:
    """Lengths in metres or voxels, angles in radians. Values follow from what is said of them, none from labels."""

    # Cameras (`gravity`): hand-held ones look a little downwards, and wherever the scanning person turns.
    camera_pitch: float = np.deg2rad(15)  # 0 to 30 degrees: below the horizon, how far cameras look on the mean
    camera_deviation: float = np.deg2rad(15)  # 5 to 30 degrees: standard deviation of their mean up, where all agree
    max_tilt: float = np.deg2rad(40)  # 20 to 60 degrees: where all cameras agree, gravity is not farther from them

    # Planes (`gravity`): horizontal and vertical surface tells gravity, the rest is clutter.
    normal_deviation: float = np.deg2rad(5)  # 2 to 10 degrees: of normals of one plane; the kernel's bandwidth
    clutter: float = 0.1  # above 0, to 0.5: likelihood of a normal in clutter, relative to the kernels' peaks
    patch_area: float = 0.1  # m^2, 0.02 to 0.5: surface whose normals err together, so that it counts as one

    # Which way surface faces (`levels`, `situations`).
    smoothing_rounds: int = 3  # 0 to 10: over neighbours on the mesh; normals of a fused mesh are rough
    horizontal_angle: float = np.deg2rad(35)  # 15 to 45 degrees: of the normal from upward or downward
    vertical_angle: float = np.deg2rad(20)  # 5 to 30 degrees: of the normal from horizontal

    # Heights (`levels`, `situations`): a column is a square of the ground plan with what lies above and below.
    min_tolerance: float = 0.05  # m, 0.02 to 0.1: surface so near to a level is of it: drift and bent floors
    tolerance: float = 2.0  # voxels, 1 to 4: the same, where that is more: noise of the fused surface
    column_size: float = 5.0  # voxels, 2 to 10: side of a column
    clear_share: float = 0.1  # share of a column's section, 0 to 0.5: surface below a floor is less, but for noise
    headroom: float = 2.0  # m, 1.8 to 2.2: between floors above each other, and between a floor and a ceiling

    # What is a floor or a ceiling (`levels`).
    min_level_area: float = 0.5  # m^2, 0.3 to 2: a level has more; the tread of a stair has 0.3
    surroundings: float = 0.5  # m, 0.2 to 1: so far around a floor hardly anything lies deeper, but around furniture
    max_deeper_share: float = 0.2  # share of the floor's area, 0.05 to 0.5: of what lies deeper around it
    min_camera_height: float = 0.9  # m, 0.8 to 1.2: above a floor; tables are 0.75 high, and cameras held at 1.5
    max_camera_height: float = 2.5  # m, 1.8 to 3: above the floor; those of the next storey are higher
    min_floor_cameras: int = 3  # 1 to 10: cameras over a further floor; nobody walks where none was
    min_clearance: float = 0.5  # m, 0.3 to 1: of a ceiling above the median camera

    # What is a wall (`walls`); in rooms 100 to 102 walls have 9.9 m^2 and more, faces of furniture 1.6 at most.
    min_wall_area: float = 3.0  # m^2, 2 to 6: of a vertical plane
    max_recess: float = 0.3  # m, 0.1 to 0.5: of windows and doors behind the plane of their wall

    def level_tolerance(self, voxel_size: float) -> float:
        """Half the thickness of a level (m)."""
        return max(self.min_tolerance, self.tolerance * voxel_size)
