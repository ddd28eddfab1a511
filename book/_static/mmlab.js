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

// Tables that can be sorted and searched. Without this script they are plain tables.
document.addEventListener("DOMContentLoaded", () => {
  const text = (row, column) => row.cells[column].textContent.trim();
  const isNumber = (value) => /^-?\d+(\.\d+)?$/.test(value);

  const makeSortable = (table) => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (table.tBodies[0].rows[0]?.cells[column].querySelector("img")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "mm-sort";
      const words = head.querySelector("p") ?? head;
      button.append(...words.childNodes);
      words.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows];
        const numbers = rows.every((row) => isNumber(text(row, column)));
        const compare = (a, b) => (numbers ? a - b : a.localeCompare(b));
        rows.sort((a, b) => (down ? -1 : 1) * compare(text(a, column), text(b, column)));
        table.tBodies[0].append(...rows);
      });
    });
  };

  const makeFilter = (table) => {
    const rows = [...table.tBodies[0].rows];
    const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
    const tools = document.createElement("form");
    tools.className = "mm-tools";
    tools.setAttribute("role", "search");
    tools.setAttribute("aria-label", "Search the table");
    tools.addEventListener("submit", (event) => event.preventDefault());
    const field = (name, control) => {
      const label = document.createElement("label");
      label.append(`${name} `, control);
      tools.append(label);
      control.addEventListener("input", filter);
      return control;
    };
    const search = field("Search", Object.assign(document.createElement("input"), { type: "search" }));
    const choices = ["Family", "Inputs", "Outputs"].filter((name) => heads.includes(name)).map((name) => {
      const column = heads.indexOf(name);
      const values = [...new Set(rows.flatMap((row) => text(row, column).split(", ")))].sort();
      const select = document.createElement("select");
      ["any", ...values].forEach((value) => select.append(new Option(value, value === "any" ? "" : value)));
      return [column, field(name, select)];
    });
    const count = document.createElement("output");
    tools.append(count);
    function filter() {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row) => {
        const fits =
          words.every((word) => row.textContent.toLowerCase().includes(word)) &&
          choices.every(([column, { value }]) => !value || text(row, column).split(", ").includes(value));
        row.hidden = !fits;
        shown += fits;
      });
      count.textContent = `${shown} of ${rows.length} shown`;
    }
    (table.closest(".pst-scrollable-table-container") ?? table).before(tools);
    filter();
  };

  document.querySelectorAll("table.mm-filter").forEach(makeFilter); // first: it reads the headings as they are
  document.querySelectorAll("table.mm-sortable").forEach(makeSortable);
});

// Parts in the sidebar fold: that of the page shown is open, and the others open with a click or the keyboard.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".bd-sidebar-primary p.caption, .bd-sidebar p.caption").forEach((caption) => {
    const list = caption.nextElementSibling;
    if (list?.tagName !== "UL" || caption.querySelector("button")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "mm-part";
    button.append(...caption.childNodes);
    caption.append(button);
    const open = (shown) => {
      list.hidden = !shown;
      button.setAttribute("aria-expanded", String(shown));
    };
    open(Boolean(list.querySelector(".current, .active")));
    button.addEventListener("click", () => open(list.hidden));
  });
});
