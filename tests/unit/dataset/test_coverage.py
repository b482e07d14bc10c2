import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from synthetic import row, segment

from models.coverage import by_class, clean_bound, estimate, estimate_blocks, estimate_pairs, incidence, t975

matrices = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))


def naive(matrix: np.ndarray) -> float:
    """The share of units that would be a surprise to all others together."""
    n = len(matrix)
    return sum(bool((matrix[i] & ~np.delete(matrix, i, 0).any(axis=0)).any()) for i in range(n)) / n


def test_by_hand() -> None:
    # a in all three units, b in two, c in one
    found = estimate(np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0]], bool))
    assert (found.units, found.behaviours, found.once, found.twice) == (3, 3, 1, 1)
    assert found.new == pytest.approx(1 / 3)
    assert found.new_count == pytest.approx(1 / 3)
    assert found.unseen == pytest.approx(2 / 3 * 1 / 2)
    assert found.deficit == pytest.approx(1 / 6 * 2 / (2 + 2))
    assert found.clean == pytest.approx(1 - 0.05 ** (1 / 3))


@pytest.mark.parametrize(("n", "bound"), [(0, 1.0), (1, 0.95), (6, 0.393), (20, 0.1391), (300, 0.00994)])
def test_clean_record_leaves_a_bound(n: int, bound: float) -> None:
    assert clean_bound(n) == pytest.approx(bound, abs=5e-4)
    found = estimate(np.ones((n, 4), bool))
    if n > 1:
        assert (found.new, found.low) == (0.0, 0.0)
        assert found.high == pytest.approx(clean_bound(n))


def test_one_unit_says_nothing_of_the_next() -> None:
    found = estimate(np.ones((1, 4), bool))
    assert (found.new, found.low, found.high, found.unseen) == (1.0, 0.0, 1.0, math.inf)


@given(matrices)
def test_agrees_with_leaving_each_unit_out(matrix: np.ndarray) -> None:
    n = len(matrix)
    found = estimate(matrix)
    if n < 2:
        return
    assert found.new == pytest.approx(naive(matrix))
    without = np.array([naive(np.delete(matrix, i, 0)) for i in range(n)])
    error = math.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
    clean = clean_bound(n)
    assert found.low == pytest.approx(max(0.0, min(found.new - t975(n - 1) * error, 1 - clean)))
    assert found.high == pytest.approx(min(1.0, max(found.new + t975(n - 1) * error, clean)))


@given(matrices, st.integers(0, 1000))
def test_order_changes_nothing(matrix: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shuffled = matrix[rng.permutation(len(matrix))][:, rng.permutation(matrix.shape[1])]
    assert vars(estimate(shuffled)) == pytest.approx(vars(estimate(matrix)))


@given(matrices)
def test_figures_are_figures(matrix: np.ndarray) -> None:
    found = estimate(matrix)
    assert 0 <= found.low <= found.new <= found.high <= 1
    assert found.high >= (found.clean if found.units > 1 else 1)
    assert found.deficit is not None
    assert 0 <= found.deficit <= 1
    assert found.behaviours == int(matrix.any(axis=0).sum())


def test_foretells_what_one_more_unit_shows() -> None:
    """Behaviours with known chances: the estimate's mean is near the truth, and the interval mostly holds it."""
    rng = np.random.default_rng(5)
    chances = np.concatenate([np.full(30, 0.95), np.full(3, 0.05)])
    n, held, estimates = 20, 0, []
    truth = 1 - np.prod(1 - chances * (1 - chances) ** (n - 1))  # leave-one-out speaks of n - 1 units
    for _ in range(400):
        found = estimate(rng.random((n, len(chances))) < chances)
        estimates.append(found.new)
        held += found.low <= truth <= found.high
    assert np.mean(estimates) == pytest.approx(truth, abs=0.02)
    assert held / 400 > 0.9


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (2, 4.303), (3, 3.182), (5, 2.571), (19, 2.093), (100, 1.984)]
)
def test_students_quantile(freedom: int, quantile: float) -> None:
    assert t975(freedom) == pytest.approx(quantile, rel=0.01)


def test_blocks_of_one_unit() -> None:
    quiet = estimate_blocks([0] * 5, [100] * 5, 0, 100, 10)
    assert (quiet.new, quiet.once, quiet.twice, quiet.unseen) == (0.0, 0, None, None)
    assert quiet.high == pytest.approx(clean_bound(10))
    # one thing happened in the third block alone, another in the last
    busy = estimate_blocks([0, 25, 95], [99, 28, 100], 0, 100, 10)
    assert busy.new == pytest.approx(0.2)
    with pytest.raises(ValueError, match="span"):
        estimate_blocks([1], [1], 5, 5, 3)


def test_incidence_of_a_table() -> None:
    table = segment(
        [
            row("a", "open", path="/x", access="read", count=9),
            row("a", "open", path="/x", access="read", phase="start-up"),
            row("a", "open", path="/x", access="read+write"),
            row("b", "open", path="/x", access="read", uid=0),
            row("b", "accept", family="inet", address="10.0.0.1", port=1),
            row("a", "accept", family="inet", address="10.0.0.2", port=1),
            row("a", "accept", family="inet", address="10.0.0.2", port=2),
            row("b", "connect", family="inet", address="10.0.0.1", port=1),
            row("gone", "open", path="/y"),
            row("b", "open", path=b"/\xff"),
            row("a", "open", path="/\\xff"),
        ]
    )
    unit, behaviour = incidence(table, ["a", "b", "idle"])
    assert len(unit) == len(set(zip(unit.tolist(), behaviour.tolist(), strict=True))) == 9
    seen_in = np.bincount(behaviour)
    assert sorted(seen_in.tolist()) == [1, 1, 1, 1, 1, 2, 2]
    found = estimate_pairs(unit, behaviour, 3)
    assert found.units == 3
    assert found.new == pytest.approx(2 / 3)


def test_classes_have_their_own_figures_and_idle_units_count() -> None:
    table = segment([row("a", "open", path="/x"), row("b", "open", path="/x"), row("a", "exec", path="/bin/x")])
    found = by_class(table, ["a", "b", "idle"])
    assert set(found) == {"exec", "file", "socket", "capability"}
    assert (found["file"].new, found["exec"].units) == (0.0, 3)
    assert found["exec"].new == pytest.approx(1 / 3)
    assert (found["socket"].behaviours, found["socket"].high) == (0, pytest.approx(clean_bound(3)))


def test_large_tables_are_quick() -> None:
    rng = np.random.default_rng(3)
    pairs = np.unique(np.stack([rng.integers(0, 300, 2_000_000), rng.integers(0, 500_000, 2_000_000)]), axis=1)
    found = estimate_pairs(pairs[0], pairs[1], 300)
    assert found.new == 1.0
