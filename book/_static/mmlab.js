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
