"""What the command line can do; ``mastery_jax.cli`` is where they hang.

work     run, sweep, resume, export, serve: what computes, through jax
look     compare, ls, show, configs: what only reads
push     push: what is on disk, to trackers
options  what commands share
output   results as text or JSON
"""
