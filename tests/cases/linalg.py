import math

import jax
import numpy as np
from scipy import linalg, signal

from mastery_jax.core.status import Status
from mastery_jax.numerics.linalg import (
    francis,
    hessenberg,
    least_squares,
    matrices,
    power_iteration,
    qr_algorithm,
    scale,
    toeplitz,
    transforms,
    vectors,
)
from tests.contract import Case

rng = np.random.default_rng(0)
x, y = rng.normal(size=4), rng.normal(size=4)
square = rng.normal(size=(4, 4)) + 3 * np.eye(4)
wide, tall = rng.normal(size=(3, 4)), rng.normal(size=(6, 3))
target = rng.normal(size=6)
symmetric = square + square.T
spread = np.diag([4.0, 2.0, -1.0]) + 0.1 * rng.normal(size=(3, 3))
turn, _ = np.linalg.qr(rng.normal(size=(4, 4)))
blocks = turn @ linalg.block_diag([[1.0, 2.0], [-3.0, 1.0]], 4.0, -2.0) @ turn.T
kernel, image = rng.normal(size=(2, 3)), rng.normal(size=(3, 4))

ANY_COLUMNS = "one right-hand side, or several as columns"


def balanced(A):
    """Return a matrix and the powers of two that bring its rows, then its columns, to size."""
    rows = 2.0 ** np.floor(np.log2(np.abs(A).max(axis=1, keepdims=True)))
    columns = 2.0 ** np.floor(np.log2(np.abs(A / rows).max(axis=0, keepdims=True)))
    return A / rows / columns


def solution(A, b):
    return linalg.solve(A, b), (1 / np.linalg.cond(balanced(A), 1), 0.0, 1)


def fitted(X, y):
    weights, *_ = np.linalg.lstsq(X, y)
    lengths = np.sqrt((X**2).sum(axis=0))
    condition = np.linalg.cond(X / 2.0 ** np.floor(np.log2(lengths)))
    residual = y - X @ weights
    return weights, (X.shape[1], condition, residual @ residual, 1)


def signed(vectors):
    """Turn each column so that its largest entry is positive."""
    return vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), range(vectors.shape[1])])


def thin_svd(A):
    U, S, _ = linalg.svd(A, full_matrices=False)
    U = signed(U)
    return U, S, (U / S).T @ A


def uncounted(solve):
    """Leave out the number of sweeps: rounding ends them, and every dtype has its own."""

    def called(A):
        found, info = solve(A)
        return found, info._replace(num_steps=0 * info.num_steps)

    return called


def pairs_of_symmetric(A):
    values, vectors = linalg.eigh(A)
    return (values, signed(vectors)), (0, 0.0, True, 1)


def largest_pairs(key, A, *, num_pairs, rtol, max_steps):
    values, vectors = linalg.eig(A)
    order = np.argsort(-np.abs(values))[:num_pairs]
    values, vectors = values.real[order], signed(vectors.real[:, order])
    num_steps, status = np.full(num_pairs, max_steps), np.full(num_pairs, Status.OUT_OF_STEPS)
    return (values, vectors), (values, 0 * values, num_steps, status < 0, status)


def hessenberg_form(A):
    H, Q = linalg.hessenberg(A, calc_q=True)
    return Q, H


def toeplitz_of(kernel, size, mode):
    return np.stack([signal.convolve(e, kernel, mode=mode) for e in np.eye(size)], axis=1)


def toeplitz_2d_of(kernel, shape, mode):
    basis = np.eye(math.prod(shape)).reshape(-1, *shape)
    return np.stack([signal.convolve2d(e, kernel, mode=mode).ravel() for e in basis], axis=1)


def turned_about(axis, angle):
    return linalg.expm(angle * np.cross(np.eye(3), axis / linalg.norm(axis)))


CASES: tuple[Case, ...] = (
    Case(
        "scale.power_of_two",
        scale.power_of_two,
        (x,),
        oracle=lambda x: 2.0 ** np.floor(np.log2(np.abs(x))),
        any_rank=True,
        because="a scale is one for every entry of any array",
    ),
    Case("vectors.dot", vectors.dot, (x, y), oracle=np.dot),
    Case(
        "vectors.cosine_similarity",
        vectors.cosine_similarity,
        (x, y),
        oracle=lambda x, y: math.cos(
            2
            * math.atan2(
                *(linalg.norm(x / linalg.norm(x) + s * y / linalg.norm(y)) for s in (-1, 1))
            )
        ),
    ),
    Case("vectors.norm", vectors.norm, (x,), oracle=linalg.norm),
    Case("matrices.multiply", matrices.multiply, (wide, square), oracle=np.matmul),
    Case("matrices.transpose", matrices.transpose, (wide,), oracle=np.transpose),
    Case(
        "matrices.solve",
        matrices.solve,
        (square, x),
        oracle=solution,
        unchecked=("1",),
        because=ANY_COLUMNS,
    ),
    Case(
        "matrices.inverse",
        matrices.inverse,
        (square,),
        oracle=lambda A: solution(A, np.eye(4)),
    ),
    Case("matrices.svd", matrices.svd, (square,), oracle=thin_svd),
    Case("least_squares.solve", least_squares.solve, (tall, target), oracle=fitted),
    Case("hessenberg.reduce", hessenberg.reduce, (square,), oracle=hessenberg_form),
    Case(
        "qr_algorithm.eigh",
        uncounted(qr_algorithm.eigh),
        (symmetric,),
        oracle=pairs_of_symmetric,
    ),
    Case(
        "francis.eigvals",
        uncounted(francis.eigvals),
        (blocks,),
        oracle=lambda A: (np.sort_complex(linalg.eigvals(A)), (0, True, 1)),
    ),
    Case("power_iteration.init", power_iteration.init, (jax.random.key(0), square)),
    Case(
        "power_iteration.step",
        power_iteration.step,
        (power_iteration.State(right=turn[0], left=turn[1] / 2 + turn[0]), square),
        {"rtol": 1e-6},
    ),
    Case(
        "power_iteration.solve",
        power_iteration.solve,
        (jax.random.key(0), spread),
        {"rtol": -1.0},  # never reached, so that every law sees as many steps
        {"num_pairs": 2, "max_steps": 60},
        oracle=largest_pairs,
    ),
    Case(
        "transforms.rotation",
        transforms.rotation,
        (np.array(0.7),),
        oracle=lambda angle: linalg.expm(angle * np.array([[0.0, -1.0], [1.0, 0.0]])),
    ),
    Case(
        "transforms.rotation_about",
        transforms.rotation_about,
        (x[:3], np.array(0.7)),
        oracle=turned_about,
    ),
    Case("transforms.scaling", transforms.scaling, (x,), oracle=np.diag),
    Case(
        "transforms.shear",
        transforms.shear,
        (np.array(0.7),),
        static={"size": 3, "along": 2, "by": 0},
        oracle=lambda factor, **static: np.array([[1, 0, 0], [0, 1, 0], [factor, 0, 1]]),
    ),
    Case(
        "transforms.reflection",
        transforms.reflection,
        (x,),
        oracle=lambda n: (lambda N: N @ np.diag([-1, 1, 1, 1]) @ N.T)(
            linalg.qr(np.column_stack([n, np.eye(4)[:, 1:]]))[0]
        ),
    ),
    Case(
        "transforms.homogeneous",
        transforms.homogeneous,
        (square, x),
        oracle=lambda A, t: np.block([[A, t[:, None]], [np.zeros((1, 4)), np.ones((1, 1))]]),
    ),
    Case(
        "transforms.apply",
        transforms.apply,
        (np.abs(square), np.abs(wide[:, :3])),
        oracle=lambda A, points: np.stack(
            [(A[:3, :3] @ p + A[:3, 3]) / (A[3, :3] @ p + A[3, 3]) for p in points]
        ),
    ),
    Case(
        "toeplitz.matrix",
        toeplitz.matrix,
        (kernel[0],),
        static={"size": 4, "mode": "same"},
        oracle=toeplitz_of,
    ),
    Case(
        "toeplitz.convolve",
        toeplitz.convolve,
        (x, kernel[0]),
        static={"mode": "same"},
        oracle=signal.convolve,
    ),
    Case(
        "toeplitz.matrix_2d",
        toeplitz.matrix_2d,
        (kernel,),
        static={"shape": (3, 4), "mode": "valid"},
        oracle=toeplitz_2d_of,
    ),
    Case(
        "toeplitz.convolve_2d",
        toeplitz.convolve_2d,
        (image, kernel),
        static={"mode": "same"},
        oracle=signal.convolve2d,
    ),
)
