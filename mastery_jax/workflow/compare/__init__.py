"""Runs, and the lanes of sweeps, side by side; jax is never imported.

members     what is compared
lanes       the lanes of a sweep, from its table or their records
gaps        lanes that are not over, or whose record is lost
where       conditions on what is compared
metrics     which numbers, and which way is better
estimates   means with intervals, paired tests, Holm's correction
pareto      the front of several objectives
table       groups, their means and their differences over seeds
text        a table for a terminal, as CSV and as JSON
pairs       means over pairs of swept fields
pictures    curves, sweeps, parallel coordinates and heat-maps as PNGs
report      all of it as one HTML file
watch       what still runs, again and again
rows        two runs number by number, bit for bit or to a tolerance
"""
