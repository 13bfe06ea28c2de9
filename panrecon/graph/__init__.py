"""From masks to objects.

`observation` takes what every frame sees to `evidence` on vertices; `superfaces` cuts the mesh. `instances` is the
way in: it groups the evidence by superfaces and lets a rule find the objects, `consensus` (ours) or `panopticrecon`
(the paper's), both on the pair votes of `voting` and the bookkeeping of masks and objects in `association`;
`adjacency` decides by geometry what no frame shows. `labelling` then gives every vertex its label, `objects` says what
speaks for and against each object, and `correction` takes the ids back to the frames. To change what a vote counts
open `voting`; when objects merge, `consensus`.
"""
