"""Where to measure next, so that the least value is found in few measurements.

acquisition      what a measurement is worth: improvement, its probability, its bound
latin_hypercube  points to begin with, one in every slice of every coordinate
surrogate        the measurements so far, told, and the Gaussian processes that stand for them
one_point        the next point, by any acquisition
batch            the next q points together, by q-log-EI
thompson         the next points, each the least of one function drawn from the posterior
"""
