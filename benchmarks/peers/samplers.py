"""The peers of ``benchmarks.posterior``: each returns ``round -> named draws (chain, draw, ...)``.

All make the same transitions, from the data of a round, with the same options. Each is given the
form in which its users get the most of it: NumPyro as it is and inside a jit, blackjax inside a
jit with its chains one by one, nutpie with data that replace the model's without a compilation.
"""

from collections.abc import Callable
from typing import Any

NUM_CHAINS, NUM_WARMUP, NUM_SAMPLES = 4, 500, 1000
TARGET_ACCEPT = 0.8

Call = Callable[[int], Any]


def numpyros(
    model: Callable[..., None],
    data: Callable[[int], tuple[Any, ...]],
    *,
    chain_method: str,
    in_jit: bool,
) -> Call:
    """Return NumPyro's ``MCMC.run``, as it is or inside a jit of the user's own."""
    import jax
    from numpyro.infer import MCMC, NUTS

    sampler = MCMC(
        NUTS(model, target_accept_prob=TARGET_ACCEPT),
        num_warmup=NUM_WARMUP,
        num_samples=NUM_SAMPLES,
        num_chains=NUM_CHAINS,
        chain_method=chain_method,
        progress_bar=False,
        jit_model_args=not in_jit,
    )

    def call(key: Any, data: Any) -> Any:
        sampler.run(key, *data)
        return sampler.get_samples(group_by_chain=True)

    chosen = jax.jit(call) if in_jit else call
    return lambda round: chosen(jax.random.key(round), data(round))


def blackjaxes(
    model: Callable[..., None], data: Callable[[int], tuple[Any, ...]], *, is_mapped: bool
) -> Call:
    """Return blackjax's window adaptation and NUTS, on the log density that ours has too."""
    import blackjax
    import jax
    from jax.tree_util import Partial

    from mastery_jax.inference.mcmc import unconstrained

    @jax.jit
    def call(key: Any, data: Any) -> Any:
        start_key, run_key = jax.random.split(key)
        density, constrain = unconstrained.from_numpyro(Partial(model, *data))
        positions = unconstrained.start(
            start_key, model=Partial(model, *data), num_chains=NUM_CHAINS
        )

        def chain(key: Any, position: Any) -> Any:
            warm_key, key = jax.random.split(key)
            adapt = blackjax.window_adaptation(
                blackjax.nuts, density, target_acceptance_rate=TARGET_ACCEPT
            )
            (state, tuned), _ = adapt.run(warm_key, position, num_steps=NUM_WARMUP)
            step = blackjax.nuts(density, **tuned).step

            def move(state: Any, key: Any) -> Any:
                state, _ = step(key, state)
                return state, state.position

            return jax.lax.scan(move, state, jax.random.split(key, NUM_SAMPLES))[1]

        keys = jax.random.split(run_key, NUM_CHAINS)
        if is_mapped:
            draws = jax.vmap(chain)(keys, positions)
        else:
            draws = jax.lax.map(lambda pair: chain(*pair), (keys, positions))
        return jax.vmap(jax.vmap(constrain))(draws)

    return lambda round: call(jax.random.key(round), data(round))


def nutpies(model: Callable[..., Any], data: Callable[[int], dict[str, Any]]) -> Call:
    """Return nutpie on a PyMC model, compiled by numba at the first call, in double precision."""
    import nutpie

    compiled: list[Any] = []

    def call(round: int) -> Any:
        values = data(round)
        if not compiled:
            compiled.append(nutpie.compile_pymc_model(model(values)))
        trace = nutpie.sample(
            compiled[0].with_data(**values),
            draws=NUM_SAMPLES,
            tune=NUM_WARMUP,
            chains=NUM_CHAINS,
            cores=1,
            seed=round,
            target_accept=TARGET_ACCEPT,
            progress_bar=False,
        )
        return {str(name): each.values for name, each in trace.posterior.data_vars.items()}

    return call
