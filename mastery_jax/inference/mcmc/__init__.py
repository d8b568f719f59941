"""Markov chains that visit a posterior.

nuts           the No-U-Turn sampler, through NumPyro, as pure functions
warmup         what it tunes on the way
unconstrained  a NumPyro model as a density without bounds
diagnostics    effective sample size, split R-hat and Monte Carlo error, inside a program
"""
