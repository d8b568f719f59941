"""The models of NIST's nonlinear regressions, as residuals of (x, y, parameters)."""

import jax.numpy as jnp
import numpy as np


def rational(x, y, b):
    above = b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3
    return above / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3) - y


def lanczos(x, y, b):
    return b[0] * jnp.exp(-b[1] * x) + b[2] * jnp.exp(-b[3] * x) + b[4] * jnp.exp(-b[5] * x) - y


def gauss(x, y, b):
    hills = b[2] * jnp.exp(-((x - b[3]) ** 2) / b[4] ** 2)
    hills += b[5] * jnp.exp(-((x - b[6]) ** 2) / b[7] ** 2)
    return b[0] * jnp.exp(-b[1] * x) + hills - y


def rise(x, y, b):
    return b[0] * (1 - jnp.exp(-b[1] * x)) - y


def bennett5(x, y, b):
    return b[0] * (b[1] + x) ** (-1 / b[2]) - y


def chwirut2(x, y, b):
    return jnp.exp(-b[0] * x) / (b[1] + b[2] * x) - y


def danwood(x, y, b):
    return b[0] * x ** b[1] - y


def eckerle4(x, y, b):
    return b[0] / b[1] * jnp.exp(-(((x - b[2]) / b[1]) ** 2) / 2) - y


def mgh09(x, y, b):
    return b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]) - y


def mgh17(x, y, b):
    return b[0] + b[1] * jnp.exp(-x * b[3]) + b[2] * jnp.exp(-x * b[4]) - y


def misra1c(x, y, b):
    return b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5) - y


def nelson(x, y, b):
    return b[0] - b[1] * x[:, 0] * jnp.exp(-b[2] * x[:, 1]) - jnp.log(y)


def rat42(x, y, b):
    return b[0] / (1 + jnp.exp(b[1] - b[2] * x)) - y


def roszman1(x, y, b):
    return b[0] - b[1] * x - jnp.arctan(b[2] / (x - b[3])) / jnp.pi - y


MODELS = {
    "Bennett5": bennett5,
    "BoxBOD": rise,
    "Chwirut2": chwirut2,
    "DanWood": danwood,
    "Eckerle4": eckerle4,
    "Gauss1": gauss,
    "Gauss3": gauss,
    "Hahn1": rational,
    "Lanczos1": lanczos,
    "Lanczos3": lanczos,
    "MGH09": mgh09,
    "MGH17": mgh17,
    "Misra1a": rise,
    "Misra1c": misra1c,
    "Nelson": nelson,
    "Rat42": rat42,
    "Roszman1": roszman1,
    "Thurber": rational,
}


def digits(got, certified):
    """Return the correct digits of the worst entry, at most the 11 that are published."""
    got, certified = np.asarray(got), np.asarray(certified)
    error = np.abs(got - certified) / np.abs(certified)
    return float(np.minimum(-np.log10(np.maximum(error, 1e-11)), 11).min())
