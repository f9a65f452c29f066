"""Names of the selection rules: which snapshot of a stage is handed on. No torch."""

# rule -> whether it also reads rows of the source; all of them judge target rows whose labels they do not see
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
