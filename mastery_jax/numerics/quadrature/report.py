"""What every rule of this room returns beside its estimate.

A rule of fixed nodes bounds its error from a second, coarser rule; a random one has a standard
error. Neither repairs anything: an integrand that gives NaN gives NaN, and the status says it.

Source: Davis & Rabinowitz (1984), *Methods of Numerical Integration*, sections 4.9 and 5.9.
"""

from typing import NamedTuple

from jaxtyping import Array, Float, Int

__all__ = ["Bound", "Spread"]


class Bound(NamedTuple):
    """What is known of the error of a deterministic rule."""

    error: Float[Array, "..."]  # estimated absolute error, unit of the integral
    num_evals: Int[Array, ""]  # calls of the integrand
    status: Int[Array, ""]  # core.status.Status


class Spread(NamedTuple):
    """What is known of the error of a random rule."""

    std_error: Float[Array, "..."]  # standard error of the estimate, unit of the integral
    num_evals: Int[Array, ""]  # calls of the integrand
    status: Int[Array, ""]  # core.status.Status
