"""Builds the service from its settings, once per Lambda execution environment."""

import logging
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chalicelib import config, observability
from chalicelib.adapters import rules_file
from chalicelib.adapters.dynamodb.client import make_client
from chalicelib.adapters.dynamodb.idempotency import DynamoIdempotencyStore
from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.adapters.secrets import (
    FixedSecrets,
    ParameterSecrets,
    Secrets,
    SecretsSource,
    ssm_client,
)
from chalicelib.adapters.twilio.signature import SignatureVerifier
from chalicelib.domain.errors import SecretsUnavailable
from chalicelib.domain.instructions import WITHOUT_PARAMETERS
from chalicelib.domain.rules import Rules
from chalicelib.domain.sign_in import SignInPolicy
from chalicelib.usecases.create_task import TaskCollaborators
from chalicelib.usecases.deadlines import Deadlines
from chalicelib.usecases.ports import Collaborators
from chalicelib.usecases.sweep import SweepPolicy

if TYPE_CHECKING:
    from chalicelib.adapters.dynamodb.activities import DynamoWorkerActivities
    from chalicelib.adapters.dynamodb.listing import DynamoReservationListing
    from chalicelib.adapters.dynamodb.statistics import DynamoStatistics
    from chalicelib.adapters.oidc import Provider
    from chalicelib.adapters.twilio.access_tokens import TokenVerifier
    from chalicelib.adapters.twilio.taskrouter import TwilioTaskRouter
    from chalicelib.usecases.ports import CallbackLog


class SystemClock:
    """Implements `chalicelib.usecases.ports.Clock` with the system clock."""

    def now_ms(self) -> int:
        """Return the current time, in epoch ms."""
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        """Sleep for the given time."""
        time.sleep(seconds)


@dataclass(frozen=True)
class Runtime:
    """The components of the service.

    Each component is built on first use. Modules that assignment callbacks do not need, such
    as PyJWT and Twilio's REST client, are also imported on first use.

    Args:
        settings: the settings of the service.
        dynamodb: a DynamoDB client.
        clock: the system clock.
        local_log: the callback log to use instead of CloudWatch Logs, or None.
    """

    settings: config.Settings
    dynamodb: Any
    clock: SystemClock
    local_log: "CallbackLog | None" = None

    @cached_property
    def store(self) -> DynamoReservationStore:
        """The store of Reservation records."""
        return DynamoReservationStore(
            self.dynamodb,
            reservations_table=self.settings.reservations_table,
            state_table=self.settings.state_table,
            retention_days=self.settings.retention_days,
            callback_seconds=self.settings.dynamodb_seconds,
        )

    @cached_property
    def listing(self) -> "DynamoReservationListing":
        """The lists of Reservation records."""
        from chalicelib.adapters.dynamodb.listing import DynamoReservationListing  # noqa: PLC0415  callbacks do not need it

        return DynamoReservationListing(
            self.dynamodb, reservations_table=self.settings.reservations_table
        )

    @cached_property
    def worker_activities(self) -> "DynamoWorkerActivities":
        """The recorded Activities of Workers."""
        from chalicelib.adapters.dynamodb.activities import DynamoWorkerActivities  # noqa: PLC0415  callbacks do not need it

        settings = self.settings
        return DynamoWorkerActivities(
            self.dynamodb,
            state_table=settings.state_table,
            retention_days=settings.retention_days,
        )

    @cached_property
    def statistics(self) -> "DynamoStatistics":
        """The statistics that sweeps update."""
        from chalicelib.adapters.dynamodb.statistics import DynamoStatistics  # noqa: PLC0415  callbacks do not need it

        settings = self.settings
        return DynamoStatistics(
            self.dynamodb,
            reservations_table=settings.reservations_table,
            state_table=settings.state_table,
        )

    @cached_property
    def callback_log(self) -> "CallbackLog":
        """The callback log."""
        if self.local_log is not None:
            return self.local_log
        from chalicelib.adapters.callback_log import CloudWatchCallbackLog  # noqa: PLC0415  callbacks do not need it

        return CloudWatchCallbackLog(config.log_group())

    @cached_property
    def deadlines(self) -> Deadlines:
        """The deadline settings."""
        return Deadlines(
            reservation_timeout=self.settings.reservation_timeout_seconds,
            by_workflow=self.settings.reservation_timeouts_by_workflow,
            grace=self.settings.sweep_grace_seconds,
            claim_lease=self.settings.claim_lease_seconds,
            reject_after=self.settings.reject_after_seconds,
            max_wrapup=self.settings.max_wrapup_seconds,
        )

    @cached_property
    def rules(self) -> Rules:
        """The rules that choose the answers to callbacks.

        Invalid rules can't be deployed. If invalid rules are nevertheless loaded, each callback
        gets the default instruction, its log line reports the failure, and repeated failures
        trigger an alarm.
        """
        default = WITHOUT_PARAMETERS[self.settings.assignment_instruction]
        try:
            return rules_file.load(self.settings.rules_file, default=default)
        except rules_file.RulesError as error:
            problems = str(error).splitlines()
            observability.log("rules", {"problems": problems}, level=logging.ERROR)
            return Rules((), default, failures=("RULES_FILE",))

    @cached_property
    def secrets(self) -> SecretsSource:
        """The secrets that verify requests and authenticate this service to TaskRouter."""
        settings = self.settings
        if settings.secrets_parameter:
            client = ssm_client(settings.secrets_seconds)
            return ParameterSecrets(settings.secrets_parameter, client, self.clock.now_ms)
        return FixedSecrets(
            Secrets(
                auth_tokens=(settings.twilio_auth_token,),
                api_keys={settings.twilio_api_key_sid: settings.twilio_api_key_secret},
                oidc_client_secret=settings.oidc_client_secret,
            )
        )

    @cached_property
    def signatures(self) -> SignatureVerifier:
        """The verifier of Twilio signatures."""
        return SignatureVerifier(self.secrets)

    @cached_property
    def tokens(self) -> "TokenVerifier":
        """The verifier of bearer tokens."""
        from chalicelib.adapters.twilio.access_tokens import TokenVerifier  # noqa: PLC0415  jwt is slow to import

        settings = self.settings
        return TokenVerifier(
            self.secrets,
            account_sid=settings.twilio_account_sid,
            workspace_sid=settings.twilio_workspace_sid,
            max_seconds=settings.max_token_seconds,
        )

    @cached_property
    def identity_provider(self) -> "Provider":
        """The company's identity provider. Its metadata and keys are cached."""
        from chalicelib.adapters.oidc import Provider  # noqa: PLC0415  only sign-ins need it

        settings = self.settings
        return Provider(
            issuer=settings.oidc_issuer,
            client_id=settings.oidc_client_id,
            scopes=settings.oidc_scopes,
            secrets=self.secrets,
            now_ms=self.clock.now_ms,
        )

    @cached_property
    def sign_in_policy(self) -> SignInPolicy:
        """The rules that determine the roles and Workers of people who sign in."""
        settings = self.settings
        return SignInPolicy(
            worker_claim=settings.oidc_worker_claim,
            worker_attribute=settings.oidc_worker_attribute,
            role_claim=settings.oidc_role_claim,
            roles=settings.oidc_roles,
        )

    @cached_property
    def taskrouter(self) -> "TwilioTaskRouter":
        """TaskRouter's REST API."""
        from chalicelib.adapters.twilio.taskrouter import TwilioTaskRouter  # noqa: PLC0415  twilio.rest is slow to import

        settings = self.settings
        return TwilioTaskRouter(
            base_url=settings.twilio_taskrouter_url,
            account_sid=settings.twilio_account_sid,
            secrets=self.secrets,
            workspace_sid=settings.twilio_workspace_sid,
        )

    @cached_property
    def task_collaborators(self) -> TaskCollaborators:
        """The services that `create_task` uses."""
        return TaskCollaborators(
            keys=DynamoIdempotencyStore(self.dynamodb, state_table=self.settings.state_table),
            taskrouter=self.taskrouter,
            clock=self.clock,
            lease_seconds=self.settings.claim_lease_seconds,
            new_id=lambda: uuid.uuid4().hex,
        )

    @cached_property
    def sweep_policy(self) -> SweepPolicy:
        """The settings for Reservations that the sweep rejects or completes."""
        return SweepPolicy(
            reject_activity_sid=self.settings.reject_activity_sid or None,
            monitor_only=self.settings.sweep_monitor_only,
        )

    @cached_property
    def collaborators(self) -> Collaborators:
        """The services that decisions and sweeps use."""
        return Collaborators(
            store=self.store,
            taskrouter=self.taskrouter,
            clock=self.clock,
            deadlines=self.deadlines,
            new_id=lambda: uuid.uuid4().hex,
            answer_may_ring=self.rules.may_ring,
        )


_lock = threading.Lock()
_current: Runtime | None = None


def build(*, local_log: "CallbackLog | None" = None) -> Runtime:
    """Build the service from its settings; raise SettingsError if a setting is invalid."""
    settings = config.load()
    observability.configure(settings.log_level)
    client = make_client(settings.dynamodb_seconds)
    return Runtime(settings=settings, dynamodb=client, clock=SystemClock(), local_log=local_log)


def current() -> Runtime:
    """Return the runtime of this process, built on first use.

    Outside Lambda, the runtime is not built before the first request, because `chalice local` and
    `chalice.test` set the stage's environment variables after they import the app.
    """
    global _current  # noqa: PLW0603  one runtime per process
    if _current is None:
        with _lock:
            if _current is None:
                _current = build()
    return _current


def use(runtime: Runtime | None) -> None:
    """Replace the current runtime (for tests). None makes `current` build a new runtime."""
    global _current  # noqa: PLW0603  see `current`
    _current = runtime


if config.in_lambda():
    # Code gets the full CPU during Lambda's init phase, so reading the secrets and rules is faster.
    with suppress(SecretsUnavailable):
        current().secrets.get()
    _ = current().rules
