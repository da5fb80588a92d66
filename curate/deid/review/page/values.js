"use strict";
// The page's whole behaviour: filter, mark, save. Text of the archive is only ever set as text, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const MARKS = ["keep", "clean", "remove"];
  const PAGE = 200;
  const at = (id) => document.getElementById(id);
  const rows = data.rows.map((row, index) => {
    const [path, name, vr, value, kind, planned, count, patients, equipment, group, keepable, becomes] = row;
    const search = `${value}\n${path}\n${name}`.toLowerCase();
    return { index, path, name, vr, value, kind, planned, count, patients, equipment, group, keepable, becomes, search, mark: "" };
  });
  const byKey = new Map(rows.map((row) => [JSON.stringify([row.path, row.vr, row.value]), row]));
  let shown = [];
  let drawn = 0;
  let isSaved = true;

  const make = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const many = (count, one, more) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;

  const fits = (row) => {
    const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const marked = at("marked").value;
    return words.every((word) => row.search.includes(word))
      && (!at("group").value || row.group === at("group").value)
      && (!at("class").value || row.kind === at("class").value)
      && (!at("equipment").value || row.equipment.includes(Number(at("equipment").value)))
      && (!marked || (marked === "none" ? !row.mark : marked === "any" ? row.mark : row.mark === marked));
  };

  const describe = (row) => {
    const note = make("p", "note");
    const people = row.patients >= data.most_patients ? `${data.most_patients} or more patients` : many(row.patients, "patient", "patients");
    note.append(make("span", "kind", row.kind), ` · ${many(row.count, "file", "files")} · ${people} · `);
    const names = row.equipment.map((index) => data.equipment[index]);
    note.append(names.length > 2 ? `${names[0]} and ${names.length - 1} others` : names.join("; "));
    if (names.length > 2) note.title = names.join("\n");
    return note;
  };

  const draw = (row) => {
    const line = make("div", `row ${row.group} ${row.planned.startsWith("cleaned") ? "cleaned" : ""}`);
    line.tabIndex = 0;
    line.dataset.row = row.index;
    const said = make("div");
    said.append(make("p", "text", row.value));
    if (row.becomes !== null && row.becomes !== row.value) {
      const left = make("p", "becomes", row.becomes ? `becomes: ${row.becomes}` : "nothing is left of it");
      said.append(left);
    }
    said.append(describe(row));
    const marks = make("div", "marks");
    marks.setAttribute("role", "group");
    marks.setAttribute("aria-label", "Decision");
    for (const mark of MARKS) {
      const button = make("button", "", mark);
      button.type = "button";
      button.dataset.mark = mark;
      if (mark === "keep" && !row.keepable) {
        button.disabled = true;
        button.title = "Never kept: it names a person of its own file, or is a private attribute that no dictionary knows";
      }
      marks.append(button);
    }
    line.append(said, make("span", "plan", row.planned), marks);
    press(line, row);
    return line;
  };

  const press = (line, row) => {
    for (const button of line.querySelectorAll("[data-mark]")) {
      button.setAttribute("aria-pressed", String(button.dataset.mark === row.mark));
    }
  };

  const drawMore = () => {
    const list = at("list");
    let box = list.lastElementChild;
    for (const row of shown.slice(drawn, drawn + PAGE)) {
      const place = `${row.path} ${row.vr}`;
      if (!box || box.dataset.place !== place) {
        box = make("section", "attribute");
        box.dataset.place = place;
        const title = make("h2", "", row.name);
        title.append(make("small", "", place));
        box.append(title);
        list.append(box);
      }
      box.append(draw(row));
    }
    drawn = Math.min(drawn + PAGE, shown.length);
    at("more").hidden = drawn >= shown.length;
  };

  const refresh = () => {
    shown = rows.filter(fits);
    drawn = 0;
    at("list").replaceChildren();
    if (!shown.length) at("list").append(make("p", "empty", rows.length ? "No text fits this filter." : "There is no text to review."));
    else drawMore();
    if (!shown.length) at("more").hidden = true;
    count();
  };

  const count = () => {
    for (const group of ["first", "stay", "go"]) at(`n-${group}`).textContent = rows.filter((row) => row.group === group).length.toLocaleString("en");
    at("n-marked").textContent = rows.filter((row) => row.mark).length.toLocaleString("en");
    at("shown").textContent = `${shown.length.toLocaleString("en")} of ${many(rows.length, "text", "texts")}`;
  };

  const setMark = (row, mark) => {
    if (mark === "keep" && !row.keepable) return;
    row.mark = mark;
    isSaved = false;
  };

  const toggle = (line, mark) => {
    const row = rows[Number(line.dataset.row)];
    setMark(row, row.mark === mark ? "" : mark);
    press(line, row);
    count();
  };

  const tell = (text) => {
    at("message").textContent = text;
    at("message").hidden = false;
    setTimeout(() => { at("message").hidden = true; }, 6000);
  };

  const decisions = () => rows.filter((row) => row.mark).map((row) => ({ tag_path: row.path, vr: row.vr, value: row.value, decision: row.mark }));

  const download = (name, type, content) => {
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    isSaved = true;
    tell(`${many(decisions().length, "decision", "decisions")} saved as ${name} in your downloads. The file quotes records: keep it inside.`);
  };

  const asJson = () => `${JSON.stringify({ format: data.format, decisions: decisions() }, null, 1)}\n`;
  const cell = (text) => `"${text.replaceAll('"', '""')}"`;
  const asCsv = () => [data.columns, ...decisions().map((one) => data.columns.map((name) => one[name]))]
    .map((line) => `${line.map(cell).join(",")}\r\n`).join("");

  const load = async (file) => {
    let found;
    try {
      found = JSON.parse(await file.text());
      if (found.format !== data.format) throw new Error();
    } catch {
      tell("This is not a decisions file of this page.");
      return;
    }
    let fitting = 0;
    for (const one of found.decisions) {
      const row = byKey.get(JSON.stringify([one.tag_path, one.vr, one.value]));
      if (row && MARKS.includes(one.decision)) {
        setMark(row, one.decision);
        fitting += 1;
      }
    }
    tell(`${fitting} of ${many(found.decisions.length, "decision", "decisions")} belong to texts of this page.`);
    refresh();
  };

  const markAll = (mark) => {
    if (shown.length > PAGE && !confirm(`Mark ${many(shown.length, "text", "texts")}?`)) return;
    for (const row of shown) setMark(row, mark);
    refresh();
  };

  for (const kind of data.classes) if (rows.some((row) => row.kind === kind)) at("class").append(make("option", "", kind));
  data.equipment.forEach((name, index) => {
    const option = make("option", "", name);
    option.value = index;
    at("equipment").append(option);
  });
  for (const id of ["search", "group", "class", "equipment", "marked"]) {
    at(id).addEventListener("input", refresh);
    // not for the search: its change comes with the click on a mark, and would redraw the row under it
    if (id !== "search") at(id).addEventListener("change", refresh);
  }
  for (const mark of MARKS) at(`all-${mark}`).addEventListener("click", () => markAll(mark));
  at("all-none").addEventListener("click", () => markAll(""));
  at("more").addEventListener("click", drawMore);
  at("save").addEventListener("click", () => download("decisions.json", "application/json", asJson()));
  at("save-csv").addEventListener("click", () => download("decisions.csv", "text/csv", asCsv()));
  at("load").addEventListener("change", (event) => { if (event.target.files[0]) load(event.target.files[0]); event.target.value = ""; });
  at("list").addEventListener("click", (event) => {
    const button = event.target.closest("[data-mark]");
    if (button) toggle(button.closest(".row"), button.dataset.mark);
  });
  document.addEventListener("keydown", (event) => {
    const line = document.activeElement?.closest?.(".row");
    if (!line || event.ctrlKey || event.metaKey || event.altKey) return;
    const mark = { k: "keep", c: "clean", r: "remove" }[event.key];
    if (mark) toggle(line, mark);
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const lines = [...document.querySelectorAll(".row")];
    const next = lines[lines.indexOf(line) + (event.key === "ArrowDown" ? 1 : -1)];
    if (next) next.focus();
    event.preventDefault();
  });
  window.addEventListener("beforeunload", (event) => { if (!isSaved) event.preventDefault(); });
  refresh();
})();
