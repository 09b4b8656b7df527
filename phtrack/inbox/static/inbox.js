// Optional comfort: everything on the pages works without this file.
"use strict";

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
    }
  });
}

// A summary toggles at every click, also at the one that ends a selection of its text.
document.addEventListener("click", (event) => {
  if (event.target.closest("summary") && getSelection().type === "Range") event.preventDefault();
});

// Live: ask for a number; when it grew, take the list anew, but never under the pointer or a selection.
const { live, twin } = document.body.dataset;
let { revision, count } = document.body.dataset;
const news = document.getElementById("news");
const main = document.getElementById("main");

function say(text) {
  const link = document.createElement("a");
  link.href = live === "issue" ? twin.replace(".json", "") : location.href;
  link.textContent = text;
  news.replaceChildren(link);
  news.hidden = false;
}

async function refreshList(latest) {
  const busy = main.matches(":hover") || main.contains(document.activeElement) || getSelection().type === "Range";
  if (busy && main.querySelector("ol")) return say("New events. Show them");
  const page = new DOMParser().parseFromString(await (await fetch(location.href)).text(), "text/html");
  main.replaceChildren(...page.getElementById("main").childNodes);
  document.title = page.title;
  news.hidden = true;
  revision = latest;
}

async function refreshIssue(latest) {
  const issue = await (await fetch(twin)).json();
  const more = issue.count - Number(count);
  if (more > 0) say(`${more} new ${more === 1 ? "event" : "events"}. Show the newest`);
  revision = latest;
}

async function look() {
  if (document.hidden) return;
  try {
    const latest = String((await (await fetch("/revision.json")).json()).revision);
    if (latest !== revision) await (live === "list" ? refreshList(latest) : refreshIssue(latest));
  } catch {
    // The inbox was stopped; the page stays as it is.
  }
}

if (live) {
  setInterval(look, 2000);
  document.addEventListener("visibilitychange", look);
}
