"""The OpenAPI pages; their scripts and styles are local files, so that they work offline."""

import pathlib

from litestar import Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.static_files import create_static_files_router

import mastery_jax

__all__ = ["openapi", "static"]

STATIC = "/static"
SWAGGER = f"{STATIC}/swagger-ui"  # swagger-ui-dist 5.35.0, with its licence beside it


def static() -> Router:
    """Return the routes of the files under ``serving/static``."""
    folder = pathlib.Path(__file__).with_name("static")
    return create_static_files_router(STATIC, directories=[folder])


def openapi(*, is_keyed: bool) -> OpenAPIConfig:
    """Return the documentation at ``/docs``.

    Args:
        is_keyed: The server asks for keys, so the page has a field for one.
    """
    bearer = SecurityScheme(
        type="http", scheme="bearer", description="`mastery keys add` makes one"
    )
    page = SwaggerRenderPlugin(
        path="/",
        js_url=f"{SWAGGER}/swagger-ui-bundle.js",
        css_url=f"{SWAGGER}/swagger-ui.css",
        standalone_preset_js_url=f"{SWAGGER}/swagger-ui-standalone-preset.js",
        favicon=f"<link rel='icon' type='image/png' href='{SWAGGER}/favicon-32x32.png'>",
    )
    return OpenAPIConfig(
        title="mastery_jax",
        version=mastery_jax.__version__,
        path="/docs",
        render_plugins=[page],
        use_handler_docstrings=True,
        components=Components(security_schemes={"key": bearer} if is_keyed else None),
        security=[{"key": []}] if is_keyed else None,
    )
