"""A built wheel holds all it needs and works from any directory; so does the editable install."""

import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without network."""
    if find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed: pip install '.[dev]'")
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", out, ROOT], check=True)
    (path,) = out.glob("transfer_cli-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel, and nothing else, is installed."""
    site = tmp_path_factory.mktemp("site")
    subprocess.run([*PIP, "install", "--no-deps", "--no-index", "--no-compile", "--target", site, wheel], check=True)
    return site


def test_the_wheel_holds_every_yaml_file_and_module(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    yamls = {f"transfer_cli/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "conf").rglob("*.yaml")}
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "transfer_cli").rglob("*.py")}
    assert len(yamls) > 40
    assert len(code) > 100
    page = {f"transfer_cli/serve/page/{name}" for name in ("index.html", "page.js", "page.css")}
    assert (yamls | code | page | {"transfer_cli/data/readers/digits.npz"}) - names == set()
    assert not [name for name in names if name.startswith(("tests", "runs", "conf")) or "__pycache__" in name]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def called(argv: list[str], tmp_path: Path, **variables: str) -> str:
    """stdout of a program called from the root of the file system."""
    environment = {**os.environ, "TRANSFER_RUNS": str(tmp_path / "runs"), **variables}
    done = subprocess.run(argv, cwd="/", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_works_from_any_directory(installed: Path, tmp_path: Path) -> None:
    where = called(
        [sys.executable, "-c", "import transfer_cli; print(transfer_cli.__file__)"], tmp_path, PYTHONPATH=str(installed)
    )
    assert Path(where.strip()).is_relative_to(installed)
    program = [sys.executable, "-m", "transfer_cli"]
    assert "few_shot" in called([*program, "list", "strategies"], tmp_path, PYTHONPATH=str(installed))
    plan = called([*program, "show", "data=digits"], tmp_path, PYTHONPATH=str(installed))
    assert "digits classes 5-9 test 179" in plan
    script = installed / "bin" / "transfer"
    assert "few_shot" in called(
        [sys.executable, str(script), "list", "strategies"], tmp_path, PYTHONPATH=str(installed)
    )


def test_the_editable_install_works_from_any_directory(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("transfer")
    if not script.exists():
        pytest.skip("not installed here: pip install -e .")
    assert "few_shot" in called([str(script), "list", "strategies"], tmp_path)
    assert "digits classes 5-9 test 179" in called([str(script), "show", "data=digits"], tmp_path)


def test_the_current_directory_offers_no_code(tmp_path: Path) -> None:
    """A file `yaml.py` lying about must not be imported by `python -m transfer_cli`."""
    (tmp_path / "yaml.py").write_text("raise SystemExit('imported from the current directory')\n")
    done = subprocess.run(
        [sys.executable, "-m", "transfer_cli", "show", "data=digits", "--runs", str(tmp_path / "runs")],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
