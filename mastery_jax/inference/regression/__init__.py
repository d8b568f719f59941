"""Bayesian regression by several engines that answer alike, and are held side by side.

prior         what is believed of weights and noise before, in units of the data
model         the posterior as a density, own and in NumPyro, in coordinates that suit it
closed_form   the normal family without a sampler: the truth for all others
markov        Markov chains: Hamiltonian Monte Carlo in the open, and NUTS
variational   Laplace's normal, mean field, and NumPyro's guides
pymc_sampler  the same model in PyMC, where that is installed
predictive    what the next rows will be, and whether the model could have made the old ones
estimate      what draws say of each number, and how far that is from the closed form
side_by_side  every engine on one set of rows: estimates, errors, cost
simulated     rows whose weights are known
"""
