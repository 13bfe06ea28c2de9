"""Images of results: meshes ray-cast without a display, overlays, legends, contact sheets."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from panrecon.geometry.mesh import face_normals
from panrecon.geometry.projective import invert, look_at, nearest_pixel, pixel_directions, project, transform
from panrecon.geometry.raycasting import Raycaster
from panrecon.structures import VOID, Camera, CategoryTable, Detections, Labels, TriangleMesh

RgbImage = UInt8[np.ndarray, "h w 3"]
ResizedImage = UInt8[np.ndarray, "H W 3"]  # of another size than what it is made of
BACKGROUND = 255
SMALLEST_VIEW = 0.01  # m, half the diagonal shown of a mesh without extent
POINT_SIZE = 3  # pixels a point of a cloud covers each way
VOID_COLOR = (60, 60, 60)
GOLDEN_RATIO = 0.618034  # hues this far apart stay distinct however many there are
VIEW_ACROSS = 0.62  # this and the next two: direction of the isometric view, in the axes of the room
VIEW_ALONG = 0.78
VIEW_ABOVE = 1.35
MAX_BACK_FACES = 8  # that a ray goes through: a room's ceiling and what hangs from it
BEHIND = 1 + 1e-5  # of the way to a back face: where its ray goes on
VIEW_DISTANCE = 2.4  # half diagonals of the room between its centre and the isometric view


def palette(count: int, seed: int = 0) -> UInt8[np.ndarray, "n 3"]:
    """Distinct colours for 0 .. count - 1; the last row, which the index `VOID` selects, is dark grey."""
    return np.concatenate([_distinct_colors(np.arange(count), seed), np.array([VOID_COLOR], np.uint8)])


def _distinct_colors(index: Int[np.ndarray, " n"], seed: int = 0) -> UInt8[np.ndarray, "n 3"]:
    hue = (index * GOLDEN_RATIO + 0.11 * seed) % 1 * 180
    saturation = 130 + 50 * (index % 3)
    value = 255 - 45 * (index // 3 % 3)
    hsv = np.stack([hue, saturation, value], axis=1).astype(np.uint8).reshape(1, -1, 3)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).reshape(-1, 3) if len(index) else np.empty((0, 3), np.uint8)


def label_colors(labels: Labels, table: CategoryTable) -> UInt8[np.ndarray, "*points 3"]:
    """RGB of every point: muted class colours on stuff, a bright colour for every object, dark grey on void."""
    stuff = palette(len(table), seed=3)
    muted = (0.55 * stuff + 0.45 * 190).astype(np.uint8)
    muted[VOID] = VOID_COLOR
    is_object = np.append(table.is_thing, False)[labels.category] & (labels.instance != VOID)
    instances, inverse = np.unique(labels.instance[is_object], return_inverse=True)
    colors = muted[labels.category]
    colors[is_object] = _distinct_colors(instances)[inverse.reshape(-1)]
    return colors


def error_colors(
    is_right: Bool[np.ndarray, "*points"], is_scored: Bool[np.ndarray, "*points"], prediction: Labels
) -> UInt8[np.ndarray, "*points 3"]:
    """RGB of every point: green where class and object are right, red where wrong, blue on void, grey if not scored."""
    void = prediction.category == VOID
    choices = [choice[..., None] for choice in (~is_scored, is_right, void)]
    colors = np.select(choices, [(205, 205, 205), (120, 190, 120), (70, 110, 230)], (225, 70, 60))
    return colors.astype(np.uint8)


@dataclass(frozen=True)
class MeshView:
    """A mesh rendered from one pose with its back faces culled, so that rooms show their inside from above.

    `face` is the index into `corners` of the face at every pixel (`VOID` = none); every point of a cloud is a face.
    """

    face: Int[np.ndarray, "h w"]
    shade: Float[np.ndarray, "h w"]
    corners: Int[np.ndarray, "F k"]

    def paint(self, colors: UInt8[np.ndarray, "V 3"]) -> RgbImage:
        """The image with these vertex colours, at half the resolution of the ray casting."""
        of_face = colors[self.corners].astype(np.float32).mean(axis=1)
        lit = of_face[self.face] * self.shade[..., None]
        image = np.where((self.face != VOID)[..., None], lit, BACKGROUND).clip(0, 255)
        return cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8)


def isometric_view(mesh: TriangleMesh, up: Float[np.ndarray, "3"], height: int = 540, width: int = 720) -> MeshView:
    """The whole mesh (or its points, if it has no faces) from obliquely above, a corner towards the viewer."""
    pose = _isometric_pose(mesh, up, 0.0)
    camera = _filling_camera(mesh, pose, 2 * height, 2 * width)
    return mesh_view(mesh, camera, pose) if len(mesh.faces) else _cloud_view(mesh.vertices, camera, pose)


def orbit_views(
    mesh: TriangleMesh, up: Float[np.ndarray, "3"], count: int, height: int, width: int
) -> tuple[Camera, list[Float[np.ndarray, "4 4"]]]:
    """A camera that shows the whole mesh from `count` poses on a circle, and the poses, the isometric one first.

    Its image is twice as high and wide as given, for `MeshView.paint` halves it.
    """
    poses = [_isometric_pose(mesh, up, 2 * np.pi * step / count) for step in range(count)]
    focal = min(_filling_camera(mesh, pose, 2 * height, 2 * width, centred=True).fx for pose in poses)
    return Camera(2 * width, 2 * height, focal, focal, width - 0.5, height - 0.5), poses


def _isometric_pose(mesh: TriangleMesh, up: Float[np.ndarray, "3"], angle: float) -> Float[np.ndarray, "4 4"]:
    """World from a camera that looks at the mesh's centre from obliquely above, rotated about `up` by `angle` (rad)."""
    low, high = np.percentile(mesh.vertices, (1, 99), axis=0)
    centre = (low + high) / 2
    radius = max(float(np.linalg.norm(high - low) / 2), SMALLEST_VIEW)
    side = np.cross(up, np.eye(3)[np.abs(up).argmin()])
    side /= np.linalg.norm(side)
    along = np.cross(up, side)
    across = VIEW_ACROSS * np.cos(angle) - VIEW_ALONG * np.sin(angle)
    ahead = VIEW_ACROSS * np.sin(angle) + VIEW_ALONG * np.cos(angle)
    direction = across * side + ahead * along + VIEW_ABOVE * up
    return look_at(centre + direction / np.linalg.norm(direction) * radius * VIEW_DISTANCE, centre, up)


def _filling_camera(
    mesh: TriangleMesh, world_from_camera: Float[np.ndarray, "4 4"], height: int, width: int, centred: bool = False
) -> Camera:
    """The camera at this pose whose image the mesh just fills, 1 % of outliers aside; `centred` on the optical axis."""
    points = transform(invert(world_from_camera), mesh.vertices)
    low, high = np.percentile(points[:, :2] / points[:, 2:], (0.5, 99.5), axis=0)
    if centred:
        high = np.maximum(-low, high)
        low = -high
    focal = float(0.92 * (np.array([width, height]) / np.maximum(high - low, 1e-6)).min())
    cx, cy = (np.array([width, height]) / 2 - focal * (low + high) / 2).tolist()
    return Camera(width, height, focal, focal, cx, cy)


def mesh_view(mesh: TriangleMesh, camera: Camera, world_from_camera: Float[np.ndarray, "4 4"]) -> MeshView:
    """The mesh seen by a camera, without back faces: rays that hit one go on behind it."""
    raycaster = Raycaster(mesh)
    direction = (pixel_directions(camera) @ world_from_camera[:3, :3].T).reshape(-1, 3).astype(np.float32)
    origin = np.broadcast_to(world_from_camera[:3, 3].astype(np.float32), direction.shape)
    passed = np.zeros(len(direction), np.float32)  # of the way along every ray, in lengths of its direction
    face = np.full(len(direction), VOID)
    cosine = np.zeros(len(direction), np.float32)
    rays = np.arange(len(direction))
    for _ in range(MAX_BACK_FACES):
        start = origin[rays] + passed[rays, None] * direction[rays]
        distance, hit = raycaster.first_hits(start, direction[rays])
        rays, distance, hit = (values[hit != VOID] for values in (rays, distance, hit))
        toward_camera = _cosines(mesh, hit, -direction[rays])
        is_front = toward_camera > 0
        face[rays[is_front]] = hit[is_front]
        cosine[rays[is_front]] = toward_camera[is_front]
        passed[rays] = (passed[rays] + distance) * BEHIND
        rays = rays[~is_front]
    shape = (camera.height, camera.width)
    return MeshView(face.reshape(shape), (0.55 + 0.45 * cosine).astype(np.float32).reshape(shape), mesh.faces)


def _cosines(
    mesh: TriangleMesh, face: Int[np.ndarray, " n"], direction: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, " n"]:
    """Of the angles between the normals of faces and directions; 0 for faces without an area."""
    normals = face_normals(mesh.vertices, mesh.faces[face])
    length = np.linalg.norm(normals, axis=1) * np.linalg.norm(direction, axis=1)
    return np.einsum("ij,ij->i", normals, direction) / np.maximum(length, 1e-12)


def _cloud_view(
    points: Float[np.ndarray, "P 3"], camera: Camera, world_from_camera: Float[np.ndarray, "4 4"]
) -> MeshView:
    """The points seen by a camera, each drawn as a square of `POINT_SIZE` pixels, nearer ones in front."""
    pixels, depth = project(camera, transform(invert(world_from_camera), points))
    far_to_near = np.argsort(-depth, kind="stable")
    columns, rows, inside = nearest_pixel(camera, pixels[far_to_near])
    seen = np.full((camera.height + POINT_SIZE, camera.width + POINT_SIZE), VOID, dtype=np.int64)
    for down, right in np.ndindex(POINT_SIZE, POINT_SIZE):
        nearest = np.full(seen.shape, VOID, dtype=np.int64)
        nearest[rows[inside] + down, columns[inside] + right] = np.flatnonzero(inside)  # the last, nearest one stays
        seen = np.maximum(seen, nearest)
    order = seen[: camera.height, : camera.width]
    face = np.where(order == VOID, VOID, far_to_near[order])
    return MeshView(face, np.ones(face.shape, np.float32), np.arange(len(points))[:, None])


def overlay(color: RgbImage, labels: Labels, table: CategoryTable) -> RgbImage:
    """The image blended with the colours of its labels, with dark boundaries."""
    painted = label_colors(labels, table)
    boundary = _boundaries(labels.category * 10_007 + labels.instance)
    blended = np.where((labels.category != VOID)[..., None], 0.45 * color + 0.55 * painted, color)
    return np.where(boundary[..., None], 25, blended).astype(np.uint8)


def detection_overlay(color: RgbImage, detections: Detections, table: CategoryTable) -> RgbImage:
    """The image with every mask outlined and tinted in its own colour, labelled with class and score."""
    colors = palette(len(detections))
    image = color.astype(np.float32)
    for mask, tint in zip(detections.mask, colors, strict=False):
        image[mask] = 0.7 * image[mask] + 0.3 * tint
        image[_boundaries(mask.astype(np.int32)) & mask] = tint
    picture = Image.fromarray(image.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for category, score, mask in zip(detections.category, detections.score, detections.mask, strict=True):
        row, column = (int(np.median(axis)) for axis in np.nonzero(mask))
        text = f"{table[category].name} {score:.2f}"
        draw.text((column, row), text, fill="white", anchor="mm", stroke_width=2, stroke_fill="black")
    return np.asarray(picture)


def evidence_crop(
    color: RgbImage,
    region: Bool[np.ndarray, "h w"],
    outlined: Bool[np.ndarray, "h w"],
    tint: tuple[int, int, int],
    text: str,
    size: int = 240,
) -> ResizedImage:
    """A square crop of `size` pixels around the region, which is tinted, with an outline and a line of text."""
    rows, columns = np.nonzero(region)
    painted = color.astype(np.float32)
    painted[region] = 0.75 * painted[region] + 0.25 * np.array(tint)
    painted[_boundaries(outlined.astype(np.int32))] = tint
    extent = max(np.ptp(rows), np.ptp(columns))
    side = min(max(int(1.3 * extent), size // 4), *region.shape)
    corner = np.array([rows.min() + rows.max() - side, columns.min() + columns.max() - side]) // 2
    top, left = corner.clip(0, np.array(region.shape) - side)
    cut = painted[top : top + side, left : left + side]
    picture = Image.fromarray(cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8))
    ImageDraw.Draw(picture).text((4, size - 14), text, fill="white", stroke_width=2, stroke_fill="black")
    return np.asarray(picture)


def feature_image(values: Float[np.ndarray, "h w D"], height: int, width: int) -> ResizedImage:
    """The first three dimensions as RGB, each stretched over its 2nd to 98th percentile."""
    three = np.zeros((*values.shape[:2], 3), np.float32)
    three[..., : min(3, values.shape[-1])] = values[..., :3]
    low, high = np.percentile(three, (2, 98), axis=(0, 1))
    stretched = ((three - low) / np.maximum(high - low, 1e-6)).clip(0, 1) * 255
    return cv2.resize(stretched, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def depth_image(depth: Float[np.ndarray, "h w"], farthest: float = 6.0) -> RgbImage:
    """Depth (m) as colour: near is bright, `farthest` (m) is dark, not measured is black."""
    value = np.where(depth > 0, 255 * (1 - depth / farthest).clip(0.08, 1), 0).astype(np.uint8)
    return np.where((depth > 0)[..., None], cv2.applyColorMap(value, cv2.COLORMAP_INFERNO)[..., ::-1], 0).astype(
        np.uint8
    )


def contact_sheet(images: Sequence[RgbImage], columns: int) -> ResizedImage:
    """Images of one size in a grid of `columns`."""
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    sheet = np.full((rows * height, columns * width, 3), BACKGROUND, np.uint8)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = image
    return sheet


def with_legend(image: RgbImage, labels: Labels, table: CategoryTable) -> ResizedImage:
    """The image with a legend of the classes that occur, and the number of objects of each, below."""
    entries = []
    for index, category in enumerate(table):
        of_category = labels.category == index
        if not of_category.any():
            continue
        objects = np.unique(labels.instance[of_category & (labels.instance != VOID)])
        first = objects[0] if len(objects) else VOID
        color = label_colors(Labels(np.array([index]), np.array([first])), table)[0]
        entries.append((color, category.name + (f" x{len(objects)}" if category.thing else "")))
    width = image.shape[1]
    return np.concatenate([image, legend(entries, width, max(1, width // 150))])


def labelled_image(view: MeshView, labels: Labels, table: CategoryTable) -> ResizedImage:
    """A view of a mesh whose vertices have the colours of their labels, with the legend of its classes."""
    return with_legend(view.paint(label_colors(labels, table)), labels, table)


def legend(
    entries: Sequence[tuple[UInt8[np.ndarray, "3"], str]], width: int, columns: int, letters: int = 10
) -> ResizedImage:
    """A white strip of colour patches with text beside each, `letters` pixels high."""
    height = letters + 8
    strip = Image.new("RGB", (width, height * -(-max(len(entries), 1) // columns) + 4), "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(letters)
    for index, (color, text) in enumerate(entries):
        row, column = divmod(index, columns)
        left, top = 6 + column * (width // columns), 3 + row * height
        draw.rectangle((left, top, left + letters + 2, top + letters + 2), fill=tuple(color.tolist()))
        draw.text((left + letters + 7, top), text, fill="black", font=font)
    return np.asarray(strip)


def evenly_spaced(count: int, at_most: int) -> list[int]:
    """At most `at_most` of the indices 0 .. count - 1, evenly spaced and sorted."""
    return sorted({round(index) for index in np.linspace(0, count - 1, min(count, at_most))}) if count else []


def _boundaries(ids: Int[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    boundary = np.zeros(ids.shape, dtype=bool)
    boundary[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    boundary[1:] |= ids[1:] != ids[:-1]
    return boundary
