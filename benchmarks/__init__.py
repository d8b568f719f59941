"""Ours and the peers, timed in turn in one run; ``python -m benchmarks.report --run`` runs all.

harness    the clock, the turns, the peers' own environments
report     docs/BENCHMARKS.md from docs/benchmarks/*.json
causal     replicates of a bootstrap
flows      normalizing flows
filtering  Kalman filters
posterior  NUTS
serving    the guide's server
sweep      64 trainings
"""
