"""Many lanes, few programs.

What is asked:
notation    how several values are spelled, on the line and in a file
written     what a file and the line say together, and what is wrong with it
space       how fields vary: lists, pairs and distributions, as a config's types want them
draws       distinct points from distributions
search      how the space is covered: draws, metrics, which lanes go on

What is done:
plan        which programs, which lanes, how many bytes; by tracing only
budget      how many lanes go on at each rung, and how many steps that takes
probe       what a plan costs, measured on a few steps of its programs
memory      what a device has left, and what a program needs
driver      a sweep from its first lane to its table, and resumed
store       its files: points, lanes, states, the table
strategies  loop, vmap, map
stopping    which lanes go on: halving and median stopping
population  which lanes take the state of another
"""
