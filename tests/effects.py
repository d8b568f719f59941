"""The table of effects: published estimates on real data, and ours beside them.

``MASTERY_DATA=<folder> python -m tests.effects`` writes docs/EFFECTS.md.
"""

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mastery_jax.inference.causal import (
    doubly_robust,
    instrument,
    matching,
    nuisance,
    propensity,
    regression,
    weighting,
)

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "EFFECTS.md"
HEAD = """# Effects

Published estimates on real data, and ours, in double precision. `python -m tests.effects` writes
this page from the reference data, and `tests/causal/test_published.py` holds every row.

* NSW: LaLonde (1986), Dehejia & Wahba (1999): a job training that was given by lot; earnings of
  1978 in dollars. The experiment says 1,794. NSW + CPS: the same trainees beside 15,992 people of
  a survey, most of whom could hardly have been trained: whoever does not ask who is comparable is
  off by thousands. Scores are a logit of 14 terms; trimmed means scores in [0.1, 0.9].
* Card (1995): log wage per year of schooling; the instrument is a college nearby.
* Cattaneo (2010): birth weight in grams, mothers who smoke. The values are those of Stata's
  `teffects`, with probit scores. Its standard errors are sandwiches of stacked equations; ours are
  derivatives by the rows' weights.

| data | estimate | published | ours | its error | ours |
|---|---|---|---|---|---|
"""


class Row(NamedTuple):
    """One published number."""

    data: str
    what: str
    published: float
    ours: float
    error: float | None  # published, where it is
    our_error: float


def table(path: pathlib.Path) -> Any:
    return np.genfromtxt(path, delimiter=",", names=True)


def columns(rows: Any, *names: str) -> Any:
    return jnp.stack([jnp.asarray(rows[name]) for name in names], axis=1)


def row(data: str, what: str, published: float, answer: Any, error: float | None = None) -> Row:
    found, _ = answer
    return Row(data, what, published, float(found.estimate), error, float(found.std_error))


def experiment(rows: Any, told: Any) -> Iterator[Row]:
    treatment, y = jnp.asarray(rows["treat"]), jnp.asarray(rows["re78"])
    names = ("age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75")
    X = jnp.append(columns(rows, *names), jnp.asarray(rows["age"])[:, None] ** 2, axis=1)
    for what, told_as, covariates in (
        ("difference of means, HC2", "naive", X[:, :0]),
        ("least squares, HC2", "regression_adjusted", X),
    ):
        wanted = told[told_as]
        answer = instrument.regress(covariates, treatment, y)
        yield row("NSW", what, wanted["coef"], answer, wanted["se_hc2"])


def survey(rows: Any, told: Any) -> Iterator[Row]:
    age, educ, re74, re75 = (rows[name] for name in ("age", "educ", "re74", "re75"))
    terms = [age, age**2, age**3, educ, educ**2, rows["marr"], rows["nodegree"], rows["black"]]
    terms += [rows["hisp"], re74, re75, re74 == 0, re75 == 0, educ * re74]
    X = jnp.stack([jnp.asarray(1.0 * term) for term in terms], axis=1)
    treatment, y = jnp.asarray(rows["treat"].astype(np.int32)), jnp.asarray(rows["re78"])
    name, every, few = "NSW + CPS", told["ipw_all"], told["ipw_trim_0.1_0.9"]
    naive = instrument.regress(X[:, :0], treatment.astype(float), y, error="classical")
    yield row(
        name, "difference of means", told["naive"]["coef"], naive, told["naive"]["se_classical"]
    )
    for what, wanted, options in (
        ("Horvitz-Thompson", every["ate_horvitz_thompson"], {"is_normalized": False}),
        ("Hajek", every["ate_hajek"], {}),
        (
            "Horvitz-Thompson, trimmed",
            few["ate_horvitz_thompson"],
            {"is_normalized": False, "trim": 0.1},
        ),
        ("Hajek, trimmed", few["ate_hajek"], {"trim": 0.1}),
        ("Hajek, treated", every["att_hajek"], {"target": "att"}),
        ("Hajek, treated, trimmed", few["att_hajek"], {"target": "att", "trim": 0.1}),
    ):
        yield row(name, what, wanted, weighting.estimate(X, treatment, y, **options))
    for target in ("ate", "att"):
        answer = doubly_robust.estimate(X, treatment, y, target=target, trim=0.1, num_folds=1)
        what = "AIPW, trimmed" + (", treated" if target == "att" else "")
        yield row(name, what, told["aipw_trim_0.1_0.9"][target], answer)
    scores, _ = propensity.estimate(X, treatment)
    answer = matching.estimate(scores[:, None], treatment, y, target="att", is_corrected=False)
    yield row(name, "nearest score, treated", told["att_1nn_ps_with_replacement"], answer)


def schooling(rows: Any, told: Any) -> Iterator[Row]:
    rows = rows[~np.isnan(rows["married"])]
    X = columns(rows, "exper", "black", "south", "married", "smsa")
    given = (X, jnp.asarray(rows["educ"]), jnp.asarray(rows["lwage"]))
    plain = instrument.regress(*given, error="classical")
    yield row("Card", "least squares", told["ols_educ"], plain, told["ols_se"])
    answer = instrument.estimate(*given, columns(rows, "nearc4"), error="classical")
    yield row("Card", "two-stage least squares", told["tsls_educ"], answer, told["tsls_se"])
    F = float(answer[1].first_stage_F)
    yield Row("Card", "F of the first stage", told["first_stage_F"], F, None, np.nan)


def smoking(rows: Any, told: Any) -> Iterator[Row]:
    X = columns(rows, "prenatal1", "mmarried", "mage", "fbaby")
    Z = columns(rows, "mmarried", "mage", "mage2", "fbaby", "medu")
    treatment, y = jnp.asarray(rows["mbsmoke"].astype(np.int32)), jnp.asarray(rows["bweight"])
    by = {"scores": nuisance.probit()}
    both = {"Z": Z, **by}
    for target in ("ate", "att"):
        given = {"target": target}
        answers = {
            "ra": regression.estimate(X, treatment, y, **given),
            "ipw": weighting.estimate(Z, treatment, y, **by, **given),
            "ipwra": doubly_robust.weighted_regression(X, treatment, y, **both, **given),
        }
        if target == "ate":
            answers["aipw"] = doubly_robust.estimate(X, treatment, y, num_folds=1, **both)
        for name, answer in answers.items():
            wanted = told[f"results_{name}"][target]
            yield row("Cattaneo", f"{name.upper()}, {target}", wanted["b"], answer, wanted["se"])


def rows_of(folder: pathlib.Path) -> list[Row]:
    """Return every published number of the reference folder, and ours."""

    def told(name: str) -> Any:
        return json.loads((folder / name / "reference.json").read_text())

    trial = table(folder / "lalonde" / "nsw_dw.csv")
    people = table(folder / "lalonde" / "cps_controls.csv")
    mixed = np.concatenate([trial[trial["treat"] == 1], people])
    lalonde = told("lalonde")
    with jax.enable_x64(True):
        return [
            *experiment(trial, lalonde["nsw_experimental"]),
            *survey(mixed, lalonde["treated_vs_cps"]),
            *schooling(
                table(folder / "close_college" / "close_college.csv"), told("close_college")
            ),
            *smoking(table(folder / "cattaneo2" / "cattaneo2.csv"), told("cattaneo2")),
        ]


def show(value: float | None) -> str:
    if value is None or np.isnan(value):
        return "–"
    return f"{value:,.6g}" if abs(value) < 100 else f"{value:,.4f}"


def main() -> None:
    """Write the page."""
    lines = (
        f"| {each.data} | {each.what} | {' | '.join(map(show, each[2:]))} |\n"
        for each in rows_of(pathlib.Path(os.environ["MASTERY_DATA"]))
    )
    PAGE.write_text(HEAD + "".join(lines))


if __name__ == "__main__":
    main()
