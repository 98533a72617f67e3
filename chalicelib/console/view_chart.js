// The chart of Reservations per hour, and its table.

import { number, timeOfDay } from "./format.js";
import { text } from "./texts.js";
import { html } from "./view.js";

/** The parts of a bar, from the bottom up: each part's name, and a function that returns its number of Reservations in an hour. */
export const SERIES = {
  accepted: (hour) => hour.accepted,
  rejected: (hour) => hour.rejected,
  timeout: (hour) => hour.timed_out,
  otherEnding: (hour) => hour.total - hour.accepted - hour.rejected - hour.timed_out - hour.by_status.pending,
  pending: (hour) => hour.by_status.pending,
};

const PATTERNS = {
  rejected: html`<path d="M0 1h6M0 4h6" class="hatch" stroke-width="1" />`,
  timeout: html`<path d="M0 0v6" class="hatch" stroke-width="2.6" />`,
  otherEnding: html`<circle cx="3" cy="3" r="1.5" class="dots" />`,
};

/** The fill patterns, which make the parts distinguishable even without color. */
export const patterns = () => html`<svg class="sprite" width="0" height="0" aria-hidden="true"><defs>
  ${Object.entries(PATTERNS).map(([name, marks]) => html`<pattern key=${name} id=${`p-${name}`} width="6" height="6" patternUnits="userSpaceOnUse" patternTransform=${name === "timeout" ? "rotate(45)" : null}>
    <rect width="6" height="6" class=${`f-${name}`} />${marks}
  </pattern>`)}
</defs></svg>`;

/** A rectangle with the fill of a part. */
const part = (name, size) => html`<rect ...${size} class=${PATTERNS[name] ? null : `f-${name}`} fill=${PATTERNS[name] ? `url(#p-${name})` : null} />`;

export const swatch = (name) => html`<svg class="swatch" viewBox="0 0 14 14" aria-hidden="true">${part(name, { x: 1, y: 1, width: 12, height: 12, rx: 2 })}</svg>`;

export const isCounted = ({ counted_at: at }) => at !== null;

export const hourOf = (at) => timeOfDay(at).slice(0, 5);

/** Return the distance between grid lines, and the number of grid lines above zero. */
function gridFor(highest) {
  const rough = Math.max(1, highest / 4);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  return { step, lines: Math.max(1, Math.ceil(highest / step)) };
}

const SIZES = {
  wide: { width: 760, height: 240, left: 44, every: 1 },
  narrow: { width: 320, height: 200, left: 34, every: 4 },
};

/** Return two charts of the same hours. The stylesheet shows the chart that fits. */
export const charts = (hours) => Object.keys(SIZES).map((name) => chart(name, hours));

function chart(name, hours) {
  const { width, height, left, every } = SIZES[name];
  const bottom = height - 24;
  const { step, lines } = gridFor(Math.max(...hours.map(({ total }) => total ?? 0)));
  const scale = (bottom - 20) / (step * lines);
  const slot = (width - left) / hours.length;
  const labels = hours.map(({ hour }) => hourOf(hour).replace(/:00$/, ""));
  // A label with minutes is wider than a bar.
  const spacing = labels.some((label) => label.includes(":")) ? Math.max(2, every) : every;
  const compact = (value) => number(value, { notation: "compact" });
  return html`<svg key=${name} class=${`chart ${name}`} viewBox=${`0 0 ${width} ${height}`} role="img" aria-labelledby=${`title-${name} about-${name}`}>
    <title id=${`title-${name}`}>${text("perHour")}</title>
    <desc id=${`about-${name}`}>${peaks(hours)}</desc>
    ${Array.from({ length: lines + 1 }, (_, line) => {
      const y = bottom - line * step * scale;
      return html`<g key=${`line-${line}`}><path class=${line ? "grid" : "base"} d=${`M${left} ${y}H${width}`} /><text x=${left - 8} y=${y + 4} text-anchor="end">${compact(line * step)}</text></g>`;
    })}
    ${hours.map((hour, index) => {
      const x = left + slot * index;
      const top = bottom - (hour.total ?? 0) * scale;
      return html`<g key=${hour.hour} class=${index === hours.length - 1 ? "part" : null}>
        ${barParts(hour, { x: x + slot * 0.18, width: slot * 0.64, bottom, scale })}
        ${every === 1 && hour.total > 0 && html`<text class="total" x=${x + slot / 2} y=${top - 6} text-anchor="middle">${compact(hour.total)}${hour.at_least && "+"}</text>`}
        ${(index % spacing === spacing - 1) && html`<text x=${x + slot / 2} y=${bottom + 18} text-anchor="middle">${labels[index]}</text>`}
      </g>`;
    })}
  </svg>`;
}

/** The parts of an hour's bar. Small numbers stay visible. */
function barParts(hour, { x, width, bottom, scale }) {
  let y = bottom;
  return Object.entries(isCounted(hour) ? SERIES : {}).map(([name, count]) => {
    const size = count(hour) * scale;
    y -= size;
    return size > 0 && part(name, { key: name, x, y, width, height: Math.max(1.5, size - 0.75) });
  });
}

/** Return the chart's description: the hours with the most acceptances and the most timeouts, and a pointer to the table. */
function peaks(hours) {
  const sentences = ["accepted", "timeout"].map((name) => {
    const peak = peakOf(name, hours);
    return peak && text("peak", { series: text(name), n: number(SERIES[name](peak)), time: hourOf(peak.hour) });
  });
  return [...sentences.filter(Boolean), text("allInTable")].join(" ");
}

/** Return the hour in which a part has the most Reservations, or null if no counted hour has any. */
export function peakOf(name, hours) {
  const counted = hours.filter((hour) => isCounted(hour) && SERIES[name](hour) > 0);
  return counted.length ? counted.reduce((most, hour) => (SERIES[name](hour) > SERIES[name](most) ? hour : most)) : null;
}

export const legend = () => html`<ul class="legend">${Object.keys(SERIES).map((name) => html`<li key=${name}>${swatch(name)}${text(name)}</li>`)}</ul>`;

export function hourTable(hours) {
  const cells = (hour) => [...Object.values(SERIES).map((count) => number(count(hour))), `${hour.at_least ? `${text("orMore")} ` : ""}${number(hour.total)}`];
  return html`<details class="raw">
    <summary>${text("asTable")}</summary>
    <div class="scroll" tabindex="0" role="region" aria-label=${text("hourTable")}>
      <table>
        <thead>
          <tr><th scope="col">${text("hour")}</th>${[...Object.keys(SERIES), "total"].map((name) => html`<th key=${name} scope="col" class="right">${text(name)}</th>`)}</tr>
        </thead>
        <tbody>
          ${hours.map(
            (hour) => html`<tr key=${hour.hour}>
              <th scope="row"><time datetime=${hour.hour}>${hourOf(hour.hour)}</time></th>
              ${isCounted(hour) ? cells(hour).map((cell) => html`<td class="right">${cell}</td>`) : html`<td colspan="6">${text("notCounted")}</td>`}
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </details>`;
}
