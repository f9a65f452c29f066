"""The files of a run's directory that describe how it was computed: plan.json and env.json, checked. An invalid file is
treated as absent."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from transfer_cli.analysis.results import Run
from transfer_cli.rundir.runs import Unreadable, parsed
from transfer_cli.rundir.schema import fault_in_env, fault_in_plan


@dataclass(frozen=True)
class Environment:
    """Where a run was computed: the commit of this program, the platform, and the environment variables that may
    influence results."""

    commit: str | None = None
    platform: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


def environment_of(run: Run) -> Environment | None:
    """The environment of a run, from env.json; None if there is no valid one."""
    if run.path is None:
        return None
    with suppress(Unreadable):
        if document := parsed(run.path / "env.json", fault_in_env):
            return Environment(document.get("commit"), document.get("platform"), document.get("environment") or {})
    return None


def code_of(run: Run) -> dict[str, str]:
    """Code hashes in the keys of a run's stages, from plan.json: the first twelve digits by stage and part, such as
    `align closure`."""
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
