// Copies settings, and shows the questions of the chosen group that hold the searched text. Without it the page shows
// all of them.
(() => {
  "use strict";
  for (const button of document.querySelectorAll("[data-copy]")) {
    const source = document.getElementById(button.dataset.copy);
    button.addEventListener("click", async () => {
      getSelection().selectAllChildren(source); // where the browser lets no page copy, the reader can
      try {
        await navigator.clipboard.writeText(source.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Selected";
      }
    });
    button.hidden = false;
  }

  const form = document.getElementById("filter");
  if (!form) return;

  const plain = (text) => text.normalize("NFKC").toLowerCase().replace(/\s+/g, " ").trim();
  const questions = [...document.querySelectorAll("article.question")].map((element) => ({
    element,
    groups: element.dataset.groups.split(" "),
    text: [...element.querySelectorAll(".id, .text")].map((part) => plain(part.textContent)).join("\n"),
  }));

  const show = () => {
    const group = form.elements.group.value;
    const search = plain(form.elements.search.value);
    let shown = 0;
    for (const { element, groups, text } of questions) {
      element.hidden = !(groups.includes(group) && text.includes(search));
      if (!element.hidden) shown += 1;
    }
    form.elements.shown.value = `${shown} of ${questions.length} questions`;
  };

  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
})();
