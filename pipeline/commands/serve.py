"""The verb that serves a page to drop photos on."""

from dataclasses import asdict

from garment_keypoints.pipeline import api
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.outputs import register_named
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.engine.predictor import DetectionOptions
from garment_keypoints.pipeline.learning.pairs import Weights


def serve(
    pictures: PictureOptions,
    networks: Weights,
    detection: DetectionOptions,
    host: str = "127.0.0.1",
    port: int = 8000,
    photos: int = 16,
    megabytes: float = 20.0,
    per_minute: int = 60,
    seconds: float = 60.0,
    connections: int = 100,
    allow: str = "",
    schema: str = "fashionai",
    columns: str = "",
) -> None:
    """Serve a page to drop photos on, and the endpoint behind it; nothing that is sent is kept. Ctrl-C ends it.

    Args:
        pictures: what a picture may cost
        networks: which networks predict
        detection: what counts as a garment, and how carefully its points are placed
        host: address to listen at; 0.0.0.0 lets other machines in
        port: port to listen at
        photos: photos a request, at most
        megabytes: size of a request, at most
        per_minute: photos a minute and client, at most
        seconds: until a request has come whole, at most
        connections: open at once, at most
        allow: names, with commas between, by which the server may be asked beside those of its machine, such as that of a proxy
            before it, and whose pages may send photos; * for any
        schema: packaged schema, or a YAML file of your own
        columns: more columns of what is answered and shown, as those of `predict`
    """
    limits = {"photos": photos, "megabytes": megabytes, "per_minute": per_minute}
    limits |= {"seconds": seconds, "connections": connections}
    for name, value in {"port": port, **limits}.items():
        if not 0 < value < 65536:
            raise UserError(f"--{name} is {value}; expected a number above 0, below 65536")
    try:
        from garment_keypoints.pipeline.serving.app import create_app
        from garment_keypoints.pipeline.serving.limits import Limits, names_of
        from garment_keypoints.pipeline.serving.server import server
    except ImportError as error:
        raise UserError(f"serve needs the package {error.name}: pip install 'garment-keypoints[demo]'") from None
    within = Limits(**limits)
    allowed = [name.strip().lower() for name in allow.split(",") if name.strip()]
    names_of(host, allowed)
    register_named(columns, load_schema(schema))
    predictor = api.load(**asdict(networks), **asdict(detection), schema=schema, pictures=pictures)
    app = create_app(predictor, networks.weights, within, host, allowed)
    print(f"http://{host}:{port}")
    server(app, host, port, within).run()
