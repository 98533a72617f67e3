"""The Chalice app as a table of contents: middleware in order, blueprints, the schedule."""

from typing import Any

from chalice.app import Chalice, CloudWatchEvent, Rate

from chalicelib import observability, runtime
from chalicelib.config import SWEEP_INTERVAL_MINUTES
from chalicelib.routes import callbacks, health, reservations, tasks, voice
from chalicelib.routes.http import log_request
from chalicelib.usecases.sweep import sweep_due_reservations as look_at_what_is_due

# Until the settings are read, and where they can't be.
observability.configure("INFO")

app = Chalice(app_name="taskrouter-callbacks", configure_logs=False)

# Nothing here is binary; else a body that is not there, yet has a type, could not come with JSON.
app.api.binary_types = []

app.register_middleware(log_request, "http")

app.register_blueprint(callbacks.blueprint)
app.register_blueprint(voice.blueprint)
app.register_blueprint(tasks.blueprint)
app.register_blueprint(reservations.blueprint)
app.register_blueprint(health.blueprint)


@app.schedule(Rate(SWEEP_INTERVAL_MINUTES, unit=Rate.MINUTES))
def sweep(event: CloudWatchEvent) -> None:
    """Mirror what is due from TaskRouter; raises SweepFailed, so that the alarm fires."""
    service = runtime.current()
    context: Any = event.context
    look_at_what_is_due(
        service.desk,
        service.orders,
        time_left_ms=context.get_remaining_time_in_millis,
        report=lambda result: observability.log("sweep", result),
    )
