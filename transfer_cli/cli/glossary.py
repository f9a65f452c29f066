"""The glossary: every word that has a special meaning on screens and pages, in one or two plain sentences.
`transfer help WORD` prints an entry, `transfer help words` prints all of them, and the README holds the same list.
`python -m transfer_cli.cli.glossary README.md` writes that list. Its imports are light."""

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap

WIDTH = 80
HEADING = "## Words"
WORDS = {
    # what a command line names
    "run": "One execution of an experiment: its stages are computed or found in the store, and its results are"
    " written to a directory of their own.",
    "sweep": "Several runs that one command starts, such as five seeds of two strategies. Its ledger says which"
    " runs are left, so the same command goes on where it stopped.",
    "experiment": "A whole recipe under one name: data, model, strategy and settings. Its YAML file can say which"
    " number it should reach, and `transfer verify` checks that.",
    "strategy": "One choice of a method for every stage, under one name. `transfer list strategies` shows them.",
    "stage": "One step of a run: pretrain, align, fine_tune or evaluate. Its result is stored under a key and"
    " used again by every run that needs the same stage.",
    "method": "The procedure that trains a net in one stage, such as supervised, dann or lora. A method is one file.",
    "predictor": "A classifier that is fitted on features of few labelled rows, such as nearest class means, k"
    " nearest neighbours or ridge regression. The net itself is not trained.",
    "model": "The architecture of a net, such as resnet18 or bert_tiny, and the shape of its input.",
    "weights": "The numbers in a net. `weights=` says where training starts: random (none), published ones"
    " (imagenet), a file, a repository of a hub, or the net of another run.",
    "seed": "The number from which all random choices of a run follow: initial weights, order of rows,"
    " augmentation, and which rows keep their labels. The same seed gives the same result.",
    # stages
    "pretrain": "The stage that trains a net on the source. Its seed is 0 unless you change it, so all runs of a"
    " sweep start from the same source net.",
    "align": "The stage that adapts a net from source to target without target labels, for example by making the"
    " features of both domains look alike.",
    "fine_tune": "The stage that trains on labelled rows of the target.",
    "evaluate": "The last stage: it measures the net on test rows of the target. No other stage reads test rows.",
    # data
    "source": "The data set that a net learns from first, where labels are plentiful.",
    "target": "The data set that the result is for. `data=` names it.",
    "domain": "A group of rows that were recorded in the same way, such as photographs or sketches of the same"
    " objects. Source and target are often two domains.",
    "shift": "A change that makes another domain of the same pictures, such as rotation or noise:"
    " `data.shift=rotated`.",
    "whole": "`data.whole=true` keeps a domain in one piece: all rows of the target are test rows, and methods"
    " that read no labels may train on the same rows.",
    "shots": "The number of labelled rows of each class that a stage may learn from.",
    "draw": "One random choice of the labelled rows, made by the seed. Other draws give other results, so several"
    " are needed for a conclusion.",
    "episode": "One small classification problem drawn from a data set: a few classes, some labelled rows of"
    " each, and other rows to classify. A few-shot result is the mean over many episodes.",
    "fold": "One of several equal parts of the training rows. A net trains on the other parts and is validated on"
    " this one.",
    "kind": "What a row of data is: a picture, a text, a vector of numbers.",
    "task": "What is learned from the rows, such as one class for each row or the next character of a text.",
    "sampler": "The rule that decides which rows make a batch, for example the same number of every class.",
    "head": "The last layers of a net, which turn features into the answer of a task, such as a score for every class.",
    "view": "A part of the test rows that is measured on its own, such as one domain or one group of classes.",
    # selection and evaluation
    "rule": "How one snapshot is chosen among those that training passes: the chosen snapshot is evaluated. A"
    " star marks the rule of the headline.",
    "final": "The rule that takes the net at the last training step; nothing is chosen.",
    "source_val": "The rule that takes the snapshot with the best result on validation rows of the source, with"
    " labels.",
    "target_val": "The rule that takes the snapshot with the best result on validation rows of the target, with"
    " labels. It exists only where a training stage uses target labels too.",
    "entropy": "A rule without target labels: it takes the snapshot whose predictions on the target are most certain.",
    "information": "A rule without target labels: predictions on the target should be certain for each row and"
    " spread over all classes.",
    "bnm": "A rule without target labels: the nuclear norm of the predictions, which is large where they are"
    " certain and spread over all classes.",
    "snd": "A rule without target labels: soft neighbourhood density, which is large where similar rows form"
    " tight groups.",
    "dev": "A rule without target labels: the loss on validation rows of the source, weighted by how much each"
    " row resembles the target.",
    "knn": "A rule without target labels: how well nearest neighbours in the source agree with the net's"
    " predictions on the target. It is also the name of a predictor.",
    "mmd": "A rule without target labels: the maximum mean discrepancy between features of source and target,"
    " where small is better. It is also the name of a method.",
    "oracle": "The rule that chooses the snapshot by test labels. It shows what such a choice would claim, and is"
    " never a result.",
    "mark": "A point during training at which a snapshot is handed on and evaluated, so that one run gives a curve.",
    "measure": "One number that evaluation reports, such as accuracy, with its unit and whether smaller is better.",
    # measures
    "accuracy": "The share of rows whose most likely class is the right one.",
    "top-5": "The share of rows whose right class is among the five most likely ones.",
    "NLL": "The mean negative log-likelihood of the right class, in nats; small where right answers are certain.",
    "ECE": "Expected calibration error: how far stated probabilities are from the share of right answers.",
    "OS*": "The mean recall of the classes that source and target share.",
    "unknown recall": "The share of rows of classes outside the source that are recognised as unknown.",
    "HOS": "The harmonic mean of OS* and unknown recall.",
    "F1": "The harmonic mean of precision and recall, of one class or label.",
    "macro F1": "F1 of every class or label, averaged with equal weight, so rare ones count as much as frequent ones.",
    "micro F1": "F1 over the labels of all rows counted together, so frequent labels count most.",
    "mean average precision": "For one label, the mean precision at every row that has it, with rows sorted by"
    " score; then the mean over labels.",
    "macro AUROC": "For one label, the probability that a row with it scores higher than a row without it, where"
    " 50 % is chance; then the mean over labels.",
    "all labels right": "The share of rows whose whole set of labels is right, also called subset accuracy.",
    "Hamming loss": "The share of wrong answers over all pairs of a row and a label.",
    "labels without metrics": "The number of labels that all test rows or no test rows have, so that nothing can"
    " be said of them.",
    "RMSE": "Root of the mean squared error, in the unit of the number. With several numbers it is the mean of"
    " theirs, each in its own unit.",
    "MAE": "Mean absolute error, in the unit of the number. With several numbers it is the mean of theirs.",
    "R2": "The explained share of the variance: 1 is perfect, 0 is no better than the mean of the test rows.",
    "Spearman correlation": "The correlation of ranks: whether larger numbers get larger answers, on any scale.",
    "entity precision": "The share of predicted entities that are right in first word, last word and type.",
    "entity recall": "The share of true entities that are found with the right first word, last word and type.",
    "entity F1": "The harmonic mean of entity precision and entity recall, over the entities of all rows.",
    "macro entity precision": "Entity precision of every type, averaged with equal weight.",
    "macro entity recall": "Entity recall of every type, averaged with equal weight.",
    "macro entity F1": "Entity F1 of every type, averaged with equal weight.",
    "bits a character": "The mean negative log-likelihood of a text in bits, divided by its characters, so that"
    " tokenizers can be compared.",
    "perplexity": "The exponential of the mean loss of a token; it cannot be compared between tokenizers.",
    # comparison
    "n": "The number of runs behind a mean; `4/5` means that one of five runs failed.",
    "baseline": "The group that all others of a table are compared with: source_only where no group uses target"
    " labels, else scratch, or the one that `--baseline` names.",
    "delta": "The difference from the baseline, paired by seed, with its 95 % interval.",
    "interval": "The range behind ±, at 95 %. The title says over what: over seeds, or over test rows only.",
    "p": "The probability of a difference at least this large if there were none in truth.",
    "p Holm": "The p value corrected for the number of comparisons in the table, by the method of Holm.",
    "verdict": "What the test says of a group against the baseline: better, worse, NEGATIVE transfer or unclear.",
    "better": "A verdict: the difference favours the group, and p Holm is below .05.",
    "worse": "A verdict: the difference favours the baseline, and p Holm is below .05.",
    "NEGATIVE transfer": "A verdict: what was learned from the source made the result worse than not using it,"
    " and p Holm is below .05.",
    "unclear": "A verdict: the runs do not show a difference. It does not mean that the groups are equal.",
    "NO CONCLUSION": "There is one seed of each group, so nothing can be said about other seeds.",
    "P": "Pareto: no other group of the table is both better and cheaper.",
    "cost": "The time of all stages of a run, cached ones included, so that it does not depend on who ran first.",
    "labels": "The number of target labels that a run used.",
    "trained": "The number of parameters that training on the target changed.",
    # storage
    "plan": "The list of stages that a command line means, each with its key and whether it is cached.",
    "key": "The hash of everything that decides the result of a stage: settings, data, model, seed, code and the"
    " stages before it.",
    "store": "The folder runs/.store, which holds the result of every stage under its key.",
    "cached": "The state of a stage whose result is in the store already: it is not computed again.",
    # checks
    "FAIL": "The level of a finding of a check that would stop a run.",
    "warn": "The level of a finding of a check that stops no run but may spoil its result.",
}


def find(word: str) -> str | None:
    """The entry with this spelling, else the entry that differs only in case; None if there is none or more than
    one."""
    if word in WORDS:
        return word
    alike = [name for name in WORDS if name.casefold() == word.casefold()]
    return alike[0] if len(alike) == 1 else None


def entry(word: str) -> str:
    """One entry as lines for a terminal."""
    return "\n".join(wrap(f"{word}: {WORDS[word]}", WIDTH, subsequent_indent="  ", break_on_hyphens=False))


def listing() -> str:
    """All entries as lines for a terminal."""
    return "\n".join(entry(word) for word in WORDS)


def markdown() -> str:
    """All entries as the list below the README's heading."""
    return "\n".join(f"- **{word}**: {text}" for word, text in WORDS.items()) + "\n"


def with_words(readme: str) -> str:
    """The README with this list below its heading, up to the next heading."""
    before, heading, after = readme.partition(f"{HEADING}\n")
    following = after[after.find("\n## ") :] if "\n## " in after else ""
    return f"{before}{heading}\n{_introduction()}\n{markdown()}{following}" if heading else readme


def _introduction() -> str:
    return "`transfer help WORD` prints one of these, `transfer help words` all of them.\n"


def _write(paths: Iterator[str]) -> None:
    for path in map(Path, paths):
        path.write_text(with_words(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    _write(iter(sys.argv[1:]))
