"""Tasks, their scoring and heads: several labels, numbers, tags; what a net without a taught head answers."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from transfer_cli.contracts import Batch
from transfer_cli.data.tokenizers import Tokenizer, _learn
from transfer_cli.engine.evaluation import judged, resampled
from transfer_cli.engine.stage_context import scoring_of
from transfer_cli.errors import ConfigError, DataError
from transfer_cli.kinds.texts import TextRows, flat
from transfer_cli.measures import primary_of
from transfer_cli.methods import linear_probe
from transfer_cli.models import net as nets
from transfer_cli.plugins import load_class, stems
from transfer_cli.predictors.knn import Knn
from transfer_cli.predictors.ridge import Ridge
from transfer_cli.task_contracts import PADDING, TaskContext
from transfer_cli.tasks.classify import Classify
from transfer_cli.tasks.multilabel import Multilabel
from transfer_cli.tasks.regress import Regress
from transfer_cli.tasks.tag import Tag, TaggedRows

MODEL = {"family": "mlp", "hidden": (8,), "input": {"width": 3}, "precision": "fp32", "channels_last": False}
INDEX = torch.arange(4)


def net() -> nets.Net:
    torch.manual_seed(0)
    return nets.build(MODEL)


def batch(targets: Any, rows: int = 4) -> Batch:
    return Batch({"vectors": torch.randn(rows, 3)}, None, torch.arange(rows), targets=targets)


@pytest.mark.parametrize("name", stems("tasks"))
def test_every_task_has_a_scoring_with_one_primary_metric(name: str) -> None:
    task = load_class("tasks", name)(TaskContext(("a", "b"), tokenizer=SimpleNamespace(size=4, chars=np.ones(4))))
    scoring = scoring_of(task)
    assert primary_of(scoring.measures) == scoring.primary
    assert scoring.watched, "something is shown at validation"
    assert set(task.verbs) <= {"predict", "explain", "export", "serve"}


def test_a_head_that_nobody_taught_is_refused() -> None:
    for task in (Classify(TaskContext(("a", "b"))), Multilabel(TaskContext(("a",))), Regress(TaskContext(("x",)))):
        with pytest.raises(DataError, match="no stage taught the net the head"):
            task.settle(net(), "digits")


@pytest.mark.parametrize("name", ["classify", "multilabel", "regress", "tag"])
def test_a_head_of_other_names_is_refused_and_one_of_the_same_is_not(name: str) -> None:
    """Also one with as many outputs: their meaning is another."""
    trained, cls = net(), load_class("tasks", name)
    cls(TaskContext(("a", "b"))).prepare(trained)
    cls(TaskContext(("a", "b"))).settle(trained, "digits")
    for names, counts in ((("b", "a"), "2, 2 shared"), (("a", "c"), "2, 1 shared"), (("x",), "1, 0 shared")):
        with pytest.raises(DataError, match=f"the net has 2 {cls.outputs}, digits has {counts}"):
            cls(TaskContext(names)).settle(trained, "digits")


# several labels
def test_multilabel_loss_is_the_mean_of_all_cells() -> None:
    task = Multilabel(TaskContext(("red", "round", "ripe")))
    logits = torch.tensor([[2.0, -1.0, 0.0], [0.5, 3.0, -2.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    truth = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    chance = torch.sigmoid(logits.double())
    expected = -(truth * chance.log() + (1 - truth) * (1 - chance).log()).mean()
    assert task.loss(logits, batch(truth)).item() == pytest.approx(expected.item(), abs=1e-6)
    smooth = task.loss(logits, batch(truth), smoothing=1.0)  # every target is one half
    assert smooth.item() == pytest.approx(-(0.5 * (chance * (1 - chance)).log()).mean().item(), abs=1e-6)


def test_multilabel_scoring_names_labels_and_equals_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    truth, scores = rng.random((60, 3)) < 0.4, rng.normal(size=(60, 3))
    scoring = scoring_of(Multilabel(TaskContext(("red", "round", "ripe"))))
    rows = {"scores": torch.tensor(scores), "truth": torch.tensor(truth).float()}
    found = scoring.metrics(rows)
    assert found["average_precision"] == pytest.approx(metrics.average_precision_score(truth, scores, average="macro"))
    assert found["auroc/ripe"] == pytest.approx(metrics.roc_auc_score(truth[:, 2], scores[:, 2]))
    assert found["f1_macro"] == pytest.approx(metrics.f1_score(truth, scores > 0, average="macro"))
    single = scoring.per_row(rows)
    assert single["subset_accuracy"].mean().item() == pytest.approx(found["subset_accuracy"])
    over, under = single["f1_micro"].sum(0).tolist()
    assert over / under == pytest.approx(found["f1_micro"])


def test_multilabel_answers_are_the_labels_above_one_half() -> None:
    scoring = scoring_of(Multilabel(TaskContext(("red", "round"))))
    (answer,) = scoring.answers(torch.tensor([[1.0, -1.0]]), batch(None, 1), [None])
    assert answer["labels"] == "red"
    assert answer["p_red"] == pytest.approx(1 / (1 + np.exp(-1)))
    assert {column.name for column in scoring.columns()} == answer.keys()


# numbers
def statistics() -> tuple[np.ndarray, np.ndarray]:
    return np.array([50.0, -3.0], np.float32), np.array([10.0, 0.5], np.float32)


def test_a_fresh_regression_head_answers_in_the_unit_of_the_data() -> None:
    made, task = net(), Regress(TaskContext(("age", "crp"), statistics=statistics))
    task.prepare(made)
    torch.nn.init.zeros_(made.heads["regress"].weight)
    torch.nn.init.zeros_(made.heads["regress"].bias)
    assert task.forward(made, {"vectors": torch.randn(2, 3)}).tolist() == [[50.0, -3.0]] * 2


def test_the_unit_of_the_numbers_does_not_change_the_loss() -> None:
    truth, out = torch.randn(4, 2), torch.randn(4, 2)

    def loss(unit: float, kind: str) -> float:
        mean, deviation = statistics()
        context = TaskContext(("age", "crp"), statistics=lambda: (mean * unit, deviation * unit))
        return Regress(context, loss=kind, delta=0.3).loss(out * unit, batch(truth * unit)).item()

    for kind in ("squared", "huber"):
        assert loss(1000.0, kind) == pytest.approx(loss(1.0, kind), rel=1e-5)
    assert loss(1.0, "huber") < loss(1.0, "squared")


def test_a_head_for_these_numbers_stays_and_another_is_replaced() -> None:
    made = net()
    Regress(TaskContext(("age",), statistics=lambda: (np.ones(1), np.ones(1)))).prepare(made)
    before = made.heads["regress"]
    Regress(TaskContext(("age",), statistics=lambda: (np.zeros(1), np.ones(1)))).prepare(made)
    assert made.heads["regress"] is before
    Regress(TaskContext(("weight",), statistics=lambda: (np.zeros(1), np.ones(1)))).prepare(made)
    assert made.heads["regress"] is not before


def test_regression_scoring_in_results() -> None:
    scoring = scoring_of(Regress(TaskContext(("age", "crp"))))
    truth = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]])
    found = judged(scoring, {"scores": truth + torch.tensor([1.0, -2.0]), "truth": truth}, "test")
    assert found["metrics"]["test/rmse"] == pytest.approx(1.5)
    assert found["metrics"]["test/mae/crp"] == pytest.approx(2.0)
    assert (found["primary"], found["lower"], found["measures"]["rmse"]["unit"]) == ("test/rmse", True, "")
    single = scoring.per_row({"scores": truth + torch.tensor([1.0, -2.0]), "truth": truth})
    assert single["rmse"].mean().item() == pytest.approx(1.5)
    low, high = found["intervals"]["test/rmse"]
    assert low <= 1.5 <= high


def test_a_metric_without_a_closed_form_is_resampled_the_same_every_time() -> None:
    scoring = scoring_of(Multilabel(TaskContext(("a", "b"))))
    rows = {"scores": torch.randn(50, 2), "truth": (torch.rand(50, 2) < 0.5).float()}
    ends = resampled(scoring, rows, "average_precision")
    assert ends is not None
    low, high = ends
    assert (low, high) == resampled(scoring, rows, "average_precision")
    assert low < scoring.metrics(rows)["average_precision"] < high
    wide = resampled(scoring, {name: x[:12] for name, x in rows.items()}, "average_precision")
    assert wide is not None
    assert wide[1] - wide[0] > high - low


# tags
TAGS = ("O", "B-loc", "I-loc", "B-per", "I-per")


def tokenizer() -> Tokenizer:
    """A token a character."""
    return Tokenizer(_learn("char", 0, ["ab cdefgh"]))


def tagged(words: list[list[str]], tags: list[list[int]], length: int = 32, policy: str = "none") -> TaggedRows:
    rows: Any = SimpleNamespace(index=np.arange(len(words)), labels=np.zeros(len(words), np.int64))
    plain = TextRows(flat([[0]] * len(words)), rows, length=length, policy=policy, device=torch.device("cpu"))
    return TaggedRows(plain, tokenizer(), words, [np.array(row) for row in tags])


def gathered(rows: TaggedRows) -> Batch:
    inputs, learned = rows.gather(torch.arange(len(rows)), "none", np.random.default_rng)
    return Batch(inputs, None, torch.arange(len(rows)), targets=learned)


def test_the_first_token_of_a_word_has_its_tag() -> None:
    made = gathered(tagged([["ab", "c", "def"], ["g"]], [[1, 2, 0], [3]]))
    assert made.target()["tokens"].tolist() == [[1, PADDING, 2, 0, PADDING, PADDING], [3, *[PADDING] * 5]]
    assert made.target()["places"].tolist() == [[0, 2, 3], [0, PADDING, PADDING]]
    assert made.inputs["mask"].sum(1).tolist() == [6, 1]


def test_entities_beyond_the_window_are_missed() -> None:
    rows = tagged([["abc", "d", "e"]], [[3, 0, 1]], length=4)
    assert rows.cut == 1
    made, scoring = gathered(rows), scoring_of(Tag(TaskContext(TAGS)))
    perfect = torch.nn.functional.one_hot(made.target()["tokens"].clamp_min(0), 5).float()
    counts = scoring.rows(perfect, made)["counts"]
    assert scoring.types == ["loc", "per"]
    assert counts[0].tolist() == [
        [0, 0, 1],
        [1, 1, 1],
    ]  # right, predicted, gold: the place is beyond, the person is not
    assert scoring.metrics({"counts": counts})["recall"] == 0.5


def test_tags_score_as_seqeval_has_it() -> None:
    seqeval = pytest.importorskip("seqeval.metrics")
    rng = np.random.default_rng(0)
    words = [[letter for letter in "abcdefgh"[: int(rng.integers(1, 9))]] for _ in range(40)]
    gold = [rng.integers(0, 5, len(row)).tolist() for row in words]
    made, scoring = gathered(tagged(words, gold)), scoring_of(Tag(TaskContext(TAGS)))
    out = torch.tensor(rng.normal(size=(40, 8, 5)))
    predicted = [
        [TAGS[tag] for tag in row[: len(own)]] for row, own in zip(out.argmax(-1).tolist(), words, strict=True)
    ]
    truth = [[TAGS[tag] for tag in row] for row in gold]
    found = scoring.metrics(scoring.rows(out, made))
    assert found["f1"] == pytest.approx(seqeval.f1_score(truth, predicted), abs=1e-9)
    assert found["precision"] == pytest.approx(seqeval.precision_score(truth, predicted), abs=1e-9)


def test_word_dropout_is_refused_for_tags() -> None:
    with pytest.raises(ConfigError, match="word dropout would separate words from their tags"):
        tagged([["a"]], [[0]], policy="weak")


def test_the_answers_of_tags_are_words_and_types() -> None:
    made, scoring = gathered(tagged([["ab", "c", "d"]], [[3, 4, 0]])), scoring_of(Tag(TaskContext(TAGS)))
    out = torch.nn.functional.one_hot(made.target()["tokens"].clamp_min(0), 5).float()
    (answer,) = scoring.answers(out, made, ["ab c d"])
    assert answer == {"entities": "ab c (per)", "tags": "B-per I-per O"}


# heads
def test_heads_of_every_kind_are_rebuilt_from_their_description() -> None:
    made = net()
    made.set_head("classify", ("a", "b"))
    made.add_head("regress", "numbers", ("age",), outputs=1)
    made.heads["regress"].mean.fill_(40.0)
    again = nets.rebuild(made.describe())
    again.load_state_dict(made.state_dict())
    inputs = {"vectors": torch.randn(5, 3)}
    for head in ("classify", "regress"):
        torch.testing.assert_close(again(inputs, head), made(inputs, head), rtol=0, atol=0)
    assert again.classes == {"classify": ["a", "b"], "regress": ["age"]}


def test_a_description_of_an_older_version_is_read() -> None:
    old = {"model": MODEL, "heads": {"classify": {"classes": ["a", "b"], "n": 2}}}
    assert nets.rebuild(old).heads["classify"].out_features == 2


# what answers without steps
def test_a_probe_of_numbers_is_ridge_regression_in_closed_form() -> None:
    rng = np.random.default_rng(1)
    features, numbers = rng.normal(size=(30, 3)), rng.normal(size=(30, 2)) * 10 + 5
    head = torch.nn.Linear(3, 2).double()
    linear_probe.solve(head, torch.tensor(features), torch.tensor(numbers), linear_probe.ridge, l2=0.1)
    x = (features - features.mean(0)) / features.std(0)
    slopes = np.linalg.solve(x.T @ x + 0.1 * len(x) * np.eye(3), x.T @ (numbers - numbers.mean(0)))
    expected = x @ slopes + numbers.mean(0)
    np.testing.assert_allclose(head(torch.tensor(features)).detach().numpy(), expected, atol=1e-8)


def test_a_probe_of_labels_is_a_logistic_regression_each() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(2)
    features = rng.normal(size=(80, 3))
    labels = (features @ rng.normal(size=(3, 2)) + rng.normal(size=(80, 2)) > 0).astype(float)
    head, l2 = torch.nn.Linear(3, 2).double(), 0.05
    linear_probe.solve(head, torch.tensor(features), torch.tensor(labels), linear_probe.logistic, l2=l2)
    x = (features - features.mean(0)) / features.std(0)
    # the loss here is the mean over rows and labels, so each label's own penalty is twice as large
    for label in range(2):
        own = linear.LogisticRegression(C=1 / (2 * l2 * len(x)), tol=1e-10, max_iter=1000).fit(x, labels[:, label])
        scores = head(torch.tensor(features))[:, label].detach().numpy()
        np.testing.assert_allclose(scores, own.decision_function(x), atol=1e-3)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_knn_numbers_are_the_mean_of_the_nearest(weights: Any) -> None:
    rng = np.random.default_rng(3)
    support, learned, query = rng.normal(size=(20, 4)), rng.normal(size=(20, 2)), rng.normal(size=(6, 4))
    found = Knn(k=3, weights=weights).numbers(*(torch.tensor(x)[None].float() for x in (support, learned, query)))
    for row, place in enumerate(query):
        gap = np.linalg.norm(support - place, axis=1)
        near = np.argsort(gap)[:3]
        share = 1 / gap[near] if weights == "distance" else np.ones(3)
        np.testing.assert_allclose(found[0, row], share @ learned[near] / share.sum(), rtol=1e-4, atol=1e-5)


def test_ridge_numbers_are_least_squares() -> None:
    rng = np.random.default_rng(4)
    support, learned, query = rng.normal(size=(20, 4)), rng.normal(size=(20, 2)), rng.normal(size=(6, 4))
    x, y = support - support.mean(0), learned - learned.mean(0)
    slopes = np.linalg.solve(x.T @ x + 2.0 * np.eye(4), x.T @ y)
    found = Ridge(l2=2.0).numbers(*(torch.tensor(x)[None] for x in (support, learned, query)))[0]
    np.testing.assert_allclose(found, (query - support.mean(0)) @ slopes + learned.mean(0), atol=1e-8)


def test_rows_of_a_batch_are_taken_from_all_that_it_holds() -> None:
    made = Batch(
        {"ids": torch.arange(8).view(4, 2)},
        torch.arange(4),
        torch.arange(4) + 10,
        ({"ids": torch.arange(8).view(4, 2)}, {"ids": -torch.arange(8).view(4, 2)}),
        torch.tensor([0, 0, 1, 1]),
        {"tokens": torch.arange(4) * 2},
    )
    part = made.rows(slice(1, 3))
    assert part.index.tolist() == [11, 12]
    assert part.labels is not None
    assert part.labels.tolist() == [1, 2]
    assert [view["ids"].tolist() for view in part.views] == [[[2, 3], [4, 5]], [[-2, -3], [-4, -5]]]
    assert part.domains is not None
    assert part.domains.tolist() == [0, 1]
    assert part.target()["tokens"].tolist() == [2, 4]
