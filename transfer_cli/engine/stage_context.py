"""What the stages of a run share: nets, data loaders, methods, tasks and scorings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transfer_cli.contracts import DeviceDataset, Method, MethodInputs
from transfer_cli.data.open import DataSet
from transfer_cli.engine.device import identity, reseed
from transfer_cli.engine.feature_cache import FeatureCache
from transfer_cli.engine.loader import Address, Features, StepLoader, sampler_of
from transfer_cli.engine.ranks import Ranks
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.kinds._kind import kind_named
from transfer_cli.kinds.texts import tokenizer_of
from transfer_cli.models import net as nets
from transfer_cli.models.tensors import unpack
from transfer_cli.plugins import load_class
from transfer_cli.seeds import seed_for
from transfer_cli.signals import Stop
from transfer_cli.store.store import Store, quiet
from transfer_cli.task_contracts import Scoring, Task, TaskContext

Json = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A stage to compute. `spec` and `key` are those of the plan; `rules`: the selection rules of its snapshots;
    `data`: "target" and, if there is one, "source"; `weights`: the file that a stage of kind "given" reads."""

    name: str
    key: str
    spec: Json
    rules: tuple[str, ...]
    data: Mapping[str, DataSet]
    weights: Path | None = None
    plugins: tuple[str, ...] = ()
    seed: int = 0


def model_file(ref: Json) -> str:
    """The name of the file that contains the net of a stage (key, rule)."""
    return f"model-{ref['rule']}.safetensors"


@dataclass
class StageContext:
    """Store, device and cache of a run. `stop()` raises Stopped after a signal; `unchanged()` raises DataError or
    StoreError if data or code have changed since the plan was made. `progress`: the display of progress; `say` writes a
    line to the log. `ranks`: the processes, if several compute the steps together; `shard`: whether they also
    distribute the parameters."""

    store: Store
    device: torch.device
    cache: Path
    progress: Any
    stop: Stop
    unchanged: Callable[[], None]
    save_every: float = 60.0
    strict_identity: bool = False
    say: Callable[[str], None] = quiet
    ranks: Ranks | None = None
    shard: bool = False
    _stored: dict[Any, Any] = field(default_factory=dict)
    _reported: set[str] = field(default_factory=set)

    def items(self, job: Job, side: str, part: Any, *, labelled: bool, seed: int) -> DeviceDataset:
        """The rows of a part of source or target, in the form that the model reads. Raises DataError for rows that
        cannot be read."""
        data, model = job.data[side], job.spec["model"]
        rows = data.rows(part, labelled=labelled, seed=seed)
        kind = kind_named(data.raw.kind, job.plugins)
        name = (data.fingerprint, rows.part, str(model["input"]))
        if name not in self._stored:
            poll = self._poll(len(data.raw.parts[rows.part].labels))
            self._stored[name] = kind.store(data, rows.part, model, self.cache, self.device, poll)
        items = kind.rows(self._stored[name], data, rows, model, self.device)
        if rows.domains is not None:
            items.domains = torch.from_numpy(rows.domains).to(self.device)
        items = self.task(job, side).wrap(items, rows)
        if items.cut:
            self._report_truncation(items, data, part, int(model["input"]["length"]))
        return items

    def _report_truncation(self, items: DeviceDataset, data: DataSet, part: str, length: int) -> None:
        """Logs, once per data set, that texts are longer than the net's context window."""
        if data.fingerprint in self._reported:
            return
        self._reported.add(data.fingerprint)
        rows = f"{items.cut:,} of {len(items):,} {part} texts of {data.title}"
        self.say(
            f"{rows} have more than {length:,} tokens and are cut there; model.input.length={2 * length} keeps more"
        )

    def _poll(self, pictures: int) -> Callable[[], None]:
        """A function to call once per picture. Before the last picture is stored, it checks that no file has changed
        since its fingerprint was taken."""
        left = iter(range(pictures - 1, -1, -1))

        def poll() -> None:
            self.stop()
            if next(left, 0) == 0:
                self.unchanged()

        return poll

    def loader(self, job: Job, side: str, part: Any, *, labelled: bool = True, seed: int = 0) -> StepLoader:
        """A data loader without augmentation, for passes over all rows and for features."""
        items = self.items(job, side, part, labelled=labelled, seed=seed)
        key = {"data": job.data[side].key(part, labelled=labelled, seed=seed), "input": job.spec["model"]["input"]}
        cache = self._features(job, side, part, labelled, seed)
        return StepLoader(
            items, Address(seed, "whole", part), batch=items.chunk, views=("none",), key=key, features=cache
        )

    def stream(self, job: Job, name: str, batch: int) -> StepLoader:
        """The data loader of one stream of a training stage, for this process. Raises ConfigError if there are more
        processes than rows (or units of the sampler) in a batch."""
        view, seed = job.spec["streams"][name], job.seed
        items = self.items(job, view["side"], view["part"], labelled=view["labelled"], seed=seed)
        share = (self.ranks.rank, self.ranks.world) if self.ranks and "trainer" in job.spec else (0, 1)
        batch = view.get("batch", batch)
        sampler = sampler_of(view["sampler"], items, batch, job.plugins) if "sampler" in view else None
        if share[1] > (rows := sampler.shape[0] if sampler else min(len(items), batch)):
            text = f"a batch of stream {name} of {job.name} has {rows} rows"
            raise ConfigError(Fault("runtime.processes", text, str(share[1])))
        return StepLoader(
            items,
            Address(seed, job.spec["role"], name),
            share=share,
            batch=batch,
            sampler=sampler,
            labelled=view["labelled"],
            views=tuple(view["views"]),
            key={"data": view["data"], "input": job.spec["model"]["input"]},
            features=self._features(job, view["side"], view["part"], view["labelled"], seed),
        )

    def _features(self, job: Job, side: str, part: Any, labelled: bool, seed: int) -> Features:
        """Reads features from the cache. For a fold, features of all training rows are computed and stored once; each
        fold then selects its rows."""
        data = job.data[side]
        if not labelled or not data.folded(part):
            return FeatureCache(self.cache, self.precision(job), job.spec["code"])
        chosen = torch.from_numpy(data.fold(part, seed))
        whole = self.loader(replace(job, data={**job.data, side: data.pool}), side, "train", seed=seed)
        return lambda loader, net: (whole.features(net)[0][chosen.to(self.device)], loader.items.labels)

    def identity(self, job: Job) -> Json:
        """The identity class in which a stage is computed. Only trainings by steps use several processes; everything
        else runs on rank 0 alone."""
        shared = self.ranks is not None and "trainer" in job.spec
        return identity(self.device) | {"processes": self.ranks.world if shared and self.ranks else 1}

    def precision(self, job: Job) -> str:
        """The precision of a stage, "fp32" or "bf16": that of the trainer if set, otherwise that of the model."""
        trainer = job.spec.get("trainer", {})
        return str(trainer.get("precision") or job.spec["model"]["precision"])

    def task(self, job: Job, side: str) -> Task:
        """The task that is learned from source or target: that of the run if set, otherwise that of the data."""
        data, settings = job.data[side], self.task_settings(job, side)
        tokenizer = tokenizer_of(job.spec["model"], self.cache)
        context = TaskContext(data.names, data.title, tokenizer, lambda: data.statistics(job.seed))
        task: Task = load_class("tasks", settings.pop("task"), job.plugins)(context, **settings)
        return task

    def task_settings(self, job: Job, side: str) -> Json:
        """The name and the settings of the task of source or target."""
        return dict(job.spec.get("task") or {"task": job.data[side].raw.task})

    def scoring(self, job: Job, side: str) -> Scoring:
        """The scoring of the task of source or target."""
        return scoring_of(self.task(job, side), job.plugins)

    def net(self, job: Job, ref: Json) -> nets.Net:
        """The net of a stage (key, rule, part), or a new net with random weights from the seed `init`. Raises
        StoreError or Damaged if the stage is not in the store."""
        if "init" in ref:
            reseed(seed_for(ref["init"], "net", bits=32))
            return nets.build(job.spec["model"], job.plugins).to(self.device)
        tensors, description = self.tensors(ref)
        net = nets.rebuild(description | {"model": job.spec["model"]}, job.plugins)
        net.load_state_dict({name: tensors[name] for name in net.state_dict() if name in tensors})
        return net.to(self.device)

    def tensors(self, ref: Json) -> tuple[dict[str, Tensor], Json]:
        """The tensors of a stored net by name, and its description. A file may contain only the tensors that its stage
        changed; the others are read from the initial net of that stage. Raises Damaged for a stage that must be
        computed again."""
        tensors, meta = unpack(self.store.read(ref["key"], model_file(ref)))
        description = meta[ref["part"]]
        prefix = ref["part"] + "."
        own = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        if parent := description.get("parent"):
            self.store.check_needs(ref["key"])
            own = self.tensors(parent)[0] | own
        return own, description

    def method_class(self, job: Job) -> type[Method]:
        """The class of the stage's method."""
        return load_class("methods", job.spec["method"]["method"], job.plugins)

    def method(self, job: Job, given: MethodInputs) -> Method:
        """The method of a stage. A setting that names a parent is passed as its own name; the net is in
        `given.parts`."""
        settings = {name: value for name, value in job.spec["method"].items() if name != "method"}
        settings |= {name: name for name in job.spec.get("parents", {})}
        return self.method_class(job)(given, **settings).to(self.device)


def scoring_of(task: Task, plugins: Sequence[str] = ()) -> Scoring:
    """The scoring of a task: the class in scoring/ whose file has the same name as the file of the task."""
    scoring: Scoring = load_class("scoring", type(task).__module__.rpartition(".")[2], plugins)(task)
    return scoring
