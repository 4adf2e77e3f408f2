"""What a report shows has a caption, and every caption belongs to something that is shown."""

from __future__ import annotations

import re
from pathlib import Path

from contract.source import REPOSITORY
from docutils.core import publish_string

CAPTIONS = REPOSITORY / "workflows" / "captions"
SHOWN = {
    Path(path).stem
    for rules in (REPOSITORY / "workflows").glob("*.smk")
    for path in re.findall(r'shown\(in_results\("([^"]+)"\), "\w+"\)', rules.read_text(encoding="utf-8"))
}


def test_captions_and_shown_results_agree() -> None:
    assert {"overlay", "features", "slides", "summary"} <= SHOWN
    assert {path.stem for path in CAPTIONS.glob("*.rst")} == SHOWN | {"workflow"}


def test_captions_are_well_formed() -> None:
    for path in CAPTIONS.glob("*.rst"):
        text = re.sub(r"{%.*?%}|{{.*?}}", "x", path.read_text(encoding="utf-8"))
        publish_string(text, writer="html5", settings_overrides={"halt_level": 2, "report_level": 2})
