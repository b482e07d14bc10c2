import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from discover.tables import cell, json_line
from discover.text import printable


def test_what_a_terminal_would_obey_is_told() -> None:
    assert printable("/etc/passwd") == "/etc/passwd"
    assert printable("\x1b[2J") == r"\x1b[2J"
    assert printable("a\nb\tc\x7f") == r"a\nb\tc\x7f"
    assert printable("\u202egnp.exe") == r"\u202egnp.exe"
    assert printable("\x9b31m") == r"\x9b31m"
    assert printable("\udcff") == r"\udcff"
    assert printable("größe/日本") == "größe/日本"


@given(st.text())
def test_never_a_control_character(text: str) -> None:
    for shown in (printable(text), cell(text), cell([text, text]), json_line({"path": text})):
        assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert "\n" not in shown
