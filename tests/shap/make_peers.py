"""Train small models of the peers, and write their files, answers and attributions beside this.

    python tests/shap/make_peers.py        needs xgboost and lightgbm

The library never runs this; ``tests/shap`` reads what it wrote.
"""

import importlib
import json
import pathlib

import numpy as np

FILE = pathlib.Path(__file__).parent / "peers.json"
rng = np.random.default_rng(7)
X = rng.normal(size=(240, 5)).astype(np.float32).astype(float)
X[:, 3] = rng.integers(0, 40, len(X))
signal = X[:, 0] * X[:, 1] + (X[:, 3] % 3 == 1) - X[:, 4]
X[:40, 1], X[40:50, 3] = np.nan, np.nan
asked = np.concatenate([X[[0, 1, 45]], X[60:67]])
asked[3, 3], asked[4, 3] = 77.0, -3.0  # categories that nobody has seen
BINARY, THREE = (signal > 0.5).astype(int), np.digitize(signal, [-0.5, 1.0])
COUNT = rng.poisson(np.exp(0.3 * np.clip(signal, -2, 2)))
PEERS = ("xgboost", "lightgbm")
KINDS = ["q", "q", "q", "c", "q"]


def of_xgboost(objective, target, *, is_set, **extra):
    xgboost = importlib.import_module("xgboost")
    given = {"max_depth": 4, "objective": objective, "eta": 0.4, "seed": 0, **extra}
    kinds = {"feature_types": KINDS, "enable_categorical": True} if is_set else {}
    model = xgboost.train(given, xgboost.DMatrix(X, target, **kinds), 4)
    rows = asked if not is_set else np.where(asked == -3.0, 12.0, asked)  # it refuses codes < 0
    matrix = xgboost.DMatrix(rows, **kinds)
    found = {
        "text": bytes(model.save_raw("json")).decode(),
        "asked": rows.tolist(),
        "margin": model.predict(matrix, output_margin=True).astype(float).tolist(),
        "answer": model.predict(matrix).astype(float).tolist(),
    }
    if given.get("booster") != "dart":
        found["shap"] = model.predict(matrix, pred_contribs=True).astype(float).tolist()
        found["interactions"] = model.predict(matrix, pred_interactions=True).astype(float).tolist()
    return found


def of_lightgbm(objective, target, *, is_set, data=X, **extra):
    lightgbm = importlib.import_module("lightgbm")
    given = {
        "num_leaves": 12,
        "objective": objective,
        "min_data_in_leaf": 8,
        "verbose": -1,
        "learning_rate": 0.3,
        "min_data_per_group": 5,
        "seed": 0,
        "cat_smooth": 1,
        **extra,
    }
    sets = [3] if is_set else []
    model = lightgbm.train(given, lightgbm.Dataset(data, target, categorical_feature=sets), 4)
    return {
        "text": model.model_to_string(),
        "asked": asked.tolist(),
        "margin": model.predict(asked, raw_score=given.get("boosting") != "rf").tolist(),
        "answer": model.predict(asked).tolist(),
        "shap": model.predict(asked, pred_contrib=True).tolist(),
    }


def main():
    whole = np.where(np.isnan(X), 0.0, X)
    found = {
        "versions": {name: importlib.import_module(name).__version__ for name in PEERS},
        "xgboost": {
            "binary": of_xgboost("binary:logistic", BINARY, is_set=False),
            "sets": of_xgboost("binary:logistic", BINARY, is_set=True, max_cat_to_onehot=1),
            "three": of_xgboost("multi:softprob", THREE, is_set=False, num_class=3, max_depth=3),
            "count": of_xgboost("count:poisson", COUNT, is_set=False, max_depth=3),
            "dart": of_xgboost("reg:squarederror", signal, is_set=False, booster="dart",
                               rate_drop=0.5),
        },
        "lightgbm": {
            "binary": of_lightgbm("binary", BINARY, is_set=False),
            "sets": of_lightgbm("binary", BINARY, is_set=True),
            "three": of_lightgbm("multiclass", THREE, is_set=False, num_class=3),
            "whole": of_lightgbm("regression", signal, is_set=True, data=whole),
            "forest": of_lightgbm("regression", signal, is_set=False, boosting="rf",
                                  bagging_freq=1, bagging_fraction=0.6),
        },
    }  # fmt: skip
    FILE.write_text(json.dumps(found, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
