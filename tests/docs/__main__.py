"""`python -m tests.docs` (`make docs-check`): are the documents true? Exit code 1 if not."""

import sys

from tests.docs import configuration, names
from tests.docs.pages import pages


def check() -> list[str]:
    """What is wrong, as `file:line: what`."""
    found = pages()
    findings = [f for page in found.values() for line in page for f in names.in_line(line)]
    findings += [f for page in found.values() for f in configuration.examples(page)]
    return sorted([*findings, *names.told(found), *configuration.complete(found), *names.sources()])


def main() -> int:
    findings = check()
    print("\n".join([*findings, f"{len(findings)} faults in the documents"]))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
