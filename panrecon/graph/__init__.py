"""From masks to objects.

`observation` turns what every frame shows into `evidence` on vertices; `superfaces` over-segments the mesh. The entry
point is `instances`: it groups the evidence by superfaces and finds the objects by one of two rules, `consensus` (ours)
or `panopticrecon` (the paper's), both on the pair votes of `voting` and the assignments of `association`; `adjacency`
merges fragments that no frame shows together. `labelling` then labels every vertex, `objects` collects the evidence for
and against each object, `object_graph` the votes between objects, and `correction` projects the instances back to the
frames. `parameters` holds every number that decides. To change what a vote counts open `voting`; when objects merge,
`consensus`.
"""
