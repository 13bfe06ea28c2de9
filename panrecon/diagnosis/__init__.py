"""What is wrong with a posed RGB-D scan, before anything long is computed from it.

Estimators turn a `Sample` of the scan into numbers; `findings/` turns numbers into sentences, effects and repairs.
"""
