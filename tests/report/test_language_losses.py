"""The matrix of masked-LM losses as a table and as values."""

from composer.report.language_losses import Loss, loss_lines, loss_values, lowest
from composer.train.results import LossFile

MATRIX = {
    "none": {"en": 3.1, "de": 3.2},
    "en": {"en": 2.3, "de": 4.1},
    "de": {"en": 3.9, "de": 2.1},
}


def losses(matrix: dict[str, dict[str, float]] = MATRIX) -> list[Loss]:
    return [
        Loss(
            adapter=adapter,
            found=LossFile(
                loss=value, pieces=1200, texts=9, covered=0.957, language=tag, split="test"
            ),
        )
        for adapter, row in matrix.items()
        for tag, value in row.items()
    ]


def test_the_lowest_loss_of_each_language_is_marked_and_counted():
    assert list(loss_lines(losses())) == [
        "masked-LM loss: test     en      de",
        "no adapter            3.100   3.200",
        "en                    2.300*  4.100",
        "de                    3.900   2.100*",
        "hidden pieces         1,200   1,200",
        "covered                96 %    96 %",
        "* the lowest of its language; it is the language's own adapter's in 2 of 2",
    ]


def test_an_adapter_that_is_not_the_best_on_its_own_language_is_not_counted():
    worse = {**MATRIX, "de": {"en": 2.0, "de": 3.5}}
    assert lowest(losses(worse)) == {"en": "de", "de": "none"}
    assert list(loss_lines(losses(worse)))[-1].endswith("in 0 of 2")


def test_what_was_not_scored_is_left_open():
    some = [one for one in losses() if (one.adapter, one.found.language) != ("en", "de")]
    assert "en                    2.300*      -" in list(loss_lines(some))


def test_without_losses_there_is_no_table():
    assert list(loss_lines([])) == []


def test_json_has_all_that_was_measured():
    (first, *_) = loss_values(losses())
    assert first == {
        "adapter": "none", "language": "en", "split": "test", "loss": 3.1, "pieces": 1200,
        "texts": 9, "covered": 0.957,
    }  # fmt: skip
