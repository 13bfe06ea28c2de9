"""Reconstruct a scan in memory: here a box on a floor, seen by a camera that turns around it.

python examples/reconstruct_arrays.py reconstruction
"""

import sys

import numpy as np

import panrecon as pr

HEIGHT, WIDTH, FRAMES = 120, 160, 12
INTRINSICS = np.array([[150.0, 0, 79.5], [0, 150.0, 59.5], [0, 0, 1]])
CLASSES = pr.CategoryTable((pr.Category(1, "floor", thing=False), pr.Category(2, "box", thing=True)))


def look_from(angle: float) -> np.ndarray:
    """World from camera (x right, y down, z forward), 1.6 m from a box in the origin."""
    eye = np.array([1.3 * np.cos(angle), 1.3 * np.sin(angle), 1.0])
    forward = (np.array([0, 0, 0.1]) - eye) / np.linalg.norm(np.array([0, 0, 0.1]) - eye)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(forward, right), forward, eye], axis=1)
    return pose


def render(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth (m) and whether each pixel shows the box (0.4 m wide and high) rather than the floor."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    camera = np.stack([(u - INTRINSICS[0, 2]) / 150.0, (v - INTRINSICS[1, 2]) / 150.0, np.ones_like(u)], axis=-1)
    rays, eye = camera @ pose[:3, :3].T, pose[:3, 3]
    slabs = [
        ((low - eye[axis]) / rays[..., axis], (high - eye[axis]) / rays[..., axis])
        for axis, (low, high) in enumerate([(-0.2, 0.2), (-0.2, 0.2), (0.0, 0.4)])
    ]
    enter = np.max([np.minimum(*slab) for slab in slabs], axis=0)
    leave = np.min([np.maximum(*slab) for slab in slabs], axis=0)
    floor = np.where(rays[..., 2] < 0, -eye[2] / rays[..., 2], np.inf)
    is_box = (enter < leave) & (enter > 0)
    depth = np.where(is_box, enter, floor)
    return np.where(depth < 3.0, depth, 0.0).astype(np.float32), is_box


def main(target: str, *overrides: str) -> None:
    poses = np.stack([look_from(angle) for angle in np.linspace(0, 2 * np.pi, FRAMES, endpoint=False)])
    images = [render(pose) for pose in poses]
    depth = np.stack([image for image, _ in images])
    color = np.stack([np.where(is_box[..., None], (200, 60, 40), (90, 110, 130)) for _, is_box in images])
    masks = [[("box", 0.9, is_box), ("floor", 0.8, ~is_box & (image > 0))] for image, is_box in images]

    settings = pr.load_settings(overrides=overrides)
    scan = pr.RgbdScan.from_arrays(color.astype(np.uint8), depth, poses, INTRINSICS, CLASSES, masks, settings=settings)
    result = pr.reconstruct(scan, progress=pr.show_progress)
    result.save(target)
    for index, category in enumerate(result.table):
        print(f"{category.name}: {np.mean(result.category == index):.0%} of {len(result.category)} vertices")
    print(f"{len(result.objects)} object")


if __name__ == "__main__":
    main(*sys.argv[1:])
