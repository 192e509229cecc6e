"""docs/simulator.md does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT, run_python

PAGE = (ROOT / "docs/simulator.md").read_text(encoding="utf-8")


def test_the_page_works_as_written(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    code = f"import os, sys\nos.chdir({str(tmp_path)!r})\n" + "\n".join(blocks)
    printed = run_python(f"{code}\nassert 'ray' not in sys.modules").splitlines()
    fifo, asha, pbt, own = (line.split() for line in printed)
    assert [fifo[0], asha[0], pbt[0]] == ["fifo", "asha", "pbt"]
    assert int(asha[1]) < int(fifo[1]) == int(pbt[1]) == 400_000
    assert (int(fifo[3]), int(asha[3]) > 20, int(pbt[3]) > 20) == (0, True, True)
    assert float(pbt[2]) > 0.9
    assert int(own[0]) < 200 * 10_000
    assert 0 < int(own[1]) < 200
    assert float(asha[2]) == pytest.approx(float(fifo[2]), abs=0.3)
