"""Points that a sampler of Optuna chooses by what was measured at others, asked batch by batch.

What a trial is given follows from the seed of the search, the number of the trial and what was told
before its batch: each has a sampler of its own, so that a search which was killed goes on as if it
had not been, and one whose journal is lost can be asked again. Where trials are known by their
lanes, they are what was known then, whatever is chosen.

Sources: Bergstra et al. (2011), Algorithms for hyper-parameter optimization (tpe); Hansen (2016),
The CMA evolution strategy (cma); Deb et al. (2002), NSGA-II (nsga); Jones et al. (1998), Efficient
global optimization (gp).
"""

import itertools
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple, cast

import msgspec

from mastery_jax.workflow.errors import ConfigError, RunError
from mastery_jax.workflow.goals import direction
from mastery_jax.workflow.sweep.journal import MARK, Journal
from mastery_jax.workflow.sweep.notation import Distribution
from mastery_jax.workflow.sweep.search import Search

__all__ = ["Outcome", "Study", "confirm"]

NAME = "search"  # of the study in its journal
LEAST_POPULATION = 16  # of nsga and cma, where batches are smaller
_ALSO = {  # sampler -> the package that it needs beside Optuna, its name, how it is installed
    "cma": ("cmaes", "cmaes", "'mastery-jax[search]'"),
    "gp": ("torch", "PyTorch", "torch"),
}


class Outcome(NamedTuple):
    """What is told of a trial."""

    values: tuple[float, ...] | None  # one a metric; None: it failed
    stopped_at: int | None = None  # the step after which all its lanes were stopped


def confirm(search: Search, distributions: Mapping[str, Distribution]) -> None:
    """Refuse a search that cannot be made here.

    Args:
        search: With a sampler.
        distributions: By field path.

    Raises:
        RunError: A package is not installed.
        ConfigError: The sampler cannot do what is asked.
    """
    if not find_spec("optuna"):
        raise RunError("search.sampler needs Optuna: pip install 'mastery-jax[search]'")
    package, name, install = _ALSO.get(search.sampler or "", ("optuna", "", ""))
    if not find_spec(package):
        raise RunError(f"search.sampler={search.sampler} needs {name}: pip install {install}")
    if search.sampler == "cma" and len(search.metrics) > 1:
        raise ConfigError(
            f"search.sampler=cma seeks one metric, search.metrics names {len(search.metrics)}: "
            "leave one of them, or write search.sampler=nsga"
        )
    if search.sampler == "cma" and all(d.kind == "choice" for d in distributions.values()):
        raise ConfigError(
            f"search.sampler=cma needs numbers, and {', '.join(distributions)} are choices: "
            "write search.sampler=tpe"
        )


class Study:
    """The trials of one search, in order of their numbers."""

    def __init__(
        self,
        path: pathlib.Path,
        search: Search,
        distributions: Mapping[str, Distribution],
        *,
        known: Mapping[int, Mapping[str, Any]],
        ran: Collection[int] | None = None,
        say: Callable[[str], None],
    ) -> None:
        """Open the journal, or begin one.

        Args:
            path: The journal; a damaged one is kept beside it under another name.
            search: The sampler, its seed, and the metrics.
            distributions: By field path.
            known: By trial, the plain values that its lanes were run with: a trial that the
                journal lacks is asked for them.
            ran: The trials of which a lane's record says the same; by default all. Of others
                nothing tells whether the journal is right or what is known.
            say: Where to say that the journal is damaged, or lacks trials.

        Raises:
            RunError: The journal has another trial than is known, which was not run.
        """
        self._search, self._distributions = search, distributions
        self._choices = {path: _texts(each) for path, each in distributions.items()}
        self._spaces = {key: _space(d, self._choices[key]) for key, d in distributions.items()}
        self._said = {number: self._params(drawn) for number, drawn in known.items()}
        self._known = {number: found for number, found in self._said.items() if found}
        self._ran = known if ran is None else ran
        try:
            self._open(path)
        except (OSError, RunError):
            raise
        except Exception as error:  # Optuna raises anything when it reads what it did not write
            aside = _free(path.with_name(f"{path.name}.damaged"))
            path.rename(aside)
            said = str(error) if isinstance(error, ValueError) else "Optuna cannot read it"
            say(
                f"warning: {path} is damaged ({said}); it is kept as {aside.name}, and made "
                "again from the lanes' records"
            )
            self._open(path)
            return
        if lacking := [number for number in self._known if number >= len(self)]:
            say(
                f"warning: {path} lacks {len(lacking)} trial{'s' if len(lacking) > 1 else ''}; "
                "made again from the lanes' records"
            )

    def _open(self, path: pathlib.Path) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        journal = Journal(path)
        storage = optuna.storages.JournalStorage(cast(Any, journal))
        signs = [direction(metric)[1] for metric in self._search.metrics]
        directions = ["maximize" if sign > 0 else "minimize" for sign in signs]
        self._journal, self._storage = journal, storage
        self._study = optuna.create_study(
            storage=storage, study_name=NAME, directions=cast(Any, directions), load_if_exists=True
        )
        if [each.name.lower() for each in self._study.directions] != directions:
            raise ValueError("it seeks something else")
        for trial in self._trials():
            if trial.distributions != self._spaces:
                raise ValueError(f"trial {trial.number} is of another space")
            self._confirm(trial, path)

    def _confirm(self, trial: Any, path: pathlib.Path) -> None:
        known = self._said.get(trial.number, trial.params)
        if trial.params == known:
            return
        if trial.number not in self._ran:
            raise RunError(
                f"{path} and points.jsonl beside it differ in trial {trial.number}: {trial.params} "
                f"and {known or 'what is not of its space'}; one of them is another sweep's: put "
                "back the right one, or remove the wrong one"
            )
        if known:
            raise ValueError(f"trial {trial.number} is not what its lanes were run with")

    def _trials(self) -> Sequence[Any]:
        return self._study.get_trials(deepcopy=False)

    def __len__(self) -> int:
        """Return how many trials were asked for."""
        return len(self._trials())

    def is_told(self, number: int) -> bool:
        """Say whether a trial was asked for and told."""
        trials = self._trials()
        return number < len(trials) and trials[number].state.is_finished()

    def drawn(self, number: int) -> dict[str, Any]:
        """Return the values of a trial by field path; choices as the config's types have them."""
        params = self._trials()[number].params
        return {path: self._choices[path].get(params[path], params[path]) for path in self._choices}

    def ask(self, numbers: Sequence[int]) -> None:
        """Ask for the next trials, which are those of a batch; keep them all or none."""
        for number in numbers:
            self._study.sampler = _sampler(self._search, number)
            if number not in self._known:
                self._study.ask(self._spaces)
                continue
            # What the sampler chooses gives way, but what it notes beside is its own state later.
            params = {**self._study.ask().relative_params, **self._known[number]}
            for path, space in self._spaces.items():
                inner = space.to_internal_repr(params[path])
                self._storage.set_trial_param(self._id(number), path, inner, space)
        self._commit()

    def _id(self, number: int) -> int:
        """Return the name that the storage has for a trial."""
        study = self._storage.get_study_id_from_name(NAME)
        return self._storage.get_trial_id_from_study_id_trial_number(study, number)

    def tell(self, outcomes: Mapping[int, Outcome]) -> None:
        """Tell how trials ended; keep all of it or nothing.

        Stopped trials are ranked below the others by tpe where it seeks one metric. Whatever else
        is asked knows whole trials only, and is told of a stopped one as of a whole one.
        """
        from optuna.trial import TrialState

        ranks = self._search.sampler == "tpe" and len(self._search.metrics) == 1
        for number, outcome in sorted(outcomes.items()):
            if outcome.values is None:
                self._study.tell(number, state=TrialState.FAIL)
            elif outcome.stopped_at is None or not ranks:
                self._study.tell(number, outcome.values)
            else:
                (value,) = outcome.values
                step = outcome.stopped_at
                self._storage.set_trial_intermediate_value(self._id(number), step, value)
                self._study.tell(number, state=TrialState.PRUNED)
        self._commit()

    def _commit(self) -> None:
        self._study.set_user_attr(MARK, len(self))
        self._journal.commit()

    def _params(self, drawn: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what Optuna has for plain values, ``None`` where they are not of this space."""
        found: dict[str, Any] = {}
        for path, distribution in self._distributions.items():
            value = drawn[path]
            if distribution.kind == "choice":
                found[path] = _text(value)
                is_inside = found[path] in self._choices[path]
            else:
                found[path] = int(value) if distribution.kind == "integers" else float(value)
                is_inside = distribution.low <= found[path] <= distribution.high
            if not is_inside:
                return None
        return found


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _texts(distribution: Distribution) -> dict[Any, Any]:
    """Return the choices by their JSON: Optuna has no choices that are lists."""
    return {_text(value): value for value in distribution.choices}


def _space(distribution: Distribution, texts: Mapping[Any, Any]) -> Any:
    from optuna import distributions

    if distribution.kind == "choice":
        return distributions.CategoricalDistribution(tuple(texts))
    if distribution.kind == "integers":
        return distributions.IntDistribution(int(distribution.low), int(distribution.high))
    is_log = distribution.kind == "loguniform"
    return distributions.FloatDistribution(distribution.low, distribution.high, log=is_log)


def _sampler(search: Search, number: int) -> Any:
    """Return the sampler of one trial; a batch is a generation of those that have any."""
    import numpy as np
    from optuna import samplers

    seed = int(np.random.SeedSequence((search.seed, number)).generate_state(1)[0])
    population = max(search.batch, LEAST_POPULATION)
    if search.sampler == "gp":
        return samplers.GPSampler(seed=seed, warn_independent_sampling=False)
    if search.sampler == "cma":
        return samplers.CmaEsSampler(seed=seed, popsize=population, warn_independent_sampling=False)
    if search.sampler == "nsga":
        return samplers.NSGAIISampler(seed=seed, population_size=population)
    return samplers.TPESampler(seed=seed, constant_liar=True)


def _free(path: pathlib.Path) -> pathlib.Path:
    """Return a name that no file has."""
    names = itertools.chain([path.name], (f"{path.name}-{n}" for n in itertools.count(2)))
    return next(found for name in names if not (found := path.with_name(name)).exists())
