"""What the doctor looks at: a machine's files, and the user that the daemon runs as."""

import grp
import os
import pwd
import subprocess
from pathlib import Path
from typing import NamedTuple

OK, WARN, FAIL = "ok", "warn", "fail"
SERVICE_USER = "gateway"  # the package makes it


class Finding(NamedTuple):
    """`state`: ok, warn (works, but) or fail; `fix`: a command to paste, "" if there is none."""

    check: str
    state: str
    said: str
    fix: str = ""


class User(NamedTuple):
    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]

    def may(self, mode: str, path: Path) -> bool:
        """`mode`: r, w or x, as test(1) understands them. Another user's rights only root can try."""
        if self.uid == os.geteuid() or os.geteuid() != 0:
            return os.access(path, {"r": os.R_OK, "w": os.W_OK, "x": os.X_OK}[mode])
        asked = ["/usr/bin/test", f"-{mode}", str(path)]
        done = subprocess.run(  # noqa: S603 -- test(1), and a path as one argument
            asked, user=self.uid, group=self.gid, extra_groups=self.groups, cwd="/", check=False
        )
        return done.returncode == 0

    def in_group(self, name: str) -> bool:
        try:
            return grp.getgrnam(name).gr_gid in self.groups
        except KeyError:
            return False


def user_named(name: str) -> User | None:
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    groups = tuple(os.getgrouplist(name, found.pw_gid))
    return User(name, found.pw_uid, found.pw_gid, groups)


def user_of_service() -> User:
    """The package's user where root asks, else who asks."""
    service = user_named(SERVICE_USER) if os.geteuid() == 0 else None
    if service is not None:
        return service
    own = pwd.getpwuid(os.geteuid())
    return User(own.pw_name, own.pw_uid, own.pw_gid, tuple({own.pw_gid, *os.getgroups()}))


class Host(NamedTuple):
    """`root` stands before every system path, so that tests can show another machine's files."""

    user: User
    root: Path = Path("/")

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def read(self, name: str) -> str:
        """A small file's content, "" if it cannot be read."""
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
