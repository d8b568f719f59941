"""Runs, and the lanes of sweeps, side by side; jax is never imported.

members     what is compared
table       means, intervals and paired differences over seeds
rows        two runs number by number, bit for bit or to a tolerance
pictures    curves and sweeps as PNGs
"""
