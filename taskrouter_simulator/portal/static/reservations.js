// Shows Reservations with their Task, Worker, status and remaining time to accept.

import { el, setPill, setShown, setText } from "./dom.js";
import { action, drawFields, expandableRow, shortenSid } from "./row.js";
import { formatCountdown, formatDateTime, formatTime, secondsUntil } from "./time.js";

const TONES = {
  pending: "blue",
  accepted: "green",
  wrapping: "violet",
  rejected: "red",
  timeout: "red",
};

/** @param change (reservation, form) => Promise: updates the Reservation through the REST API */
export function reservationRow(change) {
  return () => {
    const pill = el("span", { class: "pill" });
    const worker = el("strong");
    const task = el("code", { class: "sid" });
    const timeLabel = el("span", { class: "age" });
    const progress = el("progress");
    const queue = el("span", { class: "detail" });
    const { details, summary, update } = expandableRow(
      [
        el("span", { class: "line head" }, pill, timeLabel),
        el("span", { class: "line wrap" }, worker, task, queue),
        progress,
      ],
      draw,
    );
    const accept = action(
      "Accept",
      (item) => change(item, { ReservationStatus: "accepted" }),
      summary,
      "primary",
    );
    const reject = action("Reject", (item) => change(item, { ReservationStatus: "rejected" }), summary);
    let reservation = null;
    const tick = () => {
      if (reservation.status !== "pending") return;
      const seconds = secondsUntil(reservation.expires);
      setText(timeLabel, `${formatCountdown(seconds)} left`);
      progress.max = reservation.expires - reservation.created;
      progress.value = seconds;
    };
    return {
      node: el("li", {}, details, el("div", { class: "actions" }, accept.button, reject.button)),
      tick,
      update(next) {
        reservation = next;
        const { status } = reservation;
        const pending = status === "pending";
        setPill(pill, status, TONES[status] ?? "gray");
        setText(worker, reservation.worker);
        setText(task, shortenSid(reservation.task_sid));
        if (!pending) setText(timeLabel, formatTime(reservation.updated));
        progress.setAttribute("aria-label", `Time left for ${reservation.worker}`);
        setShown(progress, pending, summary);
        setText(queue, reservation.queue ?? "");
        const label = `${shortenSid(reservation.task_sid)} for ${reservation.worker}`;
        accept.update(reservation, pending, `Accept ${label}`);
        reject.update(reservation, pending, `Reject ${label}`);
        update(reservation);
        tick();
      },
    };
  };
}

function draw(body, reservation) {
  drawFields(body, "reservation", [
    ["Reservation SID", reservation.sid],
    ["Status", reservation.status],
    ["Task SID", reservation.task_sid],
    ["Worker", reservation.worker],
    ["Worker SID", reservation.worker_sid],
    ["TaskQueue", reservation.queue],
    ["Created", formatDateTime(reservation.created)],
    ["Updated", formatDateTime(reservation.updated)],
    ["Times out", reservation.status === "pending" ? formatDateTime(reservation.expires) : null],
  ]);
}
