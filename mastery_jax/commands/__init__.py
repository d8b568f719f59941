"""What the command line can do; ``mastery_jax.cli`` is where they hang.

work     run, resume: what computes, through jax
sweeps   sweep: many lanes
again    reproduce: the same once more, number by number
publish  export, promote, serve: models
database  db upgrade, db status, db export: the database of predictions
keys     keys: who may ask a server
look     compare, ls, show, configs: what only reads
push     push: what is on disk, to trackers
query    query: rows to a server, predictions back
rows     what query sends: CSV by the names of its columns, or NumPy's files
options  what commands share
where    the engine that runs lanes
ending   how runs end: what is printed, which exit code
output   results as text or JSON
"""
