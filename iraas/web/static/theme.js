// Runs before the first paint: marks that scripts run, and restores the chosen theme.
"use strict";

(() => {
  const KEY = "iraas-theme";
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");

  function remembered() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is disabled: use the system's theme
    }
  }

  function remember(theme) {
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // Storage is disabled: the choice holds for this page only.
    }
  }

  const isDark = () => (root.dataset.theme ?? (prefersDark.matches ? "dark" : "light")) === "dark";

  root.classList.add("js");
  const chosen = remembered();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  const updateToggle = () => document.getElementById("theme")?.setAttribute("aria-pressed", String(isDark()));
  document.addEventListener("DOMContentLoaded", updateToggle);
  prefersDark.addEventListener("change", updateToggle);
  // Delegated to the document: the button is parsed later, and modules run later still.
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#theme")) return;
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    updateToggle();
  });
})();
