"""Which inputs a function reads, and when two programs have one text."""

import jax
import jax.numpy as jnp
import numpy as np

from mastery_jax.workflow import usage


def doubled(x, y):
    return {"out": 2 * x["a"]}


def test_what_is_not_read_is_told():
    x = {"a": 1.0, "b": 2.0}
    assert usage.reads(doubled, x, 3.0) == ({"a": True, "b": False}, False)


def test_what_only_feeds_an_unused_carry_of_a_scan_is_not_read():
    def last(a, b):
        def body(carry, _):
            return (carry[0] + a, carry[1] * b), None

        return jax.lax.scan(body, (a, b), None, length=3)[0][0]

    assert usage.reads(last, 1.0, 2.0) == (True, False)


def test_an_inner_jit_is_looked_into():
    first = jax.jit(lambda a, b: a)
    assert usage.reads(lambda a, b: first(a, b), 1.0, 2.0) == (True, False)


def test_programs_that_differ_in_a_constant_inside_have_another_text():
    def program(constant):
        inner = jax.jit(lambda x: x + constant)
        return usage.reads_and_text(lambda x: inner(x), jnp.ones(3))[1]

    one, same, other = (program(np.float32([1, 2, last])) for last in (3, 3, 4))
    assert one == same
    assert one != other


def test_a_digest_sees_values_shapes_and_dtypes():
    arrays = [np.zeros(4, np.float32), np.zeros((2, 2), np.float32), np.zeros(4, np.int32)]
    assert len({usage.digest([array]) for array in [*arrays, np.float32([0, 0, 0, 1])]}) == 4
