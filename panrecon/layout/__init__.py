"""Gravity, floors and ceilings of a scan, and where its surface lies relative to them."""
