"""Measures for old results: results.json files written before the entry `measures` existed. This is the only file that
lists metrics by name. The order is that of the tables in reports."""

from transfer_cli.measures import Measure

MEASURES = {
    "accuracy": Measure(unit="share", label="accuracy", primary=True, watched=True),
    "top5": Measure(unit="share", label="top-5"),
    "os_star": Measure(unit="share", label="OS*"),
    "unknown": Measure(unit="share", label="unknown recall"),
    "hos": Measure(unit="share", label="HOS"),
    # reports compare classes by the first metric that has a value per class
    "recall": Measure(unit="share", label="macro recall", shown=False),
    "precision": Measure(unit="share", label="macro precision", shown=False),
    "f1": Measure(unit="share", label="macro F1"),
    "nll": Measure(unit="nats", lower_is_better=True, label="NLL", watched=True),
    "ece": Measure(unit="share", lower_is_better=True, label="ECE"),
    "bits_per_char": Measure(unit="bits", lower_is_better=True, label="bits a character", primary=True, watched=True),
    "perplexity": Measure(lower_is_better=True, label="perplexity"),
    "loss": Measure(unit="nats", lower_is_better=True, label="loss", shown=False),
}
OTHER = Measure(unit="share", shown=False)  # the measure of any other metric
# each row is right or wrong, so the interval is Wilson's and values are multiples of 1 / rows
OF_RIGHT_ROWS = ("accuracy",)
