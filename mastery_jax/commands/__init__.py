"""What the command line can do; ``mastery_jax.cli`` is where they hang.

work     run, sweep, resume: what computes, through jax
again    reproduce: the same once more, number by number
publish  export, promote, serve: models
look     compare, ls, show, configs: what only reads
push     push: what is on disk, to trackers
options  what commands share
output   results as text or JSON
"""
