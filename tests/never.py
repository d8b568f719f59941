"""What is never written, and how it is found by reading the source.

``test_never.py`` reads every file, and proves that each offence is seen.
"""

import ast
import pathlib
import re
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
BESIDE = ("workflow", "commands", "plots", "cli.py")  # what stands beside the tower

TOWER = {"core", "room"}
PROGRAM = {*TOWER, "beside", "outside"}
ANYWHERE = {*PROGRAM, "tests"}

# Dotted names, as they are once imports are resolved: what to write instead, and where it holds.
NAMES = {
    # Programs own devices, keys, settings and the terminal; the tower owns none.
    "print": ("return the value, or log in workflow", TOWER),
    "jax.config": ("settings belong to the program that calls", TOWER),
    "jax.devices": ("placement belongs to the program that calls", TOWER),
    "jax.local_devices": ("placement belongs to the program that calls", TOWER),
    "jax.device_count": ("placement belongs to the program that calls", TOWER),
    "jax.default_backend": ("use jax.lax.platform_dependent", TOWER),
    "jax.random.key": ("take a key", TOWER),
    "os": ("the tower knows no machine", TOWER),
    "sys": ("the tower knows no machine", TOWER),
    "time": ("the tower knows no clock", TOWER),
    "random": ("take a key", TOWER),
    "numpy.random": ("take a key", TOWER),
    "jax.numpy.linalg.inv": ("solve, or factorize", TOWER),
    "jax.numpy.linalg.det": ("use a Cholesky factor, or slogdet", TOWER),
    # An algorithm writes one step.
    "jax.lax.fori_loop": ("write a step, and let core.loop run it", {"room"}),
    "jax.lax.scan": ("write a step, and let core.loop run it", {"room"}),
    "jax.lax.while_loop": ("write a step, and let core.loop run it", {"room"}),
    # Nothing is repaired or shown in silence.
    "jax.debug.print": ("return it in Info", PROGRAM),
    "jax.numpy.nan_to_num": ("report the failure in Info", PROGRAM),
    "numpy.nan_to_num": ("report the failure", PROGRAM),
    "numpy.random.seed": ("use numpy.random.default_rng(seed)", ANYWHERE),
    "numpy.random.choice": ("use numpy.random.default_rng(seed)", ANYWHERE),
    "random.choice": ("use numpy.random.default_rng(seed)", ANYWHERE),
    "random.random": ("use numpy.random.default_rng(seed)", ANYWHERE),
}
# Names that were right once (and flax's transforms, which a plain dict of arrays does not need).
RELICS = {
    "jax.tree_map": "jax.tree.map",
    "jax.tree_leaves": "jax.tree.leaves",
    "jax.tree_flatten": "jax.tree.flatten",
    "jax.tree_util.tree_map": "jax.tree.map",
    "jax.tree_util.tree_leaves": "jax.tree.leaves",
    "jax.random.PRNGKey": "jax.random.key",
    "jax.random.KeyArray": "jaxtyping.Key",
    "jax.random.shuffle": "jax.random.permutation",
    "jax.interpreters": "jax.extend",
    "jax.lib.xla_bridge": "jax.extend.backend",
    "jax.linear_util": "jax.extend.linear_util",
    "jax.util": "the standard library",
    "jax.ops.index_update": "x.at[i].set",
    "jax.partial": "functools.partial",
    "jax.pmap": "jax.jit and NamedSharding",
    "jax.device_put_sharded": "device_put and NamedSharding",
    "jax.device_put_replicated": "device_put and NamedSharding",
    "jax.xla_computation": "jax.jit(f).lower",
    "jax.sharding.use_mesh": "jax.set_mesh",
    "jax.lax.pvary": "jax.lax.pcast",
    "jax.experimental.export": "jax.export",
    "jax.experimental.enable_x64": "jax.enable_x64",
    "jax.experimental.host_callback": "jax.pure_callback",
    "jax.experimental.maps": "jax.shard_map",
    "jax.experimental.optimizers": "optax",
    "jax.experimental.pjit": "jax.jit",
    "jax.experimental.shard_map": "jax.shard_map",
    "jax.experimental.stax": "flax.nnx",
    "jax.numpy.alltrue": "jnp.all",
    "jax.numpy.cumproduct": "jnp.cumprod",
    "jax.numpy.fix": "jnp.trunc",
    "jax.numpy.in1d": "jnp.isin",
    "jax.numpy.msort": "jnp.sort",
    "jax.numpy.NaN": "jnp.nan",
    "jax.numpy.product": "jnp.prod",
    "jax.numpy.round_": "jnp.round",
    "jax.numpy.row_stack": "jnp.vstack",
    "jax.numpy.trapz": "jnp.trapezoid",
    "numpy.alltrue": "np.all",
    "numpy.float_": "np.float64",
    "numpy.in1d": "np.isin",
    "numpy.Inf": "np.inf",
    "numpy.NaN": "np.nan",
    "numpy.product": "np.prod",
    "numpy.row_stack": "np.vstack",
    "numpy.trapz": "np.trapezoid",
    "scipy.integrate.simps": "scipy.integrate.simpson",
    "scipy.integrate.trapz": "scipy.integrate.trapezoid",
    "flax.linen": "flax.nnx",
    "flax.optim": "optax",
    "flax.struct": "typing.NamedTuple",
    "flax.training": "a NamedTuple, and orbax",
    "flax.nnx.grad": "jax.grad",
    "flax.nnx.jit": "jax.jit",
    "flax.nnx.Optimizer": "optax",
    "flax.nnx.RoPE": "networks.attention: flax 0.12.8 has none",
    "flax.nnx.scan": "core.loop.scan",
    "flax.nnx.State": "a nested dict",
    "flax.nnx.value_and_grad": "jax.value_and_grad",
    "flax.nnx.vmap": "jax.vmap",
    "optax.tree_utils": "optax.tree",
    "chex.assert_tree_all_close": "chex.assert_trees_all_close",
    "chex.dataclass": "typing.NamedTuple",
}
KEYWORDS = {
    "static_argnums": "static_argnames",
    "a_min": "min",
    "a_max": "max",
    "newshape": "shape",
    "interpolation": "method",
    "check_rep": "check_vma",
}
SEEDED = ("random.key", "default_rng")
WIDTHS = {"float16", "bfloat16", "float32", "float64"}
MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
WORDS = {
    r"\b(TODO|FIXME|XXX|HACK)\b": "do it, or write an issue",
    r"(?i)\b(deprecated|backwards?.compatib)": "an alias for old times' sake",
    r"(?<![\w.])/(work|tmp|home|root|mnt)/": "a path of one machine",
}


def area_of(path: pathlib.Path) -> str:
    """Return whose rules hold for a file."""
    folder, *rest = path.relative_to(ROOT).parts
    if folder != "mastery_jax":
        return "tests" if folder in ("tests", "benchmarks") else "outside"
    return "beside" if rest[0] in BESIDE else "core" if rest[0] == "core" else "room"


def offences(source: str, *, area: str) -> list[str]:
    """Return one line per forbidden construct in ``source``."""
    tree = ast.parse(source)
    found = {*_words(source), *_names(tree, area)}
    for node in ast.walk(tree):
        found |= {(node.lineno, what) for what in _anywhere(node)}
        if area in PROGRAM and isinstance(node, ast.Assert):
            found.add((node.lineno, "assert: raise ValueError, or return a status"))
        if area in TOWER:
            found |= {(node.lineno, what) for what in _in_the_tower(node)}
        if area == "room":
            found |= {(node.lineno, what) for what in _in_a_room(node)}
    if area in TOWER:
        found |= {*_at_import(tree), *_against_the_file(tree)}
    return [f"{line}: {what}" for line, what in sorted(found)]


def _words(source: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(source.splitlines(), 1):
        for pattern, instead in WORDS.items():
            if match := re.search(pattern, line):
                yield number, f"{match[0]}: {instead}"


def _names(tree: ast.Module, area: str) -> Iterator[tuple[int, str]]:
    """Yield the forbidden names. What an attribute hangs from is a node of its own."""
    rules = RELICS | {name: instead for name, (instead, areas) in NAMES.items() if area in areas}
    origin = {"print": "print"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for n in node.names:
                top = n.name.partition(".")[0]
                origin[n.asname or top] = n.name if n.asname else top
        elif isinstance(node, ast.ImportFrom):
            origin |= {n.asname or n.name: f"{node.module}.{n.name}" for n in node.names}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                said = [n.name for n in names]
            case ast.ImportFrom(module=module, names=names):
                said = [f"{module}.{n.name}" for n in names]
            case ast.Attribute() | ast.Name():
                head, dot, tail = ast.unparse(node).partition(".")
                said = [origin[head] + dot + tail] if head in origin else []
            case _:
                said = []
        yield from ((node.lineno, f"{name}: {rules[name]}") for name in said if name in rules)


def _anywhere(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.ExceptHandler(type=None):
            yield "bare except: name the exception"
        case ast.Global():
            yield "global: hidden state"
        case ast.FunctionDef(args=args) | ast.AsyncFunctionDef(args=args) | ast.Lambda(args=args):
            defaults = [*args.defaults, *args.kw_defaults]
            yield from ("mutable default" for d in defaults if isinstance(d, MUTABLE))
        case ast.keyword(arg=str(name)) if name in KEYWORDS:
            yield f"{name}=: write {KEYWORDS[name]}"
        case ast.Call(func=func, args=args) if ast.unparse(func).endswith(SEEDED):
            if not args:
                yield f"{ast.unparse(func)}(): give a seed"
            elif ast.unparse(args[0]).startswith("time."):
                yield "randomness from the clock"


def _in_the_tower(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Attribute(value=ast.Name(id="jnp" | "np"), attr=width) if width in WIDTHS:
            yield f"{width}: take the dtype from the data"
        case ast.Constant(value=str(width)) if width in WIDTHS:
            yield f"{width}: take the dtype from the data"
        case ast.Nonlocal():
            yield "nonlocal: hidden state"


def _in_a_room(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.For(iter=ast.Call(func=ast.Name(id="range"), args=args)):
            bounds = " ".join(map(ast.unparse, args))
            if "shape" in bounds or "len(" in bounds:
                yield "a Python loop over an axis: write a step, and let core.loop run it"
        case ast.FunctionDef(args=ast.arguments(kwarg=ast.arg(arg=name)), body=body):
            given = [k for part in body for call in _calls(part) for k in call.keywords]
            if any(k.arg is None and ast.unparse(k.value) == name for k in given):
                yield f"**{name}: passed on blindly"


def _at_import(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in tree.body:
        match node:
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name))) if name[:3] == "def":
                pass  # f.defjvp(...) is a rule, not work
            case ast.Expr(value=ast.Call()) | ast.For() | ast.While() | ast.With():
                yield node.lineno, "work at import"
            case ast.Assign(value=value) | ast.AnnAssign(value=ast.AST() as value):
                later = [
                    n
                    for part in ast.walk(value)
                    if isinstance(part, ast.Lambda)
                    for n in _calls(part)
                ]
                now = [call for call in _calls(value) if call not in later]
                if any(ast.unparse(call.func).startswith("jnp.") for call in now):
                    yield node.lineno, "an array made at import is a constant of every program"


def _against_the_file(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield what is wrong for what the file imports or defines."""
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    is_network = any(n.name == "nnx" for node in imports for n in node.names)
    ours = {
        n.asname or n.name
        for node in imports
        if (node.module or "").startswith("mastery_jax")
        for n in node.names
    }
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(bases=bases):
                if {ast.unparse(base).partition(".")[0] for base in bases} & (ours | defined):
                    yield node.lineno, "inheritance between algorithms"
            case ast.Assign(targets=[ast.Tuple()], value=ast.Name(id=name)):
                if name in ("state", "info", "model") and name.title() not in defined:
                    yield node.lineno, f"{name} unpacked by position: read its fields by name"
            case ast.Attribute(attr="value") if is_network:
                yield node.lineno, ".value: index a variable with [...]"


def _calls(node: ast.AST) -> list[ast.Call]:
    return [n for n in ast.walk(node) if isinstance(n, ast.Call)]
