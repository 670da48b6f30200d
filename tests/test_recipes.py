"""Recipes: what the package's say, what a file of one's own may say, and how a wrong one is refused."""

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
from digit_recognizer.recipes.layers import BatchNorm, Conv, Dense, Dropout, Pool, parse_layers
from digit_recognizer.recipes.recipe import (
    Recipe,
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
from helpers import TINY, tiny

FIVE = ["alexnet28", "five-layer", "five-layer-one-epoch", "plain", "three-blocks"]  # of other authors
OURS = ["best", "flash", "quick", "reader", "standard", "tiny"]
ALL = sorted([*FIVE, *OURS])


def refusal(text: str = TINY, settings: tuple[str, ...] = ()) -> str:
    with pytest.raises(DigitsError) as error:
        recipe_from_toml(text, "mine.toml", settings)
    return str(error.value)


def test_the_package_brings_ten_recipes():
    assert recipe_names() == ALL


@pytest.mark.parametrize("name", FIVE)
def test_a_recipe_is_called_as_its_file_and_says_what_it_reached(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.summary
    assert "%" in recipe.reached


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
def test_a_network_has_exactly_the_parameters_that_its_file_names(name, parameters, trained):
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
    ("name", "held_out", "augmentation", "optimizer", "schedule", "stopping", "batch_size", "epochs"),
    [
        ("alexnet28", 0.1, TEN, Adam("adam", 1e-4), TENTH, None, 64, 50),
        ("three-blocks", 0.2, Augmentation(8, 0.1, 0.05), Adam("adam", 1e-3), Constant(), EARLY, 128, 100),
        ("five-layer", 0.1, TEN, RMS, HALVE, None, 86, 30),
        ("five-layer-one-epoch", 0.1, TEN, RMS, HALVE, None, 86, 1),
        ("plain", 0.2, None, Adam("adam", 1e-3), Constant(), None, 64, 10),
    ],
)
def test_a_recipe_trains_as_its_author_did(
    name, held_out, augmentation, optimizer, schedule, stopping, batch_size, epochs
):
    recipe = load_recipe(name)
    assert recipe.split == Split(held_out)
    assert recipe.augmentation == augmentation
    assert recipe.optimizer == optimizer
    assert recipe.schedule == schedule
    assert recipe.stopping == stopping
    assert (recipe.batch_size, recipe.epochs) == (batch_size, epochs)


def test_optimizers_have_the_defaults_of_keras():
    assert Adam("adam") == Adam("adam", learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
    assert RMSprop("rmsprop") == RMSprop("rmsprop", learning_rate=1e-3, rho=0.9, epsilon=1e-7)


def test_callbacks_have_the_defaults_of_keras():
    assert Plateau("plateau", "loss", 0.1, 10).min_delta == 1e-4
    assert Stopping("loss", 1).min_delta == 0


FIVE_LAYER = [
    Conv(32, (5, 5), 1, "same", "relu"),
    Conv(32, (5, 5), 1, "same", "relu"),
    Pool("max", 2, 2),
    Dropout(0.25),
    Conv(64, (3, 3), 1, "same", "relu"),
    Conv(64, (3, 3), 1, "same", "relu"),
    Pool("max", 2, 2),
    Dropout(0.25),
    Dense(256, "relu"),
    Dropout(0.5),
    Dense(10),
]
BLOCKS = [
    Conv(32, (3, 3), activation="relu"),
    Conv(32, (3, 3), activation="relu"),
    Pool("max", 2, 2),
    BatchNorm(),
    Dropout(0.2),
    Conv(64, (3, 3), activation="relu"),
    Pool("max", 2, 2),
    BatchNorm(),
    Dropout(0.2),
    Conv(128, (3, 3), activation="relu"),
    Pool("max", 2, 2),
    BatchNorm(),
    Dense(256, "relu"),
    Dropout(0.5),
    Dense(10),
]
ALEXNET = [
    Conv(96, (11, 11), 2, "valid", "relu"),
    Pool("max", 3, 2),
    Conv(256, (5, 5), 1, "same", "relu"),
    Dense(9216, "relu"),
    Dense(4096, "relu"),
    Dense(4096, "relu"),
    Dense(10),
]


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("alexnet28", ALEXNET),
        ("three-blocks", BLOCKS),
        ("five-layer", FIVE_LAYER),
        ("five-layer-one-epoch", [*FIVE_LAYER[:9], Dropout(0.25), Dense(10)]),
    ],
)
def test_a_network_has_the_layers_of_the_original(name, layers):
    assert parse_layers(load_recipe(name).network) == layers


@pytest.mark.parametrize("name", ALL)
def test_a_recipe_comes_back_from_its_toml(name):
    recipe = load_recipe(name)
    assert recipe_from_toml(recipe_to_toml(recipe), "again.toml") == recipe


SHARES = st.floats(0, 1, exclude_max=True)


@given(
    summary=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    rate=st.floats(1e-12, 1e3),
    optimizer=st.sampled_from([Adam, AdamW, Muon, RMSprop]),
    augmentation=st.none()
    | st.builds(Augmentation, st.floats(0, 180), *[st.floats(0, 0.99) for _ in range(3)]),
    schedule=st.sampled_from([Constant(), HALVE, TENTH]) | st.builds(OneCycle, st.just("one-cycle"), SHARES),
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
    smoothing=SHARES,
)
def test_any_recipe_comes_back_from_its_toml(
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


def test_a_recipe_cannot_be_changed_by_accident():
    with pytest.raises(FrozenInstanceError):
        tiny().epochs = 3  # type: ignore[misc]


def test_a_recipe_may_be_a_file_of_ones_own(tmp_path):
    (tmp_path / "mine.toml").write_text(TINY)
    assert load_recipe(tmp_path / "mine.toml") == load_recipe(str(tmp_path / "mine.toml")) == tiny()


def test_a_copy_of_a_packaged_recipe_is_the_same_recipe(tmp_path):
    (tmp_path / "copy.toml").write_text(recipe_text("three-blocks"))
    assert load_recipe(tmp_path / "copy.toml") == load_recipe("three-blocks")


def test_what_a_recipe_leaves_out_is_not_done():
    recipe = recipe_from_toml(
        'name="least"\nsummary=""\nnetwork=["dense 10"]\nepochs=1\nbatch_size=1\noptimizer={name="adam"}', "x"
    )
    assert (recipe.augmentation, recipe.stopping, recipe.schedule) == (None, None, Constant())
    assert recipe.split == Split(0.1)
    assert recipe.precision == Precision("auto", "auto", "auto")
    assert (recipe.members, recipe.networks, recipe.shifts, recipe.label_smoothing) == (1, (), None, 0)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("epochs=3", tiny(epochs=3)),
        (" epochs = 3 ", tiny(epochs=3)),
        ("optimizer.learning_rate=1", tiny(optimizer=Adam("adam", 1.0))),
        ("split.validation=0.25", tiny(split=Split(0.25))),
        ("precision=bfloat16", tiny(precision="bfloat16")),
        ('precision="bfloat16"', tiny(precision="bfloat16")),
        ("precision=bfloat16", tiny(precision=Precision("bfloat16", "bfloat16", "bfloat16"))),
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


def test_of_two_settings_of_one_key_the_last_counts():
    assert tiny("epochs=3", "epochs=4").epochs == 4


@pytest.mark.parametrize("setting", ["epochs", "=3", "", "optimizer.=3"])
def test_a_setting_that_is_no_setting_is_quoted(setting):
    assert f"expected a setting such as epochs=3, got {setting!r}" in refusal(settings=(setting,))


def test_a_setting_below_a_plain_value_is_refused():
    assert "'epochs' has no parts" in refusal(settings=("epochs.more=3",))


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("epoch=3", "'epoch'"),
        ("optimizer.momentum=0.9", "'optimizer.momentum'"),
        ("augmentation.tilt=0.1", "'augmentation.tilt'"),
        ("split.test=0.1", "'split.test'"),
        ("schedule={name='constant', factor=2}", "'schedule.factor'"),
        ("schedule={name='one-cycle', floor=0.1}", "'schedule.floor'"),
        ("optimizer={name='muon', beta_1=0.9}", "'optimizer.beta_1'"),
        ("optimizer={name='adam', weight_decay=0.1}", "'optimizer.weight_decay'"),
        ("shifts.pixel=1", "'shifts.pixel'"),
        ("member=2", "'member'"),
    ],
)
def test_an_unknown_key_is_named(setting, named):
    message = refusal(settings=(setting,))
    assert message == f"mine.toml: there is no key {named}"


@pytest.mark.parametrize(
    ("setting", "key", "found"),
    [
        ("epochs=many", "epochs", "'many'"),
        ("epochs=2.5", "epochs", "2.5"),
        ("batch_size=[1]", "batch_size", "[1]"),
        ("optimizer.learning_rate=fast", "optimizer.learning_rate", "'fast'"),
        ("precision=float64", "precision", "'float64'"),
        ("name=two words", "name", "'two words'"),
        ("name=../elsewhere", "name", "'../elsewhere'"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_key(setting, key, found):
    message = refusal(settings=(setting,))
    assert message.startswith(f"mine.toml: {key}: ")
    assert message.endswith(f"got {found}")


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("epochs=0", "epochs"),
        ("batch_size=-1", "batch_size"),
        ("split.validation=1", "split.validation"),
        ("split.validation=-0.1", "split.validation"),
        ("split.validation=nan", "split.validation"),
        ("optimizer.learning_rate=0", "optimizer.learning_rate"),
        ("optimizer.learning_rate=inf", "optimizer.learning_rate"),
        ("optimizer.learning_rate=nan", "optimizer.learning_rate"),
        ("optimizer.beta_1=1", "optimizer.beta_1"),
        ("augmentation.rotation=181", "augmentation.rotation"),
        ("augmentation.zoom=1", "augmentation.zoom"),
        ("schedule={name='plateau', monitor='loss', factor=1, patience=2}", "schedule.factor"),
        ("stopping={monitor='loss', patience=0}", "stopping.patience"),
        ("augmentation.shear=1", "augmentation.shear"),
        ("members=0", "members"),
        ("members=1001", "members"),
        ("members=1.5", "members"),
        ("label_smoothing=1", "label_smoothing"),
        ("label_smoothing=-0.1", "label_smoothing"),
        ("shifts.pixels=0", "shifts.pixels"),
        ("shifts.pixels=9", "shifts.pixels"),
        ("shifts={unsure_below=0}", "shifts.unsure_below"),
        ("shifts={unsure_below=1.1}", "shifts.unsure_below"),
        ("schedule={name='one-cycle', warmup=1}", "schedule.warmup"),
        ("optimizer={name='muon', momentum=1}", "optimizer.momentum"),
        ("optimizer={name='muon', vectors=0}", "optimizer.vectors"),
        ("optimizer={name='adamw', weight_decay=-1}", "optimizer.weight_decay"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_key(setting, key):
    assert refusal(settings=(setting,)).startswith(f"mine.toml: {key}: ")


@pytest.mark.parametrize("key", ["name", "summary", "network", "epochs", "batch_size"])
def test_a_missing_key_is_named(key):
    assert refusal(re.sub(f"^{key} = .*$", "", TINY, count=1, flags=re.MULTILINE)) == (
        f"mine.toml: the key '{key}' is missing"
    )


def test_a_recipe_without_an_optimizer_says_so():
    assert refusal(TINY[: TINY.index("[optimizer]")]) == "mine.toml: the key 'optimizer' is missing"


def test_an_unknown_optimizer_is_named_with_the_known_ones():
    message = refusal(settings=("optimizer.name=sgd",))
    assert message == "mine.toml: optimizer.name: expected 'adam', 'adamw', 'muon', 'rmsprop', got 'sgd'"


@pytest.mark.parametrize(
    ("setting", "key"),
    [("schedule.factor=0.5", "schedule.name"), ("optimizer={learning_rate=1}", "optimizer.name")],
)
def test_a_choice_without_its_name_says_so(setting, key):
    assert refusal(settings=(setting,)) == f"mine.toml: the key '{key}' is missing"


def test_all_that_is_wrong_is_said_at_once():
    message = refusal(settings=("epochs=0", "batch_size=0"))
    assert "epochs: " in message
    assert "batch_size: " in message
    assert "\n" not in message


@pytest.mark.parametrize("table", ["schedule={name='plateau', factor=0.5, ", "stopping={"])
@pytest.mark.parametrize("monitor", ["validation_loss", "validation_accuracy"])
def test_nothing_can_watch_a_validation_that_there_is_not(table, monitor):
    settings = ("split.validation=0", f"{table}monitor='{monitor}', patience=2}}")
    message = refusal(settings=settings)
    assert f"{table.split('=')[0]}.monitor is {monitor}, but split.validation is 0" in message


def test_the_training_loss_can_be_watched_without_validation():
    recipe = tiny("split.validation=0", "stopping={monitor='loss', patience=2}")
    assert isinstance(recipe, Recipe)


def test_a_wrong_line_of_the_network_is_named_by_its_number():
    message = refusal(settings=('network=["conv 4 3x3 relu", "conv 4 3", "dense 10"]',))
    assert message.startswith("mine.toml: ")
    assert "network line 2 ('conv 4 3'): expected a kernel such as 5x5, found '3'" in message


@pytest.mark.parametrize("network", ["[1, 2]", "5", "['dense 10', 5]", "{a=1}"])
def test_a_network_that_is_no_list_of_lines_is_refused(network):
    message = refusal(settings=(f"network={network}",))
    assert message == "mine.toml: network: expected a list of layers, each in quotes, or 'module:function'"


@pytest.mark.parametrize(
    "networks",
    ["[1, 2]", "5", "['dense 10', 5]", "[['dense 10'], 5]", "[['dense 10', 5]]", "{a=1}", "mine:build"],
)
def test_networks_that_are_no_list_of_networks_are_refused(networks):
    text = re.sub("^network = .*$", "", TINY, flags=re.MULTILINE)
    message = refusal(text, (f"networks={networks}",))
    one = "a list of layers, each in quotes, or 'module:function'"
    assert message == f"mine.toml: networks: expected a list, and in it {one}"


@pytest.mark.parametrize(
    ("networks", "problem"),
    [
        ("[['dense 10'], ['conv 4 3', 'dense 10']]", "network line 1 ('conv 4 3'): expected a kernel"),
        ("['mine:build', 'mine']", "expected a list of layers or 'module:function', got 'mine'"),
        ("[]", "the key 'network' is missing"),
    ],
)
def test_one_wrong_network_of_several_is_named(networks, problem):
    text = re.sub("^network = .*$", "", TINY, flags=re.MULTILINE)
    message = refusal(text, (f"networks={networks}",))
    assert message.startswith("mine.toml: ")
    assert problem in message


def test_a_recipe_has_one_network_or_several_and_not_both():
    message = refusal(settings=('networks=[["dense 10"]]',))
    assert message == "mine.toml: expected network or networks, got both"


@pytest.mark.parametrize("setting", ["network=[]", "network=''"])
def test_a_recipe_whose_network_is_empty_has_none(setting):
    assert refusal(settings=(setting,)) == "mine.toml: the key 'network' is missing"


def test_members_take_networks_in_turn():
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
def test_a_recipe_knows_whether_it_decides_by_validation_images(settings, watches):
    assert tiny(*settings).watches_validation == watches


@pytest.mark.parametrize("network", ["mine", "mine:", ":build", "my module:build", "a:b:c", "mine:build()"])
def test_a_network_named_by_no_function_is_refused(network):
    assert "expected a list of layers or 'module:function'" in refusal(settings=(f"network='{network}'",))


def test_a_file_that_is_no_toml_is_refused_with_the_line():
    message = refusal("name = mine\n")
    assert message.startswith("mine.toml: not valid TOML: ")
    assert "line 1" in message


def test_an_unknown_recipe_is_refused_with_the_known_ones():
    with pytest.raises(DigitsError) as error:
        load_recipe("lenet")
    assert str(error.value) == (
        f"there is no recipe 'lenet': expected one of {', '.join(ALL)}, or a .toml file"
    )


def test_a_recipe_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(DigitsError, match=r"cannot read the recipe .*none\.toml: No such file"):
        load_recipe(tmp_path / "none.toml")


def test_a_recipe_file_that_is_a_folder_is_named(tmp_path):
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(DigitsError, match=r"cannot read the recipe .*folder\.toml"):
        load_recipe(tmp_path / "folder.toml")


def test_a_recipe_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DigitsError, match=r"cannot read the recipe .*binary\.toml"):
        load_recipe(tmp_path / "binary.toml")
