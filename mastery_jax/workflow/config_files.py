"""The files of configs: where they are found, and what one holds before it is understood.

They lie in ``configs`` of the working folder, which goes before those that are shipped.
"""

import importlib.util
import pathlib
from typing import Any

from mastery_jax.workflow import spelling, yaml12
from mastery_jax.workflow.convert import show
from mastery_jax.workflow.errors import ConfigError

__all__ = ["names", "read"]


def names() -> list[tuple[str, str]]:
    """Return the configs that can be named, each with the first comment line of its file."""
    found = {}
    for folder in _folders():
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, _comment(path))
    return sorted(found.items())


def _comment(path: pathlib.Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.lstrip("# ").rstrip() for line in lines if line.startswith("#")), "")


def _folders() -> list[pathlib.Path]:
    spec = importlib.util.find_spec("experiments")
    shipped = pathlib.Path(spec.origin).parent if spec and spec.origin else pathlib.Path()
    return [pathlib.Path("configs"), shipped / "configs", shipped.parent / "configs"]


def _find(config: str | pathlib.Path) -> pathlib.Path:
    path = pathlib.Path(config)
    if path.suffix in (".yaml", ".yml"):
        return path
    for folder in _folders():
        if (named := folder / f"{config}.yaml").is_file():
            return named
    if path.exists():
        what = "a folder" if path.is_dir() else "not named *.yaml"
        raise ConfigError(f"{config} is {what}; a config is a .yaml file or the name of one")
    known = [name for name, _ in names()]
    raise ConfigError(
        f"no config is named {config}{spelling.hint(str(config), known)} "
        f"(there are: {', '.join(known) or 'none'})"
    )


def read(config: str | pathlib.Path) -> tuple[pathlib.Path, dict[str, Any]]:
    """Return the path of a config's file, and the fields that it holds.

    Args:
        config: A path that ends in .yaml or .yml, or the name of a config: see :func:`names`.

    Raises:
        ConfigError: There is no such file, or it is no mapping that names its experiment.
    """
    path = _find(config)
    try:
        raw = yaml12.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder; a config is a .yaml file") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not text in UTF-8") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from None
    if raw is None:
        raise ConfigError(f"{path} is empty; it must name its experiment")
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} must hold fields and their values, got {show(raw)}")
    if not isinstance(raw.get("experiment"), str):
        raise ConfigError(
            f"{path} must name its experiment, as in 'experiment: experiments.classify'"
        )
    return path, raw
