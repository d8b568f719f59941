"""Everything between a config and an endpoint; the only room that knows files and devices.

config      a YAML file and ``a.b=c`` overrides become one frozen, checked struct
data        named sets and files become arrays, with what is wrong said in one sentence
experiment  the contract: what an experiment gives, what a runner gives back
launch      what must be set before jax is imported: flags, cache, host devices
program     an experiment as compiled programs: floats and the seed are arguments
run         one config, one folder, resumable bit for bit
sweep       many lanes, few programs
checkpoint  training states on disk, through Orbax, atomic
artifact    StableHLO + safetensors + manifest: a model without its Python
compare     tables, intervals and paired differences of runs
"""
