"""The benchmark of model repositories: every command packs the same files, and the table gives ratios."""

from __future__ import annotations

import tarfile
from pathlib import Path

from rich.console import Console

from benchmarks.model_repository import MIB, Run, commands, measured, packing, write_repository


def test_every_command_packs_the_same_files(tmp_path: Path) -> None:
    root, archive = tmp_path / "models", tmp_path / "model.tar.gz"
    write_repository(root, MIB)
    assert sum(file.stat().st_size for file in root.rglob("*") if file.is_file()) in range(MIB, MIB + 1000)
    for name, command in commands(root, archive):
        run = measured(name, ["sh", "-c", '"$@" && cp "$0" "$0.kept"', str(archive), *command], archive)
        assert 0 < run.size_bytes < MIB
        with tarfile.open(f"{archive}.kept") as packed:
            assert {member.name.removeprefix("./") for member in packed if member.isfile()} == {
                str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()
            }


def test_peers_are_shown_in_proportion() -> None:
    console = Console(record=True, width=120)
    console.print(packing([Run("model pack", 2, 4, MIB, 1000), Run("tar czf", 20, 20, MIB, 990)]))
    (row,) = (line.replace("│", " ").split() for line in console.export_text().splitlines() if "÷" in line)
    assert row[-4:] == ["10.000", "5.000", "1.000", "0.990"]
