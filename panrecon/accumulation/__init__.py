"""LiDAR scans of a sequence accumulated into dense depth images of its cameras."""
