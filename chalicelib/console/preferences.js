// The user's preferences, which this browser keeps until the user signs out.

/** The languages of the texts, each with its name in that language. */
export const LANGUAGES = { en: "English", es: "Español" };

const PREFIX = "console.";
const DEFAULTS = {
  language: navigator.language.startsWith("es") ? "es" : "en",
  sound: false,
  notifications: false,
  shortcuts: true,
};

export const preferences = { ...DEFAULTS };

/** Read the preferences, for example after another tab has changed them. */
export function loadPreferences() {
  for (const name of Object.keys(DEFAULTS)) {
    const value = readJson(localStorage, PREFIX + name);
    const isValid = typeof value === typeof DEFAULTS[name] && (name !== "language" || Object.hasOwn(LANGUAGES, value));
    preferences[name] = isValid ? value : DEFAULTS[name];
  }
}

/** Return a stored value, or null. Other pages of this origin, and other versions, use the same storage. */
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
