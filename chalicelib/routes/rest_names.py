"""Suggestions for parameters of TaskRouter's REST API that this API does not have.

https://www.twilio.com/docs/taskrouter/api/reservations
https://www.twilio.com/docs/taskrouter/api/task
"""

from chalicelib.domain.instructions import INSTRUCTION_TYPES
from chalicelib.domain.reservations import RINGING

COUNTERPARTS = {
    "ReservationStatus": "status",
    "AssignmentStatus": "status",
    "WorkerActivitySid": "activity_sid",
    "PageSize": "limit",
    "PageToken": "cursor",
    "Page": "cursor",
}
"""This API's parameters by TaskRouter's names, unless the names differ only in spelling."""

_INSTRUCTIONS = "only POST /reservations/{sid}/accept takes an instruction and its parameters"
_STATUS = "the route determines the status: /accept, /reject or /complete after /reservations/{sid}"
_ACTIVITY = (
    "only POST /reservations/{sid}/reject, POST /activity and the post_work_activity_sid "
    "parameter of an instruction move the Worker to another Activity"
)
_TASK = "only POST /create-task takes it"
_UNSUPPORTED = "it is not supported"
_ROUTING = "it is not supported, because the Workflow chooses the TaskQueue and the Worker"
_SUPERVISE = "the supervise instruction is not supported"
_KEY = "send the key in the Idempotency-Key header, which only POST /create-task takes"
_WORKSPACE = "the settings of the service determine the account and the Workspace"

EXPLANATIONS = {
    **{
        spelling: _INSTRUCTIONS
        for instruction in RINGING
        for name, parameter in INSTRUCTION_TYPES[instruction].parameters().items()
        for spelling in (name, parameter.rest_name)
    },
    "Instruction": _INSTRUCTIONS,
    "ReservationStatus": _STATUS,
    "AssignmentStatus": _STATUS,
    "WorkerActivitySid": _ACTIVITY,
    "ActivitySid": _ACTIVITY,
    "ReservationSid": "the path of the route contains the SID of the Reservation",
    "Reason": _UNSUPPORTED,
    "Attributes": _TASK,
    "Priority": _TASK,
    "TaskChannel": _TASK,
    "WorkflowSid": _TASK,
    "TaskQueueSid": _ROUTING,
    "RoutingTarget": _ROUTING,
    "IgnoreCapacity": _UNSUPPORTED,
    "VirtualStartTime": _UNSUPPORTED,
    "Supervisor": _SUPERVISE,
    "SupervisorMode": _SUPERVISE,
    "IdempotencyKey": _KEY,
    "Idempotency-Key": _KEY,
    "AccountSid": _WORKSPACE,
    "WorkspaceSid": _WORKSPACE,
}
"""Reasons why a route has no counterpart for a parameter. Each reason also applies to other
spellings, such as ``reservation_status``."""
