// The filter of the Inbox and of History: the typed text, and the function that finds matching Reservations.

import { attributeText, fields, taskTitle } from "./format.js";
import { drafts, storeDraft } from "./session.js";
import { changed, section, state } from "./state.js";

export const filterText = () => drafts[`${section()}Filter`] ?? "";

export function setFilter(typed) {
  storeDraft(`${section()}Filter`, typed);
  changed();
}

export const clearFilter = () => setFilter("");

export function focusFilter() {
  const input = document.querySelector("#filter");
  input?.focus();
  input?.select();
}

/** Return a string in lower case and without accents, so that "rios" finds "Ríos". */
const plain = (string) => string.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

/** Return the searchable text of a Reservation: its title, names, SIDs and Task attributes. */
function searchable(reservation) {
  const attributes = fields(reservation.task_attributes ?? {}).flatMap(([name, value]) => [
    name,
    typeof value === "string" ? value : attributeText(value).shown,
  ]);
  const { worker_name, task_queue_name, workflow_name, task_channel_name, reservation_sid, task_sid } = reservation;
  const names = [worker_name, task_queue_name, workflow_name, task_channel_name, reservation_sid, task_sid];
  const title = taskTitle(reservation, state.inbox.titleAttributes);
  return plain([title, ...names, ...attributes].join("\n"));
}

/** Return a function that returns whether a Reservation contains all words of the filter. */
export function matcher() {
  const words = plain(filterText()).split(/\s+/).filter(Boolean);
  return (reservation) => {
    const contents = words.length ? searchable(reservation) : "";
    return words.every((word) => contents.includes(word));
  };
}
