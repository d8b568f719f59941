"""The laws that every algorithm of the house obeys, each as one function of a Case.

A law raises AssertionError when broken. ``test_contract.py`` applies all laws to all
cases; ``test_laws.py`` proves that each law can fail, and that each exemption does what it says.
"""

import contextlib
import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Relative tolerance per dtype: about 1e4 units in the last place.
RTOL = {np.dtype(name): 1e-3 for name in ("float32", "complex64")} | {
    np.dtype(name): 1e-9 for name in ("float64", "complex128")
}


@dataclass(frozen=True)
class Case:
    """One public function with arguments on which it can be called.

    ``name`` is ``module.function``, and after a space or bracket what tells it from other cases of
    that function. ``args`` and ``hyper`` hold NumPy float64; each law casts them to the dtype it
    needs. What loosens a law is an exemption, and ``because`` says why it is granted.
    """

    name: str
    fn: Callable[..., Any]
    args: tuple[Any, ...]  # positional: key, state, data
    hyper: Mapping[str, Any] = field(default_factory=dict)  # traced keywords
    static: Mapping[str, Any] = field(default_factory=dict)  # static keywords
    oracle: Callable[..., Any] | None = None  # same call, other code, float64
    modes: tuple[str, ...] = ("fwd", "rev")  # exemption: fewer modes of differentiation
    any_rank: bool = False  # exemption: made for arrays of any rank
    unchecked: tuple[str, ...] = ()  # exemption: leaves (key paths) of any rank
    is_chaotic: bool = False  # exemption: jit, vmap and float32 laws run with num_steps=2
    engine: bool = False  # exemption: runs a library that needs loose promotion
    rtol32: float | None = None  # exemption: another relative tolerance in float32
    atol: float = 1e-6  # exemption where it is larger
    because: str = ""

    def __call__(self, *args: Any, **hyper: Any) -> Any:
        with self.promotion():
            return self.fn(*args, **hyper, **self.static)

    def promotion(self) -> contextlib.AbstractContextManager[Any]:
        stack = contextlib.ExitStack()
        if self.engine:
            stack.enter_context(jax.numpy_dtype_promotion("standard"))
            stack.enter_context(jax.numpy_rank_promotion("allow"))
        return stack

    @property
    def function(self) -> str:
        """Return ``module.function``, the part of the name that stands in the library."""
        return re.match(r"[\w.]*", self.name).group()

    @property
    def exemptions(self) -> tuple[str, ...]:
        fields = {f.name: f.default for f in dataclasses.fields(self)}
        names = ("modes", "any_rank", "unchecked", "is_chaotic", "engine", "rtol32", "atol")
        return tuple(n for n in names if getattr(self, n) != fields[n])

    def calm(self) -> "Case":
        """Return the case over two steps, if errors grow exponentially along its steps."""
        if not self.is_chaotic:
            return self
        return replace(self, static={**self.static, "num_steps": 2})

    def rtol(self, dtype: Any) -> float:
        if np.dtype(dtype) == np.float32 and self.rtol32 is not None:
            return self.rtol32
        return RTOL.get(np.dtype(dtype), 0.0)


def unexplained(cases: Iterable[Case]) -> list[str]:
    """Return the cases that ask for an exemption without a reason."""
    return [f"{c.name}: {c.exemptions}" for c in cases if c.exemptions and len(c.because) <= 15]


def summary(cases: Iterable[Case]) -> str:
    """Return one line that counts the cases, and the exemptions they are granted."""
    cases = tuple(cases)
    counts = Counter(name for case in cases for name in case.exemptions)
    listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    return f"contract: {len(cases)} cases, {counts.total()} exemptions ({listed or 'none'})"


def cast(tree: Any, dtype: str) -> Any:
    """Return ``tree`` on the device, its floats as ``dtype``, its keys untouched."""

    def one(leaf: Any) -> jax.Array:
        is_float = not isinstance(leaf, jax.Array) and np.issubdtype(
            np.asarray(leaf).dtype, np.floating
        )
        return jnp.asarray(leaf, dtype=dtype if is_float else None)

    return jax.tree.map(one, tree)


def is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def is_function(leaf: Any) -> bool:
    return isinstance(leaf, jax.tree_util.Partial)


def close(a: Any, b: Any, *, rtol: float, atol: float) -> None:
    """Insist that two results have as many leaves, of equal shapes and close values."""
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.shape(x) == np.shape(y), (np.shape(x), np.shape(y))
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


def same(a: Any, b: Any, *, case: Case) -> None:
    """Insist that two results have one structure, one dtype per leaf, and close values."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype, (x.dtype, y.dtype)
        if is_key(x):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        rtol = case.rtol(x.dtype)
        close(x, y, rtol=rtol, atol=case.atol if rtol else 0)


def jit_equals_eager(case: Case) -> None:
    case = case.calm()
    args, hyper = cast((case.args, case.hyper), "float32")
    is_compiled = hasattr(case.fn, "lower")  # at its definition, as a verb is
    compiled = (case if is_compiled else jax.jit(lambda *a, **h: case(*a, **h)))(*args, **hyper)
    with jax.disable_jit():
        same(compiled, case(*args, **hyper), case=case)


def vmap_equals_loop(case: Case, *, size: int = 3) -> None:
    case = case.calm()

    def batch(leaf: jax.Array) -> Any:
        if is_key(leaf):
            return jax.random.split(leaf, size)
        scales = [1 + i / 8 if jnp.issubdtype(leaf.dtype, jnp.floating) else 1 for i in range(size)]
        return np.stack([(np.asarray(leaf) * s).astype(leaf.dtype) for s in scales])

    def stack(*rows: jax.Array) -> Any:
        return jnp.stack(rows) if is_key(rows[0]) else np.stack(rows)

    with jax.enable_x64(True):  # shares a program with the float32 law
        args, hyper = jax.tree.map(batch, cast((case.args, case.hyper), "float32"))
        whole = jax.vmap(lambda a, h: case(*a, **h))(args, hyper)
        rows = [jax.tree.map(lambda x, i=i: jnp.asarray(x[i]), (args, hyper)) for i in range(size)]
        parts = [case(*a, **h) for a, h in rows]
        same(whole, jax.tree.map(stack, *parts), case=case)


def grad_equals_finite_difference(case: Case) -> None:
    """Compare slopes along one random direction; both modes are one program."""
    if not case.modes:
        return
    with jax.enable_x64(True):
        args, hyper = cast((case.args, case.hyper), "float64")
        leaves, rebuild = jax.tree.flatten((args, hyper))
        where = [i for i, x in enumerate(leaves) if jnp.issubdtype(x.dtype, jnp.floating)]

        def of_floats(floats: Any) -> list[jax.Array]:
            filled = list(leaves)
            for i, x in zip(where, floats, strict=True):
                filled[i] = x
            a, h = rebuild.unflatten(filled)
            out = jax.tree.leaves(case(*a, **h))
            return [x for x in out if jnp.issubdtype(x.dtype, jnp.floating)]

        floats = [np.asarray(leaves[i]) for i in where]
        shapes = jax.eval_shape(of_floats, floats)
        if not shapes:
            return  # a function into the integers has no slope
        rng = np.random.default_rng(0)
        tangents, weights = ([rng.normal(size=x.shape) for x in xs] for xs in (floats, shapes))
        step = np.cbrt(np.finfo(np.float64).eps)

        def slopes_of(x: Any, t: Any, w: Any) -> tuple[Any, Any]:
            pushed = jax.jvp(of_floats, (x,), (t,))[1] if "fwd" in case.modes else None
            pulled = jax.vjp(of_floats, x)[1](w)[0] if "rev" in case.modes else None
            return pushed, pulled

        with case.promotion():
            up, down = (
                of_floats([jnp.asarray(x + by * t) for x, t in zip(floats, tangents, strict=True)])
                for by in (step, -step)
            )
            pushed, pulled = jax.jit(slopes_of)(floats, tangents, weights)
        slopes = [np.subtract(a, b) / (2 * step) for a, b in zip(up, down, strict=True)]
        if pushed is not None:
            close(pushed, slopes, rtol=1e-5, atol=1e-5)
        if pulled is not None:
            close(dot(pulled, tangents), dot(weights, slopes), rtol=1e-5, atol=1e-5)


def dot(xs: Iterable[Any], ys: Iterable[Any]) -> float:
    return sum(np.vdot(x, y) for x, y in zip(xs, ys, strict=True))


def keeps_dtype(case: Case) -> None:
    for dtype in ("float32", "float64"):
        with jax.enable_x64(True):
            args, hyper = cast((case.args, case.hyper), dtype)
            out = jax.eval_shape(lambda a, h: case(*a, **h), args, hyper)  # compiles nothing
        floats = [x for x in jax.tree.leaves(out) if jnp.issubdtype(x.dtype, jnp.floating)]
        assert {str(x.dtype) for x in floats} <= {dtype}, [str(x.dtype) for x in floats]


def float32_is_close_to_float64(case: Case) -> None:
    case = case.calm()
    if any(is_key(x) for x in jax.tree.leaves(case.args)):
        return  # jax.random draws other numbers at another width
    with jax.enable_x64(True):
        given = [cast((case.args, case.hyper), dtype) for dtype in ("float32", "float64")]
        results = [case(*args, **hyper) for args, hyper in given]
    close(*results, rtol=case.rtol("float32"), atol=max(case.atol, 1e-5))


def traces_once(case: Case) -> None:
    count = 0

    def counted(args: Any, hyper: Any) -> Any:
        nonlocal count
        count += 1
        return case(*args, **hyper)

    def shapes(tree: Any) -> Any:
        """Tell what can be the state: a float cannot stand for an integer."""
        leaves = jax.tree.leaves(tree)
        kinds = [(x.shape, jnp.issubdtype(x.dtype, jnp.floating)) for x in leaves]
        return jax.tree.structure(tree), kinds

    # The shapes of a call are enough to trace it; nothing is compiled.
    traced = jax.jit(counted)
    args, hyper = cast((case.args, case.hyper), "float32")
    out = jax.eval_shape(traced, args, hyper)
    # A step must be able to eat what it returned, without a second trace.
    state = out[0] if isinstance(out, tuple) and not hasattr(out, "_fields") else out
    fed = tuple(state if shapes(a) == shapes(state) else a for a in args)
    jax.eval_shape(traced, fed, hyper)
    assert count == 1, f"{case.name}: traced {count} times"


def refuses_a_wrong_rank(case: Case) -> None:
    """Give one leaf one axis too many; the message must name the function, or its module.

    The data inside a ``Partial`` is left alone: it belongs to the function that was passed in.
    """
    if case.any_rank:
        return
    module, _, _ = case.function.partition(".")
    given = cast((case.args, case.hyper), "float32")
    paths, rebuild = jax.tree.flatten_with_path(given, is_leaf=is_function)
    leaves = [leaf for _, leaf in paths]
    for i, (path, leaf) in enumerate(paths):
        name = jax.tree_util.keystr(path[1:], simple=True, separator="/")
        is_exempt = any(name == u or name.startswith(f"{u}/") for u in case.unchecked)
        if is_exempt or is_function(leaf):
            continue
        wrong = leaf[None] if is_key(leaf) else jnp.asarray(np.asarray(leaf)[None])
        args, hyper = rebuild.unflatten([*leaves[:i], wrong, *leaves[i + 1 :]])
        try:
            case(*args, **hyper)
        except ValueError as error:
            said = str(error)
        else:
            said = "nothing"
        is_named = said.startswith((f"{case.function}: ", f"{module}: "))
        assert is_named, f"{case.name}, wrong rank of {name}: {said}"


def agrees_with_oracle(case: Case) -> None:
    if case.oracle is None:
        return
    expected = case.oracle(*case.args, **case.hyper, **case.static)
    with jax.enable_x64(True):
        got = case(*cast(case.args, "float64"), **cast(dict(case.hyper), "float64"))
    close(got, expected, rtol=1e-8, atol=1e-10)


LAWS = (
    vmap_equals_loop,
    grad_equals_finite_difference,
    keeps_dtype,
    float32_is_close_to_float64,
    traces_once,
    refuses_a_wrong_rank,
    agrees_with_oracle,
    jit_equals_eager,
)
