"""What can be said about the unseen from the seen.

filtering   states that move
mcmc        samples of a posterior
vi          densities of a chosen form, near to a posterior
regression  Bayesian regression by several engines, held side by side
causal      what a treatment does
vector      a position of any form as one vector, and the log density there
bayesopt    where to measure next, so that the least value is found soon
"""
