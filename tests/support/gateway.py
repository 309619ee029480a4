"""The gateway of an application, whatever stands in front of it."""

from flask import Flask

from newsletter.tracking.gateway import TrackingGateway


def gateway_of(app: Flask) -> TrackingGateway:
    """Return the middleware that answers opens and clicks."""
    layer: object = app.wsgi_app
    while not isinstance(layer, TrackingGateway):
        layer = layer.app  # type: ignore[attr-defined] # ProxyFix names what it wraps so
    return layer
