// Tells what a token is while it is pointed at, and shows the examples that hold the searched text. Without it the
// page shows all of them, and a token's title tells the same.
(() => {
  "use strict";
  const told = document.getElementById("told");
  let pointed = null;

  const tell = (token) => {
    pointed?.classList.remove("pointed");
    pointed = token;
    told.hidden = !token;
    if (!token) return;
    token.classList.add("pointed");
    told.value = token.title;
  };
  document.addEventListener("pointerover", (event) => tell(event.target.closest(".tokens .token")));
  document.addEventListener("click", (event) => tell(event.target.closest(".tokens .token")));

  const form = document.getElementById("filter");
  const plain = (text) => text.normalize("NFKC").toLowerCase().replace(/[\s·↵⇥]+/g, " ").trim();
  const rows = [...document.querySelectorAll("article.row")].map((element) => ({
    element,
    text: plain(element.textContent),
  }));

  const show = () => {
    const search = plain(form.elements.search.value);
    let shown = 0;
    for (const { element, text } of rows) {
      element.hidden = !text.includes(search);
      if (!element.hidden) shown += 1;
    }
    form.elements.shown.value = `${shown} of ${rows.length} examples`;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
})();
