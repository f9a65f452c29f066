"""The texts of `--help` and `transfer help`. Help of a command is built from table.py, so every option has help; help
of a word comes from glossary.py."""

from collections.abc import Sequence

from transfer_cli.cli import glossary
from transfer_cli.cli.table import COMMANDS, HELP, OPTIONS, Option, options_of

EVERYWHERE = "everywhere: --json --format -o -q -v --debug --color --plain --runs -h"
RUN = """\
usage: transfer run [WORD ...] [options]     * default; all: transfer list GROUP
  data=       the target: a name, folder, file      usps  ./pictures  rows.csv
  strategy=   one method per stage             fine_tune* linear_probe few_shot
  model=      the net         weights=  its start: none, imagenet, a FILE, a RUN
  source=     source data, base (the other classes of data), none          mnist
  pretrain= align= fine_tune= predictor=    replace the method of one stage
  task=       what is learned, if the data do not say it  regress multilabel tag
  trainer= runtime= experiment=             training; device; a whole recipe
  GROUP.key=value                           any setting: transfer show WORDS -v
  a,b   0..4                                several values: a sweep, with -m"""


def help_text(argv: Sequence[str]) -> str:
    """The text for a command line that asks for help: of a command, of a word of the glossary, or of the program.
    Raises ConfigError for a word that is neither."""
    command = next((text for text in argv if text in COMMANDS), "")
    bare = [text for text in argv[1:] if not text.startswith("-")] if argv[:1] == ["help"] else []
    if command or not bare:
        return text(command)
    if bare == ["words"]:
        return glossary.listing()
    return _word(" ".join(bare))


def _word(word: str) -> str:
    if (entry := glossary.find(word)) is not None:
        return glossary.entry(entry)
    from transfer_cli.errors import ConfigError, Fault, nearest

    near = nearest(word, [*glossary.WORDS, *COMMANDS])
    raise ConfigError(Fault(f"help {word}", "no such word or command", nearest=near, see="all: transfer help words"))


def text(command: str) -> str:
    """Help of one command, or of the program."""
    if command not in COMMANDS:
        return program()
    arguments, what, example = HELP[command]
    own = [option for option in options_of(command) if option.commands]
    head = RUN if command == "run" else f"usage: transfer {command} {arguments}".rstrip() + f" [options]\n  {what}"
    return "\n".join([head, *_columns(own), EVERYWHERE, f"example: {example}"])


def program() -> str:
    """Help of the program: the commands, one line each, and the options of all commands."""
    lines = [f"  {name:<11} {HELP[name][1]}" for name in COMMANDS]
    head = "usage: transfer COMMAND [WORD or RUN ...] [options]"
    words = "a word (key=value) says what is computed, an option how the command behaves:"
    last = "one command: transfer run --help      first try: transfer run experiment=hello"
    glossary_line = "a word on a screen: transfer help WORD      all of them: transfer help words"
    everywhere = _columns([option for option in OPTIONS if not option.commands])
    return "\n".join([head, *lines, words, *everywhere, glossary_line, last])


def _columns(options: list[Option]) -> list[str]:
    """Lines of options: two options in one line where both fit into 80 columns."""
    cells = [f"{_spelt(option):<17}{option.help}" for option in options]
    lines: list[str] = []
    for cell in cells:
        if lines and len(lines[-1]) <= 42 and len(cell) <= 35 and not lines[-1].endswith("\n"):
            lines[-1] = f"{lines[-1]:<43}  {cell}"
        else:
            lines.append(f"  {cell}")
    return lines


def _spelt(option: Option) -> str:
    name = ", ".join(filter(None, (option.letter, option.name)))
    return f"{name} {option.value}".strip() + " "
