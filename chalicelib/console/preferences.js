// The user's preferences, which this browser stores until the user signs out.

import { localStorage } from "./browser.js";

/** The languages of the texts, each with its name in that language. */
export const LANGUAGES = { en: "English", es: "Español" };

const PREFIX = "console.";
const LANGUAGE = "console.language";
const DEFAULTS = {
  sound: false,
  notifications: false,
  shortcuts: true,
};

/** `language` is the language shown, whose texts are loaded. */
export const preferences = { ...DEFAULTS, language: "en" };

/** Read the preferences, for example after another tab has changed them. */
export function loadPreferences() {
  for (const name of Object.keys(DEFAULTS)) {
    const value = readJson(localStorage, PREFIX + name);
    preferences[name] = typeof value === typeof DEFAULTS[name] ? value : DEFAULTS[name];
  }
}

/** Return the language that the user has chosen. The default is Spanish if the browser's language is Spanish, otherwise English. */
export function preferredLanguage() {
  const chosen = readJson(localStorage, LANGUAGE);
  return Object.hasOwn(LANGUAGES, chosen) ? chosen : navigator.language.startsWith("es") ? "es" : "en";
}

/** Record the language that the user has chosen. */
export const chooseLanguage = (language) => localStorage.setItem(LANGUAGE, JSON.stringify(language));

/** Return a stored value, or null if the value is missing or is not valid JSON. Other pages of this origin, or other versions of this page, may have written the value. */
export function readJson(storage, key) {
  try {
    return JSON.parse(storage.getItem(key));
  } catch {
    return null;
  }
}

export function setPreference(name, value) {
  preferences[name] = value;
  localStorage.setItem(PREFIX + name, JSON.stringify(value));
}
