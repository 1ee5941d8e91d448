"""scikit-learn's callbacks: on the estimators alone, in pipelines, in searches; and without them."""

import io
import subprocess
import sys
from contextlib import redirect_stdout

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.models import NetworkModel
from sk_implicit.training import SOLVERS

pytestmark = pytest.mark.filterwarnings("ignore:Training with solver:sklearn.exceptions.ConvergenceWarning")

rng = np.random.RandomState(0)
X = rng.standard_normal((50, 3))
y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(50)
CLASSES = np.array(["no", "yes"])[(y > 0).astype(int)]


def regressor(**options):
    return ImplicitReLURegressor(**{"width": 15, "max_iter": 4, "random_state": 0} | options)


def test_without_callbacks_in_scikit_learn_everything_else_works():
    """What 1.6 to 1.8 see; simulated where a newer one is installed."""
    code = (
        "import numpy as np, sklearn.gaussian_process, sklearn.neural_network\n"
        "try:\n"
        "    import sklearn.callback\n"
        "    del sklearn.callback.CallbackSupportMixin\n"
        "except ImportError: pass\n"
        "from sk_implicit import ImplicitReLURegressor\n"
        "X = np.random.RandomState(0).standard_normal((20, 2))\n"
        "model = ImplicitReLURegressor(width=10, random_state=0)\n"
        "assert not hasattr(model, 'set_callbacks')\n"
        "assert model.fit(X, X[:, 0]).score(X, X[:, 0]) > 0.9\n"
        "assert model.set_params(width=np.inf).fit(X, X[:, 0]).score(X, X[:, 0]) > 0.9\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_verbose_prints_one_line_per_step():
    with redirect_stdout(io.StringIO()) as output:
        model = regressor(verbose=1).fit(X, y)
    lines = output.getvalue().splitlines()
    assert len(lines) == model.n_iter_
    assert lines[0].startswith("[ImplicitReLURegressor] step    1  loss ")


def test_verbose_prints_one_line_at_infinite_width():
    with redirect_stdout(io.StringIO()) as output:
        regressor(width=np.inf, verbose=1).fit(X, y)
    (line,) = output.getvalue().splitlines()
    assert line.startswith("[ImplicitReLURegressor] step    1  loss ")


callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")


class Recorder:
    """Notes every call; asks to stop at the end of step ``stop_at``."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.calls = []
        self.made = []

    def setup(self, estimator, context):
        self.calls.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.calls.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context):
        self.calls.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        self.calls.append(("end", context.task_name))
        self.made.append((context.task_name, X, y, metadata, fitted_estimator))
        return context.task_name == "step" and context.task_id == self.stop_at


class Mute:
    """Takes no argument that would have to be made."""

    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...
    def on_fit_task_end(self, estimator, context): ...


@pytest.mark.parametrize("solver", list(SOLVERS))
def test_every_step_is_announced_and_reported(solver):
    recorder = Recorder()
    model = regressor(solver=solver, tol=0).set_callbacks(recorder).fit(X, y)
    inner = recorder.calls[2:-2]
    assert recorder.calls[:2] == [("setup", "fit"), ("begin", "fit")]
    assert recorder.calls[-2:] == [("end", "fit"), ("teardown", "fit")]
    assert inner == [("begin", "step"), ("end", "step")] * model.n_iter_


def test_a_step_that_leads_nowhere_ends_too():
    recorder = Recorder()
    model = regressor(width=200, alpha=0, max_iter=60, tol=1e-300).set_callbacks(recorder)
    model.fit(np.float32(X), np.float32(y))
    assert recorder.calls.count(("begin", "step")) == recorder.calls.count(("end", "step"))
    assert recorder.calls.count(("begin", "step")) >= model.n_iter_


@pytest.mark.parametrize(
    "make", [regressor, lambda: regressor(output_init="zero"), lambda: regressor(width=np.inf)]
)
def test_fitted_estimators_are_those_of_their_steps(make):
    recorder = Recorder()
    model = make().set_callbacks(recorder).fit(X, y, np.ones(50))
    *steps, (name, X_seen, y_seen, metadata, last) = recorder.made
    assert name == "fit"
    assert X_seen is X and y_seen is y and set(metadata) == {"sample_weight"}
    assert_array_equal(last.predict(X), model.predict(X))
    for number, (_, _, _, _, fitted) in enumerate(steps, start=1):
        if number < model.n_iter_:
            again = make().set_params(max_iter=number).fit(X, y, np.ones(50))
            assert fitted.n_iter_ == number
            assert_array_equal(fitted.predict(X), again.predict(X))


def test_early_stop_ends_training_without_a_warning():
    model = regressor(max_iter=30, tol=0).set_callbacks(Recorder(stop_at=2)).fit(X, y)
    assert model.n_iter_ == 3


def test_attributes_are_made_only_for_those_who_ask(monkeypatch):
    made = []
    original = NetworkModel.attributes
    monkeypatch.setattr(NetworkModel, "attributes", lambda *args: made.append(1) or original(*args))
    model = regressor().set_callbacks(Mute()).fit(X, y)
    assert len(made) == 1  # what fit itself stores
    model.set_callbacks(Mute(), Recorder()).fit(X, y)
    assert len(made) == 1 + model.n_iter_ + 1


def test_callbacks_are_torn_down_when_fit_fails():
    recorder = Recorder()
    with pytest.raises(ValueError, match="infinity"):
        regressor().set_callbacks(recorder).fit(np.full_like(X, np.inf), y)
    assert recorder.calls[-1] == ("teardown", "fit")


def test_callbacks_change_no_bit():
    watched = regressor().set_callbacks(Recorder()).fit(X, y)
    assert_array_equal(watched.predict(X), regressor().fit(X, y).predict(X))
    assert not [name for name in vars(watched) if "callback_fit" in name or "teardown" in name]


def test_scoring_monitor_alone():
    monitor = callback.ScoringMonitor(scoring="r2")
    model = regressor().set_callbacks(monitor).fit(X, y)
    scores = [row["r2"] for row in monitor.get_logs().data]
    assert len(scores) == 1 + model.n_iter_
    assert scores[0] == r2_score(y, model.predict(X))  # of the whole fit
    assert scores[1] < scores[0]


def test_scoring_monitor_of_the_classifier_with_labels_of_its_user():
    monitor = callback.ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
    model = ImplicitReLUClassifier(width=15, random_state=0).set_callbacks(monitor).fit(X, CLASSES)
    rows = monitor.get_logs().data
    assert rows[0]["accuracy"] == model.score(X, CLASSES)
    assert len(rows) == 1 + model.n_iter_


def test_scoring_monitor_in_a_pipeline():
    monitor = callback.ScoringMonitor(scoring="r2")
    model = make_pipeline(StandardScaler(), regressor().set_callbacks(monitor)).fit(X, y)
    assert len(monitor.get_logs().data) == 1 + model[-1].n_iter_


def test_scoring_monitor_in_a_parallel_search():
    monitor = callback.ScoringMonitor(scoring="r2")
    model = make_pipeline(StandardScaler(), regressor(max_iter=2, tol=0).set_callbacks(monitor))
    grid = {"implicitreluregressor__gamma": [0.1, 0.4]}
    GridSearchCV(model, grid, cv=2, n_jobs=2).fit(X, y)
    rows = monitor.get_logs().data
    assert len(rows) == 5 * 3  # four fits and the refit: two steps and the whole
    assert all(np.isfinite(row["r2"]) for row in rows)


@pytest.mark.parametrize("kind", ["alone", "pipeline", "search"])
def test_progress_bar(kind):
    pytest.importorskip("rich")
    model = {
        "alone": regressor(),
        "pipeline": make_pipeline(StandardScaler(), regressor()),
        "search": GridSearchCV(
            make_pipeline(StandardScaler(), regressor()),
            {"implicitreluregressor__gamma": [0.4]},
            cv=2,
            n_jobs=2,
        ),
    }[kind]
    with redirect_stdout(io.StringIO()) as output:
        model.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(X, y)
    assert "ImplicitReLURegressor - fit" in output.getvalue()
    assert "100%" in output.getvalue()


def test_clones_keep_the_callbacks():
    recorder = Recorder()
    clone(regressor().set_callbacks(recorder)).fit(X, y)
    assert ("teardown", "fit") in recorder.calls
