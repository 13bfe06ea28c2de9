"""LiDAR scans of a drive accumulated into dense depth images of its cameras."""
