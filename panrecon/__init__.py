"""Zero-shot panoptic 3D reconstruction from posed RGB-D scans (method: PanopticRecon, Yu et al., IROS 2024)."""

import os

__version__ = "0.1.0"

# GNU's OpenMP, when it is loaded, reads how long its threads spin at a barrier before they sleep. By default that is so
# long that beside one busy process a training step of the field takes ten times as long.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
