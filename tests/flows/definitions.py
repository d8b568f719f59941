"""What flows are by definition, in NumPy: slow, in double precision, and by other formulas."""

import numpy as np
from scipy import linalg, optimize, special, stats

from mastery_jax.probability.flows import base, planar, spline


def network(params, x, masks=None):
    for i, layer in sorted(params["layers"].items()):
        kernel = layer["kernel"] * (1 if masks is None else masks[i])
        x = (np.tanh(x) if i else x) @ kernel + layer["bias"]
    return x


def by_root(forward):
    """Return the inverse of a forward, by a root finder."""

    def inverse(params, y, **options):
        found = optimize.root(lambda x: forward(params, x, **options)[0] - y, y, tol=1e-13)
        return found.x, -forward(params, found.x, **options)[1]

    return inverse


def planar_forward(params, x):
    """The equations of the docstring, the constraint of Rezende & Mohamed shifted to m(0) = 0."""
    u, w, b = params
    m = np.log1p(np.exp(w @ u + np.log(np.e - 1))) - 1
    u = u + (m - w @ u) * w / (w @ w)
    h = np.tanh(w @ x + b)
    return x + u * h, np.log(1 + u @ w * (1 - h**2))


def radial_forward(params, x):
    """The equations of Rezende & Mohamed, which cancel where ours do not."""
    alpha = np.exp(params.log_radius)
    beta = -alpha + alpha * np.log1p(np.exp(params.strength + np.log(np.e - 1)))
    r = np.linalg.norm(x - params.center)
    h, slope = 1 / (alpha + r), -1 / (alpha + r) ** 2
    y = x + beta * h * (x - params.center)
    return y, 2 * np.log(1 + beta * h) + np.log(1 + beta * h + beta * slope * r)


def sylvester_forward(params, x):
    """The determinant of the whole Jacobian, in place of the product of its diagonal."""
    u, w = np.diag(params.out), np.diag(params.into)
    m = np.log1p(np.exp(u * w + np.log(np.e - 1))) - 1
    R, into = np.triu(params.out, 1) + np.diag(m / w), np.triu(params.into)
    Q = np.linalg.qr(params.directions)[0]
    h = np.tanh(into @ Q.T @ x + params.b)
    jacobian = np.eye(x.size) + Q @ R @ np.diag(1 - h**2) @ into @ Q.T
    return x + Q @ R @ h, np.linalg.slogdet(jacobian)[1]


def coupling_forward(params, x):
    shift, scale = np.split(network(params, x[:1]), 2)
    scale = 2 * np.tanh(scale / 2)
    return np.append(x[:1], x[1:] * np.exp(scale) + shift)[::-1], scale.sum()


def coupling_inverse(params, y):
    # Only the last two coordinates move, and the first is known: a linear equation.
    x = np.append(y[-1], [0, 0])
    shift, log_det = coupling_forward(params, x)
    scale = coupling_forward(params, np.append(y[-1], [1, 1]))[0] - shift
    return np.append(y[-1], ((y - shift)[:2] / scale[:2])[::-1]), -log_det


def bent(widths, heights, slopes, bound, x):
    """Return a spline of one number and its slope, by Gregory & Delbourgo's interpolant."""
    if not -bound < x < bound:
        return x, 1.0
    size = len(widths)

    def knots(raw):
        return np.append(-bound, -bound + 2 * bound * np.cumsum(1e-3 + (1 - 1e-3 * size) * raw))

    xs, ys = knots(special.softmax(widths)), knots(special.softmax(heights))
    inner = 1e-3 + np.log1p(np.exp(slopes + np.log(np.expm1(1 - 1e-3))))
    d = np.concatenate([[1], inner, [1]])
    k = np.searchsorted(xs, x, side="right") - 1
    t, s = (x - xs[k]) / (xs[k + 1] - xs[k]), (ys[k + 1] - ys[k]) / (xs[k + 1] - xs[k])
    # A quotient of Bernstein polynomials; its slope by the rule for quotients.
    q = (d[k] + d[k + 1]) / s
    bottom = (1 - t) ** 2 + q * t * (1 - t) + t**2
    middle = (ys[k] * d[k + 1] + ys[k + 1] * d[k]) / s
    top = ys[k] * (1 - t) ** 2 + middle * t * (1 - t) + ys[k + 1] * t**2
    top_slope = -2 * ys[k] * (1 - t) + middle * (1 - 2 * t) + 2 * ys[k + 1] * t
    bottom_slope = -2 * (1 - t) + q * (1 - 2 * t) + 2 * t
    slope = (top_slope * bottom - top * bottom_slope) / bottom**2 / (xs[k + 1] - xs[k])
    return top / bottom, slope


def bend(params, x):
    bound = float(params.interval.value)
    pairs = [bent(*row, bound, each) for *row, each in zip(*params[:3], x, strict=True)]
    ys, slopes = np.array(pairs).T
    return ys, np.log(slopes).sum()


def spline_coupling_forward(params, x):
    raw = network(params.network, x[:1]).reshape(2, 11)
    ys, log_det = bend(spline.Params(raw[:, :4], raw[:, 4:8], raw[:, 8:], params.interval), x[1:])
    return np.append(x[:1], ys)[::-1], log_det


def masked(params, y):
    """Coordinates 1, 2, 3 through hidden units of degrees 1, 2, 1, 2, 1."""
    degrees = np.arange(1, 4), np.array([1, 2, 1, 2, 1])
    per = params.network["layers"][1]["bias"].size // 3
    last = np.repeat(degrees[0], per)
    masks = [degrees[0][:, None] <= degrees[1], degrees[1][:, None] < last]
    return network(params.network, y, masks).reshape(3, per)


def maf_inverse(params, y):
    y = y[::-1]
    shift, scale = masked(params, y).T
    scale = 2 * np.tanh(scale / 2)
    return (y - shift) * np.exp(-scale), -scale.sum()


def maf_spline_inverse(params, y):
    y, bound = y[::-1], float(params.interval.value)
    xs = []
    for row, each in zip(masked(params, y), y, strict=True):
        parts = row[:3], row[3:6], row[6:]
        solve = lambda x, parts=parts, each=each: bent(*parts, bound, x)[0] - each  # noqa: E731
        xs.append(optimize.brentq(solve, -10, 10, xtol=1e-13) if abs(each) < bound else each)
    return np.array(xs), -sum(
        np.log(bent(row[:3], row[3:6], row[6:], bound, x)[1])
        for row, x in zip(masked(params, y), xs, strict=True)
    )


def maf_forward(params, x):
    """The inverse's formula, one coordinate after the other."""
    y = np.zeros(3)
    for i in range(3):
        shift, scale = masked(params, y)[i]
        y[i] = x[i] * np.exp(2 * np.tanh(scale / 2)) + shift
    scale = masked(params, y)[:, 1]
    return y[::-1], (2 * np.tanh(scale / 2)).sum()


def continuous_oracle(back):
    def follow(params, x, **options):
        from scipy.integrate import solve_ivp

        def field(t, state):
            at = np.append(state[:3], t)
            hidden = params.network["layers"][0]
            inner = np.tanh(at @ hidden["kernel"] + hidden["bias"])
            out = params.network["layers"][1]
            jacobian = (hidden["kernel"][:3] * (1 - inner**2)) @ out["kernel"]
            return np.append(inner @ out["kernel"] + out["bias"], np.trace(jacobian))

        times = (1.0, 0.0) if back else (0.0, 1.0)
        y = solve_ivp(field, times, np.append(x, 0.0), rtol=1e-12, atol=1e-12).y[:, -1]
        return y[:3], y[3]

    return follow


def linear_forward(params, x):
    P = np.eye(3)[params.order.value]
    L = np.tril(params.lower, -1) + np.eye(3)
    U = np.triu(params.upper, 1) + np.diag(params.signs.value * np.exp(params.log_scale))
    return P @ L @ U @ x + params.shift, np.linalg.slogdet(P @ L @ U)[1]


def linear_inverse(params, y):
    A = np.stack([linear_forward(params, e)[0] - params.shift for e in np.eye(3)], axis=1)
    return linalg.solve(A, y - params.shift), -linear_forward(params, y)[1]


def chain_forward(params, x, *, layers):
    total = 0.0
    for row in zip(*params[0], strict=True):
        x, log_det = planar_forward(planar.Params(*row), x)
        total += log_det
    return x, total


def chain_inverse(params, y, *, layers):
    total = 0.0
    for row in list(zip(*params[0], strict=True))[::-1]:
        y, log_det = by_root(planar_forward)(planar.Params(*row), y)
        total += log_det
    return y, total


def chain_log_prob(params, x, *, layers, base=None):
    z, log_det = chain_inverse(params, x, layers=layers)
    return log_det + (stats.norm.logpdf(z).sum() if base is None else base_log_prob(base, z))


def base_log_prob(params, z):
    if isinstance(params, base.Uniform):
        lower, upper = params.lower.value, params.upper.value
        return stats.uniform.logpdf(z, lower, upper - lower).sum()
    loc, scale = params.loc, np.exp(params.log_scale)
    if isinstance(params, base.Normal):
        return stats.norm.logpdf(z, loc, scale).sum()
    return stats.t.logpdf(z, np.exp(params.log_df), loc, scale).sum()
