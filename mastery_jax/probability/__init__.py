"""Densities and what is built of them.

flows                bijections with a tractable Jacobian, and the densities they carry
gaussian_process     distributions over functions, and what they say after some values were seen
bayesian_quadrature  the belief about an integral that a few values of the integrand leave
metrics              how good predictions are: accuracy, log loss, rmse, r2
"""
