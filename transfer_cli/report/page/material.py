"""What a page is made of. What only data and nets can tell (examples, clouds) is brought by the command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from transfer_cli.analysis.comparison import Comparison
from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.results import Run
from transfer_cli.report.tables import Table

MOST = 12  # groups drawn, the best
SHOWN = 4  # groups with a matrix, mistakes and clouds of their own


class Missing(Exception):
    """Why a section is not there, in a few words; without words the page does not mention it."""


@dataclass(frozen=True)
class Cloud:
    """Features seen by one net, in the plane of their two main directions. `points`: x, y and the class; by side,
    target and source. `explained`: the share of the variance in that plane. `domain_accuracy` of a linear classifier
    of the side on rows held back, and `distance`, the proxy A-distance, where there are two sides."""

    points: Mapping[str, Sequence[tuple[float, float, str]]]
    explained: float
    domain_accuracy: float | None = None
    distance: float | None = None
    held_back: int = 0


@dataclass(frozen=True)
class Clouds:
    """Of one group (its first run): before transfer and after it; `after` is None where the net stayed as it was."""

    before: Cloud
    after: Cloud | None = None
    about: str = ""


@dataclass(frozen=True)
class Material:
    """`runs` are all that were asked for, done or not. `examples`: test rows by name, a PNG or JPEG or the beginning of
    a text. `clouds` by the id of a group's first run. `absent`: why there are none, by `examples` and `clouds`."""

    found: Comparison
    table: Table
    runs: Sequence[Run]
    command: str
    examples: Mapping[str, bytes | str] = field(default_factory=dict)
    clouds: Mapping[str, Clouds] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)

    @property
    def groups(self) -> list[Group]:
        """Those with a result, best first. Raises Missing without one."""
        if not self.found.done:
            raise Missing("no run of these is done")
        return self.found.done

    def name(self, group: Group) -> str:
        """What the page calls a group."""
        return group.label(self.found.words)

    def style(self, group: Group) -> int:
        """Number of a group's colour and marker, the same in every figure."""
        return next(at for at, other in enumerate(self.found.groups) if other is group)

    def scale(self) -> int:
        """What a value of the metric is multiplied with to be read."""
        return self.found.measure.scale
