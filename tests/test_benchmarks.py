"""The benchmark's kinds of processors, and the table from its files."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
AVX2 = {"fpu", "avx", "avx2"}
AVX512 = AVX2 | {"avx512f"}
BFLOAT16 = AVX512 | {"avx512_bf16"}
AMX = BFLOAT16 | {"amx_tile", "amx_bf16"}


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import _bench

    return _bench


@pytest.fixture
def results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import results

    return results


@pytest.mark.parametrize(
    ("system", "machine", "flags", "kind"),
    [
        ("Linux", "x86_64", AMX, "amx"),
        ("Linux", "x86_64", BFLOAT16, "avx512-bf16"),
        ("Linux", "x86_64", AVX512, "avx512"),
        ("Linux", "x86_64", AVX2, "avx2"),
        ("Linux", "x86_64", {"fpu", "avx"}, "other"),
        ("Linux", "aarch64", set(), "arm"),
        ("Darwin", "arm64", set(), "apple"),
        ("Darwin", "x86_64", set(), "other"),
    ],
)
def test_the_kind_of_a_processor_comes_from_its_best_instructions(bench, system, machine, flags, kind):
    assert bench.kind_of(system, machine, flags, {}) == kind
    assert kind in bench.KINDS


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, "amx-limited-to-avx2"),
        ({"ATEN_CPU_CAPABILITY": "avx2", "DNNL_MAX_CPU_ISA": "AVX2"}, "amx-limited-to-avx2"),
        ({"MKL_ENABLE_INSTRUCTIONS": "AVX512", "ATEN_CPU_CAPABILITY": "avx2"}, "amx-limited-to-avx2-avx512"),
        ({"ONEDNN_MAX_CPU_ISA": "../AVX2"}, "amx-limited-to-avx2"),
        ({"ONEDNN_MAX_CPU_ISA": "DEFAULT", "ATEN_CPU_CAPABILITY": ""}, "amx"),
    ],
)
def test_a_limited_processor_does_not_count_as_an_older_one(bench, environment, kind):
    assert bench.kind_of("Linux", "x86_64", AMX, environment) == kind
    assert (kind in bench.KINDS) == (kind == "amx")


def test_git_tracks_the_results_of_each_kind_and_no_others(bench):
    lines = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert "/benchmarks/results-*.json" in lines
    kept = {line for line in lines if line.startswith("!/benchmarks/")}
    assert kept == {f"!/benchmarks/results-{kind}.json" for kind in bench.KINDS}


def a_report(processor, **turns):
    figures = [
        {"key": key.replace("_", " "), "turn": turn, "value": value}
        for key, values in turns.items()
        for turn, value in enumerate(values, start=1)
        if value is not None
    ]
    return {
        "processor": processor,
        "cores": 2,
        "date": "2026-01-02T03:04:05+00:00",
        "versions": {"torch": "1", "keras": "2", "tensorflow": "3"},
        "turns": 3,
        "long_repeats": 1,
        "figures": figures,
    }


def test_the_table_has_a_column_for_each_kind_and_empty_cells_without_measurements(results, tmp_path):
    fast = a_report("Fast", submit=(1.5, 1.25, 2), load=(0.5,))
    slow = a_report("Slow", submit=(4, 6))
    for kind, report in (("avx2", slow), ("amx", fast), ("amx-limited-to-avx2", slow)):
        (tmp_path / f"results-{kind}.json").write_text(json.dumps(report), "utf-8")
    table = results.markdown(results.stored(tmp_path)).splitlines()
    assert table[0] == "| | `amx` | `avx2` |"
    assert "| processor | Fast | Slow |" in table
    assert "| archive to arrays, s | 0.500 | |" in table
    assert (
        "| `digits submit`, archive to `submission.csv`, s | 1.50 (1.25 to 2.00) | 5.00 (4.00 to 6.00) |"
        in table
    )
    assert not any("digits --help" in line for line in table)


def test_keras_counts_with_its_complete_training_if_it_misses_the_accuracy(results):
    recipe = results.COMPARED[0]
    figures = {f"{recipe} rate": (1, 1), f"{recipe} to 99.5%": (10, None), "keras rate": (1, 1)}
    figures |= {"keras whole": (300, 500), "keras to 99.5%": (300, None)}
    table = results.markdown({"amx": a_report("Fast", **figures)})
    assert f"| `{recipe}`, s | 10.0 in 1 of 2 |" in table
    assert "| Keras, `five-layer`, s | 300 in 1 of 2 |" in table
    assert f"| Keras / `{recipe}`, × | 40.0 (30.0 to 50.0) in 2 of 4 |" in table


def test_the_table_in_the_documentation_comes_from_the_files(results):
    text = results.DOCUMENT.read_text("utf-8")
    expected = results.with_table(text, results.markdown(results.stored(results.HERE)))
    assert text == expected, "run 'python benchmarks/results.py'"
