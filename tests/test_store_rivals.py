"""Several processes and one stage: one trains, the others wait and reuse it; a claim ends when its owner dies, never
before."""

import fcntl
import os
import signal
from pathlib import Path

import pytest
from toystage import KEY, Child, manifest, train

from transfer_cli.errors import Busy, Stopped, StoreError
from transfer_cli.store import lock
from transfer_cli.store.lock import Lock, is_held
from transfer_cli.store.store import Store


@pytest.mark.parametrize("round_", range(6))
def test_only_one_of_many_processes_trains(memory: Path, whole: bytes, round_: int) -> None:
    root = memory / "s"
    children = [Child(lambda: train(root)) for _ in range(2 + round_ % 5)]
    ends = [child.join() for child in children]
    assert sorted(text for _, text in ends) == ["hit"] * (len(children) - 1) + ["trained from 0"]
    assert manifest(root) == whole


def test_a_waiting_process_continues_where_the_killed_owner_stopped(memory: Path, whole: bytes) -> None:
    root = memory / "s"
    ready, go = os.pipe()

    def pause(step: int) -> None:
        if step == 3:
            os.write(go, b"3")
            signal.pause()

    owner = Child(lambda: train(root, after_step=pause))
    assert os.read(ready, 1) == b"3"
    said: list[str] = []

    def talk(text: str) -> None:
        said.append(text)
        if text.startswith("waiting"):
            owner.kill()

    assert train(root, talk=talk) == "trained from 3"
    assert owner.join()[0] == -signal.SIGKILL
    assert said == [
        f"waiting for stage 0123456789ab: pid {owner.pid}, runs/toy",
        "owner of stage 0123456789ab is gone, continuing at step 3",
    ]
    assert manifest(root) == whole


def test_a_suspended_owner_keeps_its_claim(memory: Path) -> None:
    store = Store(memory / "s")
    ready, go = os.pipe()

    def hold() -> None:
        with store.claim(KEY, owner="runs/other"):
            os.write(go, b"x")
            signal.pause()

    owner = Child(hold)
    os.read(ready, 1)
    os.kill(owner.pid, signal.SIGSTOP)
    assert store.state(KEY) == "running"
    with pytest.raises(Busy) as caught, store.claim(KEY, owner="me", wait=0.05):
        pass
    assert caught.value.faults[0].line() == f"stage 0123456789ab: still claimed by pid {owner.pid}, runs/other"
    assert caught.value.faults[0].do == "stop it or wait"
    owner.kill()
    owner.join()
    with store.claim(KEY, owner="me", wait=0) as claim:
        assert claim.state == "absent"


def test_a_signal_ends_the_wait(memory: Path) -> None:
    store = Store(memory / "s")

    def stop() -> None:
        raise Stopped(128 + signal.SIGTERM)

    with store.claim(KEY, owner="me"), pytest.raises(Stopped), store.claim(KEY, owner="me too", poll=stop):
        pass
    assert not is_held(memory / "s" / ".locks" / KEY)


def test_a_waiting_process_prints_once_per_minute(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = [0.0], []
    mine, other = Lock(memory / "lock"), Lock(memory / "lock")
    assert mine.take("runs/mine")
    monkeypatch.setattr(lock.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    with pytest.raises(Busy):
        other.wait("runs/other", "stage x", 150.0, lambda: None, said.append)
    assert len(said) == 3
    assert clock[0] >= 150
    mine.release()


def test_a_child_that_outlives_the_owner_does_not_keep_the_claim(memory: Path) -> None:
    store = Store(memory / "s")
    ready, go = os.pipe()
    end, finish = os.pipe()

    def owner() -> None:
        with store.claim(KEY, owner="runs/parent"):
            if os.fork() == 0:
                os.write(go, b"x")
                os.close(finish)
                os.read(end, 1)  # until the test closes its end
                os._exit(0)
            signal.pause()

    child = Child(owner)
    os.read(ready, 1)
    assert is_held(memory / "s" / ".locks" / KEY)
    child.kill()
    os.waitpid(child.pid, 0)
    with store.claim(KEY, owner="me", wait=0.5) as claim:
        assert claim.state == "absent"
    os.close(finish)


@pytest.mark.parametrize("content", [b"pid 1, runs/x\n", b"\xff\x00\x1b]0;x\x07", b"x" * 5000, b"host:99 pid 4242"])
def test_the_text_of_a_lock_file_has_no_effect(memory: Path, content: bytes) -> None:
    root = memory / "s"
    Store(root)
    (root / ".locks" / KEY).write_bytes(content)
    assert Store(root).state(KEY) == "absent"
    assert train(root, wait=0) == "trained from 0"
    (root / ".locks" / KEY).write_bytes(content)
    assert lock.holder(root / ".locks" / KEY).isprintable()


def test_a_file_system_without_locks_is_refused(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFER_TEST_FAIL", "lock:ENOLCK")
    with pytest.raises(StoreError, match=r"\.locks: file locks do not work here$") as caught:
        Store(memory / "s")
    assert caught.value.faults[0].do == "put the store on a local disk, --runs DIR"


def test_locks_that_do_not_exclude_are_refused(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock.fcntl, "flock", lambda fd, mode: None)
    with pytest.raises(StoreError, match="file locks do not work here"):
        Store(memory / "s")


def test_two_calls_of_is_held_do_not_see_each_other(memory: Path) -> None:
    path = memory / "lock"
    with path.open("w") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        assert not is_held(path)
    holding = Lock(path)
    assert holding.take("me")
    assert is_held(path)
    holding.release()
    assert not is_held(path)
