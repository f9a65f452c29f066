"""Finished runs, the application of `transfer serve` around them, and a server in this process to ask over a socket."""

import os
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError

import numpy as np
from pictures import write_pictures

from transfer_cli.analysis.results import Run
from transfer_cli.cli.main import main
from transfer_cli.cli.options import read
from transfer_cli.runner.loaded import finished_run, load_net
from transfer_cli.serve.about import about
from transfer_cli.serve.answers import Answers
from transfer_cli.serve.app import application
from transfer_cli.serve.server import Server, listening

LONG = 120.0  # seconds: much longer than any operation takes, even on a busy machine
# ignore proxies from the environment
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
GOOD, BAD = ("good", "fine", "great", "happy"), ("bad", "poor", "awful", "sad")


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


def a_run(root: Path, *words: str) -> str:
    """Id of a finished run in root/runs, of data in root."""
    runs = root / "runs"
    before = set(runs.glob("[!.]*/2*"))
    assert main(["run", "-q", "trainer=tiny", "strategy=scratch", *words, "--runs", str(runs)]) == 0
    (made,) = set(runs.glob("[!.]*/2*")) - before
    return made.name[-6:]


def a_run_of_pictures(root: Path, *classes: str) -> str:
    """A run on pictures in root/pics, by default with two classes that differ in brightness."""
    named = classes or ("cat", "dog")
    write_pictures(root / "pics" / "train", named)
    write_pictures(root / "pics" / "test", named, count=3)
    return a_run(root, f"data={root / 'pics'}", "model=mlp")


def a_run_of_texts(root: Path) -> str:
    rows = [f"{(GOOD, BAD)[i % 2][i // 2 % 4]} item number {i},{('pro', 'contra')[i % 2]}" for i in range(96)]
    (root / "texts.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    given = "model.input={tokenizer: bpe, size: 300, length: 16}"
    return a_run(root, f"data={root / 'texts.csv'}", "model=embedding_bag", given, "trainer.steps=60", "trainer.lr=1")


def a_run_of_vectors(root: Path) -> str:
    labels = np.arange(60) % 2
    features = np.random.default_rng(0).normal(size=(60, 3)) + 4 * labels[:, None]
    np.savez(
        root / "rows.npz", train_features=features.astype(np.float32), train_labels=labels, classes=["low", "high"]
    )
    return a_run(root, f"data={root / 'rows.npz'}", "model=mlp_vectors")


def app_of(root: Path, name: str, port: int, tell: Callable[[str], None] = print) -> Any:
    """The application for a run, as the command makes it."""
    options = read(["serve", name, "--runs", str(root / "runs")])
    run = finished_run(options, options.args, options.words)
    return application(Answers(load_net(run, options, "serve")), about(Run.of(run)), port, tell)


@contextmanager
def served(make: Callable[[int], Any]) -> Iterator[str]:
    """The address of an application, which `make` makes for a port, on a free one; the server is ended in any case."""
    ready = threading.Event()
    with listening(0) as made:
        port = made.getsockname()[1]
        server = Server(make(port), ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [made]}, daemon=True)
        thread.start()
        try:
            assert ready.wait(LONG)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(LONG)
            assert not thread.is_alive()


def ask(address: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
    """What a server answers; POST where there is a body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with DIRECT.open(urllib.request.Request(address + path, body, named), timeout=LONG) as reply:
            return Reply(reply.status, dict(reply.headers), reply.read())
    except HTTPError as error:
        with error:
            return Reply(error.code, dict(error.headers), error.read())


def environment() -> dict[str, str]:
    """For a child: this checkout, whatever is installed."""
    root = str(Path(__file__).parents[1])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
