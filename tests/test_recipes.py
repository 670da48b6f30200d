"""Recipes: the packaged ones, files and settings of a user's own, and how a wrong one is refused."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from digit_recognizer.errors import DigitsError
from digit_recognizer.networks.build import build_network
from digit_recognizer.networks.summary import count_parameters
from digit_recognizer.recipes import (
    Recipe,
    as_recipe,
    load_recipe,
    recipe_from_toml,
    recipe_names,
    recipe_text,
    recipe_to_toml,
)
from digit_recognizer.recipes.schema import (
    Adam,
    AdamW,
    Augmentation,
    Constant,
    Muon,
    OneCycle,
    Plateau,
    Precision,
    RMSprop,
    Shifts,
    Split,
    Stopping,
)
from helpers import TINY, refusal, says, tiny

REPRODUCED = ["alexnet28", "five-layer", "five-layer-one-epoch", "plain", "three-blocks"]  # of other authors
ALL = sorted([*REPRODUCED, "best", "flash", "quick", "reader", "standard", "tiny"])
WITHOUT_NETWORK = re.sub("^network = .*$", "", TINY, flags=re.MULTILINE)


def refused(*settings: str, text: str = TINY) -> str:
    return refusal(lambda: recipe_from_toml(text, "mine.toml", settings))


# Packaged recipes


def test_the_package_contains_these_recipes():
    assert recipe_names() == ALL


@pytest.mark.parametrize("name", ALL)
def test_a_packaged_recipe_has_the_name_of_its_file_and_a_summary(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.summary
    assert ("%" in recipe.reached) == (name in REPRODUCED)


@pytest.mark.parametrize(
    ("name", "parameters", "trained"),
    [
        ("alexnet28", 92_959_434, 92_959_434),
        ("three-blocks", 138_410, 137_962),
        ("five-layer", 887_530, 887_530),
        ("five-layer-one-epoch", 887_530, 887_530),
        ("plain", 454_922, 454_922),
        ("quick", 188_746, 188_746),
        ("standard", 321_226, 321_226),
    ],
)
def test_a_network_has_exactly_the_parameters_stated_in_its_file(name, parameters, trained):
    assert f"{parameters:,} parameters" in recipe_text(name)
    with torch.device("meta"):
        network = build_network(load_recipe(name))
    assert count_parameters(network) == (parameters, trained)


TEN = Augmentation(rotation=10, zoom=0.1, shift=0.1)
RMS = RMSprop("rmsprop", learning_rate=1e-3, rho=0.9, epsilon=1e-8)
HALVE = Plateau("plateau", monitor="validation_accuracy", factor=0.5, patience=3, floor=1e-5)
TENTH = Plateau("plateau", monitor="loss", factor=0.1, patience=2, floor=1e-6)
EARLY = Stopping(monitor="validation_loss", patience=5)


@pytest.mark.parametrize(
    ("name", "validation", "augmentation", "optimizer", "schedule", "stopping", "batch_size", "epochs"),
    [
        ("alexnet28", 0.1, TEN, Adam("adam", 1e-4), TENTH, None, 64, 50),
        ("three-blocks", 0.2, Augmentation(8, 0.1, 0.05), Adam("adam", 1e-3), Constant(), EARLY, 128, 100),
        ("five-layer", 0.1, TEN, RMS, HALVE, None, 86, 30),
        ("five-layer-one-epoch", 0.1, TEN, RMS, HALVE, None, 86, 1),
        ("plain", 0.2, None, Adam("adam", 1e-3), Constant(), None, 64, 10),
    ],
)
def test_a_reproduced_recipe_trains_as_its_author_did(
    name, validation, augmentation, optimizer, schedule, stopping, batch_size, epochs
):
    recipe = load_recipe(name)
    assert recipe.split == Split(validation)
    assert recipe.augmentation == augmentation
    assert recipe.optimizer == optimizer
    assert recipe.schedule == schedule
    assert recipe.stopping == stopping
    assert (recipe.batch_size, recipe.epochs) == (batch_size, epochs)


def test_optimizers_and_callbacks_have_the_defaults_of_keras():
    assert Adam("adam") == Adam("adam", learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
    assert RMSprop("rmsprop") == RMSprop("rmsprop", learning_rate=1e-3, rho=0.9, epsilon=1e-7)
    assert Plateau("plateau", "loss", 0.1, 10).min_delta == 1e-4
    assert Stopping("loss", 1).min_delta == 0


FIVE_LAYER = (
    "conv 32 5x5 same relu, conv 32 5x5 same relu, maxpool 2, dropout 0.25, conv 64 3x3 same relu, "
    "conv 64 3x3 same relu, maxpool 2, dropout 0.25, dense 256 relu, dropout 0.5, dense 10"
)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        (
            "alexnet28",
            "conv 96 11x11 stride 2 valid relu, maxpool 3 stride 2, conv 256 5x5 same relu, dense 9216 relu, "
            "dense 4096 relu, dense 4096 relu, dense 10",
        ),
        (
            "three-blocks",
            "conv 32 3x3 valid relu, conv 32 3x3 valid relu, maxpool 2, batchnorm, dropout 0.2, "
            "conv 64 3x3 valid relu, maxpool 2, batchnorm, dropout 0.2, conv 128 3x3 valid relu, maxpool 2, "
            "batchnorm, dense 256 relu, dropout 0.5, dense 10",
        ),
        ("five-layer", FIVE_LAYER),
        ("five-layer-one-epoch", FIVE_LAYER.replace("dropout 0.5", "dropout 0.25")),
    ],
)
def test_a_reproduced_network_has_the_layers_of_the_original(name, layers):
    assert ", ".join(load_recipe(name).network) == layers


# Reading and writing


@pytest.mark.parametrize("name", ALL)
def test_a_packaged_recipe_survives_a_round_trip_through_toml(name):
    recipe = load_recipe(name)
    assert recipe_from_toml(recipe_to_toml(recipe), "again.toml") == recipe


FRACTIONS = st.floats(0, 1, exclude_max=True)


@given(
    summary=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    rate=st.floats(1e-12, 1e3),
    optimizer=st.sampled_from([Adam, AdamW, Muon, RMSprop]),
    augmentation=st.none()
    | st.builds(Augmentation, st.floats(0, 180), *[st.floats(0, 0.99) for _ in range(3)]),
    schedule=st.sampled_from([Constant(), HALVE, TENTH])
    | st.builds(OneCycle, st.just("one-cycle"), FRACTIONS),
    stopping=st.sampled_from([None, EARLY]),
    networks=st.sampled_from(
        [
            {"network": "mine:build"},
            {"network": "my.package:build"},
            {"network": ("relu", "dense 10")},
            {"network": (), "networks": (("dense 10",), "mine:build", ("relu", "dense 10"))},
        ]
    ),
    shifts=st.none() | st.builds(Shifts, st.integers(1, 8), st.floats(0.01, 1)),
    members=st.integers(1, 1_000),
    smoothing=FRACTIONS,
)
def test_any_recipe_survives_a_round_trip_through_toml(
    summary, rate, optimizer, augmentation, schedule, stopping, networks, shifts, members, smoothing
):
    name = {Adam: "adam", AdamW: "adamw", Muon: "muon", RMSprop: "rmsprop"}[optimizer]
    recipe = tiny(
        summary=summary,
        optimizer=optimizer(name, rate),
        augmentation=augmentation,
        schedule=schedule,
        stopping=stopping,
        shifts=shifts,
        members=members,
        label_smoothing=smoothing,
        **networks,
    )
    assert recipe_from_toml(recipe_to_toml(recipe), "again.toml") == recipe
    assert recipe.with_settings([]) == recipe


def test_a_recipe_is_immutable():
    with pytest.raises(FrozenInstanceError):
        tiny().epochs = 3  # type: ignore[misc]


def test_a_recipe_may_be_a_users_own_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TINY)
    assert load_recipe(path) == load_recipe(str(path)) == as_recipe(path) == tiny() == as_recipe(tiny())
    path.write_text(recipe_text("three-blocks"))
    assert load_recipe(path) == load_recipe("three-blocks")


def test_a_recipe_has_no_extras_by_default():
    recipe = recipe_from_toml(
        'name="least"\nsummary=""\nnetwork=["dense 10"]\nepochs=1\nbatch_size=1\noptimizer={name="adam"}', "x"
    )
    assert (recipe.augmentation, recipe.stopping, recipe.schedule) == (None, None, Constant())
    assert recipe.split == Split(0.1)
    assert recipe.precision == Precision("auto", "auto", "auto")
    assert (recipe.members, recipe.networks, recipe.shifts, recipe.label_smoothing) == (1, (), None, 0)


# Settings


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("epochs=3", tiny(epochs=3)),
        (" epochs = 3 ", tiny(epochs=3)),
        ("optimizer.learning_rate=1", tiny(optimizer=Adam("adam", 1.0))),
        ("split.validation=0.25", tiny(split=Split(0.25))),
        ("precision=bfloat16", tiny(precision="bfloat16")),
        ('precision="bfloat16"', tiny(precision=Precision("bfloat16", "bfloat16", "bfloat16"))),
        ("precision={muon='float32'}", tiny(precision=Precision("auto", "auto", "float32"))),
        ("augmentation.rotation=5", tiny(augmentation=Augmentation(rotation=5))),
        ('network=["dense 10"]', tiny(network=("dense 10",))),
        ("network=mine:build", tiny(network="mine:build")),
        ("schedule={name='constant'}", tiny()),
        ("schedule.name=one-cycle", tiny(schedule=OneCycle("one-cycle", warmup=0.2))),
        ("augmentation.shear=0.2", tiny(augmentation=Augmentation(shear=0.2))),
        ("optimizer.name=adamw", tiny(optimizer=AdamW("adamw", 0.01))),
        ("optimizer.name=muon", tiny(optimizer=Muon("muon", 0.01))),
        ("members=3", tiny(members=3)),
        ("label_smoothing=0.1", tiny(label_smoothing=0.1)),
        ("shifts.pixels=2", tiny(shifts=Shifts(pixels=2, unsure_below=1.0))),
        ("shifts={}", tiny(shifts=Shifts(pixels=1, unsure_below=1.0))),
    ],
)
def test_a_setting_changes_one_thing(setting, expected):
    assert tiny(setting) == expected


def test_the_last_of_two_settings_of_a_key_counts():
    assert tiny("epochs=3", "epochs=4").epochs == 4


@pytest.mark.parametrize("name", ["three-blocks", "best", "reader"])
@pytest.mark.parametrize(
    "settings",
    [
        ("epochs=3", "augmentation.zoom=0.3", "split.validation=0.25"),
        ("network=mine:build",),
        ("stopping={monitor='loss', patience=1}", "stopping.patience=7"),
        ("optimizer.name=rmsprop",),
        ("optimizer.learning_rate=0",),
        ("epochs.more=3",),
        ("networks=[5]",),
        ("nothing=3",),
    ],
)
def test_a_recipe_is_changed_as_its_toml_is(name, settings):
    """The file is the oracle, for what is refused too; the recipe itself stays as it is."""

    def outcome(change):
        try:
            return change()
        except DigitsError as error:
            return str(error)

    recipe = load_recipe(name)
    found = outcome(lambda: recipe.with_settings(settings, where="mine.toml"))
    assert found == outcome(lambda: recipe_from_toml(recipe_to_toml(recipe), "mine.toml", settings))
    assert recipe == load_recipe(name)


def test_a_recipe_is_named_in_errors_of_its_settings():
    assert refusal(lambda: tiny().with_settings(["epochs=0"])).startswith("tiny: epochs: ")


@pytest.mark.parametrize("setting", ["epochs", "=3", "", "optimizer.=3"])
def test_a_malformed_setting_is_quoted(setting):
    assert says(refused(setting), "expected", "epochs=3", f"got {setting!r}")


def test_a_setting_inside_a_plain_value_is_refused():
    assert says(refused("epochs.more=3"), "'epochs.more=3'", "'epochs'")


@pytest.mark.parametrize(
    ("setting", "key", "meant"),
    [
        ("epoch=3", "epoch", "did you mean 'epochs'?"),
        ("learning_rate=0.1", "learning_rate", "did you mean 'optimizer.learning_rate'?"),
        ("lr=0.1", "lr", "did you mean 'optimizer.learning_rate'?"),
        ("optimiser.learning_rate=0.1", "optimiser", "did you mean 'optimizer'?"),
        ("rotation=3", "rotation", "did you mean 'augmentation.rotation'?"),
        ("augmentation.rotate=3", "augmentation.rotate", "did you mean 'augmentation.rotation'?"),
        ("optimizer.momentum=0.9", "optimizer.momentum", "it belongs to another optimizer.name"),
        ("split.test=0.1", "split.test", ""),
        ("banana=1", "banana", ""),
        ("schedule={name='constant', factor=2}", "schedule.factor", "it belongs to another schedule.name"),
        ("schedule={name='one-cycle', floor=0.1}", "schedule.floor", "it belongs to another schedule.name"),
        ("optimizer={name='muon', beta_1=0.9}", "optimizer.beta_1", "it belongs to another optimizer.name"),
        ("shifts.pixel=1", "shifts.pixel", "did you mean 'shifts.pixels'?"),
    ],
)
def test_an_unknown_key_is_named_and_the_nearest_suggested(setting, key, meant):
    assert refused(setting) == f"mine.toml: there is no key {key!r}" + (f"; {meant}" if meant else "")


SCHEDULE = "schedule={name='plateau',monitor='loss',factor=0.5,patience=2}"


@pytest.mark.parametrize(
    "settings",
    [
        *("epochs=many", "epochs=2.5", "epochs=0", "epochs=100001", "batch_size=[1]", "batch_size=-1"),
        *("precision=float64", "name=Mine", "name=../elsewhere", "members=0", "members=1001", "members=1.5"),
        *("split.validation=1", "split.validation=-0.1", "split.validation=nan"),
        *("optimizer.learning_rate=fast", "optimizer.learning_rate=0", "optimizer.learning_rate=inf"),
        *("optimizer.learning_rate=nan", "optimizer.beta_1=1", "augmentation.rotation=181"),
        *("augmentation.zoom=1", "augmentation.shear=1", "label_smoothing=1", "label_smoothing=-0.1"),
        *("shifts.pixels=0", "shifts.pixels=9", "shifts.unsure_below=0", "shifts.unsure_below=1.1"),
        *(f"{SCHEDULE} schedule.factor=1", "schedule.name=one-cycle schedule.warmup=1"),
        *("stopping.monitor=loss stopping.patience=0", "optimizer.name=muon optimizer.momentum=1"),
        *("optimizer.name=muon optimizer.vectors=0", "optimizer.name=adamw optimizer.weight_decay=-1"),
    ],
)
def test_a_value_of_the_wrong_kind_or_size_is_named_with_its_key(settings):
    key, _, value = settings.split()[-1].partition("=")
    message = refused(*settings.split())
    assert message.startswith(f"mine.toml: {key}: ")
    assert message.replace("'", "").endswith(f"got {value}")


@pytest.mark.parametrize("key", ["name", "summary", "network", "epochs", "batch_size"])
def test_a_missing_key_is_named(key):
    text = re.sub(f"^{key} = .*$", "", TINY, count=1, flags=re.MULTILINE)
    assert refused(text=text) == f"mine.toml: the key '{key}' is missing"
    assert says(refused(text=TINY[: TINY.index("[optimizer]")]), "'optimizer'", "missing")


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("schedule.factor=0.5", "schedule.name"),
        ("optimizer={learning_rate=1}", "optimizer.name"),
        ("network=[]", "network"),
        ("network=''", "network"),
    ],
)
def test_a_table_without_its_name_and_an_empty_network_are_missing_keys(setting, key):
    assert refused(setting) == f"mine.toml: the key '{key}' is missing"


def test_an_unknown_optimizer_is_named_with_the_known_ones():
    message = refused("optimizer.name=sgd")
    assert says(message, "mine.toml: optimizer.name: ", "'adam', 'adamw', 'muon', 'rmsprop'", "'sgd'")


def test_all_problems_are_reported_at_once():
    assert says(refused("epochs=0", "batch_size=0"), "epochs: ", "batch_size: ")


@pytest.mark.parametrize("table", ["schedule={name='plateau', factor=0.5, ", "stopping={"])
@pytest.mark.parametrize("monitor", ["validation_loss", "validation_accuracy"])
def test_a_validation_that_there_is_not_cannot_be_monitored(table, monitor):
    message = refused("split.validation=0", f"{table}monitor='{monitor}', patience=2}}")
    assert says(message, f"{table.split('=')[0]}.monitor is {monitor}", "split.validation is 0")


def test_the_training_loss_can_be_monitored_without_validation():
    assert isinstance(tiny("split.validation=0", "stopping={monitor='loss', patience=2}"), Recipe)


# Networks


def test_a_wrong_line_of_the_network_is_named_by_its_number():
    message = refused('network=["conv 4 3x3 relu", "conv 4 3", "dense 10"]')
    assert says(message, "mine.toml: network line 2 ('conv 4 3'): ", "5x5", "'3'")


@pytest.mark.parametrize("value", ["[1, 2]", "5", "['dense 10', 5]", "{a=1}"])
def test_a_network_that_is_not_a_list_of_lines_is_refused(value):
    assert says(refused(f"network={value}"), "mine.toml: network: ", "a list of layers", "'module:function'")


@pytest.mark.parametrize(
    "value",
    ["[1, 2]", "5", "['dense 10', 5]", "[['dense 10'], 5]", "[['dense 10', 5]]", "{a=1}", "mine:build"],
)
def test_networks_that_are_not_a_list_of_networks_are_refused(value):
    message = refused(f"networks={value}", text=WITHOUT_NETWORK)
    assert says(message, "mine.toml: networks: ", "a list of layers", "'module:function'")


@pytest.mark.parametrize(
    ("networks", "facts"),
    [
        ("[['dense 10'], ['conv 4 3', 'dense 10']]", ["network line 1 ('conv 4 3')"]),
        ("['mine:build', 'mine']", ["'module:function'", "got 'mine'"]),
        ("[['dense 10'], []]", ["no layers", "'dense 10'"]),
        ("[]", ["'network' is missing"]),
    ],
)
def test_one_wrong_network_of_several_is_named(networks, facts):
    assert says(refused(f"networks={networks}", text=WITHOUT_NETWORK), "mine.toml: ", *facts)


def test_a_recipe_has_either_network_or_networks():
    assert says(refused('networks=[["dense 10"]]'), "network or networks", "both")


@pytest.mark.parametrize("network", ["mine", "mine:", ":build", "my module:build", "a:b:c", "mine:build()"])
def test_a_network_that_names_no_function_is_refused(network):
    assert says(refused(f"network='{network}'"), "'module:function'", repr(network))


def test_members_use_networks_in_turn():
    first, second = ("dense 10",), ("relu", "dense 10")
    recipe = tiny(network=(), networks=(first, second), members=5)
    assert [recipe.network_of(member) for member in range(1, 6)] == [first, second, first, second, first]
    assert tiny(members=2).network_of(2) == tiny().network


@pytest.mark.parametrize(
    ("settings", "watches"),
    [
        ((), False),
        (("stopping={monitor='validation_loss', patience=2}",), True),
        (("stopping={monitor='accuracy', patience=2}",), False),
        (("schedule={name='plateau', monitor='validation_accuracy', factor=0.5, patience=2}",), True),
        (("schedule={name='plateau', monitor='loss', factor=0.5, patience=2}",), False),
        (("schedule={name='one-cycle'}",), False),
    ],
)
def test_a_recipe_knows_whether_it_depends_on_validation_images(settings, watches):
    assert tiny(*settings).watches_validation == watches


# Files


def test_a_file_that_is_not_toml_is_refused_with_the_line():
    assert says(refused(text="name = mine\n"), "mine.toml: ", "TOML", "line 1")


def test_an_unknown_recipe_is_refused_with_the_known_ones():
    assert says(
        refusal(lambda: load_recipe("lenet")), "'lenet'", ", ".join(sorted([*ALL, "numbers"])), ".toml"
    )


def test_a_recipe_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name, reason in (("none.toml", "No such file"), ("folder.toml", ""), ("binary.toml", "")):
        path = tmp_path / name
        assert says(refusal(lambda: load_recipe(path)), f"cannot read the recipe {path}", reason)  # noqa: B023
