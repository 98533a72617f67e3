// Code that all parts of the page share: templates, icons, the pages' base class, and a component that checks its value every second.

import { Component, h, htm } from "./vendor.js";
import { everySecond } from "./state.js";

export const html = htm.bind(h);

const ICONS = {
  calm: html`<circle cx="12" cy="12" r="9" /><path d="M12 7v5l3.5 2" />`,
  soon: html`<circle cx="12" cy="12" r="9" /><path d="M12 3a9 9 0 0 1 0 18z" fill="currentcolor" stroke="none" />`,
  last: html`<path d="M12 3.5 22 20.5H2z" /><path d="M12 10v4.5M12 17.4v.1" stroke-width="2.6" />`,
  check: html`<path d="m5 12.5 4.5 4.5L19 7.5" />`,
  person: html`<circle cx="12" cy="8" r="4" /><path d="M4 21c.6-4.4 3.6-6.5 8-6.5s7.4 2.1 8 6.5" />`,
  stop: html`<circle cx="12" cy="12" r="9" /><path d="M12 7v5l3.5 2M4 4l16 16" />`,
  back: html`<path d="M9 6 4 11l5 5" /><path d="M4 11h10a6 6 0 0 1 0 12h-2" transform="translate(0 -2.5)" />`,
  cross: html`<circle cx="12" cy="12" r="9" /><path d="m8.5 8.5 7 7m0-7-7 7" />`,
  spin: html`<path d="M12 3a9 9 0 1 0 9 9" />`,
  tray: html`<path d="M3 13l3-8h12l3 8v6H3zM3 13h5.5l1.5 3h4l1.5-3H21" />`,
  net: html`<path d="M2.5 9.5a14 14 0 0 1 19 0M6 13.5a9 9 0 0 1 12 0M9.5 17a4 4 0 0 1 5 0M3 3l18 18" />`,
  info: html`<circle cx="12" cy="12" r="9" /><path d="M12 11v5M12 7.6v.1" />`,
  in: html`<path d="M12 3v12m-5-5 5 5 5-5M4 21h16" />`,
  out: html`<path d="M4 12h13m-5-5 5 5-5 5M21 4v16" />`,
  bell: html`<path d="M6 10a6 6 0 0 1 12 0c0 6 2.5 7 2.5 7h-17S6 16 6 10zM10 20.5h4" />`,
  down: html`<path d="m6 9 6 6 6-6" />`,
  flag: html`<path d="M5 21V4h13l-3 4.5 3 4.5H5" />`,
  phone: html`<path d="M5 3h4l2 5-2.5 2a12 12 0 0 0 5.5 5.5l2-2.5 5 2v4c0 1-1 2-2 2C10.5 21 3 13.5 3 5c0-1 1-2 2-2z" />`,
  key: html`<circle cx="8" cy="15" r="4.5" /><path d="M11.5 11.5 20 3m-4 4 3 3" />`,
};

export const icon = (name, classes = "i") =>
  html`<svg class=${classes} viewBox="0 0 24 24" aria-hidden="true">${ICONS[name]}</svg>`;

export const logo = () => html`<svg viewBox="0 0 32 32" aria-hidden="true">
  <rect width="32" height="32" rx="7" fill="#0b5cd5" />
  <path d="M7 10l5 6h7M7 22l5-6" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round" />
  <circle cx="22.5" cy="16" r="4" fill="#fff" />
</svg>`;

export const pill = (tone, iconName, content, classes = "") =>
  html`<span class=${`pill ${classes}`} data-tone=${tone}>${icon(iconName, iconName === "spin" ? "i spin" : "i")}${content}</span>`;

/** A page. If an update removes the focused element, the focus moves to the heading. If a button adds rows, the focus moves to the first new row. */
export class Page extends Component {
  getSnapshotBeforeUpdate() {
    return { focused: document.activeElement, count: this.targets().length };
  }

  componentDidUpdate(_props, _state, { focused, count }) {
    if (focused?.matches(".more") && this.targets().length > count) {
      this.targets()[count].focus();
    } else if (!focused?.isConnected && document.activeElement === document.body) {
      document.querySelector("h1").focus({ preventScroll: true });
    }
  }

  /** Return the focusable element of each row. */
  targets = () => document.querySelectorAll(".offers.ended > li, .log [aria-expanded], tr[tabindex]");
}

/**
 * Renders `show(value())`. Checks the value every second, and renders again if the value has changed.
 *
 * In a list of 500 countdowns, for example, only the digits are rendered every second.
 */
export class Ticking extends Component {
  componentDidMount() {
    this.stop = everySecond(() => this.props.value() !== this.shown && this.setState({}));
  }

  componentWillUnmount() {
    this.stop();
  }

  render({ value, show = (shown) => shown }) {
    this.shown = value();
    return show(this.shown);
  }
}
