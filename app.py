"""The Chalice app: middleware, blueprints and the sweep schedule."""

import logging
import os
import sys
from typing import Any

if "AWS_CHALICE_CLI_MODE" in os.environ:
    # `chalice local` restarts when any new file, even compiled bytecode, appears in the checkout.
    sys.dont_write_bytecode = True

from chalice.app import Chalice, CloudWatchEvent, Rate

from chalicelib import observability, runtime
from chalicelib.config import SWEEP_INTERVAL_MINUTES, in_lambda
from chalicelib.routes import (
    callback_log,
    callbacks,
    console,
    health,
    overview,
    reservations,
    sign_in,
    statistics,
    tasks,
    voice,
)
from chalicelib.routes.http import log_request
from chalicelib.usecases.sweep import sweep_due_reservations

# This level applies until the settings are read, or permanently if they can't be read.
observability.configure("INFO")

app = Chalice(app_name="taskrouter-callbacks", configure_logs=False)

# This API serves no binary content. Chalice would otherwise treat an empty body with a content
# type as binary.
app.api.binary_types = []

app.register_middleware(log_request, "http")

app.register_blueprint(callbacks.blueprint)
app.register_blueprint(voice.blueprint)
app.register_blueprint(tasks.blueprint)
app.register_blueprint(reservations.blueprint)
app.register_blueprint(console.blueprint)
app.register_blueprint(overview.blueprint)
app.register_blueprint(callback_log.blueprint)
app.register_blueprint(statistics.blueprint)
app.register_blueprint(health.blueprint)
app.register_blueprint(sign_in.blueprint)

# Outside Lambda, the routes are moved after the settings are known (infra/chalice_hook.py).
if in_lambda():
    callbacks.move_twilio_routes(app, runtime.current().settings.callback_prefixes)


@app.schedule(Rate(SWEEP_INTERVAL_MINUTES, unit=Rate.MINUTES))
def sweep(event: CloudWatchEvent) -> None:
    """Run a sweep; raise SweepFailed if a step failed, so that an alarm fires."""
    service = runtime.current()
    context: Any = event.context
    sweep_due_reservations(
        service.collaborators,
        service.sweep_policy,
        service.statistics,
        time_left_ms=context.get_remaining_time_in_millis,
        report=lambda line: observability.log(
            "sweep", line, level=logging.INFO if line["ok"] else logging.ERROR
        ),
    )


if "AWS_CHALICE_CLI_MODE" in os.environ:
    # The Chalice CLI imports the app before it runs `deploy`, `package` or `local`.
    from infra import chalice_hook

    chalice_hook.run(app)
