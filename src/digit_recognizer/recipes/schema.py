"""The tables of a recipe: split, augmentation, optimizer, schedule and so on.

Unless a comment says otherwise, lengths are pixels of a 28x28 image and fractions lie between 0 and 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid")

DType = Literal["auto", "bfloat16", "float32"]
Monitor = Literal["loss", "accuracy", "validation_loss", "validation_accuracy"]  # columns of the history
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Fraction = Annotated[float, Field(ge=0, lt=1, strict=True)]
PositiveFraction = Annotated[float, Field(gt=0, le=1, strict=True)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
PositiveInt = Annotated[int, Field(ge=1, strict=True)]


@dataclass(frozen=True, config=STRICT)
class Precision:
    """The data type of products, by kind of operation; weights and sums are always float32.

    ``auto`` selects the faster type on the device, measured when the training starts.
    """

    convolution: DType = "auto"  # forward and backward
    dense: DType = "auto"  # forward and backward
    muon: DType = "auto"  # the orthogonalisation in the optimizer Muon


@dataclass(frozen=True, config=STRICT)
class Split:
    """Which images are held out from training."""

    validation: Fraction = 0.1  # fraction of the images of each digit


@dataclass(frozen=True, config=STRICT)
class Augmentation:
    """Random transformations of each image, drawn anew every epoch, as in Keras's `ImageDataGenerator`."""

    rotation: Annotated[float, Field(ge=0, le=180, strict=True)] = 0.0  # degrees to either side
    zoom: Fraction = 0.0  # change of height and of width, drawn separately
    shift: Fraction = 0.0  # fraction of the side, along rows and columns separately
    shear: Fraction = 0.0  # sideways shift per pixel of distance from the middle row: the slant of writing
    elastic: NonNegativeFloat = 0.0  # standard deviation of the displacement of 5x5 control points


@dataclass(frozen=True, config=STRICT)
class Corruption:
    """Damage to images as pens, cameras and paper cause it, applied after the augmentation."""

    share: PositiveFraction  # fraction of the images in a batch, each damaged in one way


@dataclass(frozen=True, config=STRICT)
class Outliers:
    """Non-digits to train on, as an eleventh class.

    The network ends with eleven logits. The model then also returns the probability that an image is a digit.
    """

    share: PositiveFraction = 0.4  # non-digits per digit in a batch
    images: PositiveInt = 24_000  # generated before the training starts


@dataclass(frozen=True, config=STRICT)
class Adam:
    """Adam, with the defaults of Keras (https://keras.io/api/optimizers/adam/)."""

    name: Literal["adam"]
    learning_rate: PositiveFloat = 1e-3
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: PositiveFloat = 1e-7


@dataclass(frozen=True, config=STRICT)
class AdamW:
    """Adam with decoupled weight decay, with the defaults of torch.

    https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html
    """

    name: Literal["adamw"]
    learning_rate: PositiveFloat = 1e-3
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: PositiveFloat = 1e-8
    weight_decay: NonNegativeFloat = 1e-2  # multiplied by the learning rate of the step


@dataclass(frozen=True, config=STRICT)
class Muon:
    """Muon: replaces the momentum of each weight matrix by the nearest orthogonal matrix.

    With Nesterov momentum, after https://kellerjordan.github.io/posts/muon/. Biases and other vectors move
    along their momentum, scaled to a fixed size.
    """

    name: Literal["muon"]
    learning_rate: PositiveFloat = 0.02  # of matrices; 1 would change each by a matrix of norm 1
    momentum: Fraction = 0.9
    weight_decay: NonNegativeFloat = 0.01  # multiplied by the learning rate of the step; matrices only
    vectors: PositiveFloat = 0.15  # root mean square of the update of a vector, relative to the learning rate
    relative: bool = False  # updates in proportion to the norms of the weights: for trained ones


@dataclass(frozen=True, config=STRICT)
class RMSprop:
    """RMSprop without momentum, with the defaults of Keras (https://keras.io/api/optimizers/rmsprop/)."""

    name: Literal["rmsprop"]
    learning_rate: PositiveFloat = 1e-3
    rho: Fraction = 0.9
    epsilon: PositiveFloat = 1e-7


Optimizer = Annotated[Adam | AdamW | Muon | RMSprop, Field(discriminator="name")]


@dataclass(frozen=True, config=STRICT)
class Constant:
    """Keep the optimizer's learning rate."""

    name: Literal["constant"] = "constant"


@dataclass(frozen=True, config=STRICT)
class OneCycle:
    """Raise the learning rate linearly from zero to the optimizer's, then lower it linearly to zero.

    https://arxiv.org/abs/1708.07120
    """

    name: Literal["one-cycle"]
    warmup: Fraction = 0.2  # fraction of the steps in which the learning rate rises


@dataclass(frozen=True, config=STRICT)
class Plateau:
    """Lower the learning rate when progress stops, as Keras's `ReduceLROnPlateau`.

    https://keras.io/api/callbacks/reduce_lr_on_plateau/
    """

    name: Literal["plateau"]
    monitor: Monitor
    factor: Annotated[float, Field(gt=0, lt=1, strict=True)]  # multiplies the learning rate
    patience: PositiveInt  # epochs without progress before that
    floor: NonNegativeFloat = 0.0  # minimum learning rate
    min_delta: NonNegativeFloat = 1e-4  # minimum change that counts as progress


Schedule = Annotated[Constant | OneCycle | Plateau, Field(discriminator="name")]


@dataclass(frozen=True, config=STRICT)
class Stopping:
    """Stop the training when progress stops, as Keras's `EarlyStopping`; keeps the last weights."""

    monitor: Monitor
    patience: PositiveInt  # epochs without progress before the training stops
    min_delta: NonNegativeFloat = 0.0  # minimum change that counts as progress


@dataclass(frozen=True, config=STRICT)
class Teacher:
    """Distillation: learn the probabilities of a finished run.

    The run must have been trained on the same digits. Its held-out images are held out again, whatever the
    split says, because the teacher has seen the others.
    """

    run: str  # its folder; an absolute path in the recipe that a run keeps
    weight: PositiveFraction = 0.9  # weight of the teacher's probabilities; the labels have the rest


@dataclass(frozen=True, config=STRICT)
class Corrections:
    """Learn from digits that a user corrected.

    With `run`, this is fine-tuning: the training starts from that run's weights and holds out the same
    images, and each epoch is a sample of its training images.
    """

    file: str  # an SQLite file of corrections; in the recipe that a run keeps, the run's own copy
    share: PositiveFraction = 0.1  # corrections per digit in a batch, drawn anew for each batch
    run: str = ""  # the folder of the run to start from; empty: start from random weights
    images: PositiveInt = 4_000  # training images per epoch when fine-tuning, drawn anew each epoch
    cost: NonNegativeFloat = 0.001  # maximum loss of accuracy on that run's validation images


@dataclass(frozen=True, config=STRICT)
class Shifts:
    """Test-time augmentation: average over the image and four shifts of it.

    This is slower and slightly more accurate. Only images whose highest probability is below `unsure_below`
    are averaged. Within 0.1 below it, the average is blended in gradually, so that there is no jump. At 1,
    all images are averaged.
    """

    pixels: Annotated[int, Field(ge=1, le=8, strict=True)] = 1  # up, down, left and right
    unsure_below: PositiveFraction = 1.0
