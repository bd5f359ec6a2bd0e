"""The commands and files that a newcomer meets first do what they say."""

import re
import stat
import subprocess
from pathlib import Path

import pytest

from connections.secrets import KeyRing
from scripts import dotenv

ROOT = Path(__file__).resolve().parent.parent.parent
READ = re.compile(r'(?:env\.\w+|secret|words)\(\s*"([A-Z_]+)"')


def make(*arguments: str) -> str:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_make_alone_lists_what_there_is() -> None:
    listed = re.findall(r"^make ([\w-]+)", make(), re.MULTILINE)
    assert {"demo", "run", "test", "test-deep", "lint", "types", "bench"} <= set(listed)
    for target in listed:
        make("--dry-run", target)


def test_the_port_can_be_chosen() -> None:
    assert "http://127.0.0.1:8001" in make("PORT=8001")


def test_every_setting_is_explained_and_no_other() -> None:
    read = set(READ.findall((ROOT / "portal" / "settings.py").read_text()))
    explained = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert read == explained


def test_a_new_env_has_good_keys_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    assert dotenv.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    values = dict(line.split("=", 1) for line in path.read_text().splitlines() if not line.startswith("#"))
    assert len(values["SECRET_KEY"]) >= 50
    assert KeyRing([values["FIELD_ENCRYPTION_KEYS"]]).encrypt(b"x")
    assert "$" not in path.read_text()


def test_two_new_envs_differ(tmp_path: Path) -> None:
    dotenv.write(tmp_path / "one")
    dotenv.write(tmp_path / "two")
    assert (tmp_path / "one").read_text() != (tmp_path / "two").read_text()


def test_an_env_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("SECRET_KEY=mine\n")
    assert not dotenv.write(path)
    assert path.read_text() == "SECRET_KEY=mine\n"


def pages() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/**/*.md"))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_between_our_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_pages_that_messages_name_are_there() -> None:
    sources = [path for package in ("portal", "connections", "syncer") for path in (ROOT / package).rglob("*.py")]
    named = {name for path in sources for name in re.findall(r"docs/[\w/.-]+\.md", path.read_text())}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
