"""The same job under Ray Tune: two actors, kept from trial to trial, the rate in the program."""

import sys

import ray
from ray import tune


class Training(tune.Trainable):
    """One point a trial; the process, its imports and its data serve the next one."""

    def setup(self, config):
        """Import what computes: once an actor."""
        import digits

        self.baked = digits.baked
        digits.load()

    def reset_config(self, new_config):
        """Go on with another point."""
        self.config = new_config
        return True

    def step(self):
        """Train."""
        accuracy = self.baked(self.config["rate"], self.config["seed"])
        return {"accuracy": accuracy, "done": True}


if __name__ == "__main__":
    rates, seeds, folder = sys.argv[1].split(","), range(int(sys.argv[2])), sys.argv[3]
    ray.init(num_cpus=2, _temp_dir=f"{folder}/ray")
    space = {
        "rate": tune.grid_search([float(rate) for rate in rates]),
        "seed": tune.grid_search(list(seeds)),
    }
    keep_nothing = tune.CheckpointConfig(checkpoint_at_end=False)
    run = tune.RunConfig(
        storage_path=f"{folder}/results", checkpoint_config=keep_nothing, verbose=0
    )
    results = tune.Tuner(
        tune.with_resources(Training, {"cpu": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(metric="accuracy", mode="max", reuse_actors=True),
        run_config=run,
    ).fit()
    if results.errors or len(results) != len(rates) * len(seeds):
        raise SystemExit(f"{len(results)} trials, errors: {results.errors}")
    print(results.get_best_result())
