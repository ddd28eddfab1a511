"use strict";
// One page, three states: consent, a round, the end. The server knows the state; this page keeps only the token by which
// the respondent is known and the answer that is being written, so that a reload loses neither.

const $ = (id) => document.getElementById(id);
const PLACES = "ABCDEF";
let about, token, current, since, sending = false;

const memory = {  // private windows may have none
  get(key) { try { return localStorage.getItem(`${about.code} ${key}`); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(`${about.code} ${key}`, value); } catch { /* works without */ } },
  drop(key) { try { localStorage.removeItem(`${about.code} ${key}`); } catch { /* works without */ } },
};

function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node && name !== "list") node[name] = value; else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function tell(text, bad = false) {
  $("message").textContent = text;
  $("message").className = bad ? "bad" : "";
}

function put(...nodes) {
  $("main").replaceChildren(...nodes.filter((node) => node !== null));
  const heading = $("main").querySelector("h1");
  heading.tabIndex = -1;
  heading.focus();
  window.scrollTo(0, 0);
}

async function ask(path, body) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const options = body === undefined ? { headers } :
    { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let answer, found;
  try {
    answer = await fetch(path, { ...options, cache: "no-store" });
    found = await answer.json();
  } catch {
    throw Object.assign(new Error("The server cannot be reached. Your answer is kept on this page, which tries again."), { later: true });
  }
  if (answer.ok) return found;
  throw Object.assign(new Error(found.problem || "Something went wrong."),
    { later: answer.status >= 500 || answer.status === 429, closed: answer.status === 410 });
}

async function insist(path, body) {  // until it is stored: the server counts a vote once, however often it comes
  for (let wait = 1; ; wait = Math.min(2 * wait, 30)) {
    try {
      const found = await ask(path, body);
      tell("");
      return found;
    } catch (problem) {
      if (!problem.later) throw problem;
      tell(problem.message, true);
      await new Promise((done) => setTimeout(done, 1000 * wait));
    }
  }
}

function shown(part, title) {
  const words = part.text ? make("p", { className: "words", textContent: part.text }) : null;
  const picture = part.picture ? make("figure", {}, make("img", { src: part.picture, alt: part.alt || title })) : null;
  return [picture, words];
}

function radios(name, legend, options, after = null) {
  const choices = options.map(([value, label, key]) => {
    const input = make("input", { type: "radio", name, value });
    return make("label", {}, input, label, key ? make("kbd", { textContent: key, ariaHidden: "true" }) : "");
  });
  return make("fieldset", {}, make("legend", { textContent: legend }), make("div", { className: "choices" }, ...choices), after);
}

function rating(scale, place) {
  const points = Array.from({ length: scale.points }, (_, i) => [String(i + 1), String(i + 1)]);
  const ends = scale.low || scale.high ?
    make("p", { className: "ends", textContent: `1: ${scale.low}, ${scale.points}: ${scale.high}` }) : null;
  return radios(`${scale.name} ${place}`, `${scale.label} (${PLACES[place]})`, points, ends);
}

function showRound(found) {
  current = found;
  since = Date.now();
  $("progress-box").hidden = false;
  $("progress").max = found.total;
  $("progress").value = found.position;
  $("progress-text").textContent = `${found.position + 1} of ${found.total}`;
  const answers = found.answers.map((answer, place) => make("section", { className: "answer", ariaLabel: `Answer ${PLACES[place]}` },
    make("h2", { textContent: `Answer ${PLACES[place]}` }), ...shown(answer, `Answer ${PLACES[place]}`),
    ...about.scales.map((scale) => rating(scale, place))));
  const options = found.answers.map((_, place) => [String(place), PLACES[place], PLACES[place]]);
  const both = found.answers.length === 2;
  options.push(["tie", both ? "Equally good" : "Several equally good", "T"], ["none", both ? "Both bad" : "None good", "N"]);
  const form = make("form", { id: "round", noValidate: true },
    make("h1", { textContent: about.question }),
    make("div", { className: "item" }, ...shown(found.item, "What the answers are about")),
    make("div", { className: "answers" }, ...answers),
    radios("choice", "Which is best?", options),
    about.rationale ? make("div", { className: "reason" },
      make("label", { htmlFor: "reason", textContent: "Why? (if you like)" }), make("textarea", { id: "reason", maxLength: 10000 })) : null,
    make("button", { type: "submit", id: "send", textContent: "Save and go on" }));
  form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
  form.addEventListener("input", keep);
  put(form);
  restore();
}

function filled() {
  const form = $("round");
  const one = (name) => form.querySelector(`input[name="${CSS.escape(name)}"]:checked`)?.value;
  const ratings = {};
  for (const scale of about.scales) {
    ratings[scale.name] = current.answers.map((_, place) => { const v = one(`${scale.name} ${place}`); return v ? Number(v) : null; });
  }
  return { round: current.round, choice: one("choice") ?? null, ratings, rationale: $("reason")?.value ?? "" };
}

function keep() { memory.set("draft", JSON.stringify(filled())); tell(""); }

function restore() {
  let draft;
  try { draft = JSON.parse(memory.get("draft")); } catch { return; }
  if (!draft || draft.round !== current.round) return;
  const set = (name, value) => {
    const input = value && $("round").querySelector(`input[name="${CSS.escape(name)}"][value="${CSS.escape(String(value))}"]`);
    if (input) input.checked = true;
  };
  set("choice", draft.choice);
  for (const [name, values] of Object.entries(draft.ratings || {})) values.forEach((value, place) => set(`${name} ${place}`, value));
  if ($("reason")) $("reason").value = draft.rationale || "";
}

async function send() {
  if (sending) return;
  const ballot = filled();
  if (ballot.choice === null) {
    tell("Choose one of the answers first.", true);
    $("round").querySelector('input[name="choice"]').focus();
    return;
  }
  const open = about.scales.find((scale) => ballot.ratings[scale.name].includes(null));
  if (open) {
    const place = ballot.ratings[open.name].indexOf(null);
    tell(`One rating is open: ${open.label} (${PLACES[place]}).`, true);
    $("round").querySelector(`input[name="${CSS.escape(`${open.name} ${place}`)}"]`).focus();
    return;
  }
  sending = true;
  $("send").setAttribute("aria-disabled", "true");
  try {
    const found = await insist("/api/vote", { ...ballot, seconds: (Date.now() - since) / 1000 });
    memory.drop("draft");
    go(found);
  } catch (problem) {
    stop(problem);
  } finally {
    sending = false;
    $("send")?.removeAttribute("aria-disabled");
  }
}

function stop(problem) {
  if (problem.closed) end(problem.message); else tell(problem.message, true);
}

function end(text) {
  $("progress-box").hidden = true;
  put(make("h1", { textContent: "Thank you" }), make("p", { textContent: text }));
}

function go(found) {
  if (!found.agreed) consent();
  else if (found.done) end("All your votes are saved. You can close this page.");
  else showRound(found);
}

function consent() {
  const button = make("button", { type: "button", id: "agree", textContent: "I agree, begin" });
  button.addEventListener("click", async () => {
    if (sending) return;
    sending = true;
    try {
      if (!token) { token = (await insist("/api/join", {})).token; memory.set("token", token); }
      go(await insist("/api/agree", {}));
    } catch (problem) { stop(problem); } finally { sending = false; }
  });
  const ends = about.ends ? make("p", { textContent: `Open until ${new Date(about.ends).toLocaleString()}.` }) : null;
  put(make("h1", { textContent: about.title }), make("p", { textContent: about.question }),
    make("p", { className: "words", textContent: about.consent }), ends, button);
}

document.addEventListener("keydown", (event) => {
  const form = $("round");
  if (!form || event.ctrlKey || event.altKey || event.metaKey || event.target.matches("textarea")) return;
  const key = event.key.toUpperCase();
  const value = key === "T" ? "tie" : key === "N" ? "none" : String(PLACES.indexOf(key));
  const input = key.length === 1 && form.querySelector(`input[name="choice"][value="${value}"]`);
  if (input) { input.checked = true; input.focus(); keep(); event.preventDefault(); }
  if (event.key === "Enter" && event.target.matches('input[type="radio"]')) { event.preventDefault(); send(); }
});

async function start() {
  try {
    about = await insist("/api/about");
    document.title = about.title;
    $("title").textContent = about.title;
    const link = location.hash.slice(1);  // an invitation; what stands behind # is never sent with the address
    token = link || memory.get("token");
    if (link) {
      token = (await insist("/api/join", { token: link })).token;
      memory.set("token", token);
      history.replaceState(null, "", location.pathname);
    }
    if (!token && about.invited) {
      put(make("h1", { textContent: about.title }), make("p", { textContent: "This comparison is by invitation: open the link that you were sent." }));
      return;
    }
    if (!token) { consent(); return; }
    try { go(await insist("/api/next")); } catch (problem) {
      if (problem.closed) { end(problem.message); return; }
      memory.drop("token");
      token = null;
      consent();
      tell(problem.message, true);
    }
  } catch (problem) {
    put(make("h1", { textContent: document.title }), make("p", { textContent: problem.message }));
  }
}

start();
