"""Bundles opened, used and let go, again and again: nothing is left behind."""

from pathlib import Path

import pytest

from composer.device.bundle import Bundle
from tests.model.test_load import assert_nothing_kept, kept
from tests.tiny import SENTENCES

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts in /proc")


def open_and_use(path: Path, rounds: int) -> None:
    for _ in range(rounds):
        Bundle.open(path, threads=1).use("one").predict(SENTENCES)


@pytest.mark.parametrize(
    "rounds", [5, pytest.param(100, marks=pytest.mark.slow)], ids=lambda rounds: f"{rounds} times"
)
def test_a_bundle_opened_and_closed_leaves_no_file_and_no_memory(
    small: Path, home_zip: Path, rounds: int
):
    for path in (small, home_zip):
        open_and_use(path, 5)
        before = kept()
        open_and_use(path, rounds)
        assert_nothing_kept(before, blocks=400 + 20 * rounds)  # a bundle has thousands


def test_a_bundle_that_is_refused_leaves_no_file_open(attacked: Path):
    from composer.errors import BundleError
    from tests.device.homes import change_weights

    change_weights(attacked, lambda weights: weights.pop("0.wide.weight"))
    before = kept()
    for _ in range(20):
        with pytest.raises(BundleError, match="is missing"):
            Bundle.open(attacked)
    assert kept()[0] == before[0]
