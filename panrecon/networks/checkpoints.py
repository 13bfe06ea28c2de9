"""The public checkpoints of foreign networks: where they come from, under which licence, and how to know them.

A SHA-256 is pinned where several independent public sources agree on it; a revision of Hugging Face never changes.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULTS: Final = ("grounding-dino-tiny", "sam-vit-huge", "dinov2-small")  # of the default settings


@dataclass(frozen=True)
class Revision:
    """A commit of a repository of Hugging Face."""

    repository: str
    commit: str


@dataclass(frozen=True)
class RemoteFile:
    """One file to download; size (bytes) and SHA-256 are None where only Hugging Face states them.

    `revision` is None for a file of another server.
    """

    name: str
    url: str
    size: int | None
    sha256: str | None
    revision: Revision | None = None

    def fault(self, path: Path, content: bool = False) -> str | None:
        """What is wrong with `path` as this file, its content only if asked for; None: nothing."""
        if not path.is_file():
            return "is missing"
        size = path.stat().st_size
        if self.size not in (None, size):
            return f"has {size} bytes, not {self.size}"
        if content and self.sha256 not in (None, digest := sha256_of(path)):
            return f"has the SHA-256 {digest}, not {self.sha256}"
        return None


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one network: a folder `name` of files, or the one file `name`."""

    name: str
    license: str
    source: str
    files: tuple[RemoteFile, ...]
    purpose: str = ""  # stage, size, and whose implementation takes it

    def paths(self, folder: Path) -> dict[RemoteFile, Path]:
        """Where its files lie below the folder of all checkpoints."""
        own = folder / self.name
        return {file: own if file.name == self.name else own / file.name for file in self.files}


def sha256_of(path: Path) -> str:
    """The SHA-256 of the file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def part_of(path: Path) -> Path:
    """Where a file grows while it is downloaded, until it is whole."""
    return path.with_name(f"{path.name}.part")


def _hugging_face(
    repository: str, revision: str, purpose: str, size: int | None = None, sha256: str | None = None
) -> Checkpoint:
    """A folder for transformers; size and SHA-256 are those of its safetensors."""
    url = f"https://huggingface.co/{repository}/resolve/{revision}"
    commit = Revision(repository, revision)
    config = RemoteFile("config.json", f"{url}/config.json", None, None, commit)
    tensors = RemoteFile("model.safetensors", f"{url}/model.safetensors", size, sha256, commit)
    source = f"https://huggingface.co/{repository}/tree/{revision}"
    return Checkpoint(repository.rpartition("/")[2], "Apache-2.0", source, (config, tensors), purpose)


def _released(source: str, url: str, purpose: str, size: int, sha256: str) -> Checkpoint:
    """One file as the authors released it."""
    name = url.rpartition("/")[2]
    return Checkpoint(name, "Apache-2.0", source, (RemoteFile(name, url, size, sha256),), purpose)


def _grounding_dino(path: str, purpose: str, size: int, sha256: str) -> Checkpoint:
    source = "https://github.com/IDEA-Research/GroundingDINO"
    return _released(source, f"{source}/releases/download/{path}", purpose, size, sha256)


def _sam(name: str, purpose: str, size: int, sha256: str) -> Checkpoint:
    source, host = "https://github.com/facebookresearch/segment-anything", "https://dl.fbaipublicfiles.com"
    return _released(source, f"{host}/segment_anything/{name}", purpose, size, sha256)


def _dinov2(path: str, purpose: str, size: int, sha256: str) -> Checkpoint:
    source, host = "https://github.com/facebookresearch/dinov2", "https://dl.fbaipublicfiles.com"
    return _released(source, f"{host}/dinov2/{path}", purpose, size, sha256)


_ALL: Final = (
    _hugging_face(
        "IDEA-Research/grounding-dino-tiny",
        "a2bb814dd30d776dcf7e30523b00659f4f141c71",
        "masks, swin_t",
        689_359_096,
        "1a2412ef99bd74bcd3c2a246fa1e48581f8889a1300c9051974741314fc042f3",
    ),
    _hugging_face(
        "IDEA-Research/grounding-dino-base",
        "12bdfa3120f3e7ec7b434d90674b3396eccf88eb",
        "masks, swin_b",
        933_400_872,
        "5548f844c928c4b6f411fa8cbcc2bfa8dbbba437cb1d513975519f93c2a9ed21",
    ),
    _hugging_face("facebook/sam-vit-huge", "87aecf0df4ce6b30cd7de76e87673c49644bdf67", "masks, vit_h"),
    _hugging_face("facebook/sam-vit-large", "6851e0441005b0fb96f2cc4dfac472f3d1b14af1", "masks, vit_l"),
    _hugging_face(
        "facebook/sam-vit-base",
        "70c1a07f894ebb5b307fd9eaaee97b9dfc16068f",
        "masks, vit_b",
        374_979_480,
        "892c410e496344e527255ccdcb2cb7244a609acb5389c7c4fdba1288f861c579",
    ),
    _hugging_face(
        "facebook/dinov2-small",
        "ed25f3a31f01632728cabb09d1542f84ab7b0056",
        "features, vits14",
        88_249_960,
        "ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1",
    ),
    _hugging_face(
        "facebook/dinov2-base",
        "f9e44c814b77203eaa57a6bdbbd535f21ede1415",
        "features, vitb14",
        346_345_912,
        "d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841",
    ),
    _hugging_face(
        "facebook/dinov2-large",
        "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c",
        "features, vitl14",
        1_217_522_888,
        "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23",
    ),
    _hugging_face(
        "facebook/dinov2-with-registers-small",
        "0d9846e56b43a21fa46d7f3f5070f0506a5795a9",
        "features, vits14, registers",
    ),
    _hugging_face(
        "facebook/dinov2-with-registers-base",
        "a1d738ccfa7ae170945f210395d99dde8adb1805",
        "features, vitb14, registers",
        None,
        "7a6f7b3b9fa4b8732e707476a03cd6cdce210048582f21aafb7991c17d98e362",
    ),
    _hugging_face(
        "facebook/dinov2-with-registers-large",
        "e4c89a4e05589de9b3e188688a303d0f3c04d0f3",
        "features, vitl14, registers",
        None,
        "edccedab2c4e164e80833096de89a32a6e8d7365870499a066a61dbc8894b42b",
    ),
    _grounding_dino(
        "v0.1.0-alpha/groundingdino_swint_ogc.pth",
        "masks, swin_t, original",
        693_997_677,
        "3b3ca2563c77c69f651d7bd133e97139c186df06231157a64c507099c52bc799",
    ),
    _grounding_dino(
        "v0.1.0-alpha2/groundingdino_swinb_cogcoor.pth",
        "masks, swin_b, original",
        938_057_991,
        "46270f7a822e6906b655b729c90613e48929d0f2bb8b9b76fd10a856f3ac6ab7",
    ),
    _sam(
        "sam_vit_h_4b8939.pth",
        "masks, vit_h, original",
        2_564_550_879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    _sam(
        "sam_vit_l_0b3195.pth",
        "masks, vit_l, original",
        1_249_524_607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    _sam(
        "sam_vit_b_01ec64.pth",
        "masks, vit_b, original",
        375_042_383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    _dinov2(
        "dinov2_vits14/dinov2_vits14_pretrain.pth",
        "features, vits14, original",
        88_283_115,
        "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
    ),
    _dinov2(
        "dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        "features, vitb14, original",
        346_378_731,
        "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
    ),
    _dinov2(
        "dinov2_vitl14/dinov2_vitl14_pretrain.pth",
        "features, vitl14, original",
        1_217_586_395,
        "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
    ),
    _dinov2(
        "dinov2_vits14/dinov2_vits14_reg4_pretrain.pth",
        "features, vits14, registers, original",
        88_291_785,
        "f433177089a681826f849f194ece3bb48f4d63fb38d32fc837e3dc7a4e5641fb",
    ),
    _dinov2(
        "dinov2_vitb14/dinov2_vitb14_reg4_pretrain.pth",
        "features, vitb14, registers, original",
        346_393_545,
        "73182a088cf94833c94b1666d1c99e02fe87e2007bff57b564fb6206e25dba71",
    ),
    _dinov2(
        "dinov2_vitl14/dinov2_vitl14_reg4_pretrain.pth",
        "features, vitl14, registers, original",
        1_217_607_321,
        "36e4deffbaef061a2576705b0c36f93621e2ae20bf6274694821b0b492551b51",
    ),
)
CHECKPOINTS: Final = {checkpoint.name: checkpoint for checkpoint in _ALL}
