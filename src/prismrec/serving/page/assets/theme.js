// Light or dark, before anything is painted: what was chosen here before, else what the system says.
"use strict";
(() => {
  const KEY = "prismrec-theme";
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try {
      return window.localStorage.getItem(KEY);
    } catch {
      return null; // storage may be forbidden: the system decides then
    }
  };
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    document.dispatchEvent(new CustomEvent("themechange", { detail: theme }));
  };
  const wanted = () => stored() ?? (system.matches ? "dark" : "light");
  show(wanted());
  system.addEventListener("change", () => show(wanted()));
  window.prismTheme = {
    toggle() {
      const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
      try {
        window.localStorage.setItem(KEY, theme);
      } catch {
        // then it holds until the page is left
      }
      show(theme);
    },
  };
})();
