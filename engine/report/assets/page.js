// The list of turns: filtered by the page's address (after #), counted, and drawn a few at a time.
// Texts only ever enter the page as text nodes, so nothing in a transcript or a value can become markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("filters");
  const list = document.getElementById("list");
  const sums = document.getElementById("sums");
  const chips = document.getElementById("chips");
  const EACH = 25;
  const ERRORS = ["substitution", "insertion", "deletion"];
  const STATUS = {
    right: ["✓", "right"], wrong: ["✗", "wrong"], unscored: ["–", "not judged"], fixed: ["↑", "fixed"],
    broken: ["↓", "broken"], "still-wrong": ["✗", "still wrong"], "still-right": ["✓", "still right"],
  };
  const KIND = { correct: ["✓", "right"], substitution: ["≠", "wrong value"], insertion: ["+", "not in the reference"], deletion: ["−", "missing"] };
  const paired = data.systems.length === 2;

  const make = (tag, properties = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (value === null || value === undefined) continue;
      if (name in node && name !== "list") node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  };
  const own = (text) => make("bdi", {}, text); // left-to-right and right-to-left texts do not disturb each other
  const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  const percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "–");

  // What one turn is, seen through a filter: the slots in view, and whether all of them are right.
  // A system may have left a turn out; then its answer is null.
  const inView = (row, system, filter) => {
    const seen = [];
    for (const [name, slot] of Object.entries(row.answers[system].slots)) {
      if (!slot[filter.match] || (filter.slot && name !== filter.slot)) continue;
      if (filter.domain && data.domains[name] !== filter.domain) continue;
      seen.push(slot);
    }
    return seen;
  };
  const isRight = (row, system, filter) => inView(row, system, filter).every((slot) => slot[filter.match] === "correct");
  const statusOf = (row, filter) => {
    if (!row.scored || !row.answers.every(Boolean)) return "unscored";
    if (!paired) return isRight(row, 0, filter) ? "right" : "wrong";
    const [first, second] = [0, 1].map((system) => isRight(row, system, filter));
    if (first) return second ? "still-right" : "broken";
    return second ? "fixed" : "still-wrong";
  };
  const hasStatus = (row, filter) => {
    const status = statusOf(row, filter);
    if (filter.status === status) return true;
    if (!row.scored || !["right", "wrong"].includes(filter.status)) return false;
    return isRight(row, filter.system, filter) === (filter.status === "right");
  };
  const inBin = (slot, bin) => slot.confidence !== undefined && slot.bin === bin && Boolean(slot.plain);
  const texts = (row) => {
    const parts = [data.dialogues[row.dialogue].id, row.said || ""];
    for (const answer of row.answers.filter(Boolean)) {
      parts.push(answer.heard || "");
      for (const [name, slot] of Object.entries(answer.slots)) parts.push(name, slot.gold || "", slot.predicted || "", slot.repaired || "");
    }
    return parts.join("\n").toLowerCase();
  };
  const wordKinds = (row, system) => (row.answers[system]?.words || []).map(([kind]) => kind).filter((kind) => kind !== "equal");

  const matches = (row, filter) => {
    const answer = row.answers[filter.system];
    if (!answer) return false;
    if (filter.depth && row.depth !== Number(filter.depth)) return false;
    if (filter.dialogue && data.dialogues[row.dialogue].id !== filter.dialogue) return false;
    if (filter.turn && row.turn !== Number(filter.turn)) return false;
    if (filter.scored && !row.scored) return false;
    if (filter.speech === "none" && !(row.said !== null && !answer.words?.some(([, said]) => said))) return false;
    if (filter.invalid && answer.valid) return false;
    if (filter.words) {
      const kinds = wordKinds(row, filter.system);
      if (filter.words === "none" ? !answer.words || kinds.length : filter.words === "any" ? !kinds.length : !kinds.includes(filter.words)) return false;
    }
    if (filter.slot || filter.domain) {
      const systems = paired && filter.status && !["right", "wrong"].includes(filter.status) ? [0, 1] : [filter.system];
      if (!row.scored || !systems.some((system) => row.answers[system] && inView(row, system, filter).length)) return false;
    }
    if (filter.kind) {
      const kinds = inView(row, filter.system, filter).map((slot) => slot[filter.match]);
      if (!(filter.kind === "error" ? kinds.some((kind) => ERRORS.includes(kind)) : kinds.includes(filter.kind))) return false;
    }
    if (filter.bin && !Object.values(answer.slots).some((slot) => inBin(slot, Number(filter.bin)))) return false;
    if (filter.status && !hasStatus(row, filter)) return false;
    return !filter.q || texts(row).includes(filter.q.toLowerCase());
  };

  // The same counts as in the tables, over the turns in the list; JGA, F1 and WER follow from them.
  const tally = (rows, filter) => {
    const total = {
      turns: rows.length, scored: 0, right: 0, wrong: 0, reference_slots: 0, predicted_slots: 0, correct: 0, substitutions: 0,
      insertions: 0, deletions: 0, utterances: 0, reference_words: 0, word_substitutions: 0, word_insertions: 0, word_deletions: 0,
      bin_slots: 0, bin_correct: 0, precision_credit: 0, recall_credit: 0,
    };
    const length = (text) => (text ? text.split(" ").length : 0);
    for (const row of rows) {
      const answer = row.answers[filter.system];
      if (row.scored) {
        total.scored += 1;
        total[isRight(row, filter.system, filter) ? "right" : "wrong"] += 1;
        for (const slot of inView(row, filter.system, filter)) {
          const kind = slot[filter.match];
          total.correct += slot.credited?.[filter.match] ?? kind === "correct"; // a profile may credit what is not the same
          if (kind !== "correct") total[`${kind}s`] += 1;
          const [precision, recall] = kind === "correct" ? [1, 1] : slot.shares?.[filter.match] ?? [0, 0]; // of a wrong value's words
          total.precision_credit += precision;
          total.recall_credit += recall;
          total.reference_slots += kind !== "insertion";
          total.predicted_slots += kind !== "deletion";
        }
      }
      if (answer.words) {
        total.utterances += 1;
        for (const [kind, said, heard] of answer.words) {
          total.reference_words += length(said);
          if (kind === "substitute") total.word_substitutions += length(said);
          if (kind === "insert") total.word_insertions += length(heard);
          if (kind === "delete") total.word_deletions += length(said);
        }
      }
      if (filter.bin) {
        for (const slot of Object.values(answer.slots)) {
          if (!inBin(slot, Number(filter.bin))) continue;
          total.bin_slots += 1;
          total.bin_correct += slot.plain === "correct";
        }
      }
    }
    for (const name of ["precision_credit", "recall_credit"]) total[name] = Math.floor(total[name] * 1e6 + 0.5) / 1e6;
    return total;
  };

  const readFilter = () => {
    const filter = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    filter.system = Number(filter.system === "1" && paired);
    filter.match = Object.hasOwn(data.views, filter.match) ? filter.match : "plain";
    return filter;
  };

  const showSums = (total, filter) => {
    const scope = filter.slot || filter.domain;
    const parts = [make("strong", {}, count(total.turns, "turn"))];
    const add = (name, value, detail) => parts.push(make("span", {}, `${name} `, make("b", {}, value), make("small", {}, ` ${detail}`)));
    if (total.scored) {
      add(scope ? `${scope} right` : "JGA", percent(total.right, total.scored), `${total.right} right, ${total.wrong} wrong`);
      add("slot F1", percent(2 * total.correct, total.reference_slots + total.predicted_slots),
        `${total.correct} right, ${total.substitutions} wrong values, ${total.insertions} not in the reference, ${total.deletions} missing`);
    }
    if (total.scored && total.precision_credit !== total.correct) {
      const [precision, recall] = [total.precision_credit / total.predicted_slots, total.recall_credit / total.reference_slots];
      add("slot F1, partial", percent(2 * precision * recall, precision + recall),
        `right words: ${total.precision_credit.toFixed(2)} of ${total.predicted_slots} answered values, ${total.recall_credit.toFixed(2)} of ${total.reference_slots} in the reference`);
    }
    if (total.utterances) {
      const errors = total.word_substitutions + total.word_insertions + total.word_deletions;
      add("WER", percent(errors, total.reference_words),
        `${total.reference_words} words: ${total.word_insertions} I, ${total.word_deletions} D, ${total.word_substitutions} S`);
    }
    if (filter.bin) add("slots of this confidence", percent(total.bin_correct, total.bin_slots), `${total.bin_correct} of ${total.bin_slots} right`);
    if (filter.match.endsWith("fuzzy") && data.fuzzy.oracle) parts.push(make("span", { className: "oracle" }, "oracle: matched with test values"));
    sums.replaceChildren(...parts);
    sums.dataset.counts = JSON.stringify(total);
  };

  const showChips = (filter) => {
    const names = { dialogue: "dialogue", turn: "turn", bin: "confidence", speech: "speech", invalid: "answers that are no JSON", scored: "with a state label" };
    const shown = Object.entries(names).filter(([key]) => filter[key]);
    chips.replaceChildren(...shown.map(([key, name]) => {
      const value = key === "bin" ? data.bins[Number(filter.bin)] : ["invalid", "scored"].includes(key) ? "" : filter[key];
      return make("button", { type: "button", className: "chip", "aria-label": `remove filter: ${name} ${value}`, onclick: () => change({ [key]: "" }) },
        `${name} `, own(value), " ×");
    }));
  };

  const alignment = (words) => {
    const line = make("p", { className: "said", dir: "auto" });
    for (const [kind, said, heard] of words) {
      if (kind === "equal") line.append(said);
      if (kind === "delete" || kind === "substitute") line.append(make("del", { title: "said, not heard" }, said));
      if (kind === "substitute") line.append("→");
      if (kind === "insert" || kind === "substitute") line.append(make("ins", { title: "heard, not said" }, heard));
      line.append(" ");
    }
    return line;
  };

  const slotTable = (answer, scored, match) => {
    const known = (slot) => slot.predicted !== null || (slot.repaired ?? null) !== null;
    const judged = Object.entries(answer.slots).filter(([, slot]) => slot.plain || slot.fuzzy || slot[match] || (!scored && known(slot)));
    const plainRight = ([, slot]) => slot.plain === "correct" && (!data.fuzzy || slot.fuzzy === "correct") && slot[match] === "correct";
    const perturbed = match === "plain" || match === "fuzzy" ? null : match; // then its values stand in a column of their own
    const shown = judged.filter((entry) => !plainRight(entry)), right = judged.filter(plainRight);
    const parts = [];
    if (shown.length) {
      const heads = ["slot", "reference", "answer", ...(data.fuzzy ? [`after fuzzy matching${data.fuzzy.oracle ? " (oracle)" : ""}`] : []), ...(perturbed ? [data.views[perturbed]] : [])];
      const rows = shown.map(([name, slot]) => make("tr", { className: slot.plain || "" },
        make("th", { scope: "row" }, own(name)), make("td", {}, slot.gold === null ? "–" : own(slot.gold)),
        make("td", {}, slot.predicted === null ? "–" : own(slot.predicted), kindText(slot.plain), partly(slot, "plain"), sure(slot)),
        data.fuzzy ? make("td", {}, slot.repaired === null ? "–" : own(slot.repaired), kindText(slot.fuzzy), partly(slot, "fuzzy"), matched(slot)) : null,
        perturbed ? changed(slot, perturbed) : null));
      parts.push(make("div", { className: "wide", tabIndex: 0, role: "group", "aria-label": "slots that differ" }, make("table", { className: "diff" },
        make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, head)))), make("tbody", {}, ...rows))));
    }
    if (right.length) {
      parts.push(make("p", { className: "agreed" }, make("span", { className: "correct" }, "✓ right: "),
        ...right.flatMap(([name, slot]) => [make("span", { className: "pair" }, own(name), " = ", own(slot.predicted), sure(slot)), " "])));
    }
    if (!judged.length) parts.push(make("p", { className: "agreed" }, "Nothing known yet, and nothing predicted."));
    return parts;
  };
  const kindText = (kind) => (kind ? make("small", { className: `kind ${kind}` }, `${KIND[kind][0]} ${KIND[kind][1]}`) : null);
  const sure = (slot) => (slot.confidence === undefined ? null : make("small", {}, ` ${(100 * slot.confidence).toFixed(0)} % sure`));
  const changed = (slot, match) => {
    const value = Object.hasOwn(slot.perturbed || {}, match) ? slot.perturbed[match] : slot.predicted;
    return make("td", {}, value === null ? "–" : own(value), kindText(slot[match]), partly(slot, match));
  };
  const partly = (slot, match) => {
    const shares = slot.shares?.[match];
    return shares ? make("small", {}, ` words right: ${(100 * shares[0]).toFixed(0)} % of the answer's, ${(100 * shares[1]).toFixed(0)} % of the reference's`) : null;
  };
  const matched = (slot) => {
    if (!slot.match) return null;
    const [score, runnerUp, second, accepted] = slot.match;
    return make("small", { className: "match" }, `score ${score}${accepted ? "" : ", not accepted"}`,
      ...(runnerUp === null ? [] : ["; runner-up ", own(runnerUp), ` ${second}`]));
  };

  const conversation = (row) => {
    const dialogue = data.dialogues[row.dialogue];
    const before = dialogue.turns.filter(([turn]) => turn < row.turn);
    if (!before.length) return null;
    const lines = () => before.map(([turn, speaker, text]) => {
      const earlier = speaker === "user" && byTurn.get(`${row.dialogue} ${turn}`);
      const heard = earlier ? earlier.answers.map((answer, place) => [place, answer]).filter(([, answer]) => answer?.heard && answer.heard !== text)
        .map(([place, answer]) => make("div", { className: "heard" }, make("small", {}, `${paired ? data.systems[place] : "model"} heard: `), own(answer.heard))) : [];
      return make("li", { className: speaker }, make("small", {}, `${speaker} ${turn}: `), own(text || "–"), ...heard);
    });
    return lazy(`conversation before this turn (${before.length})`, () => make("ol", { className: "talk" }, ...lines()));
  };
  const lazy = (title, content) => {
    const details = make("details", {}, make("summary", {}, title));
    details.addEventListener("toggle", () => details.children.length === 1 && details.append(content()), { once: true });
    return details;
  };

  // A player is made when it is asked for: browsers allow a page only some dozens of them.
  const player = (row) => {
    const clip = document.getElementById(`clip-${row.number}`);
    if (!clip) return data.audio ? make("small", { className: "muted" }, "no audio here") : null;
    const name = `turn ${row.turn} of ${data.dialogues[row.dialogue].id}`;
    const length = `▶ ${row.seconds.toFixed(1)} s`;
    const button = make("button", { type: "button", className: "play", "aria-label": `${length}: play ${name}` }, length);
    button.addEventListener("click", () => {
      const audio = make("audio", { controls: true, src: `data:audio/ogg;base64,${clip.textContent}`, "aria-label": name });
      button.replaceWith(audio);
      audio.focus();
      audio.play();
    });
    return button;
  };

  const heard = (row, system) => {
    const answer = row.answers[system];
    if (!answer.heard && !answer.words) return [];
    const note = (text) => make("small", { className: "muted" }, text);
    if (!answer.words) return [note("heard"), make("p", { className: "said", dir: "auto" }, answer.heard)];
    if (!wordKinds(row, system).length) return [make("p", { className: "agreed" }, make("span", { className: "correct" }, "✓ every word heard right"))];
    return [note("heard (struck out: said, not heard; underlined: heard, not said)"), alignment(answer.words)];
  };
  const answerBox = (row, system, filter) => {
    const answer = row.answers[system];
    const head = paired ? make("h4", { className: `s${system}` }, own(data.systems[system]), row.scored && answer ? ` · ${STATUS[isRight(row, system, { match: filter.match }) ? "right" : "wrong"].join(" ")}` : "") : null;
    if (!answer) return make("section", {}, head, make("p", { className: "agreed" }, "no answer"));
    return make("section", {}, head, ...heard(row, system),
      answer.guarded ? make("p", { className: "alert" }, "No speech was found in this recording: nothing counts as heard, and the state before stands.") : null,
      answer.valid ? null : make("p", { className: "alert" }, "⚠ The answer is not valid JSON; the state before stands."),
      ...slotTable(answer, row.scored, filter.match), answer.raw ? lazy("raw output", () => make("pre", { dir: "auto" }, answer.raw)) : null);
  };

  const card = (row, filter) => {
    const id = data.dialogues[row.dialogue].id;
    const status = statusOf(row, { match: filter.match });
    const badge = make("span", { className: `status ${status}` }, STATUS[status].join(" "));
    const title = make("h3", {}, make("a", { href: `#${new URLSearchParams({ dialogue: id })}`, title: "all turns of this dialogue" }, own(id)), ` · turn ${row.turn} `, make("small", {}, `user turn ${row.depth} of the dialogue`), " ", badge);
    const said = row.said === null ? null : make("p", { className: "reference", dir: "auto" }, row.said || make("i", {}, "(no speech)"));
    return make("li", { className: "card" }, make("div", { className: "head" }, title, player(row)),
      said && make("small", { className: "muted" }, "said"), said,
      make("div", { className: paired ? "answers two" : "answers" }, ...data.systems.map((_, system) => answerBox(row, system, filter))),
      conversation(row));
  };

  let found = [], drawn = 0, current = null;
  const more = document.getElementById("more");
  const draw = () => {
    const next = found.slice(drawn, drawn + EACH);
    list.append(...next.map((row) => card(row, current)));
    drawn += next.length;
    more.hidden = drawn >= found.length;
    more.textContent = `Show more (${(found.length - drawn).toLocaleString("en")} left)`;
  };
  const show = (jump) => {
    current = readFilter();
    for (const field of form.elements) if (field.name) field.value = { system: String(current.system) }[field.name] ?? current[field.name] ?? "";
    if (form.elements.match) form.elements.match.value = current.match === "plain" ? "" : current.match;
    found = data.turns.filter((row) => matches(row, current));
    drawn = 0;
    list.replaceChildren();
    showSums(tally(found, current), current);
    showChips(current);
    draw();
    if (!found.length) list.append(make("li", { className: "empty" }, "No turn fits these filters."));
    if (jump) {
      const heading = document.getElementById("turns");
      heading.scrollIntoView();
      heading.focus({ preventScroll: true });
    }
  };
  const change = (changes) => {
    const next = new URLSearchParams(location.hash.slice(1));
    for (const [key, value] of Object.entries(changes)) value ? next.set(key, value) : next.delete(key);
    history.replaceState(null, "", `#${next.size ? next : "status="}`);
    show(false);
  };

  const byTurn = new Map(data.turns.map((row, number) => {
    row.number = number;
    return [`${row.dialogue} ${row.turn}`, row];
  }));
  let typing;
  form.addEventListener("input", (event) => {
    const field = event.target;
    clearTimeout(typing);
    typing = setTimeout(() => change({ [field.name]: field.name === "system" && field.value === "0" ? "" : field.value }), field.type === "search" ? 200 : 0);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    history.replaceState(null, "", "#status=");
    show(false);
  });
  more.addEventListener("click", draw);
  new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && !more.hidden && draw(), { rootMargin: "600px" }).observe(more);
  // A link without "=" leads to a part of the page; every other one is a filter. The same link twice is a jump again.
  addEventListener("hashchange", () => (location.hash.includes("=") ? show(true) : location.hash || show(false)));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href*='=']");
    if (link && link.getAttribute("href") === location.hash) show(true);
  });
  // One recording at a time.
  document.addEventListener("play", (event) => document.querySelectorAll("audio").forEach((other) => other !== event.target && other.pause()), true);
  show(location.hash.includes("="));
})();
