"""
From one exception to the list of all that belong to it: causes, contexts, members of groups.

    exception -> walk -> Links, the caught one first, parents before children

A `Link` holds the live exception only until the snapshot is taken; what it says about it (type, text, notes, errno) is plain
data. The only user code that runs is `str(exception)`. Order, relations and caps: wire contract, exceptions.md §4.
"""

from __future__ import annotations

import builtins
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

MAX_LINKS = 50
MAX_MEMBERS = 1000
"""Group members looked at in all."""
MAX_TEXT = 10_000
"""Characters of an exception's value, notes included."""
MAX_NOTES_TEXT = 3_000

# The descriptors of the builtin types themselves: a subclass that overrides these names is not asked.
_dict_of = BaseException.__dict__["__dict__"].__get__
_cause_of = BaseException.__dict__["__cause__"].__get__
_context_of = BaseException.__dict__["__context__"].__get__
_suppresses = BaseException.__dict__["__suppress_context__"].__get__
traceback_of = BaseException.__dict__["__traceback__"].__get__
_args_of = BaseException.__dict__["args"].__get__
_qualname_of = type.__dict__["__qualname__"].__get__
_module_of = type.__dict__["__module__"].__get__
_mro_of = type.__dict__["__mro__"].__get__
_namespace_of = type.__dict__["__dict__"].__get__
_errno_of = OSError.__dict__["errno"].__get__
_Group: Any = getattr(builtins, "BaseExceptionGroup", None)

_PLAIN = (str, int, float, bool, bytes, type(None))


class Kind:
    """What is the same for all exceptions of one class; read once."""

    __slots__ = ("fingerprint", "is_group", "is_os_error", "module", "name", "of", "texts")

    def __init__(self, of: type) -> None:
        self.of = of
        self.name = type_name(of)
        self.module = module_name(of)
        mro = _mro_of(of)
        self.is_group = any(group is not None and issubclass(of, group) for group in (_Group, _backport()))
        self.is_os_error = issubclass(of, OSError)
        self.texts = {name: _in_classes(mro, name) for name in ("message", "detail")}
        """Class attributes that may hold an exception's text; None where there is none."""
        self.fingerprint = _in_classes(mro, "__fingerprint__")
        """`__fingerprint__` of the class, or None."""


_kinds: dict[int, Kind] = {}
_MAX_KINDS = 500


def kind_of(of: type) -> Kind:
    """The facts of exception class *of*, cached."""
    kind = _kinds.get(id(of))
    if kind is None:
        kind = Kind(of)
        if len(_kinds) >= _MAX_KINDS:
            _kinds.clear()
        _kinds[id(of)] = kind
    return kind


def _in_classes(mro: tuple[type, ...], name: str) -> Any:
    for one in mro:
        namespace = _namespace_of(one)
        if name in namespace:
            return namespace[name]
    return None


class Link:
    """One exception of a chain."""

    __slots__ = (
        "errno",
        "exception",
        "hides_context",
        "is_group",
        "module",
        "notes",
        "omitted",
        "parent",
        "relation",
        "text",
        "type",
    )

    def __init__(self, exception: BaseException, parent: int | None, relation: str | None) -> None:
        kind = kind_of(type(exception))
        own = _dict_of(exception)
        self.exception: BaseException | None = exception
        """The live object; whoever takes the snapshot sets it to None."""
        self.parent = parent
        """Index of the link this one hangs on, None for the first."""
        self.relation = relation
        """`cause`, `context` or `member`; None for the first."""
        self.type = kind.name
        self.module = kind.module
        self.notes = _notes(own)
        self.text = _text(exception, kind, own)
        self.errno = _errno(exception) if kind.is_os_error else None
        self.is_group = kind.is_group
        self.hides_context = (
            _suppresses(exception) and _cause_of(exception) is None and _context_of(exception) is not None
        )
        """True for `raise X from None` while another exception was being handled."""
        self.omitted = 0
        """Members or causes left out because the list was full."""

    @classmethod
    def described(cls, type_: str, text: str) -> Link:
        """A link that stands for no exception object."""
        link = cls(Exception(), None, None)
        link.exception = None
        link.type = type_
        link.text = text
        return link

    def value(self) -> str:
        """The text with the notes below it, each on its own line."""
        if not self.notes:
            return self.text
        notes = "\n".join(self.notes)[:MAX_NOTES_TEXT]
        return f"{self.text[: MAX_TEXT - len(notes) - 1]}\n{notes}"


def walk(exception: BaseException, limit: int = MAX_LINKS) -> list[Link]:
    """
    All links of *exception*: itself, then depth first its cause or context, then its members.

    Each object appears once. At most *limit* links; iterative, so that a deep chain can't overflow the stack.
    """
    links: list[Link] = []
    seen: set[int] = set()
    members_left = MAX_MEMBERS
    waiting: list[tuple[BaseException, int | None, str | None]] = [(exception, None, None)]
    while waiting:
        one, parent, relation = waiting.pop()
        if id(one) in seen:
            continue
        if len(links) >= limit:
            if parent is not None:
                links[parent].omitted += 1
            continue
        seen.add(id(one))
        index = len(links)
        links.append(Link(one, parent, relation))
        below = _below(one)
        if links[index].is_group and members_left > 0:
            members = _members(one)[:members_left]
            members_left -= len(members)
            waiting.extend((member, index, "member") for member in reversed(members))
        if below is not None:
            waiting.append((below[0], index, below[1]))
    return links


def _below(exception: BaseException) -> tuple[BaseException, str] | None:
    """The exception this one came from, and how, as Python prints it."""
    cause = _cause_of(exception)
    if _suppresses(exception):
        return (cause, "cause") if cause is not None else None
    context = _context_of(exception)
    return (context, "context") if context is not None else None


def cause_of(exception: BaseException) -> BaseException | None:
    """What *exception* was raised from with `from`, or None."""
    cause: BaseException | None = _cause_of(exception)
    return cause


def context_of(exception: BaseException) -> BaseException | None:
    """What was being handled when *exception* was raised, unless that is suppressed."""
    context: BaseException | None = None if _suppresses(exception) else _context_of(exception)
    return context


def raised_while(exception: BaseException, other: BaseException) -> bool:
    """True if *exception* was raised while *other* was being handled, shown (`context_of`) or not."""
    for _ in range(MAX_LINKS):
        context = _context_of(exception)
        if context is None or context is other:
            return context is other
        exception = context
    return False


def instance_dict(exception: BaseException) -> dict[str, Any]:
    """The exception's own `__dict__`, whatever its class says about that name."""
    found: dict[str, Any] = _dict_of(exception)
    return found


def isinstance_static(value: object, kind: Any) -> bool:
    """`isinstance` that doesn't ask for the `__class__`; no metaclass has a say where that of *kind* is `type`."""
    return kind is not None and issubclass(type(value), kind)


def _backport() -> Any:
    return getattr(sys.modules.get("exceptiongroup"), "BaseExceptionGroup", None)


def leaves_of(exception: BaseException) -> list[BaseException]:
    """
    The exceptions in a group and in the groups in it; [] for what is no group.

    Of more than `MAX_MEMBERS` there are none: then nothing may be concluded from them.
    """
    if not kind_of(type(exception)).is_group:
        return []
    leaves: list[BaseException] = []
    waiting = _members(exception)
    looked_at = len(waiting)
    while waiting and looked_at <= MAX_MEMBERS:
        one = waiting.pop()
        if kind_of(type(one)).is_group:
            inside = _members(one)
            looked_at += len(inside) + 1  # so that a group that holds itself comes to an end
            waiting += inside
        else:
            leaves.append(one)
    return leaves if looked_at <= MAX_MEMBERS else []


def _members(exception: BaseException) -> list[BaseException]:
    members: Any = ()
    if isinstance_static(exception, _Group):
        members = _Group.__dict__["exceptions"].__get__(exception)
    elif isinstance_static(exception, _backport()):
        members = dict.get(instance_dict(exception), "_exceptions", ())
    if type(members) not in (tuple, list):
        return []
    return [one for one in members if isinstance_static(one, BaseException)]


# --- names and texts -----------------------------------------------------------------------------------------------


def type_name(kind: type) -> str:
    """A class's qualified name, read past its metaclass; never empty."""
    try:
        name = _qualname_of(kind)
    except Exception:
        name = None
    return exact_text(name)[:300] or "Exception" if isinstance(name, str) else "Exception"


def module_name(kind: type) -> str | None:
    """A class's module, None for builtins or when it lies about it."""
    try:
        name = _module_of(kind)
    except Exception:
        return None
    if not isinstance(name, str) or name == "builtins":
        return None
    return exact_text(name)[:300] or None


def exact_text(text: str) -> str:
    """*text* as an exact `str`: a subclass might have methods of its own."""
    return text if type(text) is str else str.__str__(text)


def text_of(exception: BaseException) -> str:
    """
    What the exception says: a truthy text attribute `message` or `detail`, else `str(exception)`; at most `MAX_TEXT` characters.

    A `__str__` that fails in any way gives the type's name with its plain arguments, or `<broken repr>`.
    """
    return _text(exception, kind_of(type(exception)), _dict_of(exception))


def _text(exception: BaseException, kind: Kind, own: dict[str, Any]) -> str:
    for name, in_class in kind.texts.items():
        # Read without running a property: only what is a text already counts.
        said = dict.get(own, name, in_class)
        if said is not None and isinstance_static(said, str) and said:
            return _cut(exact_text(said))
    try:
        return _cut(exact_text(str(exception)))
    except (Exception, SystemExit, GeneratorExit):
        return _cut(_plain_repr(exception))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."


def _plain_repr(exception: BaseException) -> str:
    args = _args_of(exception)
    if type(args) is tuple and all(type(one) in _PLAIN for one in args):
        shown = ", ".join(repr(one[:200] if type(one) in (str, bytes) else one) for one in args[:20])
        return f"{type_name(type(exception))}({shown})"
    return "<broken repr>"


def _notes(own: dict[str, Any]) -> tuple[str, ...]:
    """What `add_note` added to an exception with this `__dict__`, texts only."""
    notes = dict.get(own, "__notes__")
    if notes is None or type(notes) not in (list, tuple):
        return ()
    return tuple(exact_text(note)[:MAX_NOTES_TEXT] for note in list(notes)[:100] if isinstance_static(note, str))


def _errno(exception: BaseException) -> int | None:
    number = _errno_of(exception)
    return number if type(number) is int else None


def tail_of(tb: TracebackType | None) -> TracebackType | None:
    """The innermost entry of a traceback: where the exception was raised."""
    if tb is None:
        return None
    while tb.tb_next is not None:
        tb = tb.tb_next
    return tb
