"""Scores of labels, from points to a page.

labels -> `overlap` (which labels meet, at how many points) -> `segments` (what is one) -> `matching` (which is which)
-> `protocols` (every paper's rule) -> `panoptic_quality`; `semantic`, `coverage`, `instance_ap`, `calibration` and
`bootstrap` start from the same tables. `scene` judges one scene, `record` is `quality.json`, `report` its tables and
`page` its HTML.
"""
