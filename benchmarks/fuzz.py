"""Damaged and hostile files, made by structure: every one is read, or refused in a line, within limits.

    python -m benchmarks.fuzz --minutes 20 --seed 0          # counts by kind; a minimal case for each failure
    python -m benchmarks.fuzz --replay out/fuzz/tiff-17      # one case again, with its traceback

A case is a good file and some mutations of its *structure*, so that most of them get past the first check:

- **tiff**: a TIFF of any layout; entries of its directories change tag, type, count or value, directories are
  chained anew (also in a circle), strips move.
- **png**: chunks are left out, doubled, moved, or changed with a right checksum.
- **labels**: label maps of any type with values that are none.
- **weights**: the header of a safetensors file: shapes, offsets, types, the architecture in its metadata.
- **records**: settings of a run, the record of a label map, the report of a run: any part of the JSON becomes
  another value.

A process reads the cases, with a limit of time and memory for each. A case fails if it ends in an error that
the command line would show with a traceback, ends the process, or breaks a limit. It is then made smaller:
mutations are left out as long as it still fails. The same seed makes the same cases.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import multiprocessing
import random
import signal
import struct
import sys
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

SECONDS, MEMORY = 20.0, 3 * 2**30  # of each case
NUMBERS = [0, 1, 2, 3, 7, 8, 16, 32, 255, 256, 1000, 65_535, 2**16, 2**31 - 1, 2**31, 2**32 - 1]
VALUES = [
    None,
    True,
    -1,
    0,
    2**63,
    1e308,
    float("nan"),
    "",
    "x",
    "lite",
    "=1",
    [],
    [[]],
    {},
    {"a": 1},
    "\udce9",
]

Mutation = Callable[[bytes, random.Random], bytes]


# --- good files and their mutations; each is a function of bytes and a generator ----------------------------


def good_tiff(rng: random.Random) -> bytes:
    """Return a TIFF of any layout."""
    shape = rng.choice([(40, 56), (40, 56, 3), (64, 64, 4), (3, 40, 56)])
    data = np.random.default_rng(rng.randrange(2**32)).integers(0, 9, shape).astype(rng.choice("BHIfd"))
    how: dict[str, Any] = {"compression": rng.choice([None, "zlib", "lzw", "packbits"]), "metadata": None}
    how |= rng.choice([{}, {"tile": (16, 16)}, {"rowsperstrip": 7}])
    how |= rng.choice([{}, {"bigtiff": True}, {"byteorder": ">"}])
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, **{k: how.pop(k) for k in ("bigtiff", "byteorder") if k in how}) as file:
        for _ in range(rng.choice([1, 1, 1, 2])):
            colour = "rgb" if 3 in shape else "minisblack"
            file.write(data, photometric=colour, planarconfig="separate" if shape[0] == 3 else None, **how)
    return buffer.getvalue()


def _entries(data: bytes) -> tuple[str, list[int], list[int]]:
    """Return byte order, where the entries of classic directories begin, and where their links stand."""
    order = "<" if data[:2] == b"II" else ">"
    entries, links, seen = [], [4], set()
    while len(data) > links[-1] + 4:
        (at,) = struct.unpack_from(f"{order}I", data, links[-1])
        if not 0 < at < len(data) - 2 or at in seen:
            break
        seen.add(at)
        (count,) = struct.unpack_from(f"{order}H", data, at)
        entries += [at + 2 + 12 * k for k in range(min(count, 60))]
        links.append(at + 2 + 12 * count)
    return order, [e for e in entries if e + 12 <= len(data)], [k for k in links if k + 4 <= len(data)]


def tiff_entry(data: bytes, rng: random.Random) -> bytes:
    """Change tag, type, count or value of an entry."""
    order, entries, _ = _entries(data)
    if not entries:
        return flipped(data, rng)
    out, at = bytearray(data), rng.choice(entries)
    place, form = rng.choice([(0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "H")])
    value = rng.choice([rng.choice(NUMBERS), rng.randrange(2**16), len(data)])
    struct.pack_into(order + form, out, at + place, value % 2 ** (8 * struct.calcsize(form)))
    return bytes(out)


def tiff_chain(data: bytes, rng: random.Random) -> bytes:
    """Let a directory lead to another place, or append a chain of directories that may end in a circle."""
    order, _, links = _entries(data)
    out = bytearray(data)
    for _ in range(rng.choice([0, 0, 3, 150])):
        start, at = len(out), struct.unpack_from(f"{order}I", out, 4)[0]
        (count,) = struct.unpack_from(f"{order}H", out, min(at, len(out) - 2))
        out += out[at : at + 2 + 12 * min(count, 60)] + b"\0" * 4
        struct.pack_into(f"{order}I", out, links[-1], start)
        links.append(len(out) - 4)
    target = rng.choice([*_entries(bytes(out))[1], *links, len(out), rng.randrange(len(out))])
    struct.pack_into(f"{order}I", out, rng.choice(links), max(target - 2, 0))
    return bytes(out)


def good_png(rng: random.Random) -> bytes:
    """Return a PNG of any kind."""
    from PIL import Image

    mode = rng.choice(["L", "RGB", "RGBA", "P", "1", "I;16", "LA"])
    image = Image.new(mode, (rng.choice([1, 7, 40]), rng.choice([1, 9, 33])))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def png_chunks(data: bytes, rng: random.Random) -> bytes:
    """Leave out, double, move or change a chunk; its checksum stays right."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    if not chunks:
        return flipped(data, rng)
    k, how = rng.randrange(len(chunks)), rng.choice(["drop", "double", "move", "change", "kind", "bomb"])
    kind, body = chunks[k]
    if how == "drop":
        del chunks[k]
    elif how == "double":
        chunks.insert(k, chunks[k])
    elif how == "move":
        chunks.insert(rng.randrange(len(chunks)), chunks.pop(k))
    elif how == "kind":
        chunks[k] = (rng.choice([b"IDAT", b"PLTE", b"tRNS", b"acTL", b"zTXt", b"iCCP", b"xxxx"]), body)
    elif how == "bomb":
        chunks.insert(1, (rng.choice([b"zTXt", b"iCCP"]), b"a\0\0" + zlib.compress(b"\0" * 2**24)))
    elif kind == b"IHDR" and len(body) == 13:
        body = bytearray(body)
        place = rng.choice([0, 4, 8, 9, 10, 11, 12])
        size = 4 if place < 8 else 1
        body[place : place + size] = (rng.choice(NUMBERS) % 256**size).to_bytes(size, "big")
        chunks[k] = (kind, bytes(body))
    else:
        chunks[k] = (kind, flipped(body, rng))
    parts = [len(b).to_bytes(4, "big") + c + b + zlib.crc32(c + b).to_bytes(4, "big") for c, b in chunks]
    return data[:8] + b"".join(parts)


def good_labels(rng: random.Random) -> bytes:
    """Return a label map as TIFF, of any type."""
    labels = np.zeros((30, 44), rng.choice("bBhHiIfdqQ?"))
    for k in range(rng.choice([0, 1, 5])):
        value = np.array(rng.choice([1, k, 255, 100])).astype(labels.dtype)  # of a signed byte: wrapped
        labels[5 * k : 5 * k + 4, 3 : rng.choice([9, 40])] = value
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, labels, photometric="minisblack", metadata=None)
    return buffer.getvalue()


def label_values(data: bytes, rng: random.Random) -> bytes:
    """Put values into a label map that are no ids, or give it another shape."""
    try:
        labels = tifffile.imread(io.BytesIO(data))
    except Exception:
        return flipped(data, rng)
    if not labels.size:
        return data
    with np.errstate(all="ignore"):
        value = np.array(rng.choice([-1, np.nan, np.inf, 1e300, 0.5, 2**31, 70_000, 256])).astype(
            labels.dtype
        )
    labels.flat[rng.randrange(labels.size) :: rng.choice([1, 3, 44])] = value
    labels = rng.choice([labels, labels[..., None], np.stack([labels] * 3), labels.T, labels[:1]])
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, labels, photometric="minisblack", metadata=None)
    return buffer.getvalue()


def good_weights(rng: random.Random) -> bytes:
    """Return the weights of a tiny network."""
    from safetensors.torch import save

    from maunet_lite.network import build_model

    model = build_model("lite", encoder="lite:8-16x2", widths=(0, 8, 8))
    return save(model.state_dict(), metadata={"config": json.dumps(model.config.to_dict())})


def weights_header(data: bytes, rng: random.Random) -> bytes:
    """Change a part of the header, which stays JSON."""
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size])
        config = json.loads(header["__metadata__"]["config"])
    except (ValueError, LookupError, TypeError):
        return flipped(data, rng)
    if rng.random() < 0.4:
        header["__metadata__"]["config"] = json.dumps(changed(config, rng))
    else:
        header = changed(header, rng)
    text = json.dumps(header).encode("utf-8", "replace")
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def good_record(rng: random.Random) -> bytes:
    """Return the settings of a run, the record of a label map, or the report of a run of notebooks."""
    from maunet_lite.scale import provenance
    from maunet_lite.training import TrainConfig

    image = dict.fromkeys(("name", "place", "dates", "content"), "x")
    label_map = json.loads(provenance.to_text(image, provenance.made_by([], None, {}), ["tiff"], None))
    report = {
        "runs": [{"name": "a", "source": "a.py", "parameters": {}, "status": "ok", "executed": "a.ipynb"}]
    }
    return json.dumps(rng.choice([TrainConfig(steps=1).to_dict(), label_map, report])).encode()


def record_part(data: bytes, rng: random.Random) -> bytes:
    """Change a part of a record."""
    try:
        return json.dumps(changed(json.loads(data), rng)).encode()
    except ValueError:
        return flipped(data, rng)


def changed(tree: Any, rng: random.Random) -> Any:
    """Return a tree of JSON with one of its nodes replaced, left out, renamed or doubled."""
    if not isinstance(tree, (dict, list)) or not tree or rng.random() < 0.15:
        return rng.choice(VALUES)
    key = rng.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
    how, copy = rng.random(), tree.copy()
    if how < 0.15:
        del copy[key]
    elif how < 0.25 and isinstance(tree, dict):
        copy[f"{key}2"] = copy.pop(key)
    else:
        copy[key] = changed(tree[key], rng)
    return copy


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Change a byte, or cut the end off."""
    if not data or rng.random() < 0.2:
        return data[: rng.randrange(len(data) + 1)]
    out = bytearray(data)
    out[rng.randrange(len(out))] ^= rng.randrange(1, 256)
    return bytes(out)


KINDS: dict[str, tuple[Callable[[random.Random], bytes], list[Mutation], str]] = {
    "tiff": (good_tiff, [tiff_entry, tiff_entry, tiff_chain, flipped], ".tif"),
    "png": (good_png, [png_chunks, png_chunks, flipped], ".png"),
    "labels": (good_labels, [label_values, tiff_entry, flipped], ".tif"),
    "weights": (good_weights, [weights_header, weights_header, flipped], ".safetensors"),
    "records": (good_record, [record_part, record_part, flipped], ".json"),
}


def make(kind: str, seed: int, left_out: frozenset[int] = frozenset()) -> bytes:
    """Return a case; mutations are numbered, and those in `left_out` are not done."""
    good, mutations, _ = KINDS[kind]
    data, rng = good(random.Random(f"{kind} {seed}")), random.Random(f"{seed} {kind}")
    for number in range(rng.choice([1, 2, 3, 5])):
        mutation, own = rng.choice(mutations), random.Random(rng.random())
        if number not in left_out:
            data = mutation(data, own)
    return data


# --- reading a case, in a process of its own ----------------------------------------------------------------


def read(kind: str, path: Path) -> None:
    """Do with a file what the kit does with files of its kind; each step may refuse it."""
    from maunet_lite import data, network, scale
    from maunet_lite.course.running.sweeps import result_of
    from maunet_lite.data import check_folder
    from maunet_lite.data.checks import doubt_of_labels
    from maunet_lite.scale import provenance
    from maunet_lite.training import TrainConfig, run_settings

    def whole() -> None:
        data.read_image(path)

    def blocks() -> None:
        with data.open_slide(path, memory="1GiB") as slide:
            for place in list(slide.tiles())[:4]:
                slide.read(*place)

    def record() -> None:
        report = path.parent / "runs" / "key" / "smoke-1" / "report.json"
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_bytes(path.read_bytes())
        result_of("key", path.parent)
        provenance.beside(path.with_suffix(".tif")).write_bytes(path.read_bytes())
        provenance.read_record(path.with_suffix(".tif"))

    def settings() -> None:
        (path.parent / "config.json").write_bytes(path.read_bytes())
        TrainConfig.from_dict(run_settings(path.parent))

    steps = {
        "tiff": [whole, blocks, lambda: scale.needs_blocks(path, "1GiB"),
                 lambda: provenance.pixels_of(path)],
        "png": [whole, blocks, lambda: data.read_labels(path)],
        "labels": [lambda: doubt_of_labels(data.read_labels(path)), lambda: provenance.pixels_of(path),
                   lambda: check_folder(path.parent)],
        "weights": [lambda: network.load_model(path)], "records": [record, settings],
    }[kind]  # fmt: skip
    for step in steps:
        _or_refuse(step)


def _or_refuse(step: Callable[[], Any]) -> None:
    from maunet_lite.cli.main import is_expected

    try:
        step()
    except MemoryError:
        raise
    except Exception as error:
        if not is_expected(error):
            raise


def reader(pipe: Any, folder: str) -> None:
    """Read cases that come through a pipe, and answer "" or what went wrong; the other process keeps time."""
    import resource
    import warnings

    import torch

    import maunet_lite.cli.main  # noqa: F401
    from maunet_lite import network

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    network.build_model("lite", encoder="lite:8-16x2", widths=(0, 8, 8))  # what is loaded once is no case's
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    sys.stderr = io.StringIO()  # decoders complain there
    signal.signal(signal.SIGPROF, too_long)
    pipe.send("ready")
    while True:
        kind, data = pipe.recv()
        path = Path(folder) / f"case{KINDS[kind][2]}"
        path.write_bytes(data)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            read(kind, path)
            pipe.send("")
        except BaseException:
            pipe.send(traceback.format_exc())
        signal.setitimer(signal.ITIMER_PROF, 0)


def too_long(*_: object) -> None:
    """End a case that has computed for too long."""
    raise SystemExit(f"more than {SECONDS} seconds of CPU time")


class Reader:
    """The process that reads cases; a new one when it has ended or been ended."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.process = folder, None

    def ask(self, kind: str, data: bytes) -> str:
        """Return what went wrong with a case, "" if nothing."""
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, other = context.Pipe()
            self.process = context.Process(target=reader, args=(other, str(self.folder)), daemon=True)
            self.process.start()
            other.close()
            self.pipe.recv()
        self.pipe.send((kind, data))
        try:
            if self.pipe.poll(20 * SECONDS):  # of wall time, for what stands still or never looks up
                return self.pipe.recv()
            trouble = f"no answer after {20 * SECONDS} seconds"
        except EOFError:
            trouble = f"the process ended with code {self.process.exitcode}"
        self.process.kill()
        self.process.join()
        self.process = None
        return trouble


def smaller(asker: Reader, kind: str, seed: int) -> tuple[frozenset[int], str]:
    """Leave out mutations as long as the case still fails; return which, and the last trouble."""
    left_out, trouble = frozenset(), asker.ask(kind, make(kind, seed))
    for number in range(5):
        if again := asker.ask(kind, make(kind, seed, left_out | {number})):
            left_out, trouble = left_out | {number}, again
    return left_out, trouble


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="first case; later ones follow")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"))
    parser.add_argument("--replay", type=Path, help="a case that was written")
    options = parser.parse_args()
    if options.replay:
        read(options.replay.name.split("-")[0], options.replay)
        print("nothing goes wrong with it")
        return
    logging.getLogger("tifffile").disabled = True  # label maps are made from damaged ones, too
    options.out.mkdir(parents=True, exist_ok=True)
    asker, counts, known, seed = Reader(options.out.resolve()), Counter(), set(), options.seed
    end = time.monotonic() + 60 * options.minutes
    while time.monotonic() < end:
        kind = options.kinds[seed % len(options.kinds)]
        counts[kind] += 1
        if asker.ask(kind, make(kind, seed)):
            left_out, trouble = smaller(asker, kind, seed)
            last = trouble.strip().splitlines()[-1][:200]
            where = [line for line in trouble.splitlines() if "File" in line][-1:]
            counts[f"{kind} failed"] += 1
            if (kind, *where, last[:40]) not in known:  # one case of each failure
                known.add((kind, *where, last[:40]))
                name = options.out / f"{kind}-{seed}{KINDS[kind][2]}"
                name.write_bytes(make(kind, seed, left_out))
                name.with_suffix(".txt").write_text(trouble)
                print(f"{name}: {last}", flush=True)
        seed += 1
    failed = sum(count for name, count in counts.items() if name.endswith("failed"))
    print(f"{seed - options.seed} cases (seeds {options.seed} to {seed - 1}), {failed} failures")
    print(", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main()
