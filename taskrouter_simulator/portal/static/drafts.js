// Restores the user's input after the page is reloaded.

/**
 * Restores a field's value from the tab's session storage, and saves the value whenever it changes. Dispatches an
 * `input` event if a value is restored.
 */
export function keepInput(field) {
  const saved = sessionStorage.getItem(field.id);
  if (saved !== null) {
    field.value = saved;
    field.dispatchEvent(new Event("input"));
  }
  field.addEventListener("input", () => sessionStorage.setItem(field.id, field.value));
}
