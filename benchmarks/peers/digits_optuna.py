"""The same job as the trials of one Optuna study over a grid, the rate part of the program."""

import sys

import optuna
from digits import baked

rates, seeds = [float(rate) for rate in sys.argv[1].split(",")], range(int(sys.argv[2]))


def objective(trial):
    """Train one point of the grid."""
    rate = trial.suggest_float("rate", min(rates), max(rates))
    return baked(rate, trial.suggest_int("seed", seeds[0], seeds[-1]))


if __name__ == "__main__":
    sampler = optuna.samplers.GridSampler({"rate": rates, "seed": list(seeds)}, seed=0)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(objective, n_trials=len(rates) * len(seeds))
    print(study.best_params, study.best_value)
