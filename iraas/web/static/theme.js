// Runs before the first paint: says that scripts run, and brings back the theme that was chosen.
"use strict";

(() => {
  const KEY = "iraas-theme";
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");

  function remembered() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is switched off: the theme is then the system's
    }
  }

  function remember(theme) {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // It holds for this page only.
    }
  }

  const isDark = () => (root.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";

  root.classList.add("js");
  const chosen = remembered();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  const tell = () => document.getElementById("theme")?.setAttribute("aria-pressed", String(isDark()));
  document.addEventListener("DOMContentLoaded", tell);
  prefersDark.addEventListener("change", tell);
  // On the document, for the button comes later, and the page's modules later still.
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#theme")) return;
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    tell();
  });
})();
