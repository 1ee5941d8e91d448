"""scikit-learn's own checks, all of them, for every solver and loss, with no failure expected but one.

Of losses of positive targets, that is: one check ignores their tag.
"""

import os
import subprocess
import sys

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from sk_implicit import ImplicitReLURegressor
from sk_implicit._estimator.regression import LOSSES
from sk_implicit.training import SOLVERS

# The fewest checks that any supported scikit-learn (1.6 on) runs for a regressor of this kind.
LEAST_CHECKS = 55
# Checks that `check_estimator` does not call, for scikit-learn applies them in its own test suite.
LEFT_OUT = (
    "check_all_zero_sample_weights_error",
    "check_dataframe_column_names_consistency",
    "check_inplace_ensure_writeable",
    "check_param_validation",
)

# The checks warn as little or as much as they like: some take one step, some fit pure noise.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [
    *(ImplicitReLURegressor(width=20, solver=solver) for solver in SOLVERS),
    ImplicitReLURegressor(
        width=20,
        gamma=0.3,
        init="bernoulli",
        output_init="zero",
        fit_intercept=False,
        alpha=1e-2,
        max_iter=10,
    ),
    ImplicitReLURegressor(width=20, depth=3, gamma=1.0),
    *(ImplicitReLURegressor(width=15, loss=loss, max_iter=5) for loss in LOSSES if loss != "squared_error"),
]


def fails_as_expected(estimator):
    """Return the check that draws negative targets, whatever the tags say."""
    positive = estimator.__sklearn_tags__().target_tags.positive_only
    return {"check_regressor_multioutput": "draws negative targets"} if positive else {}


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=fails_as_expected)
def test_estimator_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
@pytest.mark.parametrize("name", LEFT_OUT)
def test_check_that_check_estimator_leaves_out(name, estimator):
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip("not in this version of scikit-learn")
    check(type(estimator).__name__, estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_no_check_is_skipped_and_none_is_expected_to_fail(estimator):
    names = [check.func.__name__ for _, check in estimator_checks_generator(estimator)]
    assert len(names) >= LEAST_CHECKS
    assert {"check_regressor_multioutput", "check_sample_weight_equivalence_on_sparse_data"} <= set(names)
    assert not estimator.__sklearn_tags__()._skip_test


ARRAY_API = """
import warnings
from sklearn.utils.estimator_checks import check_estimator
from sk_implicit import ImplicitReLURegressor
warnings.simplefilter("ignore")
results = check_estimator(ImplicitReLURegressor(width=10, max_iter=3), on_skip=None)
left = [r["check_name"] for r in results if r["status"] != "passed"]
assert not left, left
print(len(results))
"""


def test_every_check_passes_with_the_array_api_dispatch_of_scipy():
    """Without SCIPY_ARRAY_API, which is read when SciPy is imported, one check is skipped."""
    process = subprocess.run(
        [sys.executable, "-c", ARRAY_API],
        env={**os.environ, "SCIPY_ARRAY_API": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert int(process.stdout) >= LEAST_CHECKS
