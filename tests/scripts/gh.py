"""A stand-in for ``gh api``, as far as ``scripts/ci_comment.sh`` uses it, with one pull request in a JSON file.

As the real one: fields of ``-F`` are converted (integers, ``@file``), those of ``-f`` are text; ``--paginate`` follows
``pageInfo`` through ``$endCursor``; ``--jq`` runs on every page and prints text raw; errors go to stderr,
and the exit code is 1.

Environment: STATE, the file ({"viewer": ..., "comments": [{"id", "author", "body"}], "fail": [...]}).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

_PAGE = 100
_MOST_CHARACTERS = 65_536


def fail(message: str) -> NoReturn:
    print(f"gh: {message}", file=sys.stderr)
    raise SystemExit(1)


def field(text: str, *, convert: bool) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        fail(f'field "{text}" requires a value separated by an "=" sign')
    if convert and value.startswith("@"):
        return name, Path(value[1:]).read_text(encoding="utf-8")
    if convert and value in ("true", "false", "null"):
        return name, json.loads(value)
    return name, int(value) if convert and re.fullmatch(r"-?\d+", value) else value


def check_types(query: str, inputs: dict[str, Any]) -> None:
    """Variables have the declared GraphQL types; those that are not nullable are there."""
    python = {"String": str, "ID": str, "Int": int}
    for name, kind, required in re.findall(r"\$(\w+): (\w+)(!?)[,)]", query):
        value = inputs.get(name)
        if (value is None and required) or (value is not None and type(value) is not python[kind]):
            fail(f"Variable ${name} of type {kind}{required} was provided invalid value")


def page(state: dict[str, Any], inputs: dict[str, Any], after: str | None) -> dict[str, Any]:
    if (inputs["owner"], inputs["name"], inputs["pull"]) != ("owner", "name", 12):
        fail("Could not resolve to a PullRequest")
    start = int(after or 0)
    chosen = state["comments"][start : start + _PAGE]
    nodes = [
        {"id": one["id"], "viewerDidAuthor": one["author"] == state["viewer"], "body": one["body"]} for one in chosen
    ]
    more = start + _PAGE < len(state["comments"])
    info = {"hasNextPage": more, "endCursor": str(start + len(chosen))}
    comments = {"nodes": nodes, "pageInfo": info}
    return {"data": {"repository": {"pullRequest": {"comments": comments}}}}


def show(answer: dict[str, Any], expression: str | None, *, silent: bool) -> None:
    if silent:
        return
    text = json.dumps(answer)
    if expression is not None:
        text = subprocess.run(["jq", "-r", expression], input=text, capture_output=True, text=True, check=True).stdout
    sys.stdout.write(text)


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("command", choices=["api"])
    parser.add_argument("endpoint")
    parser.add_argument("-f", action="append", default=[])
    parser.add_argument("-F", action="append", default=[])
    parser.add_argument("--method")
    parser.add_argument("--jq")
    parser.add_argument("--paginate", action="store_true")
    parser.add_argument("--silent", action="store_true")
    options = parser.parse_args()
    place = Path(os.environ["STATE"])
    state = json.loads(place.read_text())
    values = dict(field(text, convert=False) for text in options.f) | dict(
        field(text, convert=True) for text in options.F
    )
    if len(values.get("body", "")) > _MOST_CHARACTERS:
        fail("Body is too long (maximum is 65536 characters) (HTTP 422)")
    query = values.pop("query", "")
    check_types(query, values)
    if options.endpoint == "graphql" and query.startswith("query"):
        if "list" in state.get("fail", []):
            fail("HTTP 502")
        after = None
        while True:
            answer = page(state, values, after)
            show(answer, options.jq, silent=options.silent)
            info = answer["data"]["repository"]["pullRequest"]["comments"]["pageInfo"]
            if not (options.paginate and info["hasNextPage"]):
                return
            after = info["endCursor"]
    if options.endpoint == "graphql" and "updateIssueComment(" in query:
        result = next((one for one in state["comments"] if one["id"] == values["id"]), None)
        if result is None:
            fail("Could not resolve to a node")
        result["body"] = values["body"]
    elif (options.method, options.endpoint) == ("POST", "repos/owner/name/issues/12/comments"):
        state["comments"].append(
            {"id": f"IC_{len(state['comments'])}", "author": state["viewer"], "body": values["body"]}
        )
    else:
        fail("HTTP 404")
    place.write_text(json.dumps(state))
    show({}, options.jq, silent=options.silent)


main()
