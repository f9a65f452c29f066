"""The other files of a run's directory that tell how it was made: plan.json and env.json, checked. A file that is not
what it should be counts as none."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from transfer_cli.analysis.results import Run
from transfer_cli.rundir.runs import Unreadable, parsed
from transfer_cli.rundir.schema import fault_in_env, fault_in_plan


@dataclass(frozen=True)
class Environment:
    """Where a run was made: the commit of this program, the platform, and the variables that may decide numbers."""

    commit: str | None = None
    platform: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


def environment_of(run: Run) -> Environment | None:
    """From env.json; None if there is none to read."""
    if run.path is None:
        return None
    with suppress(Unreadable):
        if found := parsed(run.path / "env.json", fault_in_env):
            return Environment(found.get("commit"), found.get("platform"), found.get("environment") or {})
    return None


def code_of(run: Run) -> dict[str, str]:
    """From plan.json, the code part of each stage's key, twelve digits: `align closure`."""
    if run.path is None:
        return {}
    with suppress(Unreadable):
        return {
            f"{stage['stage']} {name}": str(digest)[:12]
            for stage in parsed(run.path / "plan.json", fault_in_plan) or ()
            for name, digest in sorted(_code(stage["spec"]).items())
        }
    return {}


def _code(spec: Mapping[str, object]) -> Mapping[str, object]:
    code = spec.get("code")
    return code if isinstance(code, Mapping) else {}
