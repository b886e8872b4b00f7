"""The verb that serves a page to drop photos on."""

from pathlib import Path

from pipeline import api
from pipeline.assemble import THRESHOLD
from pipeline.contract.faults import UserError
from pipeline.contract.images import PictureOptions
from pipeline.learning.pairs import DEFAULT, Runtime


def serve(
    pictures: PictureOptions,
    host: str = "127.0.0.1",
    port: int = 8000,
    weights: str = DEFAULT,
    detector: Path | None = None,
    keypoints: Path | None = None,
    runtime: Runtime = "auto",
    threshold: float = THRESHOLD,
    flip_test: bool = True,
    photos: int = 16,
    megabytes: float = 20.0,
    per_minute: int = 60,
    schema: str = "fashionai",
) -> None:
    """Serve a page to drop photos on, and the endpoint behind it; nothing that is sent is kept. Ctrl-C ends it.

    Args:
        pictures: what a picture may cost
        host: address to listen at; 0.0.0.0 lets other machines in
        port: port to listen at
        weights: pair of networks: the name of a packaged one, or a folder that `publish` wrote
        detector: detector checkpoint, for the one of the pair
        keypoints: keypoint checkpoint, for the one of the pair
        runtime: what runs the networks of a pair: torch, onnx (faster on a CPU), or auto: onnx on a CPU where the pair has graphs
        threshold: least score of a garment
        flip_test: average over each crop and its mirror image
        photos: photos a request, at most
        megabytes: size of a request, at most
        per_minute: photos a minute and client, at most
        schema: packaged schema, or a YAML file of your own
    """
    for name, value in (("port", port), ("photos", photos), ("megabytes", megabytes), ("per_minute", per_minute)):
        if not 0 < value < 65536:
            raise UserError(f"--{name} is {value}; expected a number above 0, below 65536")
    try:
        import uvicorn

        from pipeline.serving.app import Limits, create_app
    except ImportError as error:
        raise UserError(f"serve needs the package {error.name}: pip install 'garment-keypoints[demo]'") from None
    options = {"detector": detector, "keypoints": keypoints, "runtime": runtime, "threshold": threshold}
    predictor = api.load(weights, **options, flip_test=flip_test, schema=schema, pictures=pictures)
    app = create_app(predictor, weights, Limits(photos, megabytes, per_minute))
    print(f"http://{host}:{port}")
    uvicorn.run(app, host=host, port=port, log_level="warning")
