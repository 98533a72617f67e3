// The user's preferences, which this browser keeps until the user signs out.

const PREFIX = "console.";
const DEFAULTS = {
  language: navigator.language.startsWith("es") ? "es" : "en",
  sound: false,
  notifications: false,
  shortcuts: true,
  activityAfterRejection: "",
};

export const preferences = { ...DEFAULTS };

/** Read the preferences, for example after another tab has changed them. */
export function loadPreferences() {
  for (const name of Object.keys(DEFAULTS)) {
    const stored = localStorage.getItem(PREFIX + name);
    preferences[name] = stored === null ? DEFAULTS[name] : JSON.parse(stored);
  }
}

export function setPreference(name, value) {
  preferences[name] = value;
  localStorage.setItem(PREFIX + name, JSON.stringify(value));
}
