"""The content of a page. The command provides the parts that need data and nets (examples, clouds)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from transfer_cli.analysis.comparison import Comparison
from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.results import Run
from transfer_cli.report.tables import Table

MOST = 12  # the best groups are drawn, at most this many
SHOWN = 4  # the most groups that have their own confusion matrix, mistakes and clouds


class Missing(Exception):
    """A section is missing; the text says why. Without a text, the page does not mention the section."""


@dataclass(frozen=True)
class Cloud:
    """Features of one net, in the plane of their two principal directions. `points`: x, y and the class, by side
    (target, source). `explained`: the share of the variance in that plane. If there are two sides: `domain_accuracy` of
    a linear classifier of the side on held-back rows, the proxy A-distance `distance`, and `held_back`, the number of
    these rows."""

    points: Mapping[str, Sequence[tuple[float, float, str]]]
    explained: float
    domain_accuracy: float | None = None
    distance: float | None = None
    held_back: int = 0


@dataclass(frozen=True)
class Clouds:
    """Features of the first run of a group, before and after transfer; `after` is None if transfer did not change the
    net."""

    before: Cloud
    after: Cloud | None = None
    about: str = ""


@dataclass(frozen=True)
class Material:
    """The content of a page. `runs`: all selected runs, done or not. `command`: the command that writes the page.
    `examples`: test rows by name, each a PNG, a JPEG or the beginning of a text. `clouds`: by the id of a group's first
    run. `absent`: why `examples` or `clouds` are missing."""

    comparison: Comparison
    table: Table
    runs: Sequence[Run]
    command: str
    examples: Mapping[str, bytes | str] = field(default_factory=dict)
    clouds: Mapping[str, Clouds] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)

    @property
    def groups(self) -> list[Group]:
        """The groups with a result, best first. Raises Missing if there is none."""
        if not self.comparison.done:
            raise Missing("no run of these is done")
        return self.comparison.done

    def name(self, group: Group) -> str:
        """The name of a group on the page."""
        return group.label(self.comparison.words)

    def style(self, group: Group) -> int:
        """The number of a group's colour and marker, which are the same in every figure."""
        return next(at for at, other in enumerate(self.comparison.groups) if other is group)

    def scale(self) -> int:
        """The factor between a value of the metric and the number on the page: 100 for shares, else 1."""
        return self.comparison.measure.scale
