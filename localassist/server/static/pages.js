"use strict";
// Searching the pages: the index is loaded when somebody first looks for something.
const box = document.getElementById("site-search");
const found = document.getElementById("site-found");
const article = document.querySelector("article");
const suffix = document.documentElement.dataset.suffix;
let loading;

function load() {
  loading ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = "search.js";
    script.onload = done;
    script.onerror = failed;
    document.head.append(script);
  });
  return loading;
}

function rank([page, , , heading, text], words) {
  const head = `${page} ${heading}`.toLowerCase();
  const body = text.toLowerCase();
  if (!words.every((word) => head.includes(word) || body.includes(word))) return 0;
  return 1 + words.filter((word) => head.includes(word)).length;
}

function excerpt(text, words) {
  const at = Math.max(0, text.toLowerCase().indexOf(words[0]) - 60);
  return (at ? "… " : "") + text.slice(at, at + 180) + (at + 180 < text.length ? " …" : "");
}

function entry([page, title, anchor, heading, text], words) {
  const link = document.createElement("a");
  link.href = `${page}${suffix}#${anchor}`;
  const head = document.createElement("b");
  head.textContent = heading === title ? title : `${title} › ${heading}`;
  const said = document.createElement("span");
  said.textContent = excerpt(text, words);
  link.append(head, said);
  link.addEventListener("click", () => { box.value = ""; show(); });
  return link;
}

async function show() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  article.hidden = words.length > 0;
  found.hidden = words.length === 0;
  if (!words.length) return;
  try {
    await load();
  } catch {
    found.textContent = "The index cannot be loaded.";
    return;
  }
  const hits = SECTIONS.map((section) => [rank(section, words), section])
    .filter(([points]) => points > 0)
    .sort(([a], [b]) => b - a);
  found.replaceChildren(...hits.slice(0, 40).map(([, section]) => entry(section, words)));
  if (!hits.length) found.textContent = "No section holds all of these words.";
}

box.hidden = false;
box.addEventListener("focus", () => load().catch(() => {}));
box.addEventListener("input", show);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== box) {
    event.preventDefault();
    box.focus();
  } else if (event.key === "Escape") {
    box.value = "";
    show();
  }
});
