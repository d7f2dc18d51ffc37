"use strict";
// The secret stands in the fragment of the address, which is not sent; take it out of the address at once.
const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
const form = document.getElementById("setup");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const wrong = form.querySelector(".wrong");
  wrong.hidden = true;
  try {
    const answer = await fetch("/setup", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token, name: form.elements.name.value, password: form.elements.password.value }),
    });
    if (answer.ok) {
      location.assign("/");
      return;
    }
    const said = await answer.json().catch(() => ({}));
    wrong.textContent = said.error ?? "The server refused.";
  } catch {
    wrong.textContent = "The server does not answer.";
  }
  wrong.hidden = false;
});
