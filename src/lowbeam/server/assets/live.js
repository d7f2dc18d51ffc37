"use strict";
// Live pages: tell the server when an update has been shown, and never while the page is hidden.
(() => {
  const QUIET_MS = 8000;
  let isOwed = false;
  let last = Date.now();
  const tell = () => {
    if (document.hidden) {
      isOwed = true;
    } else {
      isOwed = false;
      emitEvent("shown");
    }
  };
  globalThis.lowbeam = {
    shown() {
      last = Date.now();
      setTimeout(tell);
    },
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && isOwed) tell();
  });
  // Without updates: is the session over, or is it the connection?
  setInterval(async () => {
    if (document.hidden || Date.now() - last < QUIET_MS) return;
    try {
      if ((await fetch("/api/me")).status === 401) location.assign("/login");
    } catch {
      return; // the server does not answer; NiceGUI says so
    }
  }, QUIET_MS);

  const ask = async (element, body) => {
    const output = document.querySelector("[data-asked]");
    output.textContent = "…";
    try {
      const answer = await fetch(element.dataset.ask, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
      });
      const said = await answer.json();
      output.textContent = answer.ok ? `asked: ${said.asked.join(", ")}` : said.error;
    } catch {
      output.textContent = "The server does not answer.";
    }
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-ask]");
    if (button) ask(button, JSON.parse(button.dataset.body));
  });
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-ask]");
    if (!form) return;
    event.preventDefault();
    ask(form, { budget_bps: 1000 * Number(form.elements.budget_kbps.value) });
  });
})();
