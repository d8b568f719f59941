"""Runs, and the lanes of sweeps, side by side; jax is never imported.

members     what is compared
table       means, intervals and paired differences over seeds
pictures    curves and sweeps as PNGs
"""
