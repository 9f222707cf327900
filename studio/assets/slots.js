// The slot form of the Correct page. The server sends it whole after every change; what somebody is typing meanwhile stays
// where it is, with its cursor and its list of options. Whatever is done leaves as an event that names turn and slot.
window.dstSlots = (element, trigger, props, watch) => {
  const form = element.querySelector(".dst-form");
  const SHOWN = 60; // options of a list at once
  let drawing = false; // a field that is taken away must not save
  let list = null; // the options of the field one is in
  let filtered = false; // whether they are those that hold what was typed
  const root = () => form.firstElementChild;
  const pauses = {}; // by slot: the time until what is being typed is kept
  // `of`: the field or button, which has its slot's domain; what is typed as a new slot's name has none.
  const tell = (of, act, slot, value = "", { turn, state } = root().dataset) => {
    clearTimeout(pauses[slot]);
    const { domain = "" } = of.dataset;
    trigger("input", { turn: Number(turn), state: Number(state) || null, act, domain, slot, value });
  };
  // What a field holds unless somebody types: what it was drawn with, or what it sent last (which may yet be refused).
  const standing = (field) => field.dataset.sent ?? field.defaultValue;
  const inputs = (place) => form.querySelector(`[id="correct.${place}"] input`);
  const slotOf = (field) => (field === inputs("add_value") ? inputs("add_slot").value.trim() : field.name);

  const draw = () => {
    const field = form.contains(document.activeElement) ? document.activeElement : null;
    const place = field && (field.id || field.parentNode.id);
    const typed = field?.matches("input") && field.value !== standing(field) && { slot: slotOf(field), value: field.value };
    const before = field && root().dataset;
    const selection = field?.matches("input") && [field.selectionStart, field.selectionEnd];
    const opened = field && list && { filtered, value: chosen()?.dataset.value };
    const slot = field && inputs("add_slot")?.value; // its value may be what is being typed
    close();
    drawing = true;
    form.innerHTML = props.value || "";
    for (const field of form.querySelectorAll("[data-draft]")) field.value = field.dataset.draft;
    drawing = false;
    if (!before) return;
    if (root()?.dataset.turn !== before.turn) {
      if (typed?.slot) tell(field, "draft", typed.slot, typed.value, before); // typed after the turn was left
      return;
    }
    if (slot) inputs("add_slot").value = slot;
    const again = document.getElementById(place);
    const back = again && (again.matches("button") ? again : again.querySelector("input"));
    if (!back) return;
    if (typed) back.value = typed.value;
    back.focus({ preventScroll: true });
    if (selection) back.setSelectionRange(...selection);
    if (opened) open(back, opened.filtered);
    const option = opened?.value && options().find((one) => one.dataset.value === opened.value);
    if (option) mark(back, option);
  };

  // Options: known values of the slot; for a new slot the slots without a row. Of "8 pm | 20:00" the last form is looked up.
  const offered = (field) => {
    if (field === inputs("add_slot")) {
      return Object.keys(props.choices).filter((name) => !form.querySelector(`[id="correct.slot.${CSS.escape(name)}"]`));
    }
    return props.choices[field === inputs("add_value") ? inputs("add_slot").value.trim() : field.name] || ["dontcare"];
  };
  const open = (field, typed) => {
    close();
    filtered = typed;
    const part = typed ? field.value.split("|").pop().trim().toLowerCase() : "";
    const found = offered(field).filter((value) => value.toLowerCase().includes(part));
    found.sort((one, other) => other.toLowerCase().startsWith(part) - one.toLowerCase().startsWith(part));
    if (!found.length) return;
    list = document.createElement("ul");
    list.id = "correct.options";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", field.getAttribute("aria-label"));
    for (const value of found.slice(0, SHOWN)) {
      const option = list.appendChild(document.createElement("li"));
      option.setAttribute("role", "option");
      option.id = `correct.option.${list.children.length}`;
      option.dataset.value = value;
      option.textContent = value === "dontcare" ? "dontcare (the user does not mind)" : value;
    }
    if (found.length > SHOWN) list.appendChild(document.createElement("li")).textContent = `${found.length - SHOWN} more: type`;
    field.parentNode.appendChild(list);
    field.setAttribute("aria-expanded", "true");
    field.setAttribute("aria-controls", list.id);
  };
  const close = () => {
    if (!list) return;
    const field = list.parentNode?.querySelector("input");
    field?.setAttribute("aria-expanded", "false");
    field?.removeAttribute("aria-controls");
    field?.removeAttribute("aria-activedescendant");
    list.remove();
    list = null;
  };
  const chosen = () => list?.querySelector("[aria-selected]");
  const options = () => (list ? [...list.querySelectorAll("[role=option]")] : []);
  const mark = (field, option) => {
    chosen()?.removeAttribute("aria-selected");
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest" });
    field.setAttribute("aria-activedescendant", option.id);
  };
  const move = (field, by) => {
    if (!list) open(field, false);
    const next = options()[Math.min(Math.max(options().indexOf(chosen()) + by, 0), options().length - 1)];
    if (next) mark(field, next);
  };
  const take = (field, option) => {
    const forms = field.value.split("|").slice(0, -1).map((text) => text.trim());
    field.value = [...forms, option.dataset.value].join(" | ");
    close();
  };

  // What is typed is kept when the hands pause, until it is saved or given up.
  const keep = (field) => {
    const slot = slotOf(field);
    const { turn } = root().dataset;
    const kept = () => root().dataset.turn === turn && tell(field, "draft", slot, field.value === standing(field) ? "" : field.value);
    clearTimeout(pauses[slot]);
    if (slot) pauses[slot] = setTimeout(kept, 350);
  };

  // Save what stands in a field; an emptied one changes nothing.
  const commit = (field, entered) => {
    close();
    const text = field.value.trim();
    if (field === inputs("add_slot")) {
      if (entered && text) inputs("add_value").focus();
    } else if (field === inputs("add_value")) {
      const slot = inputs("add_slot");
      if (!text) return;
      tell(field, "enter", slot.value.trim(), text);
      if (!/^[^-]+-./.test(slot.value.trim())) return; // no slot's name: refused, and both texts stay to be put right
      field.value = slot.value = "";
      if (entered) field.blur();
    } else {
      if (!text) field.value = standing(field);
      else if (field.value !== standing(field) || (entered && field.value !== field.defaultValue)) tell(field, "enter", field.name, text);
      else if (entered) tell(field, "confirm", field.name, field.defaultValue);
      field.dataset.sent = field.value; // leaving the field must not save it once more
      if (entered) field.blur();
    }
  };

  form.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-act]");
    if (event.target.matches("input")) return open(event.target, false);
    if (!button) return;
    const { act, slot, value } = button.dataset;
    if (act !== "type") return tell(button, act, slot, value);
    inputs(`slot.${CSS.escape(slot)}`).select();
  });
  form.addEventListener("mousedown", (event) => {
    const option = event.target.closest("[role=option]");
    if (!option) return;
    event.preventDefault(); // the field keeps the focus
    const field = option.closest(".dst-combo").querySelector("input");
    take(field, option);
    commit(field, true);
  });
  form.addEventListener("input", (event) => {
    open(event.target, true);
    keep(event.target);
  });
  form.addEventListener("focusout", (event) => {
    if (!drawing && event.target.matches("input")) commit(event.target, false);
  });
  form.addEventListener("keydown", (event) => {
    const field = event.target;
    if (!field.matches("input") || event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) move(field, step);
    else if (event.key === "Enter") {
      if (chosen()) take(field, chosen());
      commit(field, true);
    } else if (event.key === "Escape" && list) {
      close();
      event.stopPropagation(); // or the field would be left, and what was typed saved
    } else if (event.key === "Escape") {
      field.value = standing(field);
      keep(field);
    } else return;
    if (event.key !== "Escape") event.preventDefault();
  });
  watch("value", draw);
  draw();
};
