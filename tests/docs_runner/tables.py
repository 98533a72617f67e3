"""Documented commands that are not run, and commands that run until Ctrl-C."""

TESTED_ELSEWHERE = "`.ci/run` runs the command"

FIRST_DEPLOYMENT = (
    "the command is part of a deployment to AWS; "
    "tests/deploy/test_first_deployment.py tests the deployment"
)

DOCTOR = "tests/infra/test_doctor.py and tests/infra/test_doctor_probe.py run the command"

WORKSPACE = (
    "the command needs a stage in AWS; the tests in tests/infra and tests/deploy run the same "
    "operator command"
)

NOT_RUN = {
    "export TWILIO_ACCOUNT_SID=AC… TWILIO_WORKSPACE_SID=WS… TWILIO_WORKFLOW_SID=WW…": (
        FIRST_DEPLOYMENT
    ),
    "export TWILIO_AUTH_TOKEN=… TWILIO_API_KEY_SID=SK… TWILIO_API_KEY_SECRET=…": FIRST_DEPLOYMENT,
    "python -m infra deploy --stage dev --yes --alarm-email you@example.com --try "
    """--try-attributes '{"selected_language": "es"}'""": FIRST_DEPLOYMENT,
    "python -m infra doctor --stage prod": DOCTOR,
    "python -m infra doctor --stage dev --probe --settings-file account.env": DOCTOR,
    "python -m infra workspace plan --stage prod": WORKSPACE,
    "make workspace STAGE=prod": WORKSPACE,
    "python -m infra workspace plan --stage prod --json > plan.json": WORKSPACE,
    "python -m infra workspace apply --stage prod --plan plan.json --yes": WORKSPACE,
    "python -m infra secrets put --stage prod": WORKSPACE,
    "python -m infra workspace apply --stage prod --file workspace.yaml": WORKSPACE,
    "make deploy STAGE=prod": WORKSPACE,
    "python -m infra workspace export --stage prod > workspace.yaml": WORKSPACE,
    "python -m infra workspace plan --stage prod --file workspace.yaml": WORKSPACE,
    "python -m infra workspace plan --stage prod --prune": WORKSPACE,
    "python -m infra workspace apply --stage prod --prune": WORKSPACE,
    "make test": TESTED_ELSEWHERE,
    "make check": TESTED_ELSEWHERE,
    "make e2e": "the command runs the documentation tests; " + TESTED_ELSEWHERE,
    "make chaos": "the command takes minutes; `.ci/run` runs it with other options",
    "make bench": "the command takes minutes; `.ci/run` runs it with other options",
    ".venv/bin/python -m benchmarks.capacity": (
        "tests/test_capacity.py compares the command's tables with docs/capacity.md"
    ),
    "make mutants": "the command takes minutes; tests/mutants/test_runner.py tests its parts",
    "make mutants SEED=7 COUNT=100 PACKAGE=routes": "the command takes minutes",
    ".venv/bin/python -m tests.chaos run --reservations 1000 --faults 200": (
        "`make chaos` runs the command"
    ),
    ".venv/bin/python -m tests.chaos run --seed 7 --workers 40 --instruction accept": (
        "the command takes minutes; `make chaos` runs it with other options"
    ),
    (
        "aws iam put-role-policy --role-name deploy-taskrouter-callbacks --policy-name deploy "
        "\\\n  --policy-document file://infra/deploy-role-policy.json"
    ): "the role is created by hand; tests/deploy/test_deploy_role.py checks the policy",
    "pip install './taskrouter_simulator[testing]'": (
        "the command installs packages for the reader's own tests; "
        "tests/simulator/test_package.py checks the package"
    ),
}
"""Commands that are not run, with the reason for each."""

CHALICE_LOCAL = r"([A-Z_]+=\S+ )*\.venv/bin/chalice local\b.*"
"""Pattern of commands that start Chalice's server, which needs running services."""

UNTIL_INTERRUPTED = {
    r"([A-Z_]+=\S+ )*make (run|services)": r"Press Ctrl-C to stop",
    r"(\.venv/bin/)?python -m taskrouter_simulator\b.*": r"simulator ready on",
    CHALICE_LOCAL: r"Serving on",
}
"""Programs that run until Ctrl-C. Each value matches output that a program prints when it is ready.

Commands after such a program run in a different shell. Before the first program of a block starts,
the programs of earlier blocks are stopped, unless the new program is Chalice's server. That server
needs the programs of earlier blocks.
"""
