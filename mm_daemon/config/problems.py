"""Where something stands in a configuration file, what is wrong there, and the error that carries all of it at once."""

from collections.abc import Sequence

import msgspec

from mm_daemon.domain.errors import ConfigError


class Place(msgspec.Struct, frozen=True, order=True):
    """A position in a file; lines and columns count from one, as editors do."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Problem(msgspec.Struct, frozen=True, order=True):
    """One mistake. `path` is the key (`markets[0].gamma`), empty for the file as a whole."""

    place: Place
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.path}: {self.text}" if self.path else f"{self.place}: {self.text}"


class ConfigProblems(ConfigError):
    """Everything that is wrong with a configuration, in the order of the file. Nothing was started; exit 78."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))
