"""Densities and what is built of them.

flows    bijections with a tractable Jacobian, and the densities they carry
metrics  how good predictions are: accuracy, log loss, rmse, r2
"""
