"""The same job under Hydra's multirun with its basic launcher: all jobs in one process."""

import functools

import hydra
import jax
from digits import load, train
from omegaconf import OmegaConf

DATA = None
traced = jax.jit(train)


@hydra.main(version_base="1.3", config_path=None, config_name="digits")
def main(config):
    """Train one config; ``mode`` says whether the rate is part of the program."""
    global DATA
    DATA = DATA or load()
    if config.mode == "baked":
        job = jax.jit(functools.partial(train, config.rate, config.seed))
        return float(job(*DATA))
    return float(traced(config.rate, config.seed, *DATA))


if __name__ == "__main__":
    from hydra.core.config_store import ConfigStore

    fields = {"rate": 1e-3, "seed": 0, "mode": "traced"}
    ConfigStore.instance().store(name="digits", node=OmegaConf.create(fields))
    main()
