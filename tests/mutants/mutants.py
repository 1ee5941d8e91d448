"""Random faults, one at a time, in the numerical files, and whether the tests see them.

``tox run -e mutants`` draws 150 mutants by a fixed seed, 30 of each kind in ``KINDS``. It runs the tests of
``TESTS`` once to learn which of them reach which line, then for each mutant those that reach it, the
quickest first, until one fails. What is known already is not run again: ``results.csv`` beside this file
holds a line for each mutant, and ``survivors.md`` says of each that survived why it may. A mutant is known
by its text, not by its line: code added elsewhere loses nothing that is known, but faults in it may be drawn
in the place of others.

Tests of more than ``--seconds`` together (as measured without a mutant) are left out for a mutant, the
slowest first: a fault that only they see counts as a survivor, like one that only tests outside ``TESTS``
see (scikit-learn's checks, the documentation's examples). A run that takes four times as long as it should
counts as killed.
"""

import argparse
import ast
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, zip_longest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ROOMS = [
    *("_numerics", "equilibrium", "function_space", "inputs", "limit", "models", "network", "onnx", "theory"),
    *("training", "kernel"),
]
TESTS = [
    *(f"tests/{room}" for room in ROOMS if room != "kernel"),
    *(f"tests/test_{name}.py" for name in ("kernel", "regressor", "classifier", "in_use")),
]
KINDS = ("sign", "constant", "comparison", "term", "guard")
FIELDS = ("id", "kind", "file", "line", "before", "after", "verdict", "by", "tests", "left_out")
PAIRS = [(ast.Lt, ast.Gt), (ast.LtE, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn)]
OPPOSITE = dict([*PAIRS, *((b, a) for a, b in PAIRS)])


# ---------------------------------------------------------------------------------------- what may be changed


def changes(node, arithmetic):
    """Yield (kind, the node that is replaced, its text after) for every fault that begins at a node."""
    match node:
        case ast.BinOp(left=ast.Constant(value=str())):
            return
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            yield "sign", node, f"({text(node.left)} {'-+'[isinstance(node.op, ast.Sub)]} {text(node.right)})"
            yield "term", node, f"({text(node.left)})"
        case ast.BinOp(op=ast.Mult() | ast.Div()):
            yield "term", node, f"({text(node.left)})"
        case ast.AugAssign():
            yield "term", node, "pass"
            if isinstance(node.op, ast.Add | ast.Sub):
                sign = "-=" if isinstance(node.op, ast.Add) else "+="
                yield "sign", node, f"{text(node.target)} {sign} {text(node.value)}"
        case ast.UnaryOp(op=ast.USub()):
            yield "sign", node, f"(+{text(node.operand)})"
        case ast.UnaryOp(op=ast.Not()):
            yield "comparison", node, f"({text(node.operand)})"
        case ast.Constant(value=float(value)) if value:
            yield "constant", node, repr(value * 4 / 3)
        case ast.Constant(value=int(value)) if not isinstance(value, bool) and value >= (
            1 if arithmetic else 2
        ):
            yield "constant", node, repr(value + max(1, value // 3))
        case ast.Compare(ops=[op]):
            flipped = ast.Compare(node.left, [OPPOSITE[type(op)]()], node.comparators)
            yield "comparison", node, f"({text(flipped)})"
        case ast.BoolOp(values=[*values]):
            yield "guard", node, f"({text(values[0])})"
            yield "guard", node, f"({text(values[-1])})"
        case ast.IfExp():
            yield "guard", node, f"({text(node.body)})"
        case ast.If(orelse=[]):
            yield "guard", node.test, "False"
        case ast.Call(func=ast.Name(id="min" | "max") | ast.Attribute(attr="minimum" | "maximum" | "clip")):
            if len(node.args) > 1 and not isinstance(node.args[0], ast.Starred):
                yield "guard", node, f"({text(node.args[0])})"


def text(node):
    return " ".join(ast.unparse(node).split())


def sites(tree, arithmetic=False):
    """Yield every fault of a tree; annotations, messages and indices are left alone."""
    yield from changes(tree, arithmetic)
    for name, value in ast.iter_fields(tree):
        if name in {"annotation", "returns", "exc", "decorator_list"} or (
            name == "slice" and hasattr(tree, "value")
        ):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                yield from sites(child, isinstance(tree, ast.BinOp | ast.AugAssign))


def all_mutants(seed):
    """Return every possible mutant, the kinds in turn, each kind in the order that the seed gives."""
    found = {kind: [] for kind in KINDS}
    for path in sorted((ROOT / "sk_implicit").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.split("/")[1].removesuffix(".py") not in ROOMS:
            continue
        source = path.read_text(encoding="utf-8")
        seen = Counter()
        for kind, node, after in sites(ast.parse(source)):
            before = " ".join(ast.get_source_segment(source, node).split())
            around = source.splitlines()[node.lineno - 1].strip()
            seen[kind, around, before, after] += 1  # equal texts are told apart by their order
            key = repr((seed, name, kind, around, before, after, seen[kind, around, before, after]))
            digest = hashlib.sha256(key.encode()).hexdigest()[:12]
            found[kind].append(
                {
                    "id": digest, "kind": kind, "file": name, "line": node.lineno, "end": node.end_lineno,
                    "columns": (node.col_offset, node.end_col_offset), "before": before, "after": after,
                }
            )  # fmt: skip
    ranked = [sorted(group, key=lambda mutant: mutant["id"]) for group in found.values()]
    return [mutant for mutant in chain.from_iterable(zip_longest(*ranked)) if mutant]


def mutated(source, mutant):
    """Return a file's text with the fault in it, as many lines long as before."""
    lines = source.encode().splitlines(keepends=True)
    first, last = mutant["line"] - 1, mutant["end"] - 1
    start, stop = mutant["columns"]
    head, tail = lines[first][:start], lines[last][stop:]
    if first < last:  # inside brackets, or a statement by itself: what follows may stand on its own line
        tail = tail.rstrip(b"\n") + b"\n" * (last - first + 1)
    return b"".join([*lines[:first], head + mutant["after"].encode() + tail, *lines[last + 1 :]]).decode()


# --------------------------------------------------------------------------------------- which tests reach it


class Contexts:
    """A plugin of pytest: tells coverage which test runs, and keeps how long each took."""

    def __init__(self, cov):
        self.cov, self.seconds, self.failed = cov, defaultdict(float), set()

    def pytest_runtest_logstart(self, nodeid):
        self.cov.switch_context(
            nodeid.split("::")[0]
        )  # what fixtures of a file reach, all of its tests may see

    def pytest_runtest_call(self, item):
        self.cov.switch_context(item.nodeid)

    def pytest_runtest_teardown(self, item):
        self.cov.switch_context("")

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration
        if not report.passed:
            self.failed.add(report.nodeid)


def trace(tests, target):
    """Run tests under coverage; write {file: {line: [tests]}}, the tests' seconds and which failed."""
    import coverage
    import pytest

    cov = coverage.Coverage(source=["sk_implicit"], data_file=None)
    cov.start()
    plugin = Contexts(cov)
    pytest.main(["-q", "-p", "no:cacheprovider", tests], plugins=[plugin])
    cov.stop()
    data = cov.get_data()
    files = {Path(name).relative_to(Path.cwd()).as_posix(): name for name in data.measured_files()}
    reach = {name: data.contexts_by_lineno(files[name]) for name in files}
    seconds = {name: took for name, took in plugin.seconds.items() if name not in plugin.failed}
    target.write_text(json.dumps({"reach": reach, "seconds": seconds, "failed": sorted(plugin.failed)}))


def traced(work, where):
    """Return what all tests reach, from files that are made where there are none of this code."""
    code = [
        path.read_bytes()
        for part in ("sk_implicit", "tests")
        for path in sorted((where / part).rglob("*.py"))
    ]
    work = work / hashlib.sha256(b"".join(code)).hexdigest()[:12]
    work.mkdir(exist_ok=True)
    reach, seconds, failed = defaultdict(lambda: defaultdict(set)), {}, []
    for tests in TESTS:
        target = work / (Path(tests).stem + ".json")
        if not target.exists():
            python([__file__, "--trace", tests, "--work", str(target)], where)
        part = json.loads(target.read_text(encoding="utf-8"))
        for name, lines in part["reach"].items():
            for line, contexts in lines.items():
                reach[name][line].update(contexts)
        seconds |= part["seconds"]
        failed += part["failed"]
        print(tests, f"{len(part['seconds'])} tests, {sum(part['seconds'].values()):.0f} s", flush=True)
    print("fail without a mutant:", *failed or ["none"])
    return reach, seconds


def tests_of(mutant, reach, seconds, budget):
    """Return the tests that reach a mutant, the quickest first, as many as allowed; and how many more."""
    lines = reach.get(mutant["file"], {})
    contexts = set().union(
        *(lines.get(str(line), ()) for line in range(mutant["line"], mutant["end"] + 1))
    ) - {""}
    if not contexts:  # run at import: whatever reaches the file may see it
        contexts = set().union(*lines.values()) - {""}
    chosen = [name for name in seconds if name in contexts or name.split("::")[0] in contexts]
    chosen.sort(key=seconds.get)
    total, kept = 0.0, []
    for name in chosen:
        total += seconds[name]
        if kept and total > budget:
            break
        kept.append(name)
    return kept, len(chosen) - len(kept)


# ----------------------------------------------------------------------------------------------- running them


def copy(target):
    """Copy what git tracks to a directory of its own, in which the faults are made."""
    shutil.rmtree(target, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)


def python(arguments, where, timeout=None):
    environment = {**os.environ, "PYTHONPATH": str(where), "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=where,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def attempt(mutant, where, reach, seconds, budget):
    """Run the tests that reach a mutant in a copy of the repository; return its line of the table."""
    kept, left_out = tests_of(mutant, reach, seconds, budget)
    row = {field: mutant.get(field) for field in FIELDS} | {"tests": len(kept), "left_out": left_out}
    if not kept:
        return row | {"verdict": "unreached"}
    path = where / mutant["file"]
    source = path.read_text(encoding="utf-8")
    listed = where / "tests.txt"
    listed.write_text("\n".join(kept), encoding="utf-8")
    try:
        path.write_text(mutated(source, mutant), encoding="utf-8")
        allowed = 60 + 4 * sum(seconds[name] for name in kept)
        run = python(
            ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-rfE", f"@{listed}"], where, allowed
        )
    except subprocess.TimeoutExpired:
        return row | {"verdict": "killed", "by": "time-out"}
    finally:
        path.write_text(source, encoding="utf-8")
    if not run.returncode:
        return row | {"verdict": "survived"}
    told = [line.split()[1] for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return row | {
        "verdict": "killed",
        "by": told[0] if told else (run.stderr or run.stdout).strip().splitlines()[-1],
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=20261130)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=300.0, help="of tests for each mutant")
    parser.add_argument("--again", action="store_true", help="run those again that survived")
    parser.add_argument("--work", type=Path, default=ROOT / ".tox" / "mutants_work")
    parser.add_argument("--results", type=Path, default=HERE / "results.csv")
    parser.add_argument("--trace", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trace:
        return trace(options.trace, options.work)

    chosen = all_mutants(options.seed)[: options.count]
    rows = {}
    if options.results.exists():
        with options.results.open(encoding="utf-8", newline="") as file:
            rows = {row["id"]: row for row in csv.DictReader(file)}
    if options.again:
        rows = {name: row for name, row in rows.items() if row["verdict"] == "killed"}

    copies = [options.work / f"copy{i}" for i in range(options.jobs)]
    for where in copies:
        copy(where)
    reach, seconds = traced(options.work, copies[0])

    def save():
        order = [mutant["id"] for mutant in chosen if mutant["id"] in rows]
        with options.results.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, FIELDS, lineterminator="\n")
            table.writeheader()
            table.writerows(rows[name] for name in order)

    def one(mutant):
        where = copies.pop()
        try:
            row = rows[mutant["id"]] = attempt(mutant, where, reach, seconds, options.seconds)
        finally:
            copies.append(where)
        save()
        print(*(row[field] for field in ("verdict", "file", "line", "before", "after", "by")), flush=True)

    todo = [mutant for mutant in chosen if mutant["id"] not in rows]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(one, todo))
    print(*Counter(rows[mutant["id"]]["verdict"] for mutant in chosen).items())


if __name__ == "__main__":
    main()
