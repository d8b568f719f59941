"""A method that was chosen, with its options: an integral that can be compiled, and used again.

    estimate, bound = choice.integrate(fn, lower, upper)

Options are numbers of the host, so that a choice is made once and then used inside ``jax.jit``, a
loop or ``jax.vmap``, for any integrand that is alike.

Source: the rules are those of ``quadrature`` and ``monte_carlo``; Student's quantile: L'Ecuyer,
Nakayama, Owen & Tuffin (2023), *Confidence intervals for randomized quasi-Monte Carlo estimators*.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature import (
    gauss_kronrod,
    gauss_legendre,
    newton_cotes,
    product_grid,
    report,
    sparse_grid,
)
from mastery_jax.numerics.quadrature.choosing import box_features, features
from mastery_jax.numerics.quadrature.monte_carlo import plain, quasi, vegas
from mastery_jax.numerics.quadrature.report import Bound, Spread

__all__ = ["FIXED", "RANDOM", "SURE", "Choice", "ends", "run"]

FIXED: dict[str, Any] = {
    "trapezoid": newton_cotes.integrate,
    "gauss_legendre": gauss_legendre.integrate,
    "gauss_kronrod": gauss_kronrod.integrate,
    "product_grid": product_grid.integrate,
    "sparse_grid": sparse_grid.integrate,
}
RANDOM: dict[str, Any] = {
    "quasi": quasi.integrate,
    "vegas": vegas.integrate,
    "plain": plain.integrate,
}
SURE = 3.0
"""Standard errors within which a random estimate must be: 99 % of Student's t of 15 degrees."""


class Choice(NamedTuple):
    """A method, its options, and why it was chosen."""

    method: str
    reason: str  # one sentence, with the numbers that were measured
    options: dict[str, Any]  # keywords of the method's integrate, rtol and atol among them
    features: features.Features | box_features.Features
    num_evals: int  # calls of the integrand that choosing took

    def __str__(self) -> str:
        """Say it in one sentence."""
        return f"{self.method}: {self.reason}"

    def integrate(
        self, fn: Partial, lower: Any, upper: Any, *, key: Any = None
    ) -> tuple[jax.Array, Bound | Spread]:
        """Integrate by the method. Can be compiled, mapped and differentiated as the method can.

        Args:
            fn: The integrand that was measured, or one that is alike.
            lower: Where to start. A breakpoint beyond an end is moved to it.
            upper: Where to end.
            key: Consumed by a random method; others need none.

        Returns:
            The estimate and its ``Bound``, or the ``Spread`` of a random method: CONVERGED where
            three standard errors are within the tolerance, OUT_OF_STEPS where they are not.

        Raises:
            ValueError: no key for a random method.
        """
        return run(self.method, fn, lower, upper, options=self.options, key=key)


def run(
    method: str, fn: Partial, lower: Any, upper: Any, *, options: dict[str, Any], key: Any = None
) -> tuple[jax.Array, Bound | Spread]:
    """Integrate by the method of that name; as ``Choice.integrate``."""
    lower, upper = ends(fn, lower, upper)
    dtype = lower.dtype
    given = dict(options)
    if method in FIXED:
        if method == "trapezoid":
            given["rule"] = "trapezoid"
        if "breakpoints" in given:
            places = jnp.asarray(given["breakpoints"], dtype)
            given["breakpoints"] = places.clip(jnp.minimum(lower, upper), jnp.maximum(lower, upper))
        return FIXED[method](fn, lower, upper, **given)
    if key is None:
        raise ValueError(f"choice.integrate: key is None, not a key, which {method} needs")
    rtol, atol = given.pop("rtol"), given.pop("atol")
    estimate, info = RANDOM[method](key, fn, lower, upper, **given)
    is_sure = info.std_error * SURE <= report.tolerance(estimate, rtol, atol)
    is_short = (info.status == Status.CONVERGED) & ~is_sure
    status = jnp.where(is_short, Status.OUT_OF_STEPS, info.status).astype(jnp.int32)
    return estimate, Spread(info.std_error, info.num_evals, status)


def ends(fn: Partial, lower: Any, upper: Any) -> tuple[jax.Array, jax.Array]:
    """Return both ends in the float dtype that they and the integrand's data agree on."""
    dtype = report.dtype_of(fn, lower, upper)
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = jnp.result_type(float)
    return jnp.asarray(lower, dtype), jnp.asarray(upper, dtype)
