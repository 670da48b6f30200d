// The dialog that asks for the service's token.

/** Ask for the token; return it, or null. `isAgain`: the service did not accept the last one. */
export function askForToken(isAgain) {
  const [dialog, field] = ["token", "token-field"].map((id) => document.getElementById(id));
  if (isAgain) document.getElementById("token-words").textContent = "The service did not accept that token.";
  const closed = () => new Promise((resolve) => dialog.addEventListener("close", () => resolve(field.value || null), { once: true }));
  if (dialog.open) return closed();
  dialog.returnValue = "";
  field.value = "";
  dialog.showModal();
  dialog.addEventListener("cancel", () => (field.value = ""), { once: true });
  return closed();
}
