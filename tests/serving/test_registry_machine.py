"""Whatever is done to the folder in whatever order, what answers is what should."""

import hashlib
import json
import pathlib
import shutil
import tempfile
from types import SimpleNamespace

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mastery_jax.workflow import labels, manifest
from mastery_jax.workflow.errors import ArtifactError
from serving.models import policy
from serving.models.registry import Registry

NAMES, VERSIONS = ("a", "b"), (1, 2, 3)
LABELS = ("stable", "canary")

names, versions, marks = (st.sampled_from(each) for each in (NAMES, VERSIONS, LABELS))


def load(folder):
    """Stand in for the real one: a version is its content, and may be broken."""
    content = (folder / "content").read_text()
    if content.startswith("broken"):
        raise ArtifactError(f"{folder}: {content}")
    return Version(folder.parent.name, int(folder.name), manifest.digest(folder), content)


class Version(SimpleNamespace):
    def __init__(self, name, version, digest, content):
        super().__init__(name=name, version=version, content=content, is_sound=True)
        self.identity = version, digest

    __hash__ = object.__hash__


class Machine(RuleBasedStateMachine):
    """A folder of models, what was done to it, and what should answer after the next look."""

    def __init__(self):
        super().__init__()
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.registry = Registry(self.folder, load)
        self.disk: dict[str, dict[int, str]] = {name: {} for name in NAMES}
        self.labels: dict[str, dict[str, int]] = {name: {} for name in NAMES}
        self.many: dict[str, int] = dict.fromkeys(NAMES, 1)
        self.serial = 0

    def teardown(self):
        self.registry.__exit__()
        shutil.rmtree(self.folder)

    def write(self, name, version, content):
        place = self.folder / name / str(version)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        (place / "content").write_text(content)
        (place / manifest.SUMS).write_text(hashlib.sha256(content.encode()).hexdigest())
        self.disk[name][version] = content

    @rule(name=names, version=versions, is_broken=st.booleans())
    def publish(self, name, version, is_broken):
        self.serial += 1
        self.write(name, version, f"{'broken' if is_broken else 'whole'} {self.serial}")

    @rule(name=names, version=versions)
    def remove(self, name, version):
        shutil.rmtree(self.folder / name / str(version), ignore_errors=True)
        self.disk[name].pop(version, None)

    @rule(name=names, version=versions, label=marks)
    def move(self, name, version, label):
        if version in self.disk[name]:
            self.labels[name][label] = version
            (self.folder / name / labels.FILE).write_text(json.dumps(self.labels[name]))

    @rule(name=names, count=st.integers(1, 3))
    def keep(self, name, count):
        if (self.folder / name).exists():
            self.many[name] = count
            (self.folder / name / policy.FILE).write_text(json.dumps({"versions": count}))

    @rule(name=names)
    def unload(self, name):
        self.registry.unload(name).result()
        assert name not in self.registry.snapshot.models

    @rule(name=names)
    def load_again(self, name):
        before = self.registry.snapshot.models.get(name)
        self.registry.load(name).result()
        self.check(name, before)

    @rule()
    def reload(self):
        before = dict(self.registry.snapshot.models)
        told = self.registry.reload().result()
        for name in NAMES:
            self.check(name, before.get(name))
        after = self.registry.snapshot.models
        assert told.models_loaded == len(after)
        names = {f"{m.name}/{m.version}" for s in after.values() for m in s.versions.values()}
        assert set(told.loaded) <= names

    def check(self, name, before):
        """Hold what answers against the folder, and what answered before."""
        served = self.registry.snapshot.models.get(name)
        disk = self.disk[name]
        if not disk or self.registry.words.is_unloaded(name):
            assert served is None
            return
        whole = {version for version, content in disk.items() if content.startswith("whole")}
        if served is None:
            assert before is None, "nothing takes the last version away but its removal"
            asked = {*sorted(disk)[-self.many[name] :], *self.labels[name].values()}
            assert not whole & asked
            return
        for version, model in served.versions.items():
            if version in whole:
                assert model.content == disk[version], "what is whole is what answers"
            else:
                assert before is not None
                assert before.versions.get(version) is model, "the old one goes on"
        broken = {f.version for f in self.registry.snapshot.failed.get(name, ())}
        if not broken:
            wanted = set(sorted(disk)[-self.many[name] :]) | set(self.labels[name].values())
            assert served.versions.keys() == wanted
            stable = self.labels[name].get("stable", max(wanted))
            assert served.default.version == stable
            assert served.labels == self.labels[name]

    @invariant()
    def every_address_answers(self):
        for served in self.registry.snapshot.models.values():
            assert served.default in served.versions.values()
            for label, version in served.labels.items():
                assert served.pick(label) is served.versions[version]
            if served.lost is None:
                assert served.pick() is served.default
            else:
                assert self.labels[served.name]["stable"] not in served.versions


TestRegistry = Machine.TestCase
TestRegistry.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, derandomize=True
)
