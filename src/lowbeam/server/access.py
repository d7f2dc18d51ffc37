"""Who may do what: one table, by which every request is checked. What is not in the table is refused."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Who = Literal["anyone", "local", "viewer", "admin", "sender"]
LETS: dict[Who, str] = {
    "anyone": "anyone",
    "local": "anyone on the server's own machine, else an admin",
    "viewer": "viewer, admin",
    "admin": "admin",
    "sender": "a sender, by its token",
}
WEBSOCKET = "WEBSOCKET"
ANY_METHOD = "*"


@dataclass(frozen=True)
class Rule:
    """`who` may do `action` by requests of `method` to `path`, a path template of FastAPI."""

    action: str
    method: str
    path: str
    who: Who


RULES = (
    Rule("See whether the server runs", "GET", "/healthz", "anyone"),
    Rule("See whether the server is ready", "GET", "/readyz", "anyone"),
    Rule("Read metrics", "GET", "/metrics", "local"),
    Rule("Fetch style sheets and scripts", "GET", "/assets/{name}", "anyone"),
    Rule("Fetch the icon", "GET", "/favicon.ico", "anyone"),
    Rule("Open the login page", "GET", "/login", "anyone"),
    Rule("Log in", "POST", "/login", "anyone"),
    Rule("Open the first-run page", "GET", "/setup", "anyone"),
    Rule("Make the first admin, by the one-time secret", "POST", "/setup", "anyone"),
    Rule("Log out", "POST", "/logout", "viewer"),
    Rule("See who is on", "GET", "/", "viewer"),
    Rule("See one person", "GET", "/people/{sender_id}", "viewer"),
    Rule("See the links", "GET", "/links", "viewer"),
    Rule("Fetch the scripts of live pages", "GET", "/_nicegui/{path:path}", "viewer"),
    Rule("Receive live updates", WEBSOCKET, "/_nicegui_ws/{path:path}", "viewer"),
    Rule("Read one's own name and role", "GET", "/api/me", "viewer"),
    Rule("List the streams that are on", "GET", "/api/streams", "viewer"),
    Rule("Ask for a key face or a closer look; budgets: admins only", "POST", "/api/streams/{stream_id}/ask", "viewer"),
    Rule("Read the history of a sender", "GET", "/api/senders/{sender_id}/history", "viewer"),
    Rule("Export estimates as CSV", "GET", "/api/senders/{sender_id}/export.csv", "viewer"),
    Rule("Export estimates as Parquet", "GET", "/api/senders/{sender_id}/export.parquet", "viewer"),
    Rule("See senders, users and the audit log", "GET", "/admin", "admin"),
    Rule("Add a sender", "POST", "/admin/senders", "admin"),
    Rule("Revoke a sender", "POST", "/admin/senders/{sender_id}/revoke", "admin"),
    Rule("Add a user", "POST", "/admin/users", "admin"),
    Rule("Remove a user", "POST", "/admin/users/{user_id}/remove", "admin"),
    Rule("Change a user's password", "POST", "/admin/users/{user_id}/password", "admin"),
)

WHIP_RULES = (
    Rule("Publish video by WHIP", ANY_METHOD, "/whip", "sender"),
    Rule("End what one publishes", ANY_METHOD, "/whip/{session}", "sender"),
)


class Access:
    """A table of rules that can be searched."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._patterns = [(re.compile(_pattern(rule.path)), rule) for rule in rules]

    def find(self, method: str, path: str) -> tuple[Rule | None, list[str]]:
        """The rule for a request, None if there is none, and the methods that have a rule for this `path`."""
        method = "GET" if method == "HEAD" else method
        at_path = [rule for pattern, rule in self._patterns if pattern.fullmatch(path)]
        found = next((rule for rule in at_path if rule.method in {method, ANY_METHOD}), None)
        return found, [rule.method for rule in at_path if rule.method != WEBSOCKET]


def _pattern(path: str) -> str:
    parts = re.split(r"(\{\w+(?::path)?\})", path)
    return "".join(
        (".*" if part.endswith(":path}") else "[^/]+") if part.startswith("{") else re.escape(part) for part in parts
    )


def access_table(rules: Sequence[Rule]) -> str:
    """The rules as a table in Markdown."""
    lines = ["| Action | Method | Path | Who |", "| --- | --- | --- | --- |"]
    lines += [f"| {rule.action} | {rule.method} | `{rule.path}` | {LETS[rule.who]} |" for rule in rules]
    return "\n".join(lines) + "\n"
