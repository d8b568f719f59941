"""Markov chains that visit a posterior.

nuts         the No-U-Turn sampler, through NumPyro, as pure functions
diagnostics  effective sample size and split R-hat, inside a program
"""
