"""Zero-shot panoptic 3D reconstruction from posed RGB-D scans (method: PanopticRecon, Yu et al., IROS 2024)."""

__version__ = "0.1.0"
