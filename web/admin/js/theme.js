// Classic script in the head: the chosen theme is there before the first paint. "auto" follows the system.
(() => {
  const KEY = "sluice.theme";
  const root = document.documentElement;
  const read = () => {
    try {
      const found = localStorage.getItem(KEY);
      return found === "light" || found === "dark" ? found : "auto";
    } catch {
      return "auto"; // storage may be forbidden
    }
  };
  const apply = (theme) => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    dispatchEvent(new CustomEvent("sluice-theme", { detail: theme }));
  };
  window.sluiceTheme = {
    get: read,
    set(theme) {
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        // then it holds until the page is left
      }
      apply(theme);
    },
  };
  apply(read());
})();
