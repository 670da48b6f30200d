"""The parts of a recipe, each a table of its file: split, augmentation, optimizer, schedule and the like."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid")

Arithmetic = Literal["auto", "bfloat16", "float32"]
Monitor = Literal["loss", "accuracy", "validation_loss", "validation_accuracy"]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Fraction = Annotated[float, Field(ge=0, lt=1, strict=True)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
PositiveInt = Annotated[int, Field(ge=1, strict=True)]


@dataclass(frozen=True, config=STRICT)
class Precision:
    """What products are computed in, for each kind of operation; weights and sums stay in float32.

    ``auto`` is what is faster on the device, as measured when the training begins.

    Attributes
    ----------
    convolution, dense
        Layers, forward and backward.
    muon
        The iteration of the optimizer Muon.
    """

    convolution: Arithmetic = "auto"
    dense: Arithmetic = "auto"
    muon: Arithmetic = "auto"


@dataclass(frozen=True, config=STRICT)
class Split:
    """Which images the network is not trained on.

    Attributes
    ----------
    validation
        Share of the images held out, the same for each digit, 0 to below 1.
    """

    validation: Fraction = 0.1


@dataclass(frozen=True, config=STRICT)
class Augmentation:
    """How far each image is moved at random, anew in every epoch; as Keras's `ImageDataGenerator`.

    Attributes
    ----------
    rotation
        Degrees to either side, 0 to 180.
    zoom
        Share by which height and width are stretched or shrunk, each on its own.
    shift
        Share of the image's side by which it is moved, along rows and columns each on its own.
    shear
        Share of its distance from the middle row by which a row is moved sideways: the slant of writing.
    elastic
        Standard deviation, in pixels, of how far each of 5x5 points is moved; between them it is smooth.
    """

    rotation: Annotated[float, Field(ge=0, le=180, strict=True)] = 0.0
    zoom: Fraction = 0.0
    shift: Fraction = 0.0
    shear: Fraction = 0.0
    elastic: NotNegative = 0.0


@dataclass(frozen=True, config=STRICT)
class Corruption:
    """Change images as pens, cameras and paper do, behind the augmentation; see `corrupt`.

    Attributes
    ----------
    share
        How many of the images of a batch, each in one way.
    """

    share: Annotated[float, Field(gt=0, le=1, strict=True)]


@dataclass(frozen=True, config=STRICT)
class Outliers:
    """Learn from images of no digit, too, as an eleventh class; see `outliers`.

    The network ends with eleven logits, and the model says besides which digit it is whether it is one.

    Attributes
    ----------
    share
        How many of them for each digit of a batch.
    images
        How many are made, before the training begins.
    lines
        How many lines of digits are composed and cut apart; see `pieces`.
    """

    share: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.4
    images: PositiveInt = 24_000
    lines: PositiveInt = 4_000


@dataclass(frozen=True, config=STRICT)
class Adam:
    """Adam; the defaults are Keras's (https://keras.io/api/optimizers/adam/)."""

    name: Literal["adam"]
    learning_rate: PositiveFloat = 1e-3
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: PositiveFloat = 1e-7


@dataclass(frozen=True, config=STRICT)
class AdamW:
    """Adam whose weight decay is not part of the gradient; the defaults are torch's.

    The decay is multiplied by the learning rate of the step
    (https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html).
    """

    name: Literal["adamw"]
    learning_rate: PositiveFloat = 1e-3
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: PositiveFloat = 1e-8
    weight_decay: NotNegative = 1e-2


@dataclass(frozen=True, config=STRICT)
class Muon:
    """Muon: each step turns the momentum of a layer's weights into the nearest orthogonal matrix.

    After https://kellerjordan.github.io/posts/muon/, with Nesterov's momentum. Biases and the like, which
    are no matrices, move as far as their own momentum points.

    Attributes
    ----------
    learning_rate
        Of weights; 1 would change each matrix by one of norm 1.
    momentum
        Share of the old momentum that is kept.
    weight_decay
        Multiplied by the learning rate of the step; not for biases.
    vectors
        Root mean square of a step of biases and the like, as a share of the learning rate.
    """

    name: Literal["muon"]
    learning_rate: PositiveFloat = 0.02
    momentum: Fraction = 0.9
    weight_decay: NotNegative = 0.01
    vectors: PositiveFloat = 0.15


@dataclass(frozen=True, config=STRICT)
class RMSprop:
    """RMSprop without momentum; the defaults are Keras's (https://keras.io/api/optimizers/rmsprop/)."""

    name: Literal["rmsprop"]
    learning_rate: PositiveFloat = 1e-3
    rho: Fraction = 0.9
    epsilon: PositiveFloat = 1e-7


@dataclass(frozen=True, config=STRICT)
class Constant:
    """The optimizer's learning rate throughout."""

    name: Literal["constant"] = "constant"


@dataclass(frozen=True, config=STRICT)
class OneCycle:
    """Raise the learning rate step by step to the optimizer's, then lower it to the training's last step.

    Both go along a straight line, from and to zero (https://arxiv.org/abs/1708.07120).

    Attributes
    ----------
    warmup
        Share of the training's steps in which it rises.
    """

    name: Literal["one-cycle"]
    warmup: Fraction = 0.2


@dataclass(frozen=True, config=STRICT)
class Plateau:
    """Lower the learning rate where progress ends; as Keras's `ReduceLROnPlateau`.

    Attributes
    ----------
    monitor
        Which column of the history to watch.
    factor
        What the learning rate is multiplied by.
    patience
        Epochs without progress until that happens.
    floor
        The learning rate never falls below this.
    min_delta
        What counts as progress (https://keras.io/api/callbacks/reduce_lr_on_plateau/ for the default).
    """

    name: Literal["plateau"]
    monitor: Monitor
    factor: Annotated[float, Field(gt=0, lt=1, strict=True)]
    patience: PositiveInt
    floor: NotNegative = 0.0
    min_delta: NotNegative = 1e-4


@dataclass(frozen=True, config=STRICT)
class Stopping:
    """End the training where progress ends; as Keras's `EarlyStopping`, the last weights kept.

    Attributes
    ----------
    monitor
        Which column of the history to watch.
    patience
        Epochs without progress until the training ends.
    min_delta
        What counts as progress.
    """

    monitor: Monitor
    patience: PositiveInt
    min_delta: NotNegative = 0.0


@dataclass(frozen=True, config=STRICT)
class Teacher:
    """A run that is trained already, whose answers are learned: distillation.

    The digits must be that run's, and what it held out is held out again, whatever the split says.

    Attributes
    ----------
    run
        Its folder; as an absolute path in the recipe that a run keeps.
    weight
        Share of its probabilities in what is learned; the rest are the labels.
    """

    run: str
    weight: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.9


@dataclass(frozen=True, config=STRICT)
class Corrections:
    """Learn from digits that a user corrected, too; see `corrections`.

    With a run to start from this is fine-tuning: its weights are the first, what it held out is held out
    again, and an epoch is a sample of its training images.

    Attributes
    ----------
    file
        An SQLite file of corrections; in the recipe that a run keeps, the run's own copy.
    share
        How many of them for each digit of a batch, drawn anew for each.
    run
        The folder of the run to start from; nothing: from first weights.
    images
        Training images of an epoch, drawn anew in each, where there is a run to start from.
    cost
        Accuracy on that run's validation images that it may cost, at most.
    """

    file: str
    share: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.1
    run: str = ""
    images: PositiveInt = 4_000
    cost: NotNegative = 0.001


@dataclass(frozen=True, config=STRICT)
class Shifts:
    """Predict an image moved in four directions too, and average: slower, and a little more accurate.

    Attributes
    ----------
    pixels
        How far it is moved up, down, left and right.
    unsure_below
        Only images whose highest probability is below this are averaged. Within a tenth below it the
        average counts in part, so that nothing jumps there. At 1 all images are.
    """

    pixels: Annotated[int, Field(ge=1, le=8, strict=True)] = 1
    unsure_below: Annotated[float, Field(gt=0, le=1, strict=True)] = 1.0
