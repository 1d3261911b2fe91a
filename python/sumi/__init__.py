"""Sumi: draws pictures from words with latent diffusion models, and trains them.

    import sumi

    with sumi.Model("v1-5.safetensors") as model, model.session() as session:
        session.generate("a red fox in the snow", steps=25, sampler="dpm++2m").save("fox.png")

Everything is computed by the library libsumi, which comes with this package; sumi.h is its manual, and the names and
meanings of options are those of that file.

Threads. A Model does not change once it is open: any number of sessions may draw from it, each in a thread of its own.
A Session, and a Training, work for one thread at a time; another one's call raises UsageError. Calls release the
interpreter's lock while the library works. What listeners raise, and Ctrl-C, ends a call at its next step.

Errors are exceptions by kind, all of them sumi.Error: UsageError, FileError, OutOfMemory, NotFinite, DeviceError,
Stopped. What the library has to say comes as SumiWarning, by warnings, and in the log "sumi"."""
from ._abi import (Control, ConvertOptions, EvaluationOptions, ExtractOptions, IpAdapter, ModelOptions, Options, UpscaleOptions,
    UpscalerOptions)
from ._errors import DeviceError, Error, FileError, NotFinite, OutOfMemory, Stopped, UsageError
from ._files import (convert, devices, extract_lora, families, guidances, hash, info, init, merge, samplers, schedules, types,
    version)
from ._model import Evaluation, Model, PromptReading, Request, Session, Token
from ._picture import Attention, Picture, grid, parameters_of, read_parameters
from ._stream import Stream
from ._training import Training, TrainingOption, TrainingStep, train, training_options
from ._types import ImageLike, Text
from ._upscaler import Upscaler
from ._watch import Cancel, Latent, Step, SumiWarning

__version__ = version()
__all__ = ["Attention", "Cancel", "Control", "ConvertOptions", "DeviceError", "Error", "Evaluation", "EvaluationOptions",
    "ExtractOptions", "FileError", "ImageLike", "IpAdapter", "Latent", "Model", "ModelOptions", "NotFinite", "Options", "OutOfMemory",
    "Picture", "PromptReading", "Request", "Session", "Step", "Stopped", "Stream", "SumiWarning", "Text", "Token", "Training",
    "TrainingOption", "TrainingStep", "UpscaleOptions", "Upscaler", "UpscalerOptions", "UsageError", "convert", "devices",
    "extract_lora", "families", "grid", "guidances", "hash", "info", "init", "merge", "parameters_of", "read_parameters",
    "samplers", "schedules", "train", "training_options", "types", "version"]
