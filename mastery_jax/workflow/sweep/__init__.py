"""Many lanes, few programs.

What is asked:
notation    how several values are spelled, on the line and in a file
written     what a file and the line say together, and what is wrong with it
space       how fields vary: lists, pairs and distributions, as a config's types want them
draws       distinct points from distributions
search      how the space is covered: draws, metrics, which lanes go on

What is done:
plan        which programs, which lanes, how many bytes
probe       what it would cost, by compiling and by some steps
driver      a sweep from its first lane to its table, and resumed
kept        what a sweep must have kept to go on
sound       which records of lanes are whole, and theirs
session     lanes from rung to rung, and who goes on from each
stopping    which lanes go on: halving and median stopping
population  which lanes take the state of another
sampled     a search: points chosen by what was measured at others
asks        the sampler, asked and told
journal     what it was asked and told, whole or not at all

How lanes run, in one process:
strategies  the engines below, one for each program
loop        the solo program, called once a lane
batch       vmap and map: several lanes in one program
memory      what a device has left, and what lanes need

Where lanes run:
places      the choice among these
cluster     Ray
joining     a cluster of it, joined or started here
slurm       jobs of SLURM
hosts       processes that started alike
remote      lanes as a piece of work for another process
processes   what several processes must do together

What is left:
store       the files of lanes: points, records, the table
ledger      how far each lane is
states      the state of a lane that is half done, as one file
"""
