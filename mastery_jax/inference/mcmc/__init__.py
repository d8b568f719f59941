"""Markov chains that visit a posterior: kernels, what runs them, and what judges them.

metropolis           a random walk, accepted or not
adaptive_metropolis  the same, its covariance learned from the chain, then frozen
mala                 a walk that leans along the gradient
barker               the gradient as the skew of a walk: robust where scales differ
hmc                  Hamiltonian Monte Carlo in the open: leapfrog and a number of steps
nuts                 the No-U-Turn sampler, through NumPyro, as pure functions
elliptical_slice     a Gaussian prior and any likelihood, with nothing to tune
ensemble             walkers that measure the target by each other
sample_adaptive      a set of points, from whose moments the next is drawn
gibbs                blocks of the position by kernels of their own, in turn
tempering            particles from a prior to a posterior, and the evidence
kernel               any of these as a value, tuned or not
chains               a kernel over many chains and devices, compiled once
warmup               what is tuned on the way: step size, and mass
unconstrained        a NumPyro model as a density without bounds
diagnostics          effective sample size, R-hat, errors and autocorrelation, inside a program
health               a verdict on a set of chains, chain by chain
trace                draws on the host: names, a table, another's format
target               what every kernel stands on: a density, a spread, the rule of acceptance
weights              what particles are worth, a draw by it, and their spread
"""
