"""The simulator's settings, with their defaults and help text.

Each setting is a command-line option and an environment variable. Behavior that Twilio does not
document is configurable, so that tests can cover all variants.
"""

from dataclasses import dataclass, field
from typing import Any

MIN_TOKEN_LENGTH = 16


def _setting(
    default: Any, text: str, choices: tuple[str, ...] = (), *, secret: bool = False
) -> Any:
    label = f"; allowed values: {', '.join(choices)}" if choices else ""
    metadata = {"help": f"{text}{label}", "choices": choices}
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True)
class Settings:
    """The simulator's settings.

    A field's environment variable is `SIMULATOR_` followed by the field's name in upper case.
    """

    host: str = _setting("127.0.0.1", "address to listen on")
    port: int = _setting(8002, "port to listen on; 0 picks a free port")
    callback_base_url: str = _setting(
        "http://127.0.0.1:8000",
        "base URL of the app, and prefix of the loaded Workspace's URLs; API_PORT, if set,"
        " replaces the port in the default",
    )
    assignment_path: str = _setting(
        "/assignment_callback", "path of the loaded Workflow's assignment callback; '' for none"
    )
    fallback_path: str = _setting(
        "", "path of the loaded Workflow's fallback assignment callback; '' for none"
    )
    event_path: str = _setting("", "path of the loaded Workspace's event callback; '' for none")
    voice_path: str = _setting(
        "/incoming_call", "path of the URL that returns the first TwiML for a call; '' for none"
    )
    reservation_timeout: int = _setting(
        1200, "seconds until a Reservation of the loaded Workflow times out"
    )
    workspace_file: str = _setting(
        "", "YAML or JSON file that defines the Workspace; '' for the quickstart's Workspace"
    )
    allowed_hosts: str = _setting(
        "",
        "comma-separated host names that clients may use for /v1; IP addresses,"
        " localhost and names without a dot are always allowed",
    )
    allowed_origins: str = _setting(
        "",
        "comma-separated origins of web pages that may use the browser SDK, such as"
        " https://app.example.com, or * for all; pages on this machine are always allowed",
    )
    record_file: str = _setting(
        "",
        "file to which each callback and its response are appended as a line of JSON, for the"
        " replay command; '' for none",
    )
    control_token: str = _setting(
        "",
        "token with which clients on other machines may use the control routes, at least"
        f" {MIN_TOKEN_LENGTH} printable ASCII characters without spaces; '' to reject such clients",
        secret=True,
    )
    seed: str = _setting(
        "",
        "text from which the otherwise random SIDs and idempotency tokens are derived; if it is"
        " set, callbacks are sent one at a time, and a frozen clock starts at the beginning of"
        " 2026; '' for random values",
    )
    frozen_clock: bool = _setting(
        default=False, text="the clock is stopped, and only POST /simulator/clock advances it"
    )
    log_size: int = _setting(
        10_000, "number of log entries kept, and number of Events kept for each Workspace"
    )
    worker_statistics_limit: int = _setting(
        100,
        "maximum number of Workers that a Workspace may have for Worker statistics to be available;"
        " 0 for no limit",
    )
    log_answers: int = _setting(
        1_000, "number of most recent log entries for which REST responses are kept"
    )

    routing_delay: float = _setting(
        0.0, "seconds between a change and the resulting routing (about 0.5 was observed)"
    )
    reoffer_delay: float = _setting(
        1.0,
        "seconds until a Worker who rejects a Task and stays available is offered the Task again",
    )
    reject_without_activity: bool = _setting(
        default=True,
        text="a reject instruction without activity_sid is executed (otherwise it fails with error"
        " 40100)",
    )
    nulls_are_values: bool = _setting(
        default=False,
        text="in expressions, a missing attribute equals another missing attribute and differs from"
        " any value (otherwise only `= null`, `== null` and `!= null` follow this rule, and other"
        " comparisons with NULL are false)",
    )
    mixed_types: str = _setting(
        "unequal",
        "result of comparing values of different types in expressions; unequal: they are unequal"
        " and have no order; false: every comparison is false; numbers: a string that contains a"
        " number is converted if the other value is a number",
        ("unequal", "false", "numbers"),
    )
    names_may_begin_with_digit: bool = _setting(
        default=False,
        text="in expressions, a name after a dot may begin with a digit, as in worker.level.1st"
        " (otherwise the expression is rejected; Twilio documents that names do not begin with a"
        " digit)",
    )
    day_of_week_ignores_case: bool = _setting(
        default=False,
        text="in expressions, comparisons with taskrouter.dayOfWeek ignore case (Twilio documents"
        " the value 'Thu', but one of its examples contains 'THU')",
    )
    assigned_tasks: str = _setting(
        "held",
        "Reservations that assigned_tasks counts in a REST response; held: pending, accepted and"
        " wrapping (in expressions, assigned_tasks counts the accepted Reservations)",
        ("held", "accepted"),
    )
    reason_required: bool = _setting(
        default=False,
        text="a Task can be completed or canceled over REST only with a Reason (Twilio's API"
        " description says so, but Twilio's own tests cancel Tasks without a Reason)",
    )
    status_with_attributes: str = _setting(
        "refused",
        "what happens to Attributes in a REST request that also sets a Task's status to wrapping or"
        " completed (Twilio documents that two requests are necessary); refused: the"
        " request fails with HTTP 400",
        ("refused", "ignored", "updated"),
    )
    worker_lists_have_attributes: bool = _setting(
        default=True,
        text="lists of Workers contain their attributes (Twilio's API description contains such a"
        " list, but also says that attributes are null in lists)",
    )
    closed_tasks_in_statistics: bool = _setting(
        default=False,
        text="real-time statistics include completed and canceled Tasks until these are deleted"
        " (Twilio's API description mentions completed Tasks, but its examples do not)",
    )
    not_pending_code: int = _setting(
        20001,
        "error code for a Reservation that is no longer pending (in the response to a REST request,"
        " or in the alert after a callback)",
    )
    not_pending_status: int = _setting(
        400,
        "HTTP status of the error for a Reservation that is no longer pending (Twilio documents"
        " no status; 400 was observed)",
    )
    retry_after: int = _setting(
        0,
        "value, in seconds, of the Retry-After header in an injected 429 response whose fault does"
        " not set retry_after; 0 for no header",
    )
    rate_limit: int = _setting(
        0,
        "value of the headers X-Rate-Limit-Limit and X-Rate-Limit-Config in REST responses, and of"
        " X-Rate-Limit-Remaining unless the status is 429; 0 for no headers (Twilio's API"
        " description names the headers but not their values)",
    )
    problem_details: bool = _setting(
        default=False,
        text="errors are RFC 9457 problem documents, which the Python SDK raises as"
        " TwilioServiceException (otherwise TwilioRestException)",
    )
    unknown_parameters: str = _setting(
        "ignored",
        "what happens to a REST parameter that Twilio's API description does not contain, that"
        " belongs to another instruction, or that is repeated although it is not a list; refused:"
        " the request fails with HTTP 400",
        ("ignored", "refused"),
    )
    accept_twice: bool = _setting(
        default=False,
        text="accepting an accepted Reservation again succeeds (otherwise the request fails)",
    )
    least_reservation_timeout: int = _setting(
        1, "minimum TaskReservationTimeout of a Workflow, in seconds"
    )
    etag_quoted: bool = _setting(default=True, text="ETags are in quotes")
    timeout_moves_to_next_target: bool = _setting(
        default=True,
        text="when a Reservation times out, its Task moves to the filter's next target, if any",
    )
    default_filter_timeout: bool = _setting(
        default=False, text="a timeout in default_filter takes effect (not documented)"
    )
    callback_order: str = _setting(
        "unordered",
        "whether a Reservation's assignment callback or its reservation.created event is sent"
        " first; the second waits for the response to the first; unordered sends both at once",
        ("unordered", "callback-first", "event-first"),
    )
    event_callbacks_in_order: bool = _setting(
        default=False,
        text="an event callback waits for the response to the previous event callback",
    )
    assignment_callback_seconds: float = _setting(5.0, "time limit of an assignment callback")
    fallback_callback_seconds: float = _setting(5.0, "time limit of a fallback callback")
    event_callback_seconds: float = _setting(15.0, "time limit of an event callback")
    callback_timestamp: str = _setting(
        "seconds",
        "format of Timestamp in assignment callbacks (an observed callback had no Timestamp)",
        ("seconds", "iso", "none"),
    )
    event_callback_wants_204: bool = _setting(
        default=True, text="an event callback fails if the response is 2xx but not 204"
    )
    bad_json_uses_fallback: bool = _setting(
        default=False,
        text="after a response that is not JSON or contains no instruction (alerts 40001, 40005),"
        " TaskRouter requests the fallback URL",
    )
    fallback_connection_overrides: bool = _setting(
        default=True,
        text="a fallback callback is retried and uses the connection overrides in its URL, like"
        " the assignment callback (otherwise it is posted once)",
    )
    fallback_error_parameters: bool = _setting(
        default=False, text="fallback callbacks contain ErrorCode and ErrorUrl"
    )
    failed_callbacks_cancel: bool = _setting(
        default=False,
        text="a Reservation whose callbacks all fail is canceled (otherwise it times out)",
    )
    events_newest_first: bool = _setting(
        default=False, text="the Events list begins with the newest Event (otherwise the oldest)"
    )
    event_callback_retries: int = _setting(0, "number of retries of a failed event callback")
    twiml_seconds: float = _setting(15.0, "time limit of a request for TwiML")
    status_callback_seconds: float = _setting(15.0, "time limit of a status callback")
    call_status_callback_method: str = _setting(
        "post",
        "HTTP method of the status callback of a call instruction (Twilio documents GET for"
        " the dequeue instruction, and no method for the call instruction)",
        ("post", "get"),
    )
    answer_seconds: float = _setting(
        0.0, "seconds that a Worker's phone rings before the Worker answers"
    )
    unanswered_call: str = _setting(
        "canceled",
        "status of the Reservation when its Worker does not answer the call; pending: the"
        " Reservation times out later",
        ("canceled", "rejected", "timeout", "pending"),
    )
    ended_call: str = _setting(
        "completed",
        "status of an assigned Task when its call ends",
        ("completed", "wrapping", "assigned"),
    )
    ended_conference: str = _setting(
        "wrapping",
        "status of an assigned Task when its conference ends in a multitasking Workspace (wrapping"
        " was observed; in a single-tasking Workspace, SIMULATOR_ENDED_CALL applies)",
        ("completed", "wrapping", "assigned"),
    )
    transfer_ignores_capacity: bool = _setting(
        default=True,
        text="a transfer to a Worker ignores the Worker's capacity and Activity, like a"
        " RoutingTarget",
    )
    canceled_task_result: str = _setting(
        "leave",
        "QueueResult when a call leaves its queue because its Task is deleted, or is canceled for"
        " any reason except a hangup; none: the call keeps waiting",
        ("leave", "error", "none"),
    )
    voice_queue_size: int = _setting(100, "maximum number of calls waiting in one queue")
    expired_token_disconnects: bool = _setting(
        default=True, text="a browser SDK's WebSocket is closed when its Access Token expires"
    )
    disconnected_worker: str = _setting(
        "unchanged",
        "Activity of a Worker whose browser SDK disconnects, unless the SDK's option"
        " setWorkerOfflineIfDisconnected is set; offline (observed in Flex) selects the Activity"
        " Offline",
        ("unchanged", "offline"),
    )
    task_timeout: int = _setting(86_400, "default Timeout of a Task, in seconds")
    default_capacity: int = _setting(1, "initial capacity of a Worker's channel")
    closed_task_seconds: int = _setting(300, "seconds until a closed Task is deleted")
    assigned_task_seconds: int = _setting(86_400, "seconds until an assigned Task is deleted")
    max_assignments: int = _setting(
        1000, "number of times a Task can become reserved before it is canceled"
    )
    user_agent: str = _setting("TwilioProxy/1.1", "User-Agent of callbacks")
    idempotency_token: bool = _setting(
        default=True, text="callbacks have an I-Twilio-Idempotency-Token header"
    )
    signed_port: bool = _setting(
        default=True, text="the signature of a callback includes the port in its URL"
    )
    shared_key_signatures: bool = _setting(
        default=False,
        text="callbacks are signed with a SharedKey and HMAC-SHA256 (otherwise with the Auth Token"
        " and HMAC-SHA1)",
    )

    def allowed_host_names(self) -> set[str]:
        """Return the additional host names that clients may use for /v1, in lower case."""
        return {name.strip().lower() for name in self.allowed_hosts.split(",")} - {""}

    def allowed_page_origins(self) -> set[str]:
        """Return the origins of web pages on other hosts that may use the browser SDK."""
        return {origin.strip() for origin in self.allowed_origins.split(",")} - {""}

    def url(self, path: str) -> str:
        """Return the app's URL for a path; return an empty string for an empty path."""
        return self.callback_base_url.rstrip("/") + path if path else ""
