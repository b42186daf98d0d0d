"""What stays as the user set it, what is measured, what is remembered, and what a dead child does.

The child's readings are made up, except in the one test that really measures.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from localassist import clock
from localassist.child import Outcome
from localassist.engine import EngineSettings, probe, tuning
from localassist.engine.config import LoraAdapter
from localassist.engine.machine import usable_cores
from localassist.engine.passes import Pass
from localassist.engine.probe import Findings, ask_child
from localassist.engine.tuning import decide, tuned
from localassist.errors import ModelLoadFailed

pytestmark = pytest.mark.model


def readings(*, share: float = 1.0, single: float = 0.01) -> tuple[Pass, ...]:
    """One thread is best for single rows, three for several, and 128 rows at once."""
    return (
        Pass(1, 1, single, share),
        Pass(1, 3, 0.02, share),
        Pass(8, 1, 0.08, share),
        Pass(8, 3, 0.04, share),
        Pass(128, 3, 0.5, share),
        Pass(512, 3, 4.0, share),
    )


class Child:
    """Answers in place of the child process, and notes what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Findings) -> None:
        self.asked: list[tuple[bool, float]] = []
        self._answers = list(answers)
        monkeypatch.setattr(tuning, "ask_child", self)

    def __call__(
        self,
        path: Path,
        settings: EngineSettings,
        *,
        use_extra_buffers: bool,
        measuring_seconds: float,
        check: Callable[[], None],
    ) -> Findings:
        self.asked.append((use_extra_buffers, measuring_seconds))
        return self._answers.pop(0)


def settled(settings: EngineSettings) -> tuple[object, ...]:
    return (
        settings.threads,
        settings.batch_threads,
        settings.micro_batch_tokens,
        settings.use_extra_buffers,
    )


def test_one_child_answers_everything_once(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = Child(monkeypatch, Findings(True, readings()))
    folder = tmp_path / "new" / "folder"
    for _ in range(2):
        assert settled(tuned(EngineSettings(), model_path, folder)) == (1, 3, 128, "on")
    assert child.asked == [(True, EngineSettings().tuning_seconds)]
    assert sorted(path.name for path in folder.iterdir()) == ["extra_buffers.json", "tuning.json"]


def test_what_the_user_set_stays(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = Child(monkeypatch, Findings(True, readings()))
    settings = EngineSettings(threads=5, use_extra_buffers="off")
    assert settled(tuned(settings, model_path, tmp_path)) == (5, 3, 128, "off")
    assert child.asked == [(False, settings.tuning_seconds)]
    settings = EngineSettings(
        threads=5, batch_threads=6, micro_batch_tokens=64, use_extra_buffers="on"
    )
    assert tuned(settings, tmp_path / "not even there", tmp_path) == settings


def test_a_crash_with_repacked_weights_is_tried_again_without(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = Child(monkeypatch, Findings(False), Findings(True, readings()))
    for _ in range(2):
        assert settled(tuned(EngineSettings(), model_path, tmp_path)) == (1, 3, 128, "off")
    assert [use for use, _ in child.asked] == [True, False]


def test_safe_values_where_every_child_dies(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three loads try; then the machine is left alone."""
    child = Child(monkeypatch, *[Findings(False)] * 4)
    safe = (usable_cores(), usable_cores(), 512, "off")
    for _ in range(5):
        assert settled(tuned(EngineSettings(), model_path, tmp_path)) == safe
    assert [use for use, _ in child.asked] == [True, False, False, False]


def test_a_child_that_was_stopped_is_asked_again_at_the_next_load(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = [Findings(False, is_certain=False)] * 4
    Child(monkeypatch, *stopped, Findings(True, readings()))
    for _ in range(4):
        safe = (usable_cores(), usable_cores(), 512, "off")
        assert settled(tuned(EngineSettings(), model_path, tmp_path)) == safe
    assert settled(tuned(EngineSettings(), model_path, tmp_path)) == (1, 3, 128, "on")


def test_a_busy_machine_is_measured_again_and_the_best_readings_count(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = Child(
        monkeypatch,
        Findings(True, readings(share=0.5, single=0.08)),
        Findings(True, readings(share=0.9)),
        Findings(True, readings(share=0.9)),
    )
    threads = [tuned(EngineSettings(), model_path, tmp_path).threads for _ in range(3)]
    assert threads == [3, 1, 1]
    # The second try was quiet where it was shorter, not where it was only as long.
    assert len(child.asked) == 3


def test_a_machine_that_was_never_quiet_is_measured_once_a_day(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Findings(True, readings(share=0.5, single=0.08))
    child = Child(monkeypatch, *[busy] * 3, Findings(True, readings(single=0.005)))
    for _ in range(5):
        tuned(EngineSettings(), model_path, tmp_path)
    assert len(child.asked) == 3
    later = clock.now() + 25 * 3600
    monkeypatch.setattr(clock, "now", lambda: later)
    assert tuned(EngineSettings(), model_path, tmp_path).threads == 1
    assert len(child.asked) == 4


def test_no_time_measures_nothing_but_survival(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = Child(monkeypatch, Findings(True), Findings(True, readings()))
    settings = EngineSettings(tuning_seconds=0)
    for _ in range(2):
        found = settled(tuned(settings, model_path, tmp_path))
        assert found == (usable_cores(), usable_cores(), 512, "on")
    assert child.asked == [(True, 0.0)]
    assert settled(tuned(EngineSettings(), model_path, tmp_path)) == (1, 3, 128, "on")


def test_other_settings_are_another_measurement(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = Child(monkeypatch, *[Findings(True, readings())] * 2)
    tuned(EngineSettings(), model_path, tmp_path)
    tuned(EngineSettings(max_sequences=2), model_path, tmp_path)
    assert len(child.asked) == 1
    tuned(EngineSettings(cache_type_k="q8_0"), model_path, tmp_path)
    assert len(child.asked) == 2


@pytest.mark.parametrize("content", ["", "[]", "{", '{"other": 3}', "changed"])
@pytest.mark.parametrize("name", ["extra_buffers.json", "tuning.json"])
def test_a_damaged_file_is_asked_again_and_replaced(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str
) -> None:
    Child(monkeypatch, *[Findings(True, readings())] * 3)
    tuned(EngineSettings(), model_path, tmp_path)
    file = tmp_path / name
    if content == "changed":
        content = json.dumps({key: {"tries": "x"} for key in json.loads(file.read_text())})
    file.write_text(content)
    assert settled(tuned(EngineSettings(), model_path, tmp_path)) == (1, 3, 128, "on")
    assert len(json.loads(file.read_text())) >= 1


def test_a_folder_that_cannot_be_written_only_forgets(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Child(monkeypatch, *[Findings(True, readings())] * 2)
    (tmp_path / "file").write_text("")
    for _ in range(2):
        found = tuned(EngineSettings(), model_path, tmp_path / "file")
        assert settled(found) == (1, 3, 128, "on")


def test_a_failed_write_leaves_nothing_behind(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Child(monkeypatch, Findings(True, readings()))
    in_the_way = [tmp_path / "tuning.json", tmp_path / "extra_buffers.json"]
    for path in in_the_way:
        path.mkdir()
    assert settled(tuned(EngineSettings(), model_path, tmp_path)) == (1, 3, 128, "on")
    assert sorted(tmp_path.iterdir()) == sorted(in_the_way)


def test_no_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailed):
        tuned(EngineSettings(), tmp_path / "missing.gguf", tmp_path)


def test_a_decision_keeps_its_readings() -> None:
    found = decide(readings(), 512)
    assert (found.threads, found.batch_threads, found.micro_batch) == (1, 3, 128)
    assert found.measurements == readings()


def test_the_embedded_model_is_really_measured(model_path: Path, tmp_path: Path) -> None:
    """On a busy machine fewer readings fit; whatever was found must be possible."""
    settings = EngineSettings(use_extra_buffers="off", tuning_seconds=1.0)
    found = tuned(settings, model_path, tmp_path)
    assert found.threads in range(1, usable_cores() + 1)
    assert found.batch_threads in range(1, usable_cores() + 1)
    assert found.micro_batch_tokens in (512, 256, 128)
    (entry,) = json.loads((tmp_path / "tuning.json").read_text()).values()
    assert entry["model"] == model_path.name and entry["tries"] == 1
    assert all(one["seconds"] > 0 for one in entry["passes"])
    assert {one["rows"] for one in entry["passes"]} >= {1}


def test_a_child_that_hangs_is_a_no(model_path: Path) -> None:
    ask = {"use_extra_buffers": True, "measuring_seconds": 0.0}
    short = EngineSettings(probe_seconds=0.01)
    assert ask_child(model_path, short, **ask) == Findings(False)


@pytest.mark.parametrize(
    ("exit_code", "is_certain"),
    [(-signal.SIGILL, True), (-signal.SIGSEGV, True), (0xC0000005, True), (None, True)]
    + [(code, False) for code in (1, -signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL)],
)
def test_only_a_crash_speaks_against_repacked_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, exit_code: int | None, is_certain: bool
) -> None:
    monkeypatch.setattr(probe, "run_child", lambda *_, **__: Outcome((), exit_code))
    found = ask_child(
        tmp_path / "m.gguf", EngineSettings(), use_extra_buffers=True, measuring_seconds=0.0
    )
    assert found == Findings(False, is_certain=is_certain)


def test_a_missing_adapter_does_not_speak_against_repacked_weights(
    model_path: Path, tmp_path: Path
) -> None:
    settings = EngineSettings(lora=(LoraAdapter(path=tmp_path / "missing.gguf"),))
    found = ask_child(model_path, settings, use_extra_buffers=True, measuring_seconds=0.0)
    assert found == Findings(False, is_certain=False)
