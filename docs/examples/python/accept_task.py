"""Create a Task in the simulator and accept its Reservation, with Twilio's Python SDK.

Run: pip install requests twilio, then: python accept_task.py
"""

import os

import requests
from twilio.rest import Client

URL = os.environ.get("SIMULATOR_URL", "http://127.0.0.1:8002")

simulator = requests.get(f"{URL}/simulator", timeout=5).json()
client = Client(simulator["api_key_sid"], simulator["api_key_secret"], simulator["account_sid"])
client.taskrouter.base_url = URL
workspace = client.taskrouter.v1.workspaces(simulator["workspace_sid"])

alice, idle = simulator["workers"]["Alice"], simulator["activities"]["Idle"]
workspace.workers(alice).update(activity_sid=idle)
task = workspace.tasks.create(attributes='{"selected_language": "es"}')
requests.post(f"{URL}/simulator/clock", json={"advance": 0}, timeout=5)  # wait for callbacks

(reservation,) = task.reservations.list()
reservation.update(reservation_status="accepted")
print(task.fetch().assignment_status)
