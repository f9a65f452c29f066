"""The front of the program: help, options, dispatch, errors, completion; and what it must not import."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from transfer_cli.cli import completion, help, main, run, table
from transfer_cli.cli.options import Options, read
from transfer_cli.config.folders import GROUPS, options
from transfer_cli.config.words import CHOICES
from transfer_cli.errors import ConfigError, DataError, Fault

HEAVY = {"torch", "pandas", "numpy", "hydra", "omegaconf", "yaml", "transformers", "torchvision", "rich", "matplotlib"}


def lines(*argv: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(argv)
    return [fault.line() for fault in caught.value.faults]


# what is imported
@pytest.mark.parametrize(
    "argv",
    [["--help"], ["run", "--help"], ["__complete", "run", "strategy="], ["__complete", ""], ["completion", "bash"]],
)
def test_help_and_completion_import_nothing_heavy(argv: list[str], tmp_path: Path) -> None:
    code = f"import sys; from transfer_cli.cli.main import main; c = main({argv!r}); print(*sys.modules); sys.exit(c)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    modules = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert modules & HEAVY == set()
    assert "transfer_cli" in modules


# help
def test_help_of_run_fits_the_terminal_and_names_what_exists() -> None:
    text = help.text("run")
    assert max(map(len, text.splitlines())) <= 80
    words = set(re.findall(r"([a-z_]+)=(?![\w])", text))
    assert words == {*CHOICES, "weights"}
    assert {"fine_tune", "linear_probe", "few_shot"} <= set(options("strategy"))
    assert "fine_tune*" in text  # the default
    assert {"usps", "mnist"} <= set(options("data"))


@pytest.mark.parametrize("command", table.COMMANDS)
def test_every_option_of_a_command_is_in_its_help_and_no_other(command: str) -> None:
    text = help.text(command)
    wanted = {option.name for option in table.options_of(command)}
    shown = set(re.findall(r"(?<![\w-])--[a-z-]+", text))
    letters = set(re.findall(r"(?<![\w-])-[a-zA-Z]\b", text))
    assert shown <= wanted
    assert {o.name for o in table.options_of(command) if o.name not in shown} <= {
        o.name for o in table.OPTIONS if o.letter in letters
    }
    assert f"example: transfer {command}" in text
    assert max(map(len, text.splitlines())) <= 80


def test_help_names_every_command_and_each_has_a_file() -> None:
    text = help.text("")
    for command in table.COMMANDS:
        assert f"\n  {command} " in text
        assert (Path(main.__file__).parent / f"{command}.py").is_file()


def test_one_letter_has_one_meaning() -> None:
    letters = [option.letter for option in table.OPTIONS if option.letter]
    assert len(set(letters)) == len(letters)
    assert {option.field for option in table.OPTIONS} - {"help"} <= set(Options.__dataclass_fields__)
    assert set(Options.__dataclass_fields__) - {"command", "words", "args"} <= {o.field for o in table.OPTIONS}


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["help"], ["run", "data=usps", "-h"], ["help", "run"]])
def test_help_is_printed_from_anywhere(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(argv) == 0
    assert capsys.readouterr().out == help.text("run" if "run" in argv else "") + "\n"


# options
def test_options_stand_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRANSFER_RUNS", raising=False)
    found = read(["--runs", "r", "data=usps", "-m", "run", "seed=0..4", "--wait=1h30m", "-o", "x.csv", "-v"])
    assert found == Options(
        command="run",
        words=("data=usps", "seed=0..4"),
        runs=Path("r"),
        multirun=True,
        wait=5400.0,
        out=Path("x.csv"),
        verbose=True,
    )


def test_seeds_imply_multirun_and_dashes_end_options() -> None:
    found = read(["run", "--seeds", "5", "--", "-x", "data=usps"])
    assert (found.seeds, found.multirun, found.args, found.words) == (5, True, ("-x", "data=usps"), ())


def test_words_and_bare_arguments() -> None:
    found = read(["predict", "last", "./a=b.png", "strategy=knn"])
    assert (found.args, found.words) == (("last", "./a=b.png"), ("strategy=knn",))


@pytest.mark.parametrize("text", ["digits", "'seed=1'", " seed=1"])
def test_run_ignores_no_argument(text: str) -> None:
    with pytest.raises(ConfigError, match="is no key=value"):
        run.main(read(["run", "data=digits", text]))


def test_runs_folder_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFER_RUNS", "/somewhere")
    assert read(["list"]).runs == Path("/somewhere")
    assert read(["list", "--runs", "here"]).runs == Path("here")


def test_configuration_folders_are_given_and_of_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    (tmp_path / "more").mkdir()
    assert read(["run", "--config-dir", "more"]).config_dirs == (tmp_path / "more", tmp_path / "conf")


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["run", "--mutlirun"], ["--mutlirun: no such option; nearest: --multirun; all: transfer run --help"]),
        (["run", "--yes"], ["--yes: transfer run has no such option; it belongs to export, explain, clean"]),
        (
            ["run", "--seeds", "x", "--wait", "soon"],
            ["--seeds=x: whole number >= 1", "--wait=soon: a time: 90s, 15m, 1h30m"],
        ),
        (["run", "--seeds"], ["--seeds: needs N", "--seeds=: whole number >= 1"]),
        (["list", "--format", "xml"], ["--format=xml: one of table, tsv, csv, md, latex, json"]),
        (["list", "--json=yes"], ["--json=yes: takes no value"]),
        (["list", "--limit", "3", "--limit", "4"], ["--limit=4: given twice"]),
        (["shwo"], ["shwo: no such command; nearest: show; all: transfer --help"]),
        (["strategy=knn"], ["strategy=knn: a command comes first"]),
        (["run", "--config-dir", "nope"], ["--config-dir=nope: no such folder"]),
    ],
)
def test_each_wrong_option_has_its_line(argv: list[str], wanted: list[str]) -> None:
    assert lines(*argv) == wanted


# errors
def fake(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Puts `act` in the place of `transfer list`."""
    monkeypatch.setitem(sys.modules, "transfer_cli.cli.list", SimpleNamespace(main=act))


def test_a_command_gets_its_options_and_decides_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Options] = []
    fake(monkeypatch, lambda options: seen.append(options) or 9)
    assert main.main(["list", "data", "--all"]) == 9
    assert (seen[0].command, seen[0].args, seen[0].all) == ("list", ("data",), True)


def raises(error: BaseException) -> Any:
    def act(options: Options) -> int:
        raise error

    return act


def test_faults_are_lines_on_stderr(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    faults = Fault("data", "not there", "x\x1b[31m", do="transfer fetch x"), Fault("seed", "no")
    fake(monkeypatch, raises(DataError(*faults)))
    assert main.main(["list"]) == 4
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err == "error: data=x\\x1b[31m: not there\n  do: transfer fetch x\nerror: seed: no\n"


def test_faults_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake(monkeypatch, raises(ConfigError(Fault("strategy", "unknown", "few_shto", ("few_shot",), "few_shot"))))
    assert main.main(["list", "--json"]) == 2
    seen = capsys.readouterr()
    document = json.loads(seen.err)["error"]
    wanted = {"code": 2, "word": "strategy", "value": "few_shto", "nearest": "few_shot", "allowed": ["few_shot"]}
    assert (seen.out, document.items() >= wanted.items()) == ("", True)


def test_a_bug_is_one_line_and_a_traceback_only_with_debug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake(monkeypatch, raises(ZeroDivisionError("a\nb")))
    assert main.main(["list"]) == 1
    assert capsys.readouterr().err == "internal error: ZeroDivisionError: a b; see it with --debug\n"
    assert main.main(["list", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fake(monkeypatch, raises(KeyboardInterrupt()))
    assert main.main(["list"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_faults_of_options_and_words_come_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["run", "--zzz", "starategy=dann", "data=usps"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: --zzz: no such option; all: transfer run --help",
        "error: starategy: no such word; nearest: strategy; all: transfer run --help",
    ]


def program(*argv: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    code = "from transfer_cli.cli.main import entry; entry()"
    return subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False, **more)


def test_the_program_from_outside(tmp_path: Path) -> None:
    """Exit code, empty stdout and the documented line, in a process of its own."""
    done = program("run", "strategy=few_shto", "target=cifar10", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: target=cifar10: the word is data=cifar10\n"
        "error: strategy=few_shto: unknown; nearest: few_shot; see transfer list strategy\n"
    )
    assert list(tmp_path.iterdir()) == []  # nothing is made before the words are right


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    code = "from transfer_cli.cli.main import entry; entry()"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", code, "--help"], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


# completion
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["comp"], ["compare", "completion"]),
        (["compare", "strategy=knn", "mod"], ["model="]),
        (["run", "strategy=few"], ["strategy=few_shot"]),
        (["run", "strategy=knn,few"], ["strategy=knn,few_shot"]),
        (["run", "source=mn"], ["source=mnist"]),
        (["run", "align=was"], ["align=wasserstein"]),
        (["run", "predictor=r"], ["predictor=ridge"]),
        (["run", "weights=ima"], ["weights=imagenet"]),
        (["run", "data=usps", "da"], []),
        (["run", "strat"], ["strategy="]),
        (["run", "--see"], ["--seeds"]),
        (["clean", "--seeds"], []),
        (["list", "mod"], ["models"]),
        (["data", "ch"], ["check"]),
        (["completion", "z"], ["zsh"]),
        (["run", "nonsense=a"], []),
    ],
)
def test_what_a_word_could_become(words: list[str], wanted: list[str], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert completion.candidates(words) == wanted


def test_completion_finds_runs_paths_and_users_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRANSFER_RUNS", raising=False)
    for folder in ("runs/dann-usps/20261122T101502Z-k7q2md", "runs/.store/x-kkk", "pics é", "conf/trainer"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "conf" / "trainer" / "mine.yaml").write_text("# mine\n")
    (tmp_path / "pics.csv").write_text("")
    assert completion.candidates(["compare", ""]) == ["k7q2md", "last"]
    assert completion.candidates(["run", "data=pi"]) == ["data=pics é/", "data=pics.csv"]
    assert completion.candidates(["run", "trainer=mi"]) == ["trainer=mine"]
    assert completion.candidates(["run", "--config-dir", "pi"]) == ["pics é/"]
    assert completion.candidates(["run", "--out", "pics."]) == ["pics.csv"]


def test_completion_reads_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*args: Any, **more: Any) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(Path, "open", forbidden)
    monkeypatch.setattr("builtins.open", forbidden)
    for group in sorted({*GROUPS} - {"method"}):
        assert completion.candidates(["run", f"{group}="])


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
@pytest.mark.parametrize(
    ("line", "replies"),
    [
        ("transfer run strategy=few", ["few_shot"]),
        ("transfer run strategy=knn,few", ["knn,few_shot"]),
        ("transfer comp", ["compare", "completion"]),
        ("transfer run stra", ["strategy="]),
    ],
)
def test_the_bash_script_completes(line: str, replies: list[str], tmp_path: Path) -> None:
    """Bash asks for what follows the last `=`, so that is what the script must answer."""
    program = tmp_path / "transfer"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from transfer_cli.cli.main import entry; entry()" "$@"\n')
    program.chmod(0o755)
    script = (
        f'{completion.BASH}\nCOMP_LINE="{line}" COMP_POINT={len(line)}\n_transfer\nprintf "%s\\n" "${{COMPREPLY[@]}}"\n'
    )
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    )
    assert done.stdout.splitlines() == replies


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_goes_to_stdout_and_the_advice_to_stderr(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", shell]) == 0
    seen = capsys.readouterr()
    assert "transfer __complete" in seen.out
    assert seen.err.startswith(f"install: transfer completion {shell} > ")


def test_an_unknown_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["completion", "bsh"]) == 2
    assert capsys.readouterr().err == "error: completion=bsh: needs one of bash, zsh, fish; nearest: bash\n"
