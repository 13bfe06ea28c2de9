"""Scores of labels, from points to a page.

labels -> `overlap` (which labels co-occur, at how many points) -> `segments` (what counts as one) -> `matching` (pairs
of segments) -> `protocols` (every paper's rule) -> `metrics.panoptic_quality`; the other metrics of labels start from
the same tables. `transfer` brings predicted labels to the vertices of the truth, `scene` evaluates one scene,
`report.record` is `quality.json`, `report.markdown` its tables and `report.html` its page.
"""
