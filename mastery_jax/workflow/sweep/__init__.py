"""Many lanes, few programs.

What is asked:
space       how fields vary: lists, pairs and distributions, and the points they give
search      how the space is covered: draws, metrics, which lanes go on

What is done:
plan        which programs, which lanes, how many bytes
driver      a sweep from its first lane to its table, and resumed
store       its files: points, lanes, states, the table
strategies  loop, vmap, map
stopping    which lanes go on: halving and median stopping
population  which lanes take the state of another
"""
