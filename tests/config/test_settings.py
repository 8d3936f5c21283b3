"""Every setting of every schema: what it means, what it may be, and whether it names a run."""

from copy import deepcopy
from dataclasses import fields, is_dataclass, replace

import pytest
from omegaconf import MISSING

import src.entry  # noqa: F401 - makes all schemas known
from docs.settings import PAGE, settings_page
from src.config.setting import ALWAYS, CHANGED, NEVER, check, default_of, help_text, identity, setting, settings_of
from src.config.stages import ClassifierTrainingConfig
from src.config.store import SCHEMAS, STAGE
from src.errors import ConfigError
from tests.pipeline import compose_config


def all_schemas():
    """Every schema that a command can be composed of, those within others included."""
    found, waiting = [], [schema for schemas in SCHEMAS.values() for schema in schemas.values()]
    while waiting:
        schema = waiting.pop()
        if schema in found:
            continue
        found.append(schema)
        for entry in fields(schema):
            default = default_of(entry)
            for part in default if isinstance(default, list) else [default]:
                waiting += [type(part)] if is_dataclass(part) else []
    return sorted(found, key=lambda schema: schema.__name__)


SETTINGS = [(schema, entry) for schema in all_schemas() for entry in fields(schema)]
LIMITED = [(schema, entry) for schema, entry in SETTINGS if settings_of(schema)[entry.name].allowed]
CHANGEABLE = [(schema, entry) for schema, entry in SETTINGS if len(settings_of(schema)[entry.name].choices) != 1]


def name_of(value):
    return getattr(value, "__name__", None) or value.name


BAD = {
    "int": "many",
    "int | None": "many",
    "float": "much",
    "float | None": "much",
    "bool": "perhaps",
    "bool | None": "perhaps",
    "str": "[1,2]",
    "str | None": "[1,2]",
}


def instance(schema):
    """A config with an allowed value for whatever has no default."""
    needed = [entry.name for entry in fields(schema) if default_of(entry) == MISSING]
    return schema(**{name: next(iter(settings_of(schema)[name].choices), name) for name in needed})


def another(value, declared, kind):
    """An allowed value that differs from this one."""
    if isinstance(value, bool) or kind == "bool | None":
        return not value
    if is_dataclass(value):
        named = [name for name, one in settings_of(value).items() if one.names_run != NEVER] or list(settings_of(value))
        name = named[0]
        kinds = {entry.name: str(entry.type) for entry in fields(value)}
        return replace(value, **{name: another(getattr(value, name), settings_of(value)[name], kinds[name])})
    candidates = declared.choices or (
        (0.25, 0.75, 1, 2, 3, 0, 5, 16) if "int" in kind or "float" in kind else (f"{value}x",)
    )
    new = next(one for one in candidates if one not in (value, [value]) and declared.permits(one))
    if isinstance(value, list):
        return [*value, new]
    return {"x": 1.0} if isinstance(value, dict) else new


@pytest.mark.parametrize(("schema", "entry"), SETTINGS, ids=name_of)
def test_it_has_a_meaning_and_a_default_that_is_allowed(schema, entry):
    declared = settings_of(schema)[entry.name]
    assert declared.meaning
    assert not declared.meaning.endswith(".")
    check(instance(schema))


@pytest.mark.parametrize(("schema", "entry"), CHANGEABLE, ids=name_of)
def test_changing_it_changes_what_names_a_run_or_is_declared_not_to(schema, entry):
    declared, cfg = settings_of(schema)[entry.name], instance(schema)
    before = deepcopy(identity(cfg))
    changed = replace(cfg, **{entry.name: another(getattr(cfg, entry.name), declared, str(entry.type))})
    assert (identity(changed) != before) == (declared.names_run != NEVER)
    if declared.names_run == CHANGED:
        assert entry.name not in before
    if declared.names_run == ALWAYS:
        assert entry.name in before


@pytest.mark.parametrize(("schema", "entry"), LIMITED, ids=name_of)
def test_a_value_that_is_not_allowed_is_answered_by_one_sentence(schema, entry):
    declared = settings_of(schema)[entry.name]
    bad = "nonsense" if declared.choices else next(n for n in (-1e9, 1e9) if not declared.permits(n))
    value = [bad] if str(entry.type).startswith("list") else bad
    with pytest.raises(ConfigError) as refused:
        check(replace(instance(schema), **{entry.name: value}))
    assert str(refused.value) == f"{entry.name} should be {declared.allowed}, but is {bad!r}."


STAGES = {
    "dataset": ("prepare_dataset", "dataset={name}", "dataset."),
    "recommender": ("train_recommender", "recommender={name}", "recommender."),
    "backbone": ("train_classifier", "backbone=resnet18", "backbone."),
    "method": ("train_classifier", "method=image_only", "method."),
    "optimizer": ("train_classifier", "optimizer={name}", "optimizer."),
    "trainer": ("train_classifier", "trainer=default", "trainer."),
}


def on_the_command_line():
    """Each setting of a plain type as a command names it."""
    for group, schemas in SCHEMAS.items():
        for name, schema in schemas.items():
            stage, choice, prefix = STAGES.get(group, (name, None, ""))
            if stage == "run_experiment" or name == "joint":  # the former takes no overrides from Hydra
                continue
            for entry in fields(schema):
                if str(entry.type) in BAD and not (group == "recommender" and entry.name == "name"):
                    yield stage, choice and choice.format(name=name), f"{prefix}{entry.name}", BAD[str(entry.type)]


@pytest.mark.slow  # each of some 200 settings composes a command
@pytest.mark.parametrize(("stage", "choice", "key", "bad"), list(on_the_command_line()), ids=lambda value: str(value))
def test_a_value_of_the_wrong_type_is_answered_by_one_sentence_that_names_the_setting(stage, choice, key, bad):
    with pytest.raises(ConfigError) as refused:
        compose_config(stage, *([choice] if choice else []), f"{key}={bad}")
    message = str(refused.value)
    assert key in message
    assert "\n" not in message


def test_ranges_and_choices():
    declared = settings_of(ClassifierTrainingConfig)["dropout"]
    assert [declared.permits(value) for value in (-0.1, 0.0, 0.999, 1.0)] == [False, True, True, False]
    assert settings_of(ClassifierTrainingConfig)["lr"].permits(None)
    assert setting(1, "x", choices="a | b").metadata["setting"].choices == ("a", "b")


def test_help_and_the_page_show_every_meaning():
    page = settings_page()
    assert PAGE.read_text() == page, "run PYTHONPATH=. python docs/settings.py"
    for schema, entry in SETTINGS:
        assert str(settings_of(schema)[entry.name]) in page or schema.__name__ == "SearchConfig"
    assert "share of train items that keep their labels (in [0, 1])" in help_text(ClassifierTrainingConfig)
    assert set(SCHEMAS[STAGE]) >= {"prepare_dataset", "use_model", "run_experiment"}
