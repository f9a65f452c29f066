"""Kills, full disks and damaged files: afterwards, the same command ends with the same bytes."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from toystage import KEY, STEPS, Child, count_points, expected_state, in_child, killed_at, leftovers, manifest, train

from transfer_cli.errors import ResourceError, StoreError
from transfer_cli.store import claim, commit, disk, diskerrors
from transfer_cli.store.disk import Lines, put
from transfer_cli.store.store import Damaged, Store

ROOT_USER = os.geteuid() == 0
NOBODY = 65534


def resume_files(root: Path) -> list[Path]:
    return sorted((root / KEY).glob("resume-*"))


def stopped_at(root: Path, step: int) -> None:
    """Trains up to `step`, as if killed there."""
    assert Child(lambda: train(root, after_step=lambda at: os._exit(9) if at == step else None)).join()[0] == 9


# kills
def test_a_kill_at_every_io_point_loses_nothing(memory: Path, whole: bytes) -> None:
    points = count_points(memory / "count")
    assert points > 100  # the I/O points are active
    with_leftovers = 0
    for point in range(1, points + 1):
        root = memory / str(point)
        assert killed_at(root, point) == -signal.SIGKILL
        looking = Store(root, create=False)
        assert not looking.done(KEY) or looking.verify(KEY)
        with_leftovers += looking.done(KEY) and bool(leftovers(root))
        assert train(root) in {"hit", *(f"trained from {step}" for step in range(STEPS + 1))}
        assert manifest(root) == whole
        assert looking.verify(KEY)
        assert leftovers(root) == []
        assert {oct(p.stat().st_mode & 0o777) for p in (root / KEY).iterdir()} == {"0o444"}
        shutil.rmtree(root)
    assert with_leftovers >= 2  # killed after DONE and before the resume files were removed: a hit removes them


def test_files_are_synced_before_the_files_that_refer_to_them(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power failure only synced files remain, so the order of fsync calls matters; a kill does not show it."""
    calls: list[str] = []
    for module in (disk, commit, claim):
        monkeypatch.setattr(module, "point", lambda name, file="": calls.append(f"{name} {file[:8]}"))
    train(memory / "s")
    at = {call: max(n for n, other in enumerate(calls) if other == call) for call in calls}
    for name in ("model.sa", "results.", "MANIFEST", "DONE"):
        steps = [f"{step} {name}" for step in ("open", "write", "fsync", "rename")]
        assert [at[step] for step in steps] == sorted(at[step] for step in steps)
        assert calls[at[f"rename {name}"] + 1] == f"fsync_dir {KEY[:8]}"
    assert at["rename model.sa"] < at["rename results."] < at["fsync rows.jso"] < at["open MANIFEST"]
    assert at["rename MANIFEST"] < at["open DONE"] < at["rename DONE"] < at["unlink resume-0"]
    saves = [n for n, call in enumerate(calls) if call == "open resume-0"]
    assert len(saves) == STEPS
    assert all(calls[n - 1] == "fsync rows.jso" for n in saves)
    unlinks = [n for n, call in enumerate(calls) if call == "unlink resume-0"]
    assert all(calls[n - 1] == f"fsync_dir {KEY[:8]}" for n in unlinks if n < at["open MANIFEST"])


def test_a_kill_while_replacing_a_file_leaves_the_old_or_the_new(memory: Path) -> None:
    path, seen = memory / "file", []
    for at in range(1, 10):
        path.write_bytes(b"old" * 1000)
        code, _ = in_child(lambda: put(path, b"new" * 900), TRANSFER_TEST_CRASH_AT=at)
        seen.append(path.read_bytes()[:3] if code else b"end")
        assert path.read_bytes() in (b"old" * 1000, b"new" * 900)
    assert sorted(set(seen)) == [b"end", b"new", b"old"]


def test_a_claim_removes_the_temporary_files_of_a_killed_owner(memory: Path) -> None:
    root = memory / "s"
    stopped_at(root, 2)
    (root / KEY / "model.safetensors.tmp.12345678").write_bytes(b"half")
    with Store(root).claim(KEY, owner="me") as held:
        assert leftovers(root) == [path.name for path in resume_files(root)]
        assert held.newest_step() == 2


def test_a_kill_loses_at_most_one_save_interval(memory: Path) -> None:
    stopped_at(memory / "s", 4)
    assert train(memory / "s") == "trained from 4"
    assert Store(memory / "s").read(KEY, "model.safetensors").decode() == expected_state()


def test_many_random_kills_in_a_row(memory: Path, whole: bytes) -> None:
    rng, kills = random.Random(0), 0
    points = count_points(memory / "count")
    for stage in range(12):
        root = memory / f"s{stage}"
        while (code := killed_at(root, rng.randint(1, points // 3))) == -signal.SIGKILL:
            kills += 1
        assert code == 0
        assert manifest(root) == whole
    assert kills >= 50


def test_older_resume_files_are_removed_only_after_the_new_one_exists(memory: Path) -> None:
    kept = []
    train(memory / "s", after_step=lambda step: kept.append([int(p.name[7:15]) for p in resume_files(memory / "s")]))
    assert kept == [[1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 6]]


# the disk
def test_a_full_disk_while_saving(memory: Path, whole: bytes) -> None:
    root = memory / "s"
    stopped_at(root, 3)
    before = {p.name: p.read_bytes() for p in resume_files(root)}
    code, text = in_child(lambda: train(root), TRANSFER_TEST_FAIL="write@resume*:ENOSPC")
    assert code == 1
    assert "ResourceError: no space: need " in text
    assert ".tmp." not in " ".join(leftovers(root))
    assert {p.name: p.read_bytes() for p in resume_files(root)} == before
    assert train(root) == "trained from 3"
    assert manifest(root) == whole


def test_a_full_disk_while_writing_the_result(memory: Path, whole: bytes) -> None:
    for point in ("fsync@model*:ENOSPC", "rename@MANIFEST*:EDQUOT", "open@DONE:ENOSPC"):
        root = memory / point[:5]
        code, text = in_child(lambda root=root: train(root), TRANSFER_TEST_FAIL=point)
        assert code == 1
        assert "ResourceError" in text
        assert Store(root).state(KEY) == "partial"
        assert train(root) in ("trained from 6", "hit")  # "hit": the manifest existed, only DONE was missing
        assert manifest(root) == whole


def test_an_io_error_is_not_retried_and_leaves_no_temporary_file(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFER_TEST_FAIL", "fsync:EIO")
    with pytest.raises(StoreError, match=r"^I/O error on .*/file: Input/output error$"):
        put(memory / "file", b"data")
    assert list(memory.iterdir()) == []


@pytest.fixture
def small_disk(memory: Path) -> Iterator[Path]:
    path = memory / "small"
    path.mkdir()
    if (
        not ROOT_USER
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", path], check=False).returncode
    ):
        pytest.skip("a small file system needs root and mount")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_file_system_that_is_really_full(small_disk: Path) -> None:
    put(small_disk / "first", b"1" * 3_000_000)
    with pytest.raises(
        ResourceError, match=r"^no space: need 3\.0 MB, have [\d.,]+ (MB|kB|bytes) at .*small$"
    ) as caught:
        put(small_disk / "second", b"2" * 3_000_000)
    assert caught.value.faults[0].do == "free space and run again"
    assert [p.name for p in small_disk.iterdir()] == ["first"]
    with pytest.raises(ResourceError, match=r"^no space: need 36 MB, have"):
        diskerrors.check_space(small_disk, 3_000_000)


def test_rows_on_a_full_disk_end_with_a_complete_line(small_disk: Path) -> None:
    lines = Lines(small_disk / "rows.jsonl")

    def fill() -> None:
        for number in range(10**6):
            lines.append(b"%06d %s\n" % (number, b"x" * 3000))  # not a divisor of a page: the last write is short

    with pytest.raises(ResourceError, match="no space"):
        fill()
    assert lines.size == (small_disk / "rows.jsonl").stat().st_size > 3_000_000
    assert (small_disk / "rows.jsonl").read_bytes().endswith(b"x\n")


def test_a_file_size_limit_is_named(memory: Path) -> None:
    def work() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))
        put(memory / "big", b"0" * 52_000_000)

    code, text = in_child(work)
    assert code == 1  # not killed by SIGXFSZ
    assert "ResourceError: file size limit (RLIMIT_FSIZE): 5.0 MB < 52 MB" in text
    assert list(memory.iterdir()) == []


def test_a_store_removed_during_a_run_is_not_created_again(memory: Path) -> None:
    store = Store(memory / "s")
    shutil.rmtree(memory / "s")
    with pytest.raises(StoreError, match="No such file"), store.claim(KEY, owner="me"):
        pass
    assert not (memory / "s").exists()


# permission
@pytest.mark.skipif(not ROOT_USER, reason="only root can become somebody else")
def test_missing_write_permission_is_detected_at_once(memory: Path) -> None:
    memory.chmod(0o755)
    root = memory / "runs" / ".store"
    Store(root)
    os.chown(root, NOBODY, NOBODY)
    root.chmod(0o555)

    def work() -> None:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        Store(root)

    code, text = in_child(work)
    assert code == 1
    assert f"StoreError: cannot write to {root}: permission denied (mode 555)" in text


# resume files and rows
def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "flipped": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "renamed": lambda path: path.rename(path.with_name(f"resume-00000004-{'0' * 32}.safetensors")),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_resume_file_is_quarantined_and_the_older_one_used(memory: Path, whole: bytes, how: str) -> None:
    root, said = memory / "s", []
    stopped_at(root, 4)
    DAMAGE[how](resume_files(root)[-1])
    assert train(root, talk=said.append) == "trained from 3"
    assert said == ["warning: resume file for step 4 is damaged (kept in .quarantine), using step 3"]
    assert [p.name[:44] for p in (root / ".quarantine").iterdir()] == [f"{KEY}-resume-0000"]
    assert manifest(root) == whole


def test_a_resume_file_renamed_to_another_step_is_removed_eventually(memory: Path, whole: bytes) -> None:
    root = memory / "s"
    stopped_at(root, 4)
    path = resume_files(root)[-1]
    path.rename(path.with_name(path.name.replace("00000004", "00000099")))
    stopped_at(root, 5)
    assert [int(p.name[7:15]) for p in resume_files(root)] == [3, 5]
    assert train(root) == "trained from 5"
    assert manifest(root) == whole


def test_both_resume_files_damaged(memory: Path, whole: bytes) -> None:
    root, said = memory / "s", []
    stopped_at(root, 4)
    for path in resume_files(root):
        flip(path)
    assert train(root, talk=said.append) == "trained from 0"
    assert [line.partition(", ")[2] for line in said] == ["starting from step 0"] * 2
    assert manifest(root) == whole


def test_a_resume_file_whose_rows_are_missing_is_not_used(memory: Path, whole: bytes) -> None:
    root = memory / "s"
    stopped_at(root, 4)
    rows = root / KEY / "rows.jsonl"
    rows.write_bytes(b"".join(rows.read_bytes().splitlines(keepends=True)[:3]))
    assert train(root) == "trained from 3"
    assert manifest(root) == whole


@pytest.mark.parametrize("garbage", [b'{"step": 5, "lo', b'{"step": 5}\n{"step": 6}\n'])
def test_rows_after_the_checkpoint_are_removed(memory: Path, whole: bytes, garbage: bytes) -> None:
    root = memory / "s"
    stopped_at(root, 4)
    with (root / KEY / "rows.jsonl").open("ab") as file:
        file.write(garbage)
    assert train(root) == "trained from 4"
    assert manifest(root) == whole


# finished stages
def test_a_flipped_bit_is_detected_and_the_stage_computed_again(memory: Path, whole: bytes) -> None:
    root, said = memory / "s", []
    train(root)
    model = root / KEY / "model.safetensors"
    model.chmod(0o644)
    flip(model)
    store = Store(root)
    assert store.done(KEY)  # sizes match; content is not checked yet
    with pytest.raises(Damaged, match=r"^stage 0123456789ab: model\.safetensors failed its checksum$"):
        store.read(KEY, "model.safetensors")
    assert store.quarantine(KEY, owner="me", talk=said.append)
    assert said == ["warning: stage 0123456789ab failed its checksum, retraining"]
    assert (next((root / ".quarantine").iterdir()) / "model.safetensors").exists()
    assert train(root) == "trained from 0"
    assert manifest(root) == whole
    assert not store.quarantine(KEY, owner="me", talk=said.append)  # intact again: not moved


BREAK = {
    "no manifest": lambda folder: (folder / "MANIFEST.json").unlink(),
    "cut manifest": lambda folder: (folder / "MANIFEST.json").write_bytes(b'{"model'),
    "wrong DONE": lambda folder: (folder / "DONE").write_text("0" * 64),
    "empty DONE": lambda folder: (folder / "DONE").write_text(""),
    "file missing": lambda folder: (folder / "model.safetensors").unlink(),
    "file cut": lambda folder: (folder / "results.json").write_text("{"),
}


@pytest.mark.parametrize("how", BREAK)
def test_an_invalid_done_is_not_finished(memory: Path, whole: bytes, how: str) -> None:
    root, said = memory / "s", []
    train(root)
    for path in (root / KEY).iterdir():
        path.chmod(0o644)
    BREAK[how](root / KEY)
    assert Store(root).state(KEY) == "partial"
    with pytest.raises(Damaged):
        [Store(root).read(KEY, name) for name in ("model.safetensors", "results.json")]
    assert train(root, talk=said.append) == ("hit" if "DONE" in how else "trained from 0")  # all files are intact
    assert said[0] == "warning: stage 0123456789ab has an invalid DONE"
    assert manifest(root) == whole
    assert Store(root).verify(KEY)


# formats; R34: removal
def test_a_newer_format_is_refused_and_not_touched(memory: Path) -> None:
    root = memory / "s"
    train(root)
    (root / "FORMAT").write_text('{"store": 2}\n')
    before = sorted((str(p), p.stat().st_mtime_ns) for p in root.rglob("*"))
    for create in (True, False):
        with pytest.raises(StoreError, match=r"store format 2 is newer than this program \(1\)$"):
            Store(root, create=create)
    assert sorted((str(p), p.stat().st_mtime_ns) for p in root.rglob("*")) == before


def test_a_missing_or_invalid_format_file(memory: Path) -> None:
    root = memory / "s"
    train(root)
    (root / "FORMAT").unlink()
    assert Store(root).done(KEY)
    assert json.loads((root / "FORMAT").read_text()) == {"store": 1}
    (root / "FORMAT").write_text("what")
    with pytest.raises(StoreError, match="is not a store format"):
        Store(root)


def test_an_unknown_file_in_a_stage_is_left_alone(memory: Path, whole: bytes) -> None:
    root = memory / "s"
    stopped_at(root, 2)
    (root / KEY / "notes.txt").write_text("mine")
    train(root)
    assert manifest(root) == whole
    assert (root / KEY / "notes.txt").read_text() == "mine"


def test_removal_skips_a_claimed_stage_and_continues_after_a_kill(memory: Path) -> None:
    root = memory / "s"
    train(root)
    store = Store(root)
    with store.claim(KEY, owner="me"):
        assert store.remove(KEY) is False
    assert store.done(KEY)
    assert in_child(lambda: store.remove(KEY), TRANSFER_TEST_FAIL="delete:EIO")[0] == 1
    assert store.state(KEY) == "absent"
    assert [p.name[:32] for p in (root / ".trash").iterdir()] == [KEY]
    with pytest.raises(Damaged):
        store.read(KEY, "model.safetensors")
    assert train(root) == "trained from 0"


def test_errno_names_used_here_exist() -> None:
    """`point` looks errno names up; with a typo, a test could pass for the wrong reason."""
    assert all(hasattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EIO", "ENOLCK"))
