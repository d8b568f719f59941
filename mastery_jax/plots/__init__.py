"""Pictures of runs and sweeps, drawn by Matplotlib without a screen.

curves  metrics over steps
style   what all pictures share
sweep   a metric against a swept field, with its spread over seeds
heat    a metric against two swept fields at once, as cells
parallel  every swept field as an axis, every group as a line
chains  draws of Markov chains: over time, by rank, two quantities at once
causal  love plot and overlap of two arms
shap    attributions: a swarm, the steps of an answer, a feature's part
"""
