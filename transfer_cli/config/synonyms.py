"""Synonyms that users often try first, and the words of this program. difflib finds nothing near `target` or `lr`, and
suggests `data` for `adapt`."""

SYNONYMS = {  # first part of a word -> our word, or a whole `key=value`
    "target": "data", "dataset": "data", "domain": "data", "path": "data.path",
    "net": "model", "backbone": "model", "arch": "model", "architecture": "model", "network": "model",
    "pretrained": "weights=imagenet", "checkpoint": "weights", "ckpt": "weights", "init": "weights",
    "resume": "weights",
    "method": "strategy", "algorithm": "strategy", "algo": "strategy", "approach": "strategy",
    "lr": "trainer.lr", "learning_rate": "trainer.lr", "epochs": "trainer.steps", "steps": "trainer.steps",
    "batch": "trainer.batch", "batch_size": "trainer.batch", "bs": "trainer.batch", "momentum": "trainer.momentum",
    "optimizer": "trainer.optimizer", "optim": "trainer.optimizer", "optimiser": "trainer.optimizer",
    "weight_decay": "trainer.weight_decay", "wd": "trainer.weight_decay", "schedule": "trainer.schedule",
    "scheduler": "trainer.schedule", "precision": "trainer.precision", "warmup": "trainer.warmup",
    "shots": "data.shots", "shot": "data.shots", "n_shot": "data.shots", "k": "data.shots", "fraction": "data.fraction",
    "classes": "data.classes", "augment": "data.augment", "augmentation": "data.augment",
    "label_noise": "data.label_noise", "noise": "data.label_noise",
    "way": "evaluate.way", "ways": "evaluate.way", "n_way": "evaluate.way", "queries": "evaluate.queries",
    "draws": "evaluate.draws", "episodes": "evaluate.draws", "eval": "evaluate", "test": "evaluate",
    "device": "runtime.device", "gpu": "runtime=gpu", "cpu": "runtime=cpu", "cuda": "runtime=gpu",
    "ddp": "runtime=ddp", "processes": "runtime.processes", "max_time": "runtime.max_time",
    "threads": "runtime.threads", "adapter": "predictor", "classifier": "predictor", "head": "predictor",
    "train": "fine_tune", "finetune": "fine_tune", "tune": "fine_tune", "adapt": "align", "adaptation": "align",
    "pretraining": "pretrain", "recipe": "experiment", "preset": "experiment", "config": "experiment",
    "seeds": "seed", "random_seed": "seed", "plugin": "plugins",
}  # fmt: skip

KEYS = {  # last part of a dotted key -> ours
    "learning_rate": "lr", "batch_size": "batch", "bs": "batch", "epochs": "steps", "max_steps": "steps",
    "wd": "weight_decay",
    "optim": "optimizer", "optimiser": "optimizer", "scheduler": "schedule", "warmup_steps": "warmup",
    "grad_clip": "clip",
    "grad_accum": "accumulate", "shot": "shots", "k": "shots", "n_shot": "shots", "ways": "way", "n_way": "way",
    "augmentation": "augment", "gamma": "weight", "lambda": "weight", "num_threads": "threads", "episodes": "draws",
    "world_size": "processes",
}  # fmt: skip

NAMES = {  # a value of a group -> ours
    "method": {"fine_tune": "full", "finetune": "full", "linear": "linear_probe", "probe": "linear_probe",
               "lp": "linear_probe",
               "null": "none", "off": "none", "train": "supervised", "feature_extraction": "linear_probe"},
    "strategy": {"finetune": "fine_tune", "full": "fine_tune", "linear": "linear_probe", "fewshot": "few_shot",
                 "feature_extraction": "linear_probe", "no_transfer": "scratch", "source_only": "none",
                 "prototypes": "few_shot", "nearest_neighbour": "knn", "zero_shot": "none"},
    "predictor": {"proto": "prototypes", "prototypical": "prototypes", "nearest_neighbour": "knn", "null": "none"},
    "data": {"cifar": "cifar10", "cifar-10": "cifar10", "CIFAR10": "cifar10", "MNIST": "mnist", "USPS": "usps",
             "fashion": "fashion_mnist", "FashionMNIST": "fashion_mnist", "KMNIST": "kmnist", "SVHN": "svhn",
             "cifar-100": "cifar100", "CIFAR100": "cifar100", "pneumoniamnist": "medmnist", "huggingface": "hf",
             "null": "none"},
    "runtime": {"cuda": "gpu"},
}  # fmt: skip
