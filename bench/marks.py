# SPDX-License-Identifier: Apache-2.0
"""Puts what was measured into a page of docs/, between the marks that stand there: `<!-- NAME -->` and `<!-- /NAME -->`.
What is outside of them stays as it is."""
import pathlib
import re


def replaced(text, name, lines, where):
    """text with the lines between its marks of that name."""
    marked = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- /{re.escape(name)} -->)", re.DOTALL)
    if len(marked.findall(text)) != 1:
        raise SystemExit(f"{where} needs one <!-- {name} --> and one <!-- /{name} --> behind it")
    new = "\n".join(lines).rstrip("\n") + "\n"
    return marked.sub(lambda m: m[1] + new + m[2], text)


def put(path, name, lines):
    """Changes the file at path; its name."""
    path = pathlib.Path(path)
    path.write_text(replaced(path.read_text(encoding="utf-8"), name, lines, path), encoding="utf-8")
    return str(path)
