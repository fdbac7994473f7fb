// The page at `/` of `textrnn serve`. Texts and labels enter the page as text nodes alone.
"use strict";

const WAIT = 150; // milliseconds from the last key to the question
const SETTLED = 1500; // until a text belongs to what was asked before
const MAX_BARS = 10;
const MAX_HISTORY = 20;
const LEVELS = 4; // of color, for and against
const LEAST_SCALE = 0.25; // so that a text of small shares stays pale

const element = (id) => document.getElementById(id);
const box = element("text");
const state = { token: "", asking: null, timer: 0, settling: 0, answer: null, chosen: null, history: [] };

/** An element with attributes and children; strings become text. */
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const bdi = (text) => make("bdi", {}, text);
const percent = (value) => `${(100 * value).toFixed(1)} %`;
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** What the server answers; throws a `Refusal` where it refuses. */
async function ask(path, text, signal) {
  const headers = {};
  if (state.token) headers.Authorization = `Bearer ${state.token}`;
  const request = { headers, signal, cache: "no-store", credentials: "omit" };
  if (text !== undefined) {
    headers["Content-Type"] = "application/json";
    Object.assign(request, { method: "POST", body: JSON.stringify({ text }) });
  }
  const response = await fetch(path, request);
  const answer = await response.json();
  if (!response.ok) throw new Refusal(response.status, String(answer.error));
  return answer;
}

function showProblem(message) {
  element("problem").textContent = message;
  element("problem").hidden = !message;
}

function showFailure(error) {
  if (error.status === 401) {
    element("access").hidden = false;
    showProblem(state.token ? "The server refuses this token." : "");
    return;
  }
  showProblem(error instanceof Refusal ? error.message : "The server does not answer; is it running?");
}

// Asking

function typed() {
  clearTimeout(state.timer);
  clearTimeout(state.settling);
  state.asking?.abort(); // its answer is of another text
  if (box.value.trim()) {
    element("result").setAttribute("aria-busy", "true");
    state.timer = setTimeout(answerText, WAIT);
  } else {
    element("result").hidden = true;
    showProblem("");
  }
}

async function answerText() {
  const text = box.value;
  const { signal } = (state.asking = new AbortController());
  try {
    const answer = await ask("predict", text, signal);
    if (signal.aborted) return;
    state.answer = { ...answer, text };
    showProblem("");
    showAnswer();
    state.settling = setTimeout(remember, SETTLED, state.answer);
    await explainText(text, signal);
  } catch (error) {
    if (signal.aborted) return;
    element("result").hidden = true;
    showFailure(error);
    if (error.status === 503) state.timer = setTimeout(answerText, 1000);
  }
}

async function explainText(text, signal) {
  try {
    const { explanation } = await ask("explain", text, signal);
    if (signal.aborted) return;
    state.answer.explanation = explanation;
    showWords();
  } catch (error) {
    if (signal.aborted) return;
    showNoWords(error instanceof Refusal ? error.message : "The words of this text have no answer.");
  }
  element("result").setAttribute("aria-busy", "false");
}

// The answer

const ranked = (answer) => Object.entries(answer.probabilities).sort((one, other) => other[1] - one[1]);
const accepted = ({ label }) => (label === null ? [] : [label].flat());
/** The label whose words are colored: the one that was chosen, or the answer. */
const explained = (answer) => state.chosen ?? accepted(answer)[0] ?? ranked(answer)[0][0];

function sentence(answer) {
  const labels = accepted(answer);
  if (!labels.length) {
    const [label, probability] = ranked(answer)[0];
    return ["Not sure. Most probable: ", bdi(label), `, ${percent(probability)}`];
  }
  const probabilities = new Map(Object.entries(answer.probabilities));
  return labels.flatMap((label, index) => [
    ...(index ? [" · "] : []), bdi(label), ` ${percent(probabilities.get(label))}`,
  ]);
}

function showAnswer() {
  const answer = state.answer;
  if (!Object.hasOwn(answer.probabilities, state.chosen)) state.chosen = null; // of another version
  element("result").hidden = false;
  element("answer").replaceChildren(...sentence(answer));
  showBars();
}

function showBars() {
  const { answer } = state;
  const labels = ranked(answer);
  const names = accepted(answer);
  element("bars").replaceChildren(...labels.slice(0, MAX_BARS).map(([label, probability]) => {
    const filled = make("span");
    filled.style.inlineSize = `${100 * probability}%`;
    const bar = make("button", {
      type: "button", "aria-pressed": label === explained(answer), title: `Color the words by what they add to ${label}`,
      ...(names.includes(label) && { class: "accepted" }),
    }, make("bdi", { class: "label" }, label),
      make("span", { class: "track", "aria-hidden": "true" }, filled),
      make("span", { class: "percent" }, percent(probability)));
    bar.addEventListener("click", () => {
      state.chosen = null;
      if (label !== explained(answer)) state.chosen = label; // else the next text's answer, whatever it is
      for (const other of element("bars").querySelectorAll("button")) other.setAttribute("aria-pressed", other === bar);
      if (answer.explanation) showWords();
    });
    return make("li", {}, bar);
  }));
  const rest = labels.slice(MAX_BARS);
  const sum = rest.reduce((total, [, probability]) => Math.max(total, probability), 0);
  element("more").textContent = `and ${rest.length} more labels, each at most ${percent(sum)}`;
  element("more").hidden = !rest.length;
}

// Words

function showNoWords(reason) {
  element("shown-words").hidden = true;
  element("no-words").hidden = false;
  element("no-words").textContent = reason;
  element("explained").textContent = explained(state.answer);
}

/** `for-1` … `for-4`, `against-1` …, or none: how much of the largest share a share is. */
function colorOf(share, scale) {
  const level = Math.ceil((Math.abs(share) / scale) * LEVELS - 0.25);
  return level < 1 ? "none" : `${share > 0 ? "for" : "against"}-${Math.min(level, LEVELS)}`;
}

function showWords() {
  const { answer } = state;
  const { explanation, text } = answer;
  const label = explained(answer);
  if (!explanation.tokens.length) {
    showNoWords("No word of this text was read.");
    return;
  }
  const of = (values) => new Map(Object.entries(values)).get(label);
  const [ngrams, network] = [of(explanation.ngram_shares), of(explanation.network_shares)];
  const shares = ngrams.map((share, index) => share + network[index]);
  const scale = Math.max(LEAST_SCALE, ...shares.map(Math.abs));
  const told = explanation.tokens.map((token, index) =>
    `${token}: adds ${signed(shares[index])} (n-grams ${signed(ngrams[index])}, network ${signed(network[index])})`);

  const characters = Array.from(text); // places count code points, as Python does
  const slice = (start, end) => characters.slice(start, end).join("");
  const children = [];
  let end = 0;
  explanation.places.forEach(([start, stop], index) => {
    if (stop <= start) return;
    children.push(slice(end, start), make("span", {
      role: "option", tabindex: "-1", class: colorOf(shares[index], scale), title: told[index],
      "aria-label": told[index], "aria-selected": "false", "data-index": index,
    }, slice(start, stop)));
    end = stop;
  });
  children.push(make("span", { class: "unread" }, slice(end)));
  element("words").replaceChildren(...children);
  element("words").querySelector("[role=option]")?.setAttribute("tabindex", "0");

  state.told = told;
  element("explained").textContent = label;
  element("shown-words").hidden = false;
  element("least").textContent = `against it, ${signed(-scale)}`;
  element("most").textContent = `${signed(scale)}, for it`;
  element("detail").textContent = "";
  const notes = [];
  if (explanation.is_cut) notes.push(`The model reads ${explanation.tokens.length} words; the grey rest it does not.`);
  if (explanation.span > 1) notes.push(`The network's share is measured ${explanation.span} words at a time.`);
  element("no-words").textContent = notes.join(" ");
  element("no-words").hidden = !notes.length;
  const order = shares.map((_, index) => index).sort((one, other) => shares[other] - shares[one]);
  element("numbers").replaceChildren(...order.map((index) => make("tr", {},
    make("td", {}, bdi(explanation.tokens[index])),
    ...[shares, ngrams, network].map((values) => make("td", {}, signed(values[index]))))));
}

function tell(word, isChosen) {
  if (!word) return;
  element("detail").textContent = state.told[word.dataset.index];
  if (!isChosen) return;
  for (const other of element("words").querySelectorAll("[aria-selected=true], [tabindex='0']")) {
    other.setAttribute("aria-selected", "false");
    other.tabIndex = -1;
  }
  word.setAttribute("aria-selected", "true");
  word.tabIndex = 0;
}

function walk(event) {
  const options = [...element("words").querySelectorAll("[role=option]")];
  const here = options.indexOf(document.activeElement);
  const isLeftward = getComputedStyle(element("words")).direction === "rtl";
  const next = {
    ArrowRight: here + (isLeftward ? -1 : 1), ArrowLeft: here + (isLeftward ? 1 : -1),
    ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: options.length - 1,
  }[event.key];
  if (next === undefined || here < 0) return;
  event.preventDefault();
  options[Math.min(Math.max(next, 0), options.length - 1)].focus();
}

const wordOf = (event) => event.target.closest("[role=option]");
element("words").addEventListener("pointerover", (event) => tell(wordOf(event), false));
element("words").addEventListener("focusin", (event) => tell(wordOf(event), true));
element("words").addEventListener("keydown", walk);

// What was asked before

function remember(answer) {
  const others = state.history.filter(({ text }) => text !== answer.text);
  state.history = [answer, ...others].slice(0, MAX_HISTORY);
  showHistory();
}

function showHistory() {
  element("history-section").hidden = !state.history.length;
  element("history").replaceChildren(...state.history.map((answer) => {
    const again = make("button", { type: "button" },
      make("span", { class: "text", dir: "auto" }, answer.text),
      make("bdi", { class: "label" }, accepted(answer).join(" · ") || "not sure"));
    again.addEventListener("click", () => put(answer.text));
    return make("li", {}, again);
  }));
}

function put(text) {
  box.value = text;
  box.focus();
  typed();
}

// The model

/** The figures of a model card that are numbers, texts or counts by name. */
function factsOf(card) {
  const shown = (value) => {
    if (typeof value === "number") return Number.isInteger(value) ? value.toLocaleString("en") : value.toFixed(4);
    if (value && typeof value === "object") return Object.entries(value).map(([name, count]) => `${name} ${shown(count)}`).join(", ");
    return String(value);
  };
  const parts = [card.metrics, card.sizes, card.versions].flatMap((part) => Object.entries(part ?? {}));
  for (const [split, count] of Object.entries(card.texts ?? {})) parts.push([`${split} texts`, count]);
  parts.push(["exported", String(card.exported ?? "").slice(0, 10)]);
  return parts.filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, value]) => make("div", {}, make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, shown(value))));
}

function showCard({ name, version, card, examples }) {
  element("name").textContent = document.title = name;
  element("version").textContent = `version ${version}`;
  const facts = factsOf(card);
  element("card").hidden = !facts.length;
  element("facts").replaceChildren(...facts);
  const rows = Object.entries(card.per_class ?? {});
  const figure = (value) => (typeof value === "number" ? value.toFixed(3) : "");
  element("per-label").hidden = !rows.length;
  element("labels").replaceChildren(...rows.map(([label, row]) => make("tr", {},
    make("td", {}, bdi(label)), ...["precision", "recall", "f1"].map((key) => make("td", {}, figure(row?.[key]))),
    make("td", {}, String(row?.support ?? "")))));
  element("examples").hidden = !examples.length;
  element("examples").replaceChildren(make("option", { value: "" }, "An example …"),
    ...examples.map((text, index) => make("option", { value: index, dir: "auto" }, text.length > 80 ? `${text.slice(0, 80)}…` : text)));
  element("examples").onchange = ({ target }) => {
    if (target.value) put(examples[target.value]);
    target.value = "";
  };
}

async function open() {
  try {
    showCard(await ask("card"));
    element("access").hidden = true;
    showProblem("");
    if (box.value.trim()) typed(); // a browser that goes back fills the box again
  } catch (error) {
    showFailure(error);
  }
}

element("access").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = element("token").value.trim();
  if (!/^[!-~]+$/.test(token)) {
    showProblem("A token has no spaces, and ASCII characters alone.");
    return;
  }
  state.token = token;
  element("token").value = "";
  open();
});
box.addEventListener("input", (event) => event.isComposing || typed()); // a composed word is asked when done
box.addEventListener("compositionend", typed);
element("forget").addEventListener("click", () => {
  state.history = [];
  showHistory();
  box.focus();
});
open();
