// Sorts the table, hides curves, and shows the answers of two runs side by side, and of all of them on demand.
(() => {
  "use strict";
  const LONGEST = 200; // so many questions are shown at once
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // the table
  const value = (row, column) => {
    const cell = row.cells[column];
    const number = Number.parseFloat(cell.dataset.value);
    return Number.isNaN(number) ? cell.textContent.trim() : number;
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return a.localeCompare(b, undefined, { numeric: true });
  };
  for (const header of document.querySelectorAll("#table thead th")) {
    const button = make("button", "", header.textContent);
    button.type = "button";
    header.replaceChildren(button);
    button.addEventListener("click", () => {
      const body = header.closest("table").tBodies[0];
      const up = header.ariaSort === "descending";
      for (const other of header.parentElement.cells) other.ariaSort = "none";
      header.ariaSort = up ? "ascending" : "descending";
      const rows = [...body.rows].sort((a, b) => {
        const [first, second] = [value(a, header.cellIndex), value(b, header.cellIndex)];
        if ((first === "") !== (second === "")) return first === "" ? 1 : -1; // what is not known stays last
        return up ? compare(first, second) : compare(second, first);
      });
      body.append(...rows);
    });
  }

  // the curves
  const main = document.querySelector("main");
  const shown = document.getElementById("shown");
  const draw = () => {
    for (const box of shown.elements.group.length ? shown.elements.group : [shown.elements.group]) {
      if (box.checked) main.style.removeProperty(`--g${box.value}-line`);
      else main.style.setProperty(`--g${box.value}-line`, "transparent");
    }
  };
  if (shown) {
    for (const box of shown.querySelectorAll("input")) box.disabled = false;
    shown.querySelector(".choose").hidden = false;
    shown.addEventListener("input", draw);
    shown.addEventListener("click", (event) => {
      if (event.target.type !== "button") return;
      for (const box of shown.querySelectorAll("input")) box.checked = event.target.value === "all";
      draw();
    });
  }

  // the answers
  const form = document.getElementById("filter");
  if (!form) return;
  const { runs, questions, pair } = JSON.parse(document.getElementById("data").textContent);
  const place = document.getElementById("answers");
  const plain = (text) => text.normalize("NFKC").toLowerCase().replace(/\s+/g, " ").trim();
  for (const question of questions) {
    question.search = [question.id, question.question, question.reference, ...question.texts].map(plain).join("\n");
  }
  const grade = (points) => (points === null ? "missing" : points >= 1 ? "right" : points <= 0 ? "wrong" : "partly");
  const ICONS = { right: "✓", partly: "◐", wrong: "✗", missing: "" };
  const label = (points) => {
    if (points === null) return "not answered";
    const told = grade(points) !== "partly" ? grade(points) : `${Number(points.toPrecision(2))} points`;
    return `${ICONS[grade(points)]} ${told}`;
  };
  const belongs = {
    all: () => true,
    a: (q, a, b) => q.points[a] !== null && q.points[b] !== null && q.points[a] > q.points[b],
    b: (q, a, b) => q.points[a] !== null && q.points[b] !== null && q.points[b] > q.points[a],
    differ: (q, a, b) => q.which[a] !== q.which[b],
    neither: (q, a, b) => grade(q.points[a]) === "wrong" && grade(q.points[b]) === "wrong",
    both: (q, a, b) => grade(q.points[a]) === "right" && grade(q.points[b]) === "right",
  };

  const text = (content) => {
    if (!content.trim()) return make("div", "none", "nothing");
    const element = make("div", "text", content);
    element.dir = "auto";
    return element;
  };
  const titled = (name, title, content) => {
    const element = make("div", name);
    element.append(make("h4", "", title), text(content));
    return element;
  };
  const given = (question, run, name) => {
    const points = question.points[run];
    const element = make("div", `given ${grade(points)}`);
    const heading = make("h4", "", `${name}: ${runs[run]} `);
    heading.append(make("span", "grade", label(points)));
    element.append(heading);
    if (points !== null) element.append(text(question.texts[question.which[run]]));
    return element;
  };
  const everyone = (question) => {
    const element = make("details", "everyone");
    const right = question.points.filter((points) => grade(points) === "right").length;
    element.append(make("summary", "", `All runs: ${right} of ${runs.length} right`));
    element.addEventListener("toggle", () => {
      if (element.querySelector("ul")) return;
      const list = make("ul");
      question.texts.forEach((content, i) => {
        const who = runs.map((_, run) => run).filter((run) => question.which[run] === i);
        const item = make("li");
        item.append(text(content), make("div", "who", `${label(question.points[who[0]])}: ${who.map((run) => runs[run]).join("; ")}`));
        list.append(item);
      });
      element.append(list);
    });
    return element;
  };
  const article = (question, a, b) => {
    const element = make("article", "question card");
    const header = make("header");
    header.append(make("h3", "id", question.id));
    element.append(header, titled("asked", "Question", question.question), titled("reference", "Reference", question.reference));
    element.append(given(question, a, "A"));
    if (a !== b) element.append(given(question, b, "B"));
    if (runs.length > 2) element.append(everyone(question));
    return element;
  };

  const show = () => {
    const [a, b] = [Number(form.elements.a.value), Number(form.elements.b.value)];
    const search = plain(form.elements.search.value);
    const found = questions.filter((question) => question.search.includes(search));
    for (const input of form.elements.group) {
      const number = found.filter((question) => belongs[input.value](question, a, b)).length;
      input.parentElement.querySelector(".count").textContent = number;
    }
    const chosen = found.filter((question) => belongs[form.elements.group.value](question, a, b));
    place.replaceChildren(...chosen.slice(0, LONGEST).map((question) => article(question, a, b)));
    const first = chosen.length > LONGEST ? `, the first ${LONGEST} are shown` : "";
    form.elements.number.value = `${chosen.length} of ${questions.length} questions${first}`;
  };

  ["a", "b"].forEach((name, which) => {
    runs.forEach((run, i) => form.elements[name].append(new Option(run, i)));
    form.elements[name].value = pair[which];
  });
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
})();
