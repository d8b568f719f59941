"""What can be said about the unseen from the seen.

filtering  states that move
mcmc       samples of a posterior
bayesopt   where to measure next, so that the least value is found soon
"""
