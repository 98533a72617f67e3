// Creates a Task in the simulator and accepts its Reservation, with Twilio's Node.js SDK.
// Run: npm install twilio, then: node accept-task.mjs
import twilio from "twilio";

const url = process.env.SIMULATOR_URL ?? "http://127.0.0.1:8002";

const simulator = await (await fetch(`${url}/simulator`)).json();
const { api_key_sid, api_key_secret, account_sid } = simulator;
const client = twilio(api_key_sid, api_key_secret, { accountSid: account_sid });
client.taskrouter.baseUrl = url;
const workspace = client.taskrouter.v1.workspaces(simulator.workspace_sid);

await workspace.workers(simulator.workers.Alice).update({ activitySid: simulator.activities.Idle });
const { sid } = await workspace.tasks.create({ attributes: '{"selected_language": "es"}' });
// Wait for the callbacks.
await fetch(`${url}/simulator/clock`, { method: "POST", body: '{"advance": 0}' });

const task = workspace.tasks(sid);
const [reservation] = await task.reservations.list();
await task.reservations(reservation.sid).update({ reservationStatus: "accepted" });
console.log((await task.fetch()).assignmentStatus);
