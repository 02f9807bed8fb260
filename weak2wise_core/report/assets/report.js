"use strict";
// Everything that a model wrote becomes text nodes. Nothing here builds markup from text.
(() => {
  const PAGE = 50;
  const KEPT_PIECES = 8;
  const UNSEEN = /(?![\t\n])[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu;
  const CONTINUED = "(to be continued...)";
  const MARKS = {
    truncated: "truncated", zero: "zero score", answer_leak: "answer leak",
    told_answer: "told the answer", steps_disagree: "steps disagree",
    suspicious_gold: "suspicious gold answer", near_duplicate: "near-duplicate",
    contaminated: "contaminated",
  };
  const SIGNS = { correct: "✓", incorrect: "✗", unjudged: "?", "not asked": "·" };
  const VOTES = { correct: "yes", incorrect: "no", unjudged: "invalid" };
  const byId = (id) => document.getElementById(id);

  // --- building the page ---------------------------------------------------------------------

  function write(node, text) {
    let from = 0;
    for (const match of text.matchAll(UNSEEN)) {
      node.append(text.slice(from, match.index));
      const code = match[0].codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      const mark = document.createElement("span");
      mark.className = "mark";
      mark.textContent = `[U+${code}]`;
      node.append(mark);
      from = match.index + match[0].length;
    }
    node.append(text.slice(from));
    return node;
  }

  function make(tag, className, ...content) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    for (const one of content) {
      if (one instanceof Node) node.append(one);
      else if (one !== null && one !== undefined) write(node, String(one));
    }
    return node;
  }

  const words = (name) => name.replaceAll("_", " ");
  const number = (value) => value.toLocaleString("en-US");
  const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));
  const headOf = (text) => (typeof text === "string" ? text : text.head);

  function notice(text, file) {
    if (typeof text === "string") return null;
    const left = number(text.length - Array.from(text.head).length);
    return make("p", "warn", `${left} more characters are cut on this page; ${file} has them.`);
  }

  function box(text, file, className) {
    const node = make("div", `box text ${className || ""}`, headOf(text));
    node.tabIndex = 0;
    const more = notice(text, file);
    return more ? make("div", "", node, more) : node;
  }

  // --- data ----------------------------------------------------------------------------------

  async function unpacked(id) {
    const plain = atob(byId(id).textContent);
    const bytes = Uint8Array.from(plain, (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  }

  const pieces = new Map();
  const layout = JSON.parse(byId("layout").textContent);

  async function detailOf(row) {
    const number = Math.floor(row / layout.piece);
    if (!pieces.has(number)) {
      if (pieces.size >= KEPT_PIECES) pieces.delete(pieces.keys().next().value);
      pieces.set(number, unpacked(`piece-${number}`));
    }
    return (await pieces.get(number))[row % layout.piece];
  }

  // --- one question --------------------------------------------------------------------------

  const verdictClass = (verdict) => ({ correct: "good", incorrect: "bad" })[verdict] || "";

  function judged(verdict, by, votes) {
    const facts = make("div", "facts", make("span", `chip ${verdictClass(verdict)}`, verdict));
    if (votes && votes.length) {
      facts.append(make("span", "chip", `votes: ${votes.map((one) => VOTES[one]).join(", ")}`));
    } else if (by && by !== "nobody") facts.append(make("span", "chip", `judged by ${by}`));
    return facts;
  }

  function state(detail) {
    const kind = detail.status === "trained on" ? "good" : detail.status === "solved" ? "" : "bad";
    const facts = make("div", "facts", make("span", `chip ${kind}`, detail.status));
    if (detail.reason) facts.append(make("span", "chip bad", words(detail.reason)));
    return facts;
  }

  function findings(detail) {
    if (!detail.findings.length) return null;
    const list = make("ul", "");
    for (const one of detail.findings) {
      const who = one.model ? ` (${one.model} draw ${one.draw})` : "";
      const tail = one.detail ? `: ${one.detail}` : "";
      list.append(make("li", "", `${MARKS[one.audit]}${who}${tail}`));
    }
    return make("div", "", make("h4", "", "What the audits say"), list);
  }

  function cells(one) {
    const row = make("span", "cells");
    if (!one.outcomes) return row;
    one.outcomes.forEach((outcome, level) => {
      const cell = make("span", `cell ${outcome.replace(" ", "-")}`, SIGNS[outcome]);
      cell.title = `level ${level}: ${outcome}`;
      row.append(cell);
    });
    row.setAttribute("role", "img");
    row.setAttribute("aria-label", `by mask level: ${one.outcomes.join(", ")}`);
    return row;
  }

  function worth(one) {
    if (one.refusal) return make("span", "small", `refused: ${words(one.refusal)}`);
    if (one.score !== null && one.score !== undefined) {
      return make("span", "score", score(one.score));
    }
    if (one.lower === undefined) return make("span", "small", "not scored");
    return make("span", "small", `between ${score(one.lower)} and ${score(one.upper)}`);
  }

  // --- what other selectors read in a trace: the table's own numbers, in its every digit on demand

  const measured = (value) => {
    if (value === null) return "undefined";
    return typeof value === "number" ? String(Number(value.toPrecision(4))) : value;
  };

  function measures(one) {
    const list = make("div", "facts measures");
    for (const [name, value] of Object.entries(one.measures || {})) {
      const better = layout.lower.includes(name) ? "lower" : "higher";
      const chip = make("span", "chip", `${words(name)} ${measured(value)} (${better} is preferred)`);
      chip.title = `${name}: ${value === null ? "undefined for this trace" : String(value)}`;
      list.append(chip);
    }
    return list.childElementCount ? list : null;
  }

  function card(one, isGolden, choose) {
    const name = make("span", "name", make("strong", "", `${one.model}, draw ${one.draw}`));
    if (isGolden) name.append(make("span", "chip good", "golden"));
    const node = make("button", "card", name);
    node.type = "button";
    node.append(make("span", "", worth(one)), cells(one));
    const tokens = one.tokens === undefined ? "" : `${number(one.tokens)} tokens of thinking`;
    node.append(make("span", "small", tokens));
    for (const [name, value] of Object.entries(one.measures || {})) {
      node.append(make("span", "small measure", `${words(name)} ${measured(value)}`));
    }
    node.addEventListener("click", choose);
    return node;
  }

  function hint(one, level) {
    const chars = Array.from(headOf(one.steps));
    const node = make("div", "box text hint");
    node.tabIndex = 0;
    let start = 0;
    for (const [length, ...shown] of one.shown) {
      const text = chars.slice(start, start + length).join("");
      step(node, text, length, shown[level]);
      start += length;
      if (start >= chars.length) break;
    }
    if (!one.shown.length) write(node, headOf(one.steps));
    return make("div", "", node, notice(one.steps, "candidates.parquet"));
  }

  function step(node, text, length, shown) {
    if (shown === length) {
      write(node, text);
      return;
    }
    const chars = Array.from(text);
    const written = Array.from(text.trimEnd()).length;
    const seen = Math.max(0, shown); // -1: a final step, of which not even a beginning is shown
    write(node, chars.slice(0, seen).join(""));
    node.append(make("span", "cut-off", shown < 0 ? CONTINUED : ` ${CONTINUED}`));
    node.append(make("span", "gone", chars.slice(seen, written).join("")));
    write(node, chars.slice(written).join(""));
  }

  function answerAt(one, level) {
    const node = make("div", "", make("h4", "", "The weak model's answer with this hint"));
    if (!one.outcomes) {
      node.append(make("p", "empty", "It was never asked with this trace."));
    } else if (one.outcomes[level] === "not asked") {
      node.append(make("p", "empty", "This level was not asked: it could not change the winner."));
    } else {
      node.append(judged(one.outcomes[level], (one.by || [])[level], (one.votes || [])[level]));
      node.append(box(one.attempts[level], "outcomes.parquet"));
    }
    return node;
  }

  function firstLevel(one) {
    const outcomes = one.outcomes || [];
    const right = outcomes.lastIndexOf("correct");
    if (right >= 0) return right;
    return Math.max(0, outcomes.findLastIndex((outcome) => outcome !== "not asked"));
  }

  function masks(one) {
    const levels = one.shown.length ? one.shown[0].length - 1 : 0;
    const pair = make("div", "pair");
    const group = make("fieldset", "", make("legend", "", "Hint at mask level"));
    const row = make("div", "steps-of-mask");
    const draw = (level) => {
      const seen = make("div", "", make("h4", "", "What it was shown; hidden parts struck out"));
      seen.append(hint(one, level));
      pair.replaceChildren(seen, answerAt(one, level));
    };
    for (let level = 0; level < levels; level += 1) {
      const input = make("input");
      Object.assign(input, { type: "radio", name: "level", value: String(level) });
      input.checked = level === firstLevel(one);
      input.addEventListener("change", () => draw(level));
      const outcome = one.outcomes ? ` ${SIGNS[one.outcomes[level]]}` : "";
      row.append(make("label", "", input, `${level}/${levels} hidden${outcome}`));
    }
    group.append(row);
    draw(firstLevel(one));
    return make("div", "", levels ? group : null, pair);
  }

  function thinking(one, golden) {
    const node = make("div", "", make("h4", "", "Its thinking"));
    if (!golden) {
      node.append(box(one.thinking, "candidates.parquet"));
      return node;
    }
    const chars = Array.from(headOf(one.thinking));
    const tone = make("div", "legend", make("span", "", make("span", "kept", "kept"),
      ` ${number(golden.kept)} characters, ${number(golden.after)} tokens`));
    tone.append(make("span", "", make("span", "gone", "cut off"),
      ` ${number(golden.before - golden.after)} tokens (${words(golden.truncation)})`));
    const text = make("div", "box text golden");
    text.tabIndex = 0;
    text.append(make("span", "kept", chars.slice(0, golden.kept).join("")));
    text.append(make("span", "gone", chars.slice(golden.kept).join("")));
    node.append(tone, text);
    const more = notice(one.thinking, "candidates.parquet");
    if (more) node.append(more);
    return node;
  }

  function trace(one, golden) {
    const node = make("div", "trace", make("h3", "", `${one.model}, draw ${one.draw}`));
    const facts = make("div", "facts");
    if (one.returned) facts.append(make("span", "chip", `answered as ${one.returned}`));
    if (one.refusal) facts.append(make("span", "chip bad", `refused: ${words(one.refusal)}`));
    if (one.lower !== undefined) {
      facts.append(make("span", "chip", `score ${score(one.score)}, bounds ${score(one.lower)} to ${score(one.upper)}`));
    }
    node.append(facts);
    const read = measures(one);
    if (read) node.append(read);
    if (one.note) node.append(make("p", "warn", one.note));
    node.append(masks(one), thinking(one, golden));
    return node;
  }

  function candidates(detail) {
    const area = make("div", "");
    const cards = make("div", "cards");
    const golden = detail.golden;
    const isGolden = (one) => golden && one.model === golden.model && one.draw === golden.draw;
    const show = (one, pressed) => {
      for (const other of cards.children) other.setAttribute("aria-pressed", String(other === pressed));
      area.replaceChildren(trace(one, isGolden(one) ? golden : null));
    };
    for (const one of detail.candidates) {
      const node = card(one, isGolden(one), () => show(one, node));
      node.setAttribute("aria-pressed", "false");
      cards.append(node);
    }
    const best = Math.max(0, detail.candidates.findIndex(isGolden));
    if (detail.candidates.length) show(detail.candidates[best], cards.children[best]);
    return [cards, area];
  }

  function question(detail) {
    const node = byId("question");
    node.replaceChildren(make("h3", "", detail.id), state(detail));
    if (detail.detail) node.append(make("p", "", detail.detail));
    if (detail.question) node.append(box(detail.question, "questions.parquet", "asked"));
    if (detail.answer) node.append(make("p", "", make("strong", "", "Answer: "), make("span", "text", detail.answer)));
    if (detail.why) node.append(make("p", "why", make("strong", "", "Why this trace: "), detail.why));
    const found = findings(detail);
    if (found) node.append(found);
    if (detail.golden && detail.golden.text) {
      node.append(make("h4", "", "The reasoning that a person wrote"), box(detail.golden.text, "golden.parquet"));
    }
    if (detail.candidates.length) {
      node.append(make("h4", "", `${detail.candidates.length} traces`), ...candidates(detail));
    }
    if (detail.attempt) {
      const one = detail.attempt;
      node.append(make("h4", "", "The weak model alone"), judged(one.verdict, one.by, one.votes));
      node.append(box(one.text, "attempts.parquet"));
    }
  }

  // --- the list ------------------------------------------------------------------------------

  let index = null;
  let texts = [];
  let found = [];
  let first = 0;
  let chosen = -1;

  function choices(select, values, name) {
    for (const value of [...new Set(values)].filter(Boolean).sort()) {
      const option = make("option", "", name ? name(value) : value);
      option.value = value;
      select.append(option);
    }
  }

  function states() {
    const kinds = index.status.map((status) => status);
    const reasons = index.reason.map((reason) => reason && `:${reason}`);
    choices(byId("status"), [...kinds, ...reasons], (value) => (value[0] === ":" ? `left: ${words(value.slice(1))}` : value));
  }

  function fits() {
    const wanted = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [status, teacher, mark] = ["status", "teacher", "mark"].map((id) => byId(id).value);
    const [least, most] = ["least", "most"].map((id) => byId(id).valueAsNumber);
    return (row) =>
      (!status || index.status[row] === status || `:${index.reason[row]}` === status) &&
      (!teacher || index.teacher[row] === teacher) &&
      (!mark || index.marks[row].includes(mark)) &&
      (Number.isNaN(least) || (index.score[row] !== null && index.score[row] >= least)) &&
      (Number.isNaN(most) || (index.score[row] !== null && index.score[row] <= most)) &&
      wanted.every((word) => texts[row].includes(word));
  }

  function ordered(rows) {
    const column = byId("order").value === "long" ? index.tokens : index.score;
    const sign = byId("order").value === "up" ? 1 : -1;
    const worst = sign * Infinity;
    const value = (row) => (column[row] === null ? worst : column[row]);
    return byId("order").value ? rows.sort((a, b) => sign * (value(a) - value(b)) || a - b) : rows;
  }

  function filter() {
    const fit = fits();
    const rows = [];
    for (let row = 0; row < index.id.length; row += 1) if (fit(row)) rows.push(row);
    found = ordered(rows);
    first = 0;
    list();
  }

  function item(row) {
    const button = make("button", "", make("span", "head", make("span", "", index.id[row]),
      make("span", "", score(index.score[row]))));
    button.type = "button";
    const marks = [index.reason[row] ? words(index.reason[row]) : index.status[row],
      ...index.marks[row].filter((one) => one !== "truncated").map((one) => MARKS[one])];
    button.append(make("span", "text", index.question[row] || "(no usable question)"));
    button.append(make("span", "head", marks.join(", ")));
    if (row === chosen) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => open(row, true));
    return make("li", "", button);
  }

  function list() {
    const rows = found.slice(first, first + PAGE);
    byId("list").replaceChildren(...rows.map(item));
    byId("list").scrollTop = 0;
    byId("found").textContent = `${number(found.length)} of ${number(index.id.length)} rows`;
    const last = Math.min(first + PAGE, found.length);
    byId("place").textContent = found.length ? `${number(first + 1)} to ${number(last)}` : "none";
    byId("before").disabled = first === 0;
    byId("after").disabled = last >= found.length;
  }

  async function open(row, byHand) {
    chosen = row;
    for (const button of byId("list").querySelectorAll("button")) button.removeAttribute("aria-current");
    const place = found.indexOf(row) - first;
    const button = byId("list").children[place];
    if (button) button.firstElementChild.setAttribute("aria-current", "true");
    try {
      const detail = await detailOf(row);
      if (chosen !== row) return;
      question(detail);
    } catch (error) {
      trouble(`This question cannot be opened: ${error.message}.`);
      return;
    }
    if (!byHand) return;
    try { history.replaceState(null, "", `#q=${encodeURIComponent(index.id[row])}`); } catch { /* no address to change */ }
    byId("question").focus({ preventScroll: true });
    if (matchMedia("(max-width: 52rem)").matches) byId("question").scrollIntoView();
  }

  function trouble(text) {
    byId("trouble").hidden = false;
    byId("trouble").textContent = text;
  }

  function turn(pages) {
    first = Math.max(0, first + pages * PAGE);
    list();
  }

  function listen() {
    byId("filters").addEventListener("input", filter);
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("filters").addEventListener("reset", () => setTimeout(filter));
    byId("before").addEventListener("click", () => turn(-1));
    byId("after").addEventListener("click", () => turn(1));
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
      event.preventDefault();
      byId("search").focus();
    });
  }

  function openFromAddress() {
    if (!location.hash.startsWith("#q=")) return;
    let id = "";
    try { id = decodeURIComponent(location.hash.slice(3)); } catch { return; }
    const row = index.id.indexOf(id);
    if (row < 0) return;
    open(row, false);
    byId("explorer").scrollIntoView();
  }

  async function explore() {
    if (typeof DecompressionStream === "undefined") {
      trouble("This browser cannot unpack the questions; a newer one can. The tables beside this file have them.");
      return;
    }
    index = await unpacked("index");
    texts = index.question.map((text, row) => `${index.id[row]} ${text}`.toLowerCase());
    states();
    choices(byId("teacher"), index.teacher);
    choices(byId("mark"), index.marks.flat(), (value) => MARKS[value]);
    byId("filters").hidden = false;
    byId("browser").hidden = false;
    listen();
    filter();
    openFromAddress();
    document.documentElement.dataset.ready = "true";
  }

  // --- light and dark ------------------------------------------------------------------------

  function kept(value) {
    try {
      if (value) localStorage.setItem("weak2wise-theme", value);
      return localStorage.getItem("weak2wise-theme");
    } catch { return null; } // a page from a file may keep nothing
  }

  function theme() {
    const button = byId("theme");
    const saved = kept();
    let dark = saved ? saved === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const show = () => {
      document.documentElement.dataset.theme = dark ? "dark" : "light";
      button.textContent = dark ? "Light colours" : "Dark colours";
    };
    button.hidden = false;
    show();
    button.addEventListener("click", () => { dark = !dark; kept(dark ? "dark" : "light"); show(); });
  }

  theme();
  explore().catch((error) => trouble(`The questions cannot be read: ${error.message}.`));
})();
