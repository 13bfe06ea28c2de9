"""Reconstruct a scan of a folder (layout: data/README.md).

python examples/reconstruct_folder.py data/raw/scannet/room0 reconstruction
"""

import sys

import panrecon as pr


def main(folder: str, target: str, *overrides: str) -> None:
    scan = pr.read_scan(folder, overrides=overrides, log=print)
    result = pr.reconstruct(scan, progress=pr.show_progress)
    result.save(target)
    for instance, scene_object in result.objects.items():
        name = result.table[scene_object.category].name
        print(f"{instance + 1}: {name}, confidence {scene_object.confidence:.2f}, {len(scene_object.frames)} frames")


if __name__ == "__main__":
    main(*sys.argv[1:])
