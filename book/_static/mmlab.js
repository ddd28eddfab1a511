// Where require.js finds its modules, and with it the widget manager its fonts: in this site, from any page.
window.requirejs ??= { baseUrl: new URL("vendor/", document.currentScript.src).href };

// The widget manager asks MathJax 2 to typeset; the pages have MathJax 3. Answer it in the new way.
window.addEventListener("load", () => {
  const mathjax = window.MathJax;
  if (!mathjax || mathjax.Hub) return;
  const typeset = (node) => mathjax.startup?.promise?.then(() => mathjax.typesetPromise(node ? [node] : undefined));
  mathjax.Hub = {
    Config() {},
    Configured() {},
    Queue(...tasks) {
      tasks.forEach((task) => (Array.isArray(task) ? typeset(task[2]) : typeof task === "function" && task()));
    },
  };
});

// Names for what the theme and the widgets leave without, or with a wrong one, for readers who hear the page.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".search-button__button").forEach((button) => button.removeAttribute("aria-label"));
  document.querySelectorAll(".citation-list, .citation").forEach((list) => list.removeAttribute("role"));
  document.querySelectorAll("summary[aria-label]").forEach((fold) => fold.removeAttribute("aria-label"));
  document.querySelectorAll(".bd-sidebar summary").forEach((fold) => {
    const part = fold.closest("li")?.querySelector("a")?.textContent.trim();
    if (!fold.textContent.trim()) fold.setAttribute("aria-label", `Pages under ${part}`);
  });
  const name = () =>
    document.querySelectorAll(".jupyter-widgets .noUi-handle:not([aria-label])").forEach((handle) => {
      const slider = handle.closest(".widget-slider");
      const label = slider.querySelector(".widget-label")?.textContent;
      const readout = slider.querySelector(".widget-readout");
      if (!label) return;
      handle.setAttribute("aria-label", label);
      if (!readout) return;
      const tell = () => {
        const text = readout.textContent; // the setting; the slider itself knows only its place in the list
        if (handle.getAttribute("aria-valuetext") !== text) handle.setAttribute("aria-valuetext", text);
      };
      new MutationObserver(tell).observe(readout, { childList: true, characterData: true, subtree: true });
      new MutationObserver(tell).observe(handle, { attributeFilter: ["aria-valuetext"] });
      tell();
    });
  if (!document.querySelector('script[type="application/vnd.jupyter.widget-view+json"]')) return;
  new MutationObserver(name).observe(document.querySelector("main") ?? document.body, { childList: true, subtree: true });
});
