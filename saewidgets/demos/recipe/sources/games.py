"""Stories, dialogue and descriptions out of game data files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from .text import grouped, untagged

_WML = re.compile(r'(\w+)[ \t]*=[ \t]*(?:_[ \t]*"((?:[^"]|"")*)"|([^"\n]*)$)', re.M)
_WML_SAID = {"message", "story", "description", "note", "text", "help_text"}
_LUA = re.compile(r'(?:(\w+):says\w*\()?\b_ ?\(? ?(?:"((?:[^"\\\n]|\\.)*)"|\[\[(.*?)\]\])', re.S)
_NAMES = {"first": "Alex", "last": "Reed", "ship": "Wanderer", "payment": "the payment", "planet": "the planet"}


def wesnoth(folder: Path) -> Iterator[str]:
    """Every scenario's story and dialogue, and descriptions, out of WML: "Speaker: line" in their order."""
    for path in sorted(folder.rglob("*.cfg")):
        lines, speaker = [], ""
        for key, words, value in _WML.findall(path.read_text("utf-8", "replace")):
            if key == "speaker":
                speaker = "" if value.strip() in {"narrator", "unit", "second_unit"} else value.strip()
            elif key in _WML_SAID and len(words) > 20:
                said = untagged(re.sub(r"\s+", " ", re.sub(r"^[a-z_ ]{2,40}\^", "", words).replace('""', '"')))
                lines.append(f"{speaker}: {said}" if key == "message" and speaker else said)
                speaker = ""
        if lines:
            yield "\n\n".join(lines)


def lua(folder: Path, pattern: str) -> Iterator[str]:
    """Translatable strings of Lua scripts in their order, with the speaker where the script names one."""
    for path in sorted(folder.rglob(pattern)):
        lines = []
        name = " ".join(re.findall(r"[A-Z]*[a-z]+|[A-Z]+", path.stem)).title()
        for speaker, quoted, bracketed in _LUA.findall(path.read_text("utf-8", "replace")):
            said = re.sub(r"\\(.)", r"\1", quoted.replace("\\n", " ")) or bracketed
            said = untagged(re.sub(r"\[/?\w\]|\s+", " ", said))
            if len(said) > 20 and "%" not in said:
                lines.append(f"{name if speaker == 'Npc' else speaker}: {said}" if speaker else said)
        if lines:
            yield "\n\n".join(lines)


def endless_sky(folder: Path, pattern: str) -> Iterator[str]:
    """Missions: the back-quoted paragraphs of each top-level block."""
    for path in sorted(folder.rglob(pattern)):
        for block in re.split(r"\n(?=\S)", path.read_text("utf-8", "replace")):
            text = "\n\n".join(said.strip() for said in re.findall(r"`([^`]+)`", block))
            yield re.sub(r"<(\w+)[^<>]*>", lambda name: _NAMES.get(name[1], f"the {name[1]}"), text)


def strings(folder: Path, pattern: str, keys: tuple[str, ...], group: int = 6) -> Iterator[str]:
    """Texts found under some keys anywhere in JSON files, ``group`` a document."""
    for path in sorted(folder.rglob(pattern)):
        found = (untagged(text) for text in _under(json.loads(path.read_text("utf-8")), keys))
        yield from grouped((text for text in found if len(text) > 40), group)


def _under(node: object, keys: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _under(item, keys)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in keys:
                yield from (text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str))
            yield from _under(value, keys)


def stringtable(folder: Path, pattern: str, group: int = 4) -> Iterator[str]:
    """FreeOrion's string table: paragraphs between keys, references replaced by their last word."""
    for path in sorted(folder.rglob(pattern)):
        source = re.sub(r"^#.*$|^[A-Z][A-Z0-9_]+$|'''", "", path.read_text("utf-8"), flags=re.M)
        source = re.sub(r"\[\[(?:\w+ )?(?:[A-Z]+_)?([A-Z0-9_]+)\]\]", lambda m: m[1].replace("_", " ").lower(), source)
        texts = (untagged(text) for text in re.split(r"\n{2,}", source))
        yield from grouped((text for text in texts if len(text) > 120 and "%" not in text), group)
