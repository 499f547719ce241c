"""How objectives, models and likelihoods were built, as plain values: to compare, to name and to build them again.

A builder decorated with :func:`recipe` returns the same object for the same arguments, so that a compiled program is
found again, and the object says how it was built. Classes and functions that stand in recipes have names of their own
(:func:`part`); nothing is ever imported or run by a name that is not in that table.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import numbers
import types
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, ParamSpec, TypeVar, get_origin, get_type_hints

import flax.linen as nn

from ae_jax.types import ImageShape, UsageError, a

_NUMBERS = {int: (numbers.Integral, "whole number"), float: (numbers.Real, "number")}
PARTS: dict[str, Callable] = {}  # stable name -> builder, model class, activation, corruption ...
T = TypeVar("T")
P = ParamSpec("P")
C = TypeVar("C", bound=Callable)


class Recipe(NamedTuple):
    """A builder's stable name and its arguments in the order of its signature, defaults included."""

    builder: str
    arguments: tuple[tuple[str, Hashable], ...]

    def __getattr__(self, name: str) -> Any:
        """The argument called ``name``."""
        for argument, value in self.arguments:
            if argument == name:
                return value
        raise AttributeError(f"{self.builder} has no argument {name!r}")


def part(thing: C, name: str | None = None) -> C:
    """Give a class or function its stable name, by default ``module.name``; returns it, so that it decorates.

    What is defined once more, by a cell of a notebook or a module that is loaded again, takes the place of what it was.
    Raises ValueError for a name of something else.
    """
    name = name or _name(thing)
    again = name == _name(thing) and (name.startswith("__main__.") or "<" not in name)  # of <locals> there are many
    if PARTS.get(name, thing) is not thing and not again:
        raise ValueError(f"two parts of recipes are called {name!r}")
    PARTS[name] = thing
    return thing


def recipe(builder: Callable[P, T]) -> Callable[P, T]:
    """Cache ``builder`` by its arguments, however they are passed, and set ``recipe`` on the NamedTuple it returns."""
    signature = inspect.signature(builder)
    make: Callable[..., Any] = builder  # whose result is a NamedTuple, which no type says
    kinds = functools.cache(lambda: get_type_hints(builder))

    @functools.cache
    def build(arguments: tuple[tuple[str, Hashable], ...]) -> T:
        return make(**dict(arguments))._replace(recipe=Recipe(_name(builder), arguments))

    @functools.wraps(builder)
    def cached(*args: P.args, **kwargs: P.kwargs) -> T:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            _require_kind(builder.__name__, name, value, kinds().get(name, Any))
        return build(tuple((name, _plain(value)) for name, value in bound.arguments.items()))

    return part(cached)


def _require_kind(builder: str, name: str, value: Any, kind: Any) -> None:
    """Raises UsageError for what is no instance of ``kind``: a number, a class of ours or of Flax, or a Callable.

    A module of the user's own passes for a model.
    """
    if get_origin(kind) is Callable:
        fits, wanted = callable(value), "function"
    elif kind in _NUMBERS:
        of, wanted = _NUMBERS[kind]
        fits = isinstance(value, of) and not isinstance(value, bool)
    else:
        ours = isinstance(kind, type) and kind.__module__.partition(".")[0] in ("ae_jax", "flax")
        own = isinstance(value, nn.Module) and PARTS.get(_name(type(value))) is not type(value)
        fits, wanted = not ours or isinstance(value, kind) or own, getattr(kind, "__name__", kind)
    if not fits:
        plain = value is None or isinstance(value, bool | int | float | str)
        given = repr(value) if plain else a(getattr(value, "__name__", type(value).__name__))
        raise UsageError(f"{builder}: {given} is not allowed as its {name}: give {a(wanted)}")


def _plain(value: Any) -> Any:
    """Numbers of NumPy or others' as Python's, which a file can hold, in tuples and lists too; all else as it is."""
    if isinstance(value, list) or type(value) is tuple:
        return tuple(map(_plain, value))
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else value


def _name(thing: Any) -> str:
    module = "__main__" if thing.__module__ == "__mp_main__" else thing.__module__  # the script, in its own workers
    return f"{module.removeprefix('ae_jax.')}.{thing.__qualname__}"


def _fields(module: nn.Module) -> dict[str, Any]:
    return {name: getattr(module, name) for name in module.__dataclass_fields__ if name not in ("parent", "name")}


def describe(value: Any) -> Any:
    """``value`` of a recipe as plain JSON values, equal in every process; :func:`build` is the way back.

    A function or model of the user's own that is no :func:`part` is described by its module and name, a function also
    by a digest of its code. It cannot be built again from that: :func:`foreign` finds it, :func:`portable` refuses it.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return [describe(element) for element in value]
    if isinstance(value, nn.Module):
        name = _name(type(value))
        kind = "build" if PARTS.get(name) is type(value) else "foreign"
        return {kind: name} | {name: describe(field) for name, field in _fields(value).items()}
    if getattr(value, "recipe", None) is not None:
        value = value.recipe
    if isinstance(value, Recipe):
        return {"build": value.builder} | {name: describe(argument) for name, argument in value.arguments}
    for name, thing in PARTS.items():
        if thing is value:
            return {"part": name}
    if isinstance(value, functools.partial):
        keywords = {name: describe(argument) for name, argument in sorted(value.keywords.items())}
        arguments = describe(value.args)
        return {"foreign": "functools.partial", "of": describe(value.func), "arguments": [arguments, keywords]}
    name = _name(value if hasattr(value, "__qualname__") else type(value))
    return {"foreign": name} | ({"code": _code(value)} if isinstance(value, types.FunctionType) else {})


def _code(function: types.FunctionType) -> str:
    """A digest of what a function does: its code, its defaults, and the numbers and functions that it closes over."""
    content, seen = hashlib.sha256(), set()

    def add(value: Any) -> None:
        if isinstance(value, functools.partial):
            add((value.func, value.args, tuple(sorted(value.keywords.items()))))
        elif isinstance(value, types.FunctionType):
            if value not in seen:
                seen.add(value)
                cells = [cell.cell_contents for cell in value.__closure__ or () if cell != types.CellType()]
                add((value.__code__, value.__defaults__, tuple((value.__kwdefaults__ or {}).items()), *cells))
        elif isinstance(value, types.CodeType):
            content.update(value.co_code)
            add((value.co_names, value.co_consts))
        elif isinstance(value, tuple):
            content.update(f"{len(value)} of".encode())
            for element in value:
                add(element)
        elif isinstance(value, frozenset):
            add(tuple(sorted(value, key=repr)))
        else:
            plain = value is None or isinstance(value, bool | int | float | complex | str | bytes)
            content.update(f"{type(value).__name__} {value if plain else ''!r},".encode())

    add(function)
    return content.hexdigest()[:16]


def spelled(value: Any) -> str:
    """``value`` of a recipe or of a search as people read it, the same in every process."""
    if isinstance(value, nn.Module):
        name, arguments = type(value).__name__, _fields(value)
    elif isinstance(made := getattr(value, "recipe", None), Recipe):
        name, arguments = made.builder.rpartition(".")[2], dict(made.arguments)
    elif isinstance(value, functools.partial):
        given = {str(number): of for number, of in enumerate(value.args)}
        name, arguments = f"partial {spelled(value.func)}", given | value.keywords
    elif type(value) is tuple:
        return f"({', '.join(map(spelled, value))}{',' * (len(value) == 1)})"
    else:
        nameless = callable(value) or type(value).__repr__ is object.__repr__
        return getattr(value, "__name__", type(value).__name__) if nameless else str(value)
    return f"{name}({', '.join(f'{argument}={spelled(given)}' for argument, given in arguments.items())})"


def foreign(description: Any) -> list[str]:
    """Names of what in a description cannot be built again, as it is in the table of no process."""
    if isinstance(description, dict):
        names = [description["foreign"]] if "foreign" in description else []
        return names + foreign(list(description.values()))
    return [name for value in description for name in foreign(value)] if isinstance(description, list) else []


def portable(value: Any) -> Any:
    """:func:`describe` for another process. Raises UsageError for code of the user's own, which would stay here."""
    description = describe(value)
    if names := foreign(description):
        raise UsageError(
            f"neither a file nor a pickle can hold the code of {', '.join(names)}: make it known by "
            "ae_jax.recipes.part where it is defined, and import that module before loading"
        )
    return description


def build(description: Any) -> Any:
    """What :func:`describe` described. Raises UsageError for a part that this version does not know."""
    from ae_jax import variational  # noqa: F401 - all modules of ours that enter parts in the table are imported by it

    if isinstance(description, list):
        return tuple(build(element) for element in description)
    if not isinstance(description, dict):
        return description
    arguments = dict(description)
    for kind in ("part", "build"):
        if (name := arguments.pop(kind, None)) is None:
            continue
        if name not in PARTS:
            raise UsageError(f"unknown part {name!r} of a recipe: import its module, or use another version of ae_jax")
        if kind == "part":
            return PARTS[name]
        try:
            return PARTS[name](**{argument: build(value) for argument, value in arguments.items()})
        except (TypeError, AttributeError) as error:
            raise UsageError(f"{name} cannot be built from {', '.join(arguments)}: {error}") from error
    raise UsageError(f"{description.get('foreign', description)!r} is not part of ae_jax: build it in Python")


def sized(thing: T, image: ImageShape) -> T:
    """An objective, a model or another part for images of ``image``: every module in it with that field gets it.

    The same object as one that is built for such images from the start; ``thing`` itself where nothing changes, as in
    what was put together by hand, without a recipe. Raises UsageError for an image that is too small for its networks.
    """
    if isinstance(thing, nn.Module):
        fields = {name: sized(field, image) for name, field in _fields(thing).items()}
        fields |= {"image": image} if "image" in fields else {}
        return thing if fields == _fields(thing) else type(thing)(**fields)
    if (made := getattr(thing, "recipe", None)) is not None:
        arguments = tuple((name, sized(value, image)) for name, value in made.arguments)
        return thing if arguments == made.arguments else PARTS[made.builder](**dict(arguments))
    return thing
