"""One entry more in a list of a YAML file that people keep: everything else in it stays byte for byte.

ruamel.yaml says where the list is; the entry becomes a line of its own after the last one. Only where that cannot be
(a list in brackets) does ruamel write the file, which keeps comments and order too.
"""

from __future__ import annotations

import datetime
import io
import json
import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from models.policy import quote

__all__ = ["with_item"]


def with_item(text: str, key: str, entry: str | Mapping[str, Any]) -> str:
    """The text with `entry` at the end of the list under `key`, which is made where it is not there.

    Raises ruamel's `YAMLError` for a text that is no YAML.
    """
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096
    document = yaml.load(text)
    document = document if document is not None else {}
    listed = document.get(key)
    lines = text.splitlines()
    if not listed and key not in document:
        made = "\n".join([*lines, f"{key}:", f"- {_words(entry)}"]) + "\n"
    elif listed and not listed.fa.flow_style():
        row, column = listed.lc.item(len(listed) - 1)
        indent = len(lines[row][:column].rstrip()) - 1 if lines[row][:column].rstrip().endswith("-") else column
        end = last = row + 1
        while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > indent):
            end += 1
            last = end if lines[end - 1].strip() else last
        made = "\n".join([*lines[:last], " " * indent + f"- {_words(entry)}", *lines[last:]]) + "\n"
    else:
        made = ""
    if made and YAML(typ="rt").load(made).get(key) == [*(listed or ()), entry]:
        return made
    if listed:
        listed.append(entry)
    else:
        document[key] = [entry]
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue()


def _words(entry: str | Mapping[str, Any]) -> str:
    if isinstance(entry, str):
        return quote(entry)
    if len(entry) == 1:
        ((name, value),) = entry.items()
        return f"{name}: {_value(value)}"
    return "{" + ", ".join(f"{name}: {_value(value)}" for name, value in entry.items()) + "}"


def _value(value: Any) -> str:
    if isinstance(value, str):
        # inside braces a comma or a bracket would end it
        return json.dumps(value) if re.search(r"[,\[\]{}#:&*!|>'\"%@`?]", value) else quote(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    return str(value)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
