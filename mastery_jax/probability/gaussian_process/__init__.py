"""Distributions over functions, and what they say after some values were seen.

kernels              covariance functions, their sums and products
gp_regression        the posterior given noisy values: mean, variance, paths, leave-one-out
marginal_likelihood  how probable the values are, and the hyperparameters that make them most so
hyperparameters      those of a kernel as one vector in a box, and their common scale
embedding            kernels with one argument, or both, integrated out
"""
