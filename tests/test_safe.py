"""Untrusted text has no effect in terminals, spreadsheets, paths and records except as text."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_cli.errors import ConfigError
from transfer_cli.safe import check_name, csv_cell, environment, hide_places, hide_secrets, safe, scrub


# terminals
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b31mred", r"\x9b31mred"),
        ("a\nb\rc", r"a\x0ab\x0dc"),
        ("abc\u202egpj.exe", r"abc\u202egpj.exe"),
        ("\u2066x\u2069", r"\u2066x\u2069"),
        (os.fsdecode(b"\xff.jpg"), r"\udcff.jpg"),
        ("tab\tis kept, é → 日本 [bold] :cat:", "tab\tis kept, é → 日本 [bold] :cat:"),
    ],
)
def test_control_characters_become_visible(text: str, expected: str) -> None:
    assert safe(text) == expected


@settings(deadline=None)
@given(st.text(st.characters(), max_size=50))
def test_no_text_keeps_a_control_character(text: str) -> None:
    shown = safe(text)
    shown.encode()
    assert all(sign == "\t" or (ord(sign) >= 32 and not 0x7F <= ord(sign) <= 0x9F) for sign in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    assert safe(shown) == shown


# names
@pytest.mark.parametrize("name", ["dann-usps", "a", "A1._-", "x" * 64, "v1.2"])
def test_valid_names_are_accepted(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["../x", "a/b", "a\0b", "a\nb", "a\n", "x" * 300, "-rf", "", ".", "a..b", "é", "a b"])
def test_names_that_could_leave_their_folder_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^strategy=.*: not a name: 1 to 64 of A-Z a-z 0-9 \. _ -") as caught:
        check_name(name, "strategy")
    assert caught.value.code == 2
    assert str(caught.value).isprintable()


# spreadsheets
@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@x", "\t=1", "\r=1", "＝1", "＋1", "－1", "＠x"])
def test_a_formula_becomes_text(text: str) -> None:
    assert csv_cell(text) == "'" + text


@pytest.mark.parametrize("value", [-0.5, -3, 0, None, True, "plain", "a=b", "'=quoted"])
def test_numbers_and_plain_text_are_unchanged(value: object) -> None:
    assert csv_cell(value) is value


# records
@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["data=usps", "data.shots=10"], ["data=usps", "data.shots=10"]),
        (["--token", "CANARY", "-y"], ["--token", "***", "-y"]),
        (["--token", "-y"], ["--token", "-y"]),
        (["--hf-token=CANARY"], ["--hf-token=***"]),
        (
            ["data.api_key=CANARY", "x.authToken=CANARY", "PASSWORD=CANARY"],
            ["data.api_key=***", "x.authToken=***", "PASSWORD=***"],
        ),
        (["model.tokenizer=bert", "data.keypoints=17"], ["model.tokenizer=bert", "data.keypoints=17"]),
        (["weights=https://me:CANARY@host/x.pt"], ["weights=https://host/x.pt"]),
        (["weights=ftp://CANARY@host:21/x"], ["weights=ftp://host:21/x"]),
    ],
)
def test_secrets_of_a_command_are_hidden(argv: list[str], expected: list[str]) -> None:
    assert hide_secrets(argv) == expected


def test_paths_are_relative_to_the_working_directory_or_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home" / "ann"
    work = home / "work"
    work.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    assert hide_secrets([f"data={work}/pictures"]) == ["data=pictures"]
    assert hide_places(f"{home}/x {home} {home}by/x /mnt{home}/x {work}") == f"~/x ~ {home}by/x /mnt{home}/x ."
    config = {"data": {"path": f"{home}/pictures", "shots": 3}, "list": [f"{work}/a", 1.5, None], "api_key": "CANARY"}
    shown = {"data": {"path": "~/pictures", "shots": 3}, "list": ["a", 1.5, None], "api_key": "***"}
    assert scrub(config) == shown


def test_only_listed_variables_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "DATABASE_URL", "TRANSFER_TOKEN", "PYTHONPATH"):
        monkeypatch.setenv(name, "CANARY")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("TRANSFER_DATA", "https://me:CANARY@host/data")
    found = environment()
    assert found["OMP_NUM_THREADS"] == "3"
    assert found["TRANSFER_DATA"] == "https://host/data"
    assert found["TRANSFER_TOKEN"] == "***"
    assert "CANARY" not in str(found)
    assert not {"HF_TOKEN", "DATABASE_URL", "PYTHONPATH", "PATH"} & set(found)
