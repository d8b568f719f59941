"""Ours and the peers, timed in turn in one run; ``python -m benchmarks.report --run`` runs all.

harness    the clock, the turns, the peers' own environments
tree       what a command takes, with every process that it leaves running
report     docs/BENCHMARKS.md from docs/benchmarks/*.json
causal     replicates of a bootstrap
flows      normalizing flows
filtering  Kalman filters
posterior  NUTS
serving    the server beside FastAPI, MLServer, LitServe and BentoML
serving_models    what is served, and how each is asked
serving_servers   the processes
serving_load      closed loops in turn, and an open one
serving_overload  twice as many requests as can be answered
serving_start     a warm restart
sweep      16, 64 and 256 trainings
sweep_lanes  a lane, a rung, a plan, a record: what a sweep costs beside what it must
lane_parts   what of that computes in processes of its own
"""
