"""Tests of the built-in scene and its simulated teachers."""
