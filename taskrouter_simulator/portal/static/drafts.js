// Restores the user's input after the page is reloaded.

/** Keeps a field's value in the tab's session storage. Sends an `input` event if a value is restored. */
export function keepInput(field) {
  const saved = sessionStorage.getItem(field.id);
  if (saved !== null) {
    field.value = saved;
    field.dispatchEvent(new Event("input"));
  }
  field.addEventListener("input", () => sessionStorage.setItem(field.id, field.value));
}
