"""YAML as its 1.2 core schema reads it: ``1e-3`` is a number, ``no`` and ``010`` are not traps.

PyYAML resolves plain words by YAML 1.1, where ``1e-3`` is a string, ``no`` is false and ``010``
is eight. The loader and the dumper here share one table of words, so that what one writes the
other reads back.

Source: YAML 1.2.2, section 10.3.2, the core schema.
"""

import re
from typing import Any

import yaml

__all__ = ["dump", "parse"]

_WORDS = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own attribute

    def construct_document(self, node: Any) -> Any:
        """Refuse a value that holds itself: built deeply, PyYAML cannot make one."""
        self.deep_construct = True
        return super().construct_document(node)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that is given twice: PyYAML keeps the last without a word."""
        seen = set()
        for key, _ in node.value:
            wrong = "is given twice" if str(key.value) in seen else ""
            if not isinstance(key, yaml.ScalarNode):
                wrong = "cannot be a key"
            if wrong:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value} {wrong}", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)

    def construct_int(self, node: yaml.ScalarNode) -> int:
        text = node.value
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own attribute


for _name, _pattern, _first in _WORDS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}",
            re.compile(f"(?:{_pattern})$"),
            [*_first, ""] if _name == "null" else list(_first),
        )
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)
_Dumper.add_representer(tuple, yaml.SafeDumper.represent_list)


def parse(text: str) -> Any:
    """Read one document.

    Raises:
        ValueError: The text is not YAML; the message names the line and what is wrong.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{line}{error.problem}") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from None


def dump(value: Any) -> str:
    """Write plain values; keys keep their order, innermost lists stay on one line."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=100)
