"""A stage without torch for the store's tests: its state is a hash chain, so any lost or repeated step shows."""

import json
import os
import signal
import traceback
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from transfer_cli.store import diskerrors
from transfer_cli.store.store import Store

KEY = "0123456789abcdef" * 2
STEPS = 6
IDENTITY = {"torch": "2.14.1", "threads": 1, "processes": 1}


def step_once(state: str, step: int) -> str:
    return sha256(f"{state} {step}".encode()).hexdigest()


def expected_state() -> str:
    state = "start"
    for step in range(STEPS):
        state = step_once(state, step)
    return state


def train(
    root: Path,
    *,
    talk: Callable[[str], None] = lambda text: None,
    after_step: Callable[[int], None] = lambda step: None,
    wait: float | None = None,
) -> str:
    """Computes the toy stage, saving after every step. Returns "hit" or "trained from <step>"."""
    store = Store(root)
    if store.hit(KEY):
        return "hit"
    with store.claim(KEY, owner="runs/toy", talk=talk, wait=wait) as claim:
        if claim.state == "done":
            return "hit"
        claim.put_json("stage.json", {"method": "toy", "identity": IDENTITY})
        step, state = begun = resumed(claim)
        while step < STEPS:
            state = step_once(state, step)
            step += 1
            claim.append(json.dumps({"step": step, "loss": int(state[:4], 16)}).encode() + b"\n")
            claim.append_timing(b'{"seconds": %d}\n' % os.getpid())
            size, digest = claim.rows_state()
            claim.save_resume(step, json.dumps({"step": step, "state": state, "rows": [size, digest]}).encode())
            after_step(step)
        claim.put("model.safetensors", state.encode())
        claim.put_json("results.json", {"steps": STEPS})
        claim.finish()
    return f"trained from {begun[0]}"


def resumed(claim) -> tuple[int, str]:
    for _, data in claim.resume():
        saved = json.loads(data)
        if claim.truncate_rows(*saved["rows"]):
            return saved["step"], saved["state"]
    claim.truncate_rows()
    return 0, "start"


class Child:
    """A forked process: `work()` runs there; `text` is what it returned, `code` its exit status or minus the signal."""

    def __init__(self, work: Callable[[], object], **environment: object) -> None:
        out, into = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(out)
                os.environ.update({name: str(value) for name, value in environment.items()})
                os.write(into, str(work()).encode())
                code = 0
            except BaseException:
                os.write(into, traceback.format_exc().encode())
            finally:
                os._exit(code)
        os.close(into)
        self._out = out

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def join(self) -> tuple[int, str]:
        """(code, text) when the child and everybody who inherited its pipe have ended."""
        status = os.waitpid(self.pid, 0)[1]
        with os.fdopen(self._out, "rb") as file:
            text = file.read().decode()
        return os.waitstatus_to_exitcode(status), text


def in_child(work: Callable[[], object], **environment: object) -> tuple[int, str]:
    return Child(work, **environment).join()


def killed_at(root: Path, point: int) -> int:
    return in_child(lambda: train(root), TRANSFER_TEST_CRASH_AT=point)[0]


def count_points(root: Path) -> int:
    """I/O points of an uninterrupted training."""

    def work() -> int:
        train(root)
        return diskerrors.points()

    code, text = in_child(work)
    assert code == 0, text
    return int(text)


def manifest(root: Path) -> bytes:
    return (root / KEY / "MANIFEST.json").read_bytes()


def leftovers(root: Path) -> list[str]:
    return sorted(p.name for p in (root / KEY).iterdir() if ".tmp." in p.name or p.name.startswith("resume-"))
