"""The store without failures: states, reading, claims, links, modes, and cleaning."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from toystage import IDENTITY, KEY, expected_state, train

from transfer_cli.cli import clean
from transfer_cli.cli.options import read
from transfer_cli.errors import ConfigError, StoreError
from transfer_cli.store import disk
from transfer_cli.store.disk import put
from transfer_cli.store.store import Damaged, Store, canonical, identity_change

OTHER = "f" * 32


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs" / ".store"


def test_a_stage_from_absent_to_done(root: Path) -> None:
    store = Store(root)
    assert store.state(KEY) == "absent"
    with store.claim(KEY, owner="me") as claim:
        assert claim.state == "absent"
        assert store.state(KEY) == "running"
        claim.put("model.safetensors", b"weights")
    assert store.state(KEY) == "partial"
    with store.claim(KEY, owner="me") as claim:
        assert claim.state == "partial"
        claim.put("model.safetensors", b"weights")
        claim.put_json("results.json", {"b": 1, "a": 2})
        claim.finish()
    assert store.state(KEY) == "done"
    assert store.files(KEY) == {"model.safetensors": 7, "results.json": 17}
    assert store.read(KEY, "results.json") == b'{"a": 2, "b": 1}\n'
    assert store.keys() == [KEY]


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="needs sha256sum")
def test_the_manifest_equals_the_output_of_sha256sum(root: Path) -> None:
    train(root)
    manifest = json.loads((root / KEY / "MANIFEST.json").read_text())
    assert sorted(manifest) == ["model.safetensors", "results.json", "rows.jsonl", "stage.json"]
    lines = "".join(f"{digest}  {name}\n" for name, (_, digest) in manifest.items())
    lines += f"{(root / KEY / 'DONE').read_text().strip()}  MANIFEST.json\n"
    checked = subprocess.run(
        ["sha256sum", "-c"], input=lines, cwd=root / KEY, text=True, capture_output=True, check=True
    )
    assert checked.stdout.count(": OK") == 5
    assert Store(root).digest(KEY, "rows.jsonl") == manifest["rows.jsonl"][1]
    assert Store(root).read(KEY, "model.safetensors").decode() == expected_state()


def test_a_hit_reads_and_writes_nothing(root: Path) -> None:
    train(root)
    before = sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*"))
    looking = Store(root, create=False)
    assert looking.hit(KEY)
    assert looking.state(KEY) == "done"
    assert sorted((str(path), path.stat().st_mtime_ns) for path in root.rglob("*")) == before


def test_reading_creates_no_directory(root: Path) -> None:
    assert Store(root, create=False).state(KEY) == "absent"
    assert Store(root, create=False).keys() == []
    assert not root.parent.exists()


def test_an_unknown_file_name_is_not_reported_as_damage(root: Path) -> None:
    train(root)
    with pytest.raises(StoreError, match=r"^stage 0123456789ab: has no model-source_val\.safetensors$") as caught:
        Store(root).read(KEY, "model-source_val.safetensors")
    assert not isinstance(caught.value, Damaged)
    with pytest.raises(Damaged):
        Store(root).read(OTHER, "model.safetensors")


def test_a_failure_is_kept_until_start_over(root: Path) -> None:
    store = Store(root)
    with store.claim(KEY, owner="me") as claim:
        claim.append(b"{}\n")
        claim.save_resume(1, b"state")
        claim.fail({"step": 7, "value": "nan"})
    assert (store.state(KEY), store.failure(KEY)) == ("failed", {"step": 7, "value": "nan"})
    with store.claim(KEY, owner="me") as claim:
        assert claim.state == "failed"
        claim.start_over()
        assert list(claim.dir.iterdir()) == []
        assert list(claim.resume()) == []
    assert (store.state(KEY), store.failure(KEY)) == ("absent", None)


def test_starting_over_a_finished_stage_gives_the_same_manifest(root: Path) -> None:
    train(root)
    before = (root / KEY / "MANIFEST.json").read_bytes()
    with Store(root).claim(KEY, owner="me") as claim:
        assert claim.state == "done"
        claim.start_over()
    assert train(root) == "trained from 0"
    assert (root / KEY / "MANIFEST.json").read_bytes() == before


def test_the_identity_class_is_stored_with_the_result(root: Path) -> None:
    assert Store(root).identity(KEY) is None
    train(root)
    assert Store(root).identity(KEY) == IDENTITY
    assert identity_change(IDENTITY, Store(root).identity(KEY)) is None
    now = {"torch": "2.15", "threads": 2, "processes": 1}
    assert identity_change(now, IDENTITY) == "threads 2 (was 1), torch 2.15 (was 2.14.1)"
    assert identity_change(now, None) is None


def test_nan_and_infinity_are_not_stored(root: Path) -> None:
    with Store(root).claim(KEY, owner="me") as claim, pytest.raises(ValueError, match="not JSON compliant"):
        claim.put_json("results.json", {"loss": float("nan")})
    assert canonical({"b": 0.1, "a": "é"}) == b'{"a": "\\u00e9", "b": 0.1}'


def test_rows_from_before_a_resume_can_be_read(root: Path) -> None:
    with Store(root).claim(KEY, owner="me") as claim:
        claim.append(b'{"step": 1}\n')
    with Store(root).claim(KEY, owner="me") as claim:
        claim.append(b'{"step": 2}\n')
        assert claim.rows() == b'{"step": 1}\n{"step": 2}\n'
        assert claim.rows_state()[0] == 24


# names
@pytest.mark.parametrize("key", ["../x", "a/b", "", "A" * 32, "0" * 31, "0" * 33, f"{'0' * 31}\n", f"{'0' * 31}\0"])
def test_a_key_is_32_hex_digits(root: Path, key: str) -> None:
    with pytest.raises(ConfigError, match="not a stage key: 32 hex digits"):
        Store(root).path(key)


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "a..b", "x" * 65, "-rf", "a\n", ""])
def test_invalid_file_names_are_refused(root: Path, name: str) -> None:
    with Store(root).claim(KEY, owner="me") as claim, pytest.raises(ConfigError, match="not a name"):
        claim.put(name, b"")


# links created by others
@pytest.fixture
def treasure(tmp_path: Path) -> Path:
    path = tmp_path / "treasure"
    path.mkdir()
    (path / "file").write_text("gold")
    return path


def test_a_link_instead_of_the_store_is_refused(root: Path, treasure: Path) -> None:
    root.parent.mkdir()
    root.symlink_to(treasure)
    with pytest.raises(StoreError, match=r"\.store: a symbolic link, not a directory$"):
        Store(root)
    assert [path.name for path in treasure.iterdir()] == ["file"]


def test_a_link_instead_of_a_stage_is_refused(root: Path, treasure: Path) -> None:
    store = Store(root)
    (root / KEY).symlink_to(treasure)
    with pytest.raises(StoreError, match="a symbolic link, not a directory"):
        store.state(KEY)
    with pytest.raises(StoreError, match="a symbolic link, not a directory"), store.claim(KEY, owner="me"):
        pass
    with pytest.raises(StoreError, match="a symbolic link, not a directory"):
        store.remove(KEY)
    assert (treasure / "file").read_text() == "gold"
    assert [path.name for path in treasure.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["DONE", "MANIFEST.json"])
def test_a_link_instead_of_a_commit_file_is_refused(root: Path, treasure: Path, name: str) -> None:
    train(root)
    (root / KEY / name).unlink()
    (root / KEY / name).symlink_to(treasure / "file")
    with pytest.raises(StoreError, match=f"{name}: a file or link that this program did not create"):
        Store(root).state(KEY)
    with pytest.raises(StoreError):
        train(root)
    assert (treasure / "file").read_text() == "gold"


def test_a_link_instead_of_a_result_rows_or_lock_file_is_refused(root: Path, treasure: Path) -> None:
    store = Store(root)
    with store.claim(KEY, owner="me") as claim:
        (claim.dir / "model.safetensors").symlink_to(treasure / "file")
        (claim.dir / "rows.jsonl").symlink_to(treasure / "file")
        with pytest.raises(StoreError, match="did not create"):
            claim.put("model.safetensors", b"x")
        with pytest.raises(StoreError, match="did not create"):
            claim.append(b"x\n")
    (root / ".locks" / OTHER).symlink_to(treasure / "file")
    with pytest.raises(StoreError, match="did not create"), store.claim(OTHER, owner="me"):
        pass
    assert (treasure / "file").read_text() == "gold"


def test_a_link_instead_of_a_temporary_file_is_not_followed(
    tmp_path: Path, treasure: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk.secrets, "token_hex", lambda size: "guessed")
    (tmp_path / "file.tmp.guessed").symlink_to(treasure / "file")
    with pytest.raises(StoreError, match="did not create"):
        put(tmp_path / "file", b"x")
    assert (treasure / "file").read_text() == "gold"


# modes
@pytest.mark.parametrize(("umask", "folder", "file"), [(0o077, 0o700, 0o600), (0o022, 0o755, 0o644), (0, 0o775, 0o666)])
def test_modes_follow_the_umask_but_the_store_is_never_writable_by_all(
    tmp_path: Path, umask: int, folder: int, file: int
) -> None:
    before = os.umask(umask)
    try:
        with Store(tmp_path / "s").claim(KEY, owner="me") as claim:
            claim.put("model.safetensors", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "s").stat().st_mode & 0o777 == folder
    assert (tmp_path / "s" / KEY / "model.safetensors").stat().st_mode & 0o777 == file


def test_a_store_writable_by_all_is_refused(root: Path) -> None:
    Store(root)
    root.chmod(0o777)
    with pytest.raises(StoreError, match="can be written by everybody") as caught:
        Store(root)
    assert caught.value.faults[0].do is not None
    assert caught.value.faults[0].do.startswith("chmod o-w ")


# transfer clean
def cleaned(capsys: pytest.CaptureFixture[str], runs: Path, *options: str) -> tuple[str, int]:
    code = clean.main(read(["clean", "--runs", str(runs), *options]))
    return capsys.readouterr().out, code


@pytest.fixture
def full(root: Path, treasure: Path) -> Path:
    """A store with a used stage, an unused one that contains a link, one in quarantine and one in the trash."""
    train(root)
    run = root.parent / "toy-digits" / "20261122T101500Z-k7q2md"
    run.mkdir(parents=True)
    (run / "results.json").write_text(json.dumps({"status": "done", "stages": [{"key": KEY}], "data": "0" * 64}))
    with Store(root).claim(OTHER, owner="me") as claim:
        claim.put("model.safetensors", b"x" * 1000)
        (claim.dir / "link").symlink_to(treasure)
    for name in (".quarantine", ".trash"):
        (root / name / f"{OTHER}.1").mkdir()
        (root / name / f"{OTHER}.1" / "file").write_bytes(b"y" * 10)
    return root


def test_clean_without_yes_only_lists(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(full.rglob("*"))
    text, code = cleaned(capsys, full.parent)
    rows = [line.split("\t")[:2] for line in text.splitlines()[1:]]
    assert rows == [["stage", OTHER], ["quarantine", f"{OTHER}.1"], ["trash", f"{OTHER}.1"]]
    assert code == 0
    assert sorted(full.rglob("*")) == before


def test_clean_with_yes_deletes_what_no_run_uses(
    full: Path, treasure: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cleaned(capsys, full.parent, "-y")[1] == 0
    store = Store(full)
    assert store.keys() == [KEY]
    assert store.verify(KEY)
    assert list((full / ".trash").iterdir()) == list((full / ".quarantine").iterdir()) == []
    assert (treasure / "file").read_text() == "gold"


def test_clean_prints_a_summary(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(full).claim("a" * 32, owner="somebody"):
        shown, _ = cleaned(capsys, full.parent, "--format", "table")
        done, _ = cleaned(capsys, full.parent, "--format", "table", "-y")
    assert shown.splitlines()[0].startswith("1 stage no run uses, ")
    assert "1 in use now, kept" in shown.replace("\n  ", " ")
    assert shown.splitlines()[-1] == "next  transfer clean -y"
    assert done.startswith("deleted: 1 stage no run uses, ")
    assert "next" not in done
    assert cleaned(capsys, full.parent / "elsewhere", "--format", "table", "-y")[0] == "nothing to clean\n"
    assert not (full.parent / "elsewhere").exists()


def test_clean_refuses_arguments(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes no words"):
        clean.main(read(["clean", "data=usps"]))


def test_a_run_waits_until_cleaning_is_over(root: Path) -> None:
    """The run records its stages on disk before it waits, so the next cleaning sees them."""
    train(root)
    store, looks = Store(root), []

    def poll() -> None:
        looks.append(store.done(KEY))
        if len(looks) == 2:
            cleaning.__exit__(None, None, None)

    cleaning = store.cleaning()
    cleaning.__enter__()
    assert store.remove(KEY)
    Store(root).after_cleaning(poll)
    assert looks == [False, False]
    Store(root).after_cleaning(lambda: pytest.fail("nobody cleans"))
