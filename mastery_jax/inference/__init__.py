"""What can be said about the unseen from the seen.

filtering  states that move
mcmc       samples of a posterior
"""
