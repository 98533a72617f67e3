"""All checks, in the order of the output. A check follows the checks that it needs."""

from infra.doctor import aws_checks, service_checks, twilio_checks

CHECKS = (
    service_checks.API_CHECK,
    *aws_checks.TABLE_CHECKS,
    *twilio_checks.CHECKS,
    *service_checks.CHECKS,
    *aws_checks.CHECKS,
)
