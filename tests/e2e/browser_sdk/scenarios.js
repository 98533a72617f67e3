// Scenarios that use Twilio's browser SDK. Each scenario returns values reported by the SDK. The
// scenarios run in Node.js (`node scenarios.js NAME JSON`). Those that create no Access Token can
// also run in a browser.

"use strict";

function options(url, more) {
  const path = "/v1/wschannels";
  return {
    ebServer: url + path,
    wsServer: url.replace("http", "ws") + path,
    logLevel: "silent",
    ...more,
  };
}

function accessToken({ claims, secret }, seconds) {
  const header = { alg: "HS256", typ: "JWT", cty: "twilio-fpa;v=1" };
  const parts = [header, { ...claims, exp: Date.now() / 1000 + seconds }];
  const text = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  const { createHmac } = require("node:crypto");
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

function once(emitter, event) {
  return new Promise((resolve) => emitter.once(event, resolve));
}

async function connect(TaskRouter, { url, token, ...more }, type = "Worker") {
  const worker = new TaskRouter[type](token, options(url, more));
  await once(worker, "ready");
  return worker;
}

async function goIdle(worker) {
  const offer = once(worker, "reservationCreated");
  const idle = [...worker.activities.values()].find((activity) => activity.name === "Idle");
  await idle.setAsCurrent();
  return offer;
}

const scenarios = {
  async ready(TaskRouter, input) {
    const worker = await connect(TaskRouter, input);
    return {
      sid: worker.sid,
      name: worker.name,
      attributes: worker.attributes,
      activity: worker.activity.name,
      activities: [...worker.activities.values()].map((activity) => activity.name),
      channels: [...worker.channels.values()].map((channel) => channel.taskChannelUniqueName),
      created: worker.dateCreated.getTime(),
    };
  },

  async accept(TaskRouter, input) {
    const worker = await connect(TaskRouter, input);
    const reservation = await goIdle(worker);
    const seen = [[reservation.status, reservation.task.status, reservation.task.attributes]];
    for (const [event, act] of [
      ["accepted", () => reservation.accept()],
      ["wrapup", () => reservation.task.wrapUp({ reason: "almost done" })],
      ["completed", () => reservation.task.complete("done")],
    ]) {
      const received = Promise.all([
        once(reservation, event),
        event === "accepted" ? null : once(reservation.task, event),
      ]);
      await act();
      await received;
      seen.push([reservation.status, reservation.task.status, reservation.task.reason]);
    }
    seen.push(worker.reservations.size);
    return seen;
  },

  async reject(TaskRouter, input) {
    const worker = await connect(TaskRouter, input);
    const reservation = await goIdle(worker);
    const offline = [...worker.activities.values()].find(({ name }) => name === "Offline");
    const received = [once(reservation, "rejected"), once(worker, "activityUpdated")];
    await reservation.reject({ activitySid: offline.sid });
    await Promise.all(received);
    return [reservation.status, reservation.task.status, worker.reservations.size];
  },

  async rejectPending(TaskRouter, input) {
    const worker = await connect(TaskRouter, input);
    const reservation = await goIdle(worker);
    const offline = [...worker.activities.values()].find(({ name }) => name === "Offline");
    const rejected = once(reservation, "rejected");
    await offline.setAsCurrent({ rejectPendingReservations: true });
    await rejected;
    return [reservation.status, worker.activity.name];
  },

  async versions(TaskRouter, input) {
    const worker = await connect(TaskRouter, { ...input, enableVersionCheck: true });
    const seen = [];
    const check = async () => {
      // An event that changes the version may not have arrived yet.
      let [version, attempts] = [worker.version, 0];
      while (version !== (await worker.fetchLatestVersion()).version && ++attempts < 20) {
        version = worker.version;
      }
      seen.push(attempts < 20);
    };
    const updated = once(worker, "attributesUpdated");
    await worker.setAttributes({ languages: ["es"], level: 2 });
    await updated;
    await check();
    const reservation = await goIdle(worker);
    await check();
    const accepted = once(reservation, "accepted");
    await reservation.accept();
    await accepted;
    const taskUpdated = once(reservation.task, "updated");
    await reservation.task.setAttributes({ ...reservation.task.attributes, note: "é" });
    await taskUpdated;
    await reservation.task.setVirtualStartTime(new Date(0));
    await reservation.complete();
    seen.push(reservation.task.attributes, reservation.task.virtualStartTime.getTime());
    worker.version = "0";
    seen.push(await worker.setAttributes({}).catch((error) => error.message));
    return seen;
  },

  async outbound(TaskRouter, input) {
    const worker = await connect(TaskRouter, input);
    const offer = once(worker, "reservationCreated");
    const sid = await worker.createTask("+15550001111", "+15550002222", input.workflow, input.queue, {
      attributes: { name: "Ms. Ray" },
      taskChannelUniqueName: "voice",
    });
    const { task } = await offer;
    return [sid === task.sid, task.attributes, task.routingTarget, task.taskChannelUniqueName];
  },

  async channel(TaskRouter, input) {
    const worker = await connect(TaskRouter, input);
    const channel = [...worker.channels.values()].find((item) => item.taskChannelUniqueName === "voice");
    const updated = once(channel, "capacityUpdated");
    console.log("ready");
    await updated;
    const disabled = once(channel, "availabilityUpdated");
    await disabled;
    return [channel.capacity, channel.available];
  },

  async reconnect(TaskRouter, input) {
    const worker = await connect(TaskRouter, input);
    const disconnected = once(worker, "disconnected");
    const ready = once(worker, "ready");
    console.log("ready");
    const { message } = await disconnected;
    await ready;
    const reservation = await goIdle(worker);
    return [message, reservation.status, worker.activities.size];
  },

  async expiry(TaskRouter, { sign, ...input }) {
    const worker = new TaskRouter.Worker(accessToken(sign, 8), options(input.url));
    const [expired, disconnected] = [once(worker, "tokenExpired"), once(worker, "disconnected")];
    await once(worker, "ready");
    await expired;
    const seen = ["tokenExpired", (await disconnected).message];
    const ready = once(worker, "ready");
    worker.updateToken(accessToken(sign, 600));
    await ready;
    const reservation = await goIdle(worker);
    await reservation.accept();
    return [...seen, reservation.status];
  },

  async update(TaskRouter, { sign, ...input }) {
    // After updateToken, the SDK's expiry timer still uses the lifetime of the old token. If that
    // lifetime were below 10 seconds, the SDK would report a second expiry before the server closed
    // the connection.
    const worker = new TaskRouter.Worker(accessToken(sign, 12), options(input.url));
    const [updated, disconnected] = [once(worker, "tokenUpdated"), once(worker, "disconnected")];
    worker.once("tokenExpired", () => worker.updateToken(accessToken(sign, 600)));
    await once(worker, "ready");
    const ready = once(worker, "ready");
    await updated;
    const { message } = await disconnected;
    await ready;
    return [message, (await goIdle(worker)).status];
  },

  async refused(TaskRouter, { url, token }) {
    const worker = new TaskRouter.Worker(token, options(url));
    worker.on("error", () => {});
    const { message } = await once(worker, "disconnected");
    worker.disconnect();
    return message;
  },

  async supervise(TaskRouter, { alice, ...input }) {
    const supervisor = await connect(TaskRouter, input, "Supervisor");
    const worker = await connect(TaskRouter, { url: input.url, token: alice });
    const idle = [...worker.activities.values()].find(({ name }) => name === "Idle");
    const offer = once(worker, "reservationCreated");
    await supervisor.setWorkerAttributes(worker.sid, { languages: ["es"] });
    await supervisor.setWorkerActivity(worker.sid, idle.sid);
    const { sid, task } = await offer;
    const monitored = await supervisor.monitor(task.sid, sid).catch((error) => error.message);
    return [worker.attributes, monitored];
  },

  async transfer(TaskRouter, { bob, ...input }) {
    const alice = await connect(TaskRouter, input);
    const other = await connect(TaskRouter, { url: input.url, token: bob });
    const reservation = await goIdle(alice);
    await reservation.accept();
    const { task } = reservation;
    const seen = [];
    for (const act of ["cancel", "reject", "accept"]) {
      const offer = once(other, "reservationCreated");
      await task.transfer(other.sid);
      const incoming = await offer;
      const { outgoing } = task.transfers;
      const event = { cancel: "canceled", reject: "failed", accept: "completed" }[act];
      const [ended, offerEnded] = [
        once(outgoing, event),
        once(incoming, { cancel: "canceled", reject: "rejected", accept: "accepted" }[act]),
      ];
      seen.push([incoming.transfer.mode, incoming.task.transfers.incoming.type, outgoing.status]);
      await (act === "cancel" ? outgoing.cancel() : incoming[act]());
      await Promise.all([ended, offerEnded]);
      seen.push([incoming.status, outgoing.status]);
    }
    return seen;
  },

  async workspace(TaskRouter, { url, token, task }) {
    const workspace = new TaskRouter.Workspace(token, { ...options(url), pageSize: 1 });
    const names = async (items) => [...(await items).values()].map((item) => item.name);
    const workers = await workspace.fetchWorkersInfo();
    const [worker] = workers.values();
    const [queue] = (await workspace.fetchTaskQueues()).values();
    return [
      await names(workspace.fetchWorkers({ Ordering: "DateStatusChanged:asc" })),
      await names(workspace.fetchWorkersInfo({ MaxWorkers: 1 })),
      await names(workspace.fetchWorkersInfo({ FriendlyName: "Bob" })),
      await names(workspace.fetchTaskQueues({ Ordering: "DateUpdated:asc", WorkerSid: worker.sid })),
      (await workspace.fetchWorkerInfo(worker.sid)).friendlyName,
      (await workspace.fetchTaskQueue(queue.sid)).queueName,
      (await workspace.fetchTask(task)).attributes,
      await workspace.fetchTask("WT0").catch((error) => error.message),
    ];
  },
};

if (typeof module !== "undefined") {
  const [name, input] = process.argv.slice(2);
  scenarios[name](require("twilio-taskrouter"), JSON.parse(input)).then(
    (result) => {
      console.log(JSON.stringify(result));
      process.exit(0); // the SDK's timers would keep the process running
    },
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
}
