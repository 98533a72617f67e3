"""What `make run` prints when everything answers: addresses, a token, commands to paste."""

from infra import keys, tokens
from local import simulated
from local.stack import Stack

TEMPLATE = """
Everything answers. Ctrl-C ends it.

  API         {api}
  TaskRouter  {simulator}   (the simulator; GET /simulator tells its SIDs and keys)
  Portal      {simulator}/simulator/portal   (what Twilio's Console shows and does)
  DynamoDB    {dynamodb}

A supervisor's token for {hours} hours, and the simulator's account, for the commands below:

  TOKEN={token}
  ACCOUNT={account}

1. Create a Task. Nobody who speaks Spanish is available, so it is pending:

  TASK=$(curl -sw '\\n' -X POST -H "Authorization: Bearer $TOKEN" {api}/create-task | tee /dev/stderr | grep -o 'WT[0-9a-f]\\{{32\\}}' | head -n 1)

2. Alice turns Idle. TaskRouter reserves her and calls our /assignment_callback back:

  curl -sw '\\n' -u $ACCOUNT -d ActivitySid={idle} {workspace}/Workers/{alice}

3. The Reservation, with every parameter of the callback:

  sleep 1
  curl -sw '\\n' -H "Authorization: Bearer $TOKEN" '{api}/reservations?status=pending'

4. Accept it. Add &reservation_sid=WR... to name one; the Task has only one here:

  curl -sw '\\n' -H "Authorization: Bearer $TOKEN" "{api}/accept_reservation?task_sid=$TASK"

5. At TaskRouter the Task is assigned, and Alice is Busy:

  curl -sw '\\n' -u $ACCOUNT {workspace}/Tasks/$TASK
  curl -sw '\\n' -u $ACCOUNT {workspace}/Workers/{alice}

6. The work is done; after this, begin again at 1:

  curl -sw '\\n' -u $ACCOUNT -d AssignmentStatus=completed {workspace}/Tasks/$TASK
  curl -sw '\\n' -u $ACCOUNT -d ActivitySid={offline} {workspace}/Workers/{alice}

With ASSIGNMENT_INSTRUCTION=accept make run, 1 and 2 are enough. More in docs/quickstart.md.
"""  # noqa: E501  # a command that is pasted is one line

TOKEN_HOURS = 8


def text(stack: Stack) -> str:
    """The whole message, for a stack that answers."""
    simulator = simulated.names(stack.simulator_url)
    token = tokens.mint(
        stack.settings,
        keys.of_stage(stack.settings),
        role="supervisor",
        hours=TOKEN_HOURS,
    )
    return TEMPLATE.format(
        api=stack.api_url,
        simulator=stack.simulator_url,
        dynamodb=stack.dynamodb_url,
        hours=TOKEN_HOURS,
        token=token,
        account=f"{simulator['account_sid']}:{simulator['auth_token']}",
        idle=simulator["activities"]["Idle"],
        offline=simulator["activities"]["Offline"],
        alice=simulator["workers"]["Alice"],
        workspace=f"{stack.simulator_url}/v1/Workspaces/{simulator['workspace_sid']}",
    )


def warning(names: list[str]) -> str:
    """Says that variables of the shell lead the app elsewhere, and how to run without them."""
    without = " ".join(f"-u {name}" for name in names)
    return (
        f"Warning: the shell sets {', '.join(names)}, and the shell wins. The simulator and the "
        f"local DynamoDB know nothing of these values, so calls between them and the app will be "
        f"refused or go elsewhere. To run without them:\n\n  env {without} make run\n"
    )
