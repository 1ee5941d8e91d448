"""Streams: rows that come in batches, learnt by ``partial_fit``, beside one fit to all of them.

50,000 rows in 50 batches of 1000. Two streams stay as they are: Friedman's first function (ten features,
noise of standard deviation 1), and a sharp one of six features (sin(2 x₁) x₂ + |x₂| sign(x₃) and noise
of 0.5). In the third, the sharp function turns into another one between batches 20 and 30, gradually,
and stays so. R² is that of 5000 rows of the function as it is after the batch; prequential R² is that of
every batch before it is learnt, over all but the first. Networks have width 200; peers have their
defaults, features standardised on the first batch. Times are processor times on one thread. A rerun
computes only what is missing in `results/stream.csv`.

    python docs/benchmarks/stream.py
"""

from __future__ import annotations

import argparse
import csv
import platform
import time
import warnings
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
import sklearn
from sklearn.linear_model import SGDRegressor
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

import sk_implicit
from sk_implicit import ImplicitReLURegressor

RESULTS = Path(__file__).parent / "results" / "stream.csv"
COLUMNS = ["stream", "model", "batch", "r2", "prequential_r2", "seconds"]
N_BATCHES, SIZE, N_TEST = 50, 1000, 5000
REPORTED = (1, 5, 10, 20, 30, 50)
ONE_FIT = "one fit to all rows"


def friedman(X, batch):
    """Return Friedman's first function of the first five features."""
    U = scipy.stats.norm.cdf(X)
    return 10 * np.sin(np.pi * U[:, 0] * U[:, 1]) + 20 * (U[:, 2] - 0.5) ** 2 + 10 * U[:, 3] + 5 * U[:, 4]


def sharp(X, batch):
    """Return the sharp function."""
    return np.sin(2 * X[:, 0]) * X[:, 1] + np.abs(X[:, 2]) * np.sign(X[:, 3])


def drifting(X, batch):
    """Return the sharp function, or what it turns into."""
    share = float(np.clip((batch - 20) / 10, 0, 1))
    return (1 - share) * sharp(X, batch) + share * sharp(X[:, ::-1], batch)


STREAMS = {
    "friedman1": (friedman, 10, 1.0),
    "sharp": (sharp, 6, 0.5),
    "drifting": (drifting, 6, 0.5),
}
MODELS = {
    "Implicit": lambda: ImplicitReLURegressor(width=200, random_state=0),
    "MLP": lambda: MLPRegressor(random_state=0),
    "SGD": lambda: SGDRegressor(random_state=0),
}


def rows(stream: str, batch: int, n: int = SIZE, *, noisy: bool = True):
    """Return features and targets of a batch; those of batch 0 and beyond are drawn by its number."""
    function, d, noise = STREAMS[stream]
    rng = np.random.default_rng([list(STREAMS).index(stream), batch, noisy])
    X = rng.standard_normal((n, d))
    return X, function(X, batch) + noise * rng.standard_normal(n)


def learn(stream: str, name: str):
    """Yield the results of a model along a stream."""
    model, foretold, seconds = MODELS[name](), [], 0.0
    scaler = StandardScaler().fit(rows(stream, 0)[0])
    for batch in range(N_BATCHES):
        X, y = rows(stream, batch)
        X = X if name == "Implicit" else scaler.transform(X)
        if batch:
            foretold.append((y, model.predict(X)))
        start = time.process_time()
        model.partial_fit(X, y)
        seconds += time.process_time() - start
        if batch + 1 in REPORTED:
            yield batch + 1, score(stream, name, model, scaler, batch), before(foretold), seconds


def before(foretold) -> float:
    """Return the prequential R²."""
    return r2_score(*map(np.concatenate, zip(*foretold))) if foretold else np.nan


def score(stream: str, name: str, model, scaler, batch: int) -> float:
    """Return R² on new rows of the function as it is after a batch."""
    X, y = rows(stream, batch, N_TEST, noisy=False)
    return r2_score(y, model.predict(X if name in ("Implicit", ONE_FIT) else scaler.transform(X)))


def fit(stream: str):
    """Yield the results of one fit to all rows."""
    model, batches = MODELS["Implicit"](), [rows(stream, batch) for batch in range(N_BATCHES)]
    start = time.process_time()
    model.fit(*map(np.concatenate, zip(*batches)))
    seconds = time.process_time() - start
    yield N_BATCHES, score(stream, ONE_FIT, model, None, N_BATCHES - 1), np.nan, seconds


def run(streams):
    warnings.simplefilter("ignore")
    done = set()
    if RESULTS.exists():
        done = {tuple(row) for row in pd.read_csv(RESULTS)[["stream", "model"]].to_numpy().tolist()}
    with RESULTS.open("a", newline="") as file:
        writer = csv.writer(file)
        if not done:
            writer.writerow(COLUMNS)
        for name in (*MODELS, ONE_FIT):
            for stream in streams:
                if (stream, name) in done:
                    continue
                found = fit(stream) if name == ONE_FIT else learn(stream, name)
                for batch, r2, prequential, seconds in list(found):
                    writer.writerow(
                        [stream, name, batch, f"{r2:.6f}", f"{prequential:.6f}", f"{seconds:.2f}"]
                    )
                file.flush()


def summary() -> str:
    """Return the tables of `results/stream.md`."""
    frame = pd.read_csv(RESULTS)
    lines = ["# Streams", "", (__doc__ or "").split("\n\n")[1].replace("\n", " "), ""]
    lines += [
        f"sk-implicit {sk_implicit.__version__}, scikit-learn {sklearn.__version__}, SciPy "
        f"{scipy.__version__}, {platform.machine()}, {date.today().isoformat()}. Written by "
        "`stream.py`; do not edit.",
        "",
    ]
    for stream in STREAMS:
        part = frame[frame.stream == stream]
        if part.empty:
            continue
        lines += [f"## {stream}", ""]
        heads = [f"R² after {batch}" for batch in REPORTED]
        lines += ["| model | " + " | ".join(heads) + " | prequential R² | seconds |", "|---|" + "--:|" * 8]
        for name in (*MODELS, ONE_FIT):
            own = part[part.model == name].set_index("batch")
            if own.empty:
                continue
            cells = [f"{own.r2[batch]:.4f}" if batch in own.index else "—" for batch in REPORTED]
            last = own.iloc[-1]
            foretold = "—" if np.isnan(last.prequential_r2) else f"{last.prequential_r2:.4f}"
            lines.append(f"| {name} | " + " | ".join(cells) + f" | {foretold} | {last.seconds:.0f} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", nargs="+", default=list(STREAMS), choices=list(STREAMS))
    run(parser.parse_args().streams)
    RESULTS.with_suffix(".md").write_text(summary())
