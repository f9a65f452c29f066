"""Names of the snapshot selection rules, which choose the snapshot of a stage that later stages get. No torch."""

# rule -> whether it also reads source rows; all of them score target rows without reading their labels
LABEL_FREE = {
    "entropy": False,
    "information": False,
    "bnm": False,
    "snd": False,
    "dev": True,
    "knn": True,
    "mmd": True,
}
LABELLED = ("source_val", "target_val")
RULES = ("final", *LABELLED, *LABEL_FREE, "oracle")
