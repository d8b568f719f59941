"""Everything between a config and an endpoint; the only room that knows files and devices.

A config becomes a struct:
config      a YAML file and ``a.b=c`` overrides become one frozen, checked struct
config_files  where they lie, and what one holds
fields      a struct as leaves by dotted path, and back; which leaves are lanes
overrides   the spelling of ``a.b=c``, of ``+``, ``++`` and ``~``, and of several values
convert     plain values into typed ones, with the sentence that names what is wrong
yaml12      YAML as version 1.2 has it: 1e-3 is a number
spelling    did you mean ...?

Data become arrays:
data        the blocks that a config can hold, and what is wrong with a file in one sentence
columns     CSV, Parquet and NPZ files as columns
bundled     the sets that can be named

An experiment becomes programs:
experiment  the contract: what an experiment gives, what a runner gives back
modules     experiments by path, and what is said of a module that is none
launch      what must be set before jax is imported: flags, cache, host devices
program     an experiment as compiled programs: floats and the seed are arguments
usage       which inputs a function reads
trace       one trace of the whole: which fields act, what is measured

Programs are run:
run         one config, one folder, resumable bit for bit
sweep       a room: many lanes, few programs, their space, search and records
track       a room: trackers of others, fed from here
stops       a signal, or an error, ends work before its end
goals       METRIC:max and METRIC:min
log         what one run or lane has measured, as lines
checkpoint  training states on disk, through Orbax, atomic
keeper      which checkpoints of a run are kept
environment what a run was made with, and whether it still is that
sources     what code runs: digests of modules, the revision, the patch
reproduce   a run again from its record, number by number
files       whole or absent: atomic writes, fresh folders, locks
progress    one line on a terminal, plain lines in a pipe
errors      what a user can mend

Runs are read:
records     the folders of runs and sweeps, without jax
compare     a room: runs and lanes side by side, over seeds
tables      text, CSV and JSON

Runs become models:
export      from a run, or the best lane of a sweep, to an artefact
artifact    StableHLO + safetensors + manifest: loading a model without its Python
manifest    what an artefact says of itself, and the sums that hold it to that
stablehlo   programs as files: what may be in them
turns       whether what a program is asked changes how long it computes
lowering    a method as a program with a symbolic batch
explain     the slopes of a prediction as one more method
publish     writing an artefact, whole or not at all
labels      names of versions that move: stable, canary
"""
