"""Interpret pickles that others made, opcode by opcode, without Python's unpickler and without running what they name.

A name in a pickle is looked up in a table of our own makers, which only put records together; what is not in the table
is refused by name. Numbers, nesting, calls and memory are bounded. The records become arrays in `pickled_arrays.py`.
"""

import codecs
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from hmpfit.files.opening import Budget, Refused

LONG_MOST = 16  # bytes of a whole number
_KEYS = (str, bytes, int, float, bool, type(None))
_LINE_MOST = 1 << 20


class Stub:
    """What a maker returns for an object whose state is still to come."""

    state: Any = None

    def set_state(self, state: Any, stream: BinaryIO) -> None:
        """Keep the state; `stream` stands behind the opcode that sets it."""
        self.state = state[0] if isinstance(state, tuple) and len(state) == 2 and state[1] is None else state


class Name:
    """A class or function that a pickle names, with the maker that stands in for it."""

    def __init__(self, name: str, maker: Callable[..., Any] | None) -> None:
        self.name, self.maker = name, maker


Makers = Mapping[str, Callable[..., Any] | None]  # None: a name that may be mentioned and not called


class PickleMachine:
    """Interprets one pickle from a stream.

    `find` returns the `Name` for a module and a name or raises Refused; `persistent` gives what a persistent id means.
    """

    def __init__(
        self,
        stream: BinaryIO,
        find: Callable[[str, str], Name],
        budget: Budget,
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self.stream, self.find, self.budget, self.persistent = stream, find, budget, persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        """Return what the pickle makes, of plain values and Stubs. Raises Refused, ValueError and EOFError."""
        stream, done, most = self.stream, 0, self.budget.items_left
        while True:
            code = stream.read(1)
            done += 1
            if code == b"." or not code or done > most:
                break
            if code not in _TABLE:
                raise ValueError("it is no pickle, or uses a part of that format that no file here needs")
            reader, handler = _TABLE[code]
            handler(self, None if reader is None else reader(stream))
        if not code:
            raise EOFError
        self.budget.take(items=done)
        return self._pop()

    def _pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise ValueError("it takes more than it has")
        return self.stack.pop()

    def _top(self) -> Any:
        value = self._pop()
        self.stack.append(value)
        return value

    def _to_mark(self) -> list[Any]:
        if not self.marks:
            raise ValueError("it takes more than it has")
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def _call(self, callee: Any, arguments: Any) -> None:
        if not isinstance(callee, Name) or not isinstance(arguments, tuple):
            raise ValueError("it calls what is no class or function")
        if callee.maker is None:
            raise Refused(callee.name)
        self.budget.take(items=sum(len(part) for part in arguments if isinstance(part, list | tuple | dict)))
        self.stack.append(callee.maker(*arguments))

    def _set(self, target: Any, items: list[Any]) -> None:
        if isinstance(target, Stub):
            return  # logs of foreign classes, whose content is not needed
        if not isinstance(target, dict) or len(items) % 2:
            raise ValueError("it sets keys of what is no dictionary")
        for key, value in zip(items[::2], items[1::2]):
            target[_key(key)] = value

    # Each handler does what the opcode of its name does in Python's own unpickler.
    def _op_mark(self, _: None) -> None:
        self.marks.append(len(self.stack))

    def _op_pop(self, _: None) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self._pop()

    def _op_pop_mark(self, _: None) -> None:
        self._to_mark()

    def _push_table(self, items: list[Any]) -> None:
        self.stack.append({})
        self._set(self.stack[-1], items)

    def _op_get(self, place: int) -> None:
        if place not in self.memo:
            raise ValueError("it recalls what it never kept")
        self.stack.append(self.memo[place])

    def _op_put(self, place: int) -> None:
        self.memo[place] = self._top()

    def _op_tuple_of(self, count: int) -> None:
        self.stack.append(tuple([self._pop() for _ in range(count)][::-1]))

    def _op_global_name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self.stack.append(self.find(module, name))

    def _op_stack_global(self, _: None) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("it names a class by what is no text")
        self.stack.append(self.find(module, name))

    def _op_reduce(self, _: None) -> None:
        arguments, callee = self._pop(), self._pop()
        self._call(callee, arguments)

    def _op_newobj_ex(self, _: None) -> None:
        named, arguments, callee = self._pop(), self._pop(), self._pop()
        if named != {}:
            raise ValueError("it calls with named arguments")
        self._call(callee, arguments)

    def _op_inst(self, argument: str) -> None:
        self._op_global_name(argument)
        callee = self._pop()
        self._call(callee, tuple(self._to_mark()))

    def _op_obj(self, _: None) -> None:
        items = self._to_mark()
        if not items:
            raise ValueError("it takes more than it has")
        self._call(items[0], tuple(items[1:]))

    def _op_build(self, _: None) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, Stub):
            target.set_state(state, self.stream)
        elif not isinstance(target, dict):  # an OrderedDict may have attributes, which are not needed
            raise ValueError("it sets the state of a plain value")

    def _op_persistent_id(self, _: None) -> None:
        if self.persistent is None:
            raise ValueError("it refers to something outside the file")
        self.stack.append(self.persistent(self._pop()))

    def _append_one(self) -> None:
        item, target = self._pop(), self._top()
        _extend(target, [item])

    def _set_one(self) -> None:
        value, key, target = self._pop(), self._pop(), self._top()
        self._set(target, [key, value])


def _extend(target: Any, items: list[Any]) -> None:
    if not isinstance(target, list):
        raise ValueError("it appends to what is no list")
    target.extend(items)


def _key(key: Any) -> Any:
    parts = key if type(key) is tuple and len(key) <= 8 else (key,)  # a tuple of anything could be hashed too deeply
    # Whole numbers beyond 60 bits can be chosen so that all of them fall into one place of the dictionary.
    if not all(type(part) in _KEYS and not (type(part) is int and part.bit_length() > 60) for part in parts):
        raise ValueError("a key in it is no text or number")
    return key


def _python2_string(line: bytes) -> str:
    text = line.strip()
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in b"\"'":
        raise ValueError("a text in it is damaged")
    return codecs.escape_decode(text[1:-1])[0].decode("latin1")


def _push(machine: PickleMachine, value: Any) -> None:
    kind = type(value)
    if kind is int:
        if value.bit_length() > 8 * LONG_MOST:
            raise ValueError("it holds an impossible number")
    elif kind is not float and kind is not bool:
        machine.budget.take(nbytes=len(value))
    machine.stack.append(value)


def _push_constant(value: Any) -> Callable[[PickleMachine, Any], None]:
    return lambda machine, _: machine.stack.append(value)


def _read_python2_string(stream: BinaryIO) -> str:  # pickletools takes these byte strings for ASCII
    return _python2_string(stream.readline(_LINE_MOST))


def _then(get: Callable[[PickleMachine], Any], use: Callable[[PickleMachine, Any], None]) -> Callable[..., None]:
    return lambda machine, _: use(machine, get(machine))


def _items(machine: PickleMachine) -> list[Any]:
    return machine._to_mark()


_PUSHED = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE",
    "BINUNICODE", "BINUNICODE8",
)  # fmt: skip
_HANDLERS: dict[str, Callable[[PickleMachine, Any], None]] = {
    **{name: _push for name in _PUSHED},
    "NONE": _push_constant(None), "NEWTRUE": _push_constant(True), "NEWFALSE": _push_constant(False),
    "EMPTY_TUPLE": _push_constant(()),
    "PROTO": lambda machine, _: None, "FRAME": lambda machine, _: None,
    "MARK": PickleMachine._op_mark, "POP": PickleMachine._op_pop,
    "POP_MARK": PickleMachine._op_pop_mark,
    "DUP": lambda machine, _: machine.stack.append(machine._top()),
    "GET": PickleMachine._op_get, "BINGET": PickleMachine._op_get, "LONG_BINGET": PickleMachine._op_get,
    "PUT": PickleMachine._op_put, "BINPUT": PickleMachine._op_put, "LONG_BINPUT": PickleMachine._op_put,
    "MEMOIZE": lambda machine, _: machine._op_put(len(machine.memo)),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_SET": lambda machine, _: machine.stack.append([]),
    "LIST": _then(_items, lambda machine, items: machine.stack.append(items)),
    "TUPLE": _then(_items, lambda machine, items: machine.stack.append(tuple(items))),
    "FROZENSET": _then(_items, lambda machine, items: machine.stack.append(items)),
    "DICT": _then(_items, PickleMachine._push_table),
    "TUPLE1": lambda machine, _: machine._op_tuple_of(1), "TUPLE2": lambda machine, _: machine._op_tuple_of(2),
    "TUPLE3": lambda machine, _: machine._op_tuple_of(3),
    "APPEND": lambda machine, _: machine._append_one(), "SETITEM": lambda machine, _: machine._set_one(),
    "APPENDS": _then(_items, lambda machine, items: _extend(machine._top(), items)),
    "ADDITEMS": _then(_items, lambda machine, items: _extend(machine._top(), items)),
    "SETITEMS": _then(_items, lambda machine, items: machine._set(machine._top(), items)),
    "GLOBAL": PickleMachine._op_global_name, "STACK_GLOBAL": PickleMachine._op_stack_global,
    "REDUCE": PickleMachine._op_reduce, "NEWOBJ": PickleMachine._op_reduce, "NEWOBJ_EX": PickleMachine._op_newobj_ex,
    "INST": PickleMachine._op_inst, "OBJ": PickleMachine._op_obj, "BUILD": PickleMachine._op_build,
    "BINPERSID": PickleMachine._op_persistent_id,
}  # fmt: skip
_TABLE: dict[bytes, tuple[Callable[[BinaryIO], Any] | None, Callable[[PickleMachine, Any], None]]] = {
    opcode.code.encode("latin1"): (
        _read_python2_string if opcode.name == "STRING" else None if opcode.arg is None else opcode.arg.reader,
        _HANDLERS[opcode.name],
    )
    for opcode in pickletools.opcodes
    if opcode.name in _HANDLERS
}
