"""The verb that serves a page to drop photos on."""

from dataclasses import asdict

from pipeline import api
from pipeline.assemble import PASSES, THRESHOLD
from pipeline.contract.faults import UserError
from pipeline.contract.images import PictureOptions
from pipeline.learning.pairs import Weights


def serve(
    pictures: PictureOptions,
    networks: Weights,
    host: str = "127.0.0.1",
    port: int = 8000,
    threshold: float = THRESHOLD,
    flip_test: bool = True,
    passes: int = PASSES,
    photos: int = 16,
    megabytes: float = 20.0,
    per_minute: int = 60,
    schema: str = "fashionai",
) -> None:
    """Serve a page to drop photos on, and the endpoint behind it; nothing that is sent is kept. Ctrl-C ends it.

    Args:
        pictures: what a picture may cost
        networks: which networks predict
        host: address to listen at; 0.0.0.0 lets other machines in
        port: port to listen at
        threshold: least score of a garment
        flip_test: average over each crop and its mirror image
        passes: 2 crops again around the points of a first pass: more exact, and twice the time of stage 2; 0: as many as
            the weights were published for
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
    options = {"threshold": threshold, "flip_test": flip_test, "passes": passes, "schema": schema, "pictures": pictures}
    predictor = api.load(**asdict(networks), **options)
    app = create_app(predictor, networks.weights, Limits(photos, megabytes, per_minute))
    print(f"http://{host}:{port}")
    uvicorn.run(app, host=host, port=port, log_level="warning")
