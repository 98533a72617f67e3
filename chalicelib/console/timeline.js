// The steps and phases of a Reservation, according to its record.

const MIN_SHARE = 0.006;

/** The phase that begins with each of these statuses. All other statuses end the Reservation. */
const PHASES = { __proto__: null, pending: "wait", accepted: "work", wrapping: "wrap" };

export const isUnfinished = ({ status }) => status in PHASES;

/** Return the status changes, without the initial status `pending`. */
const changes = ({ history }) => history.filter(({ to }) => to !== "pending");

/** Return the entry that recorded the callback, or null if something other than the callback created the record. */
const callbackEntry = ({ history }) => (history[0]?.by === "assignment_callback" ? history[0] : null);

/** Return when the service began to answer the callback, or undefined if no callback arrived. Also undefined if an earlier version of the service recorded an event before the callback. */
export const answeredAt = (record) => record.delivery?.answered_at ?? callbackEntry(record)?.at;

/** Return {at, isExact}: when the Reservation was created or, if that is unknown, when its callback arrived (shortly after its creation). */
function creationOf(record) {
  const { reserved_at: at, delivery } = record;
  const arrived = delivery?.received_at ?? answeredAt(record);
  return Date.parse(arrived) <= Date.parse(at) ? { at: arrived, isExact: false } : { at, isExact: true };
}

/** Return the steps in the order in which they happened: {kind, at} and the fields of their source. */
export function stepsOf(record) {
  const { delivery, claims = [] } = record; // Earlier versions of the API return no claims.
  const answered = answeredAt(record);
  const steps = [
    { ...creationOf(record), kind: "reserved" },
    delivery && { ...delivery, kind: "received", at: delivery.received_at },
    answered && { kind: "answered", at: answered },
    ...claims.map((claim) => ({ ...claim, kind: "claimed" })),
    ...changes(record).map((change) => ({ ...change, kind: "changed" })),
  ].filter(Boolean);
  // The sort is stable: steps with the same time stay in this order.
  return steps.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
}

/** Return the phases up to `now`: {name, time, from, share}. `from` and `share` are fractions of the chart's width; short phases are widened so that they stay visible. */
export function phasesOf(record, now) {
  const recorded = changes(record);
  // After a record gets the status `gone`, TaskRouter may still report an ending that happened earlier.
  const known = recorded.filter((change) => change.to !== "gone" || change === recorded.at(-1));
  const marks = [{ to: "pending", at: creationOf(record).at }, ...known];
  // The changes are in the order in which they were recorded. A change reported by an event may have an earlier time than the change before it.
  const times = marks.map((_, index) => Math.min(...marks.slice(index).map(({ at }) => Date.parse(at))));
  const phases = marks
    .map(({ to }, index) => {
      const end = times[index + 1] ?? (isUnfinished(record) ? now : times[index]);
      return { name: PHASES[to], time: Math.max(0, end - times[index]) };
    })
    .filter(({ name }) => name);
  const total = phases.reduce((sum, { time }) => sum + time, 0);
  const shares = phases.map(({ time }) => Math.max(MIN_SHARE, total ? time / total : 1));
  const shareSum = shares.reduce((sum, share) => sum + share, 0);
  let from = 0;
  return phases.map((phase, index) => {
    const share = shares[index] / shareSum;
    from += share;
    return { ...phase, from: from - share, share };
  });
}

/**
 * Return how and when the offer was accepted, rejected or otherwise ended, and by whom: {to, at, by, note}, or null if
 * the offer is open. `by` is null if the Reservation is only known to be gone. TaskRouter may report the ending later.
 */
export function decisionOf(record) {
  const all = changes(record);
  const known = all.find(({ to }) => to !== "gone");
  if (known) {
    return { ...known, by: (known.to in PHASES && record.accepted_by) || known.by };
  }
  return all.length ? { ...all[0], by: null } : null;
}

/**
 * Return whether the Reservation was claimed or no longer pending when the callback arrived, so that the answer was `{}`.
 * If the callback created the record, the callback arrived first, even if a later event has an earlier time.
 */
export const wasDecidedBefore = (record) =>
  !callbackEntry(record) && [...(record.claims ?? []), ...changes(record)].some(({ at }) => Date.parse(at) <= Date.parse(answeredAt(record)));

/** Return the rule that chose the answer. Earlier versions of the service recorded the rule only in the first entry's note. */
export const ruleOf = (record) => record.rule ?? /^rule (.+)/s.exec(callbackEntry(record)?.note)?.[1] ?? null;
