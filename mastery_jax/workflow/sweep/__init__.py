"""Many lanes, few programs.

What is asked:
notation    how several values are spelled, on the line and in a file
written     what a file and the line say together, and what is wrong with it
space       how fields vary: lists, pairs and distributions, as a config's types want them
draws       distinct points from distributions
search      how the space is covered: draws, metrics, which lanes go on

What is done:
plan        which programs, which lanes, how many bytes
driver      a sweep from its first lane to its table, and resumed
session     every lane to its end, or to where a rule stops it
store       its files: points, lanes, states, the table
ledger      how far each lane is
states      the file of a lane that is to go on
stopping    which lanes go on: halving and median stopping
population  which lanes take the state of another
sampled     a search: points chosen by what was measured at others
asks        the sampler, asked and told
journal     what it was asked and told

Where lanes are run:
strategies  loop, vmap, map
loop        the solo program, once a lane
batch       several lanes in one program
processes   one program over several hosts: who is first, what all know
hosts       groups of lanes shared out over such hosts
remote      a part of a sweep in another process
cluster     on Ray
slurm       on SLURM
"""
