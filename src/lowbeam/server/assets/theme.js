"use strict";
// Dark or light: as the system has it, until someone presses the button. Times: in the zone of the browser.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => localStorage.getItem("theme");
  const apply = () => { root.dataset.theme = chosen() ?? (system.matches ? "dark" : "light"); };
  apply();
  system.addEventListener("change", apply);
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-theme-toggle]")) {
      localStorage.setItem("theme", root.dataset.theme === "dark" ? "light" : "dark");
      apply();
    }
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      navigator.clipboard?.writeText(document.getElementById(copy.dataset.copy).textContent);
      copy.textContent = "Copied";
    }
  });
  const localize = () => {
    for (const time of document.querySelectorAll("time[datetime]:not([data-local])")) {
      time.dataset.local = "";
      time.title = time.textContent;
      time.textContent = new Date(time.dateTime).toLocaleString();
    }
  };
  document.addEventListener("DOMContentLoaded", () => {
    localize();
    new MutationObserver(localize).observe(document.body, { childList: true, subtree: true });
  });
})();
