"""The functions of libbpf.so.1 that we call, by ctypes.

libbpf is looked up as: ``DISCOVER_LIBBPF`` (a path), then the system's ``libbpf.so.1``. Version 1.0 or newer.
Nothing here interprets anything; `bpf.object` does.
"""

from __future__ import annotations

import ctypes as c
import os
from functools import lru_cache
from typing import Any

from bpf.errors import LibbpfMissing

__all__ = ["captured_log", "check", "libbpf"]

_P, _I, _U = c.c_void_p, c.c_int, c.c_uint32
_SIGNATURES: dict[str, tuple[Any, ...]] = {  # name: (result, *arguments)
    "libbpf_version_string": (c.c_char_p,),
    "libbpf_set_print": (_P, _P),
    "bpf_object__open_mem": (_P, c.c_char_p, c.c_size_t, _P),
    "bpf_object__load": (_I, _P),
    "bpf_object__close": (None, _P),
    "bpf_object__next_program": (_P, _P, _P),
    "bpf_object__next_map": (_P, _P, _P),
    "bpf_object__btf": (_P, _P),
    "bpf_program__name": (c.c_char_p, _P),
    "bpf_program__section_name": (c.c_char_p, _P),
    "bpf_program__set_autoload": (_I, _P, c.c_bool),
    "bpf_program__autoload": (c.c_bool, _P),
    "bpf_program__attach": (_P, _P),
    "bpf_program__fd": (_I, _P),
    "bpf_link__destroy": (_I, _P),
    "bpf_link__pin": (_I, _P, c.c_char_p),
    "bpf_map__name": (c.c_char_p, _P),
    "bpf_map__fd": (_I, _P),
    "bpf_map__max_entries": (_U, _P),
    "bpf_map__set_max_entries": (_I, _P, _U),
    "bpf_map__pin": (_I, _P, c.c_char_p),
    "bpf_map__reuse_fd": (_I, _P, _I),
    "bpf_map__initial_value": (_P, _P, c.POINTER(c.c_size_t)),
    "bpf_map__btf_key_type_id": (_U, _P),
    "bpf_map__btf_value_type_id": (_U, _P),
    "bpf_map_lookup_elem": (_I, _I, _P, _P),
    "bpf_map_update_elem": (_I, _I, _P, _P, c.c_uint64),
    "bpf_map_delete_elem": (_I, _I, _P),
    "bpf_map_get_next_key": (_I, _I, _P, _P),
    "bpf_map_lookup_batch": (_I, _I, _P, _P, _P, _P, c.POINTER(_U), _P),
    "bpf_obj_get": (_I, c.c_char_p),
    "bpf_obj_get_info_by_fd": (_I, _I, _P, c.POINTER(_U)),
    "btf__load_vmlinux_btf": (_P,),
    "btf__free": (None, _P),
    "btf__find_by_name_kind": (c.c_int32, _P, c.c_char_p, _U),
    "btf__type_by_id": (_P, _P, _U),
    "btf__name_by_offset": (c.c_char_p, _P, _U),
}
_PRINT = c.CFUNCTYPE(_I, _I, c.c_char_p, _P)
_lines: list[str] = []
_kept: list[Any] = []  # callbacks that libbpf holds


def _capture(vsnprintf: Any) -> Any:
    def write(level: int, form: bytes, arguments: int) -> int:
        if level < 2:  # warnings; LIBBPF_DEBUG is 2
            buffer = c.create_string_buffer(1 << 24)  # a verifier log comes as one message
            vsnprintf(buffer, len(buffer), form, c.c_void_p(arguments))
            _lines.append(buffer.value.decode(errors="replace"))
        return 0

    return _PRINT(write)


@lru_cache(maxsize=1)
def libbpf() -> Any:
    """The library, with every signature set; its messages are kept for `captured_log` and not printed."""
    path = os.environ.get("DISCOVER_LIBBPF", "libbpf.so.1")
    try:
        library = c.CDLL(path, use_errno=True)
        for name, (result, *arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise LibbpfMissing(
            f"cannot use {path}: {error}", "apt-get install libbpf1 (version 1.0 or newer), or use --backend bcc"
        ) from None
    printer = _capture(c.CDLL(None).vsnprintf)
    _kept.append(printer)
    library.libbpf_set_print(c.cast(printer, c.c_void_p))
    return library


def captured_log() -> str:
    """What libbpf has said since the last call."""
    text = "".join(_lines)
    _lines.clear()
    return text


def check(result: int | None) -> int:
    """The errno of a libbpf result (0: fine): pointers are NULL and integers negative on failure."""
    if result is None:
        return c.get_errno() or 22
    return -result if result < 0 else 0
