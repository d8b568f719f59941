"""The same job under Hydra's multirun: in one process, or in two by the joblib launcher."""

import digits
import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

FIELDS = {"rate": 1e-3, "seed": 0, "mode": "traced"}
ConfigStore.instance().store(name="digits", node=OmegaConf.create(FIELDS))


@hydra.main(version_base="1.3", config_path=None, config_name="digits")
def main(config):
    """Train one config; ``mode`` says whether the rate is part of the program."""
    train = digits.baked if config.mode == "baked" else digits.traced
    return train(config.rate, config.seed)


if __name__ == "__main__":
    main()
