"""Reading an OpenAPI description (3.0, 3.1) that somebody else wrote, as JSON or YAML, alone or in Markdown. Pure.

Nothing outside the document is followed, and every size is bounded: text, nodes, references, depth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

TEXT_MAX = 2 * 1024 * 1024  # characters
NODES_MAX = 20_000  # schemas that are looked at in one document
DEPTH_MAX = 12  # of nested schemas
REFERENCES_MAX = 20  # from one to the next
WHOLE_BODY = "RAW_BODY"  # readme.io's name for a body that has no key of its own
METHODS = ("get", "put", "post", "delete", "patch", "head")

_FENCE = re.compile(r"^ {0,3}```[^\n`]*\n(.*?)^ {0,3}```\s*$", re.MULTILINE | re.DOTALL)

Schema = Mapping[str, Any]


class DescriptionError(ValueError):
    """Not a description that can be read; the words say why."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML whose merge keys cannot multiply without end."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > NODES_MAX:
            raise DescriptionError("the YAML grows too large by its merge keys")


@dataclass(frozen=True, slots=True)
class Property:
    """One key of an object. `values` are all that it may be, where the description says so."""

    name: str
    required: bool
    schema: Schema = field(repr=False)

    @property
    def types(self) -> set[str]:
        """JSON types that it may have; empty when nothing is said."""
        said = self.schema.get("type")
        return {one for one in (said if isinstance(said, list) else [said]) if isinstance(one, str)} - {
            "null"
        }

    @property
    def values(self) -> list[Any]:
        """The constant, or the enumeration; [] when anything is legal."""
        if "const" in self.schema:
            return [self.schema["const"]]
        values = self.schema.get("enum")
        return list(values) if isinstance(values, list) else []


@dataclass(frozen=True, slots=True)
class BodyShape:
    """The object that a body carries: alone (`envelope` None), in an array (""), or in an array under a key."""

    properties: Mapping[str, Property]
    envelope: str | None
    is_closed: bool  # further keys are not allowed


@dataclass(frozen=True, slots=True)
class Operation:
    """One request that the description knows."""

    method: str
    path: str
    words: str  # what people call it, in lower case
    body: BodyShape | None
    media_types: tuple[str, ...]
    success_types: tuple[str, ...]
    authorization: str  # "bearer", "raw" or "" when nothing is said

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


def documents(text: str) -> list[Mapping[str, Any]]:
    """The descriptions in a file: the file itself, or the fenced blocks of a page. Raises DescriptionError."""
    if len(text) > TEXT_MAX:
        raise DescriptionError(f"is longer than {TEXT_MAX} characters")
    text = text.lstrip("\ufeff").replace("\r\n", "\n")
    fenced = [_load(inside) for inside in _FENCE.findall(text) if "openapi" in inside]
    found = [one for one in fenced if _is_description(one)]
    if not found:
        found = [one for one in [_load(text)] if _is_description(one)]
    if not found:
        raise DescriptionError("holds no OpenAPI description: neither as JSON or YAML, nor in a fenced block")
    for one in found:
        version = one.get("openapi", one.get("swagger"))
        if not isinstance(version, str | float) or not re.match(r"3\.[01]", str(version)):
            raise DescriptionError("is of another version of OpenAPI; 3.0 and 3.1 can be read")
    return found


def _is_description(value: Any) -> bool:
    return isinstance(value, Mapping) and ("openapi" in value or "swagger" in value)


def _load(text: str) -> Any:
    try:
        return json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _Loader)  # noqa: S506
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        if isinstance(error, DescriptionError):
            raise
        return None


class Document:
    """One description, with its references followed inside it. `unfollowed` names those that lead outside."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.unfollowed: set[str] = set()
        self._left = NODES_MAX

    def operations(self) -> Iterator[Operation]:
        """Paths, webhooks, and the callbacks of both. Raises DescriptionError when the document is too large."""
        title = _joined(_mapping(self.root.get("info")).get("title"))
        for group in ("paths", "webhooks"):
            for path, item in _mapping(self.root.get(group)).items():
                yield from self._of_item(str(path), item, title, depth=0)

    def _of_item(self, path: str, item: Any, title: str, *, depth: int) -> Iterator[Operation]:
        item = self.resolve(item)
        for method in METHODS:
            said = self.resolve(item.get(method))
            if not said:
                continue
            yield self._operation(method, path, said, item, title)
            for callback in _mapping(said.get("callbacks")).values() if depth < 2 else ():
                for address, inner in self.resolve(callback).items():
                    yield from self._of_item(str(address), inner, f"{title} callback", depth=depth + 1)

    def _operation(self, method: str, path: str, said: Schema, item: Schema, title: str) -> Operation:
        body = self.resolve(said.get("requestBody"))
        content = _mapping(body.get("content"))
        answer = self.resolve(self._success(said))
        names = (said.get("summary"), said.get("operationId"), said.get("description"))
        return Operation(
            method=method,
            path=self._base(said, item) + path if path.startswith("/") else path,
            words=_joined(title, path, *names, *_list(said.get("tags"))).lower(),
            body=self._body(content),
            media_types=tuple(map(str, content)),
            success_types=tuple(map(str, _mapping(answer.get("content")))),
            authorization=self._authorization(said, item),
        )

    def resolve(self, node: Any) -> Schema:
        """An object, wherever its reference leads; {} when there is none."""
        self._spend()
        found: Schema = _mapping(node)
        for _ in range(REFERENCES_MAX):
            reference = found.get("$ref")
            if not isinstance(reference, str):
                return found
            if not reference.startswith("#"):
                self.unfollowed.add(reference[:200])
                return {}
            found = _mapping(self._at(reference))
        return {}

    def _at(self, reference: str) -> Any:
        node: Any = self.root
        for step in reference.lstrip("#/").split("/") if len(reference) > 1 else ():
            key = step.replace("~1", "/").replace("~0", "~")
            node = node.get(key) if isinstance(node, Mapping) else None
        return node

    def _base(self, said: Schema, item: Schema) -> str:
        """The path of the servers' address, where it is fixed."""
        for level in (said, item, self.root):
            servers = level.get("servers")
            if isinstance(servers, list) and servers:
                url = str(_mapping(servers[0]).get("url", ""))
                path = re.sub(r"^[a-z]+://[^/]*", "", url).rstrip("/")
                return "" if "{" in path or not path.startswith("/") else path
        return ""

    def _success(self, said: Schema) -> Any:
        responses = {str(status): answer for status, answer in _mapping(said.get("responses")).items()}
        return responses.get("200") or responses.get("2XX") or responses.get("default")

    def _authorization(self, said: Schema, item: Schema) -> str:
        schemes = _mapping(_mapping(self.root.get("components")).get("securitySchemes"))
        needed = said.get("security", self.root.get("security"))
        for requirement in needed if isinstance(needed, list) else ():
            for name in _mapping(requirement):
                scheme = self.resolve(schemes.get(name))
                if str(scheme.get("scheme", "")).lower() == "bearer":
                    return "bearer"
                if str(scheme.get("name", "")).lower() == "authorization":
                    return _spoken(scheme)
        for one in (*_list(said.get("parameters")), *_list(item.get("parameters"))):
            parameter = self.resolve(one)
            if parameter.get("in") == "header" and str(parameter.get("name", "")).lower() == "authorization":
                return _spoken(parameter)
        return ""

    # ---- bodies

    def _body(self, content: Schema) -> BodyShape | None:
        media = next((kind for kind in content if "json" in str(kind)), next(iter(content), None))
        said = self.resolve(content.get(media)) if media is not None else {}
        schema = self.resolve(said.get("schema"))
        if not self.properties(schema) and "items" not in schema and not _kinds(schema):
            schema = self._inferred(_example(said, schema), depth=0) or schema
        return self._read_body(schema) if schema else None

    def _read_body(self, schema: Schema, *, depth: int = 0) -> BodyShape:
        if depth > DEPTH_MAX:
            return BodyShape({}, None, False)
        for kind in (*_kinds(schema), schema):
            one = self.resolve(kind)
            if "items" in one or one.get("type") == "array":
                return self._carried(one.get("items"), "")
        properties = self.properties(schema)
        if set(properties) == {WHOLE_BODY}:
            return self._read_body(self.resolve(properties[WHOLE_BODY].schema), depth=depth + 1)
        arrays = {
            name: items
            for name, one in properties.items()
            if self.properties(items := self.resolve(one.schema.get("items")))
            or items.get("type") == "object"
        }
        if len(arrays) == 1 and len(properties) <= 3:  # a count or a version may stand beside the array
            ((name, items),) = arrays.items()
            return self._carried(items, name)
        return self._carried(schema, None)

    def _carried(self, schema: Any, envelope: str | None) -> BodyShape:
        schema = self.resolve(schema)
        return BodyShape(self.properties(schema), envelope, schema.get("additionalProperties") is False)

    def properties(self, schema: Schema, *, depth: int = 0) -> dict[str, Property]:
        """The keys of an object, those of its parts and alternatives too."""
        found: dict[str, Property] = {}
        if depth > DEPTH_MAX:
            return found
        required = _list(schema.get("required"))
        for name, said in _mapping(schema.get("properties")).items():
            found[str(name)] = Property(str(name), name in required, self.resolve(said))
        for kind in ("allOf", "oneOf", "anyOf"):
            for part in _list(schema.get(kind)):
                for name, one in self.properties(self.resolve(part), depth=depth + 1).items():
                    is_sure = one.required and kind == "allOf"
                    found.setdefault(name, Property(name, is_sure, one.schema))
        return found

    def _inferred(self, value: Any, *, depth: int) -> Schema:
        """The schema that an example shows: its keys."""
        self._spend()
        if isinstance(value, Mapping) and depth <= DEPTH_MAX:
            inner = {key: self._inferred(one, depth=depth + 1) for key, one in value.items()}
            return {"type": "object", "properties": inner}
        if isinstance(value, list) and depth <= DEPTH_MAX:
            return {"type": "array", "items": self._inferred(value[0], depth=depth + 1) if value else {}}
        return {}

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise DescriptionError(f"is too large: more than {NODES_MAX} parts were looked at")


def _kinds(schema: Schema) -> list[Any]:
    return [*_list(schema.get("oneOf")), *_list(schema.get("anyOf")), *_list(schema.get("allOf"))]


def _example(said: Schema, schema: Schema) -> Any:
    """An example of the body, from any of the places where descriptions keep one."""
    for named in _mapping(said.get("examples")).values():
        if _mapping(named).get("value") is not None:
            return _mapping(named)["value"]
    several = _list(schema.get("examples"))
    value = said.get("example", schema.get("example", several[0] if several else None))
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None


def _spoken(described: Schema) -> str:
    words = _joined(described.get("description"), described.get("example"))
    return "bearer" if "bearer" in words.lower() else "raw"


def _joined(*words: Any) -> str:
    return " ".join(word for word in words if isinstance(word, str))[:2000]


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
