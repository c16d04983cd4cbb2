// Live updates. Every page works without this file: it only saves the reader from pressing "reload".
// The server says that something changed, never what; the page then fetches itself and swaps its <main>.
"use strict";

const script = document.currentScript;
const changes = script.dataset.changes;
let source = null;
let retry = 1000;
let due = 0;
let busy = false;

function main() {
  return document.getElementById("main");
}

// Somebody who is typing, or has typed and not yet sent it, must not lose a letter; nor may what was refused be taken
// away before it is read: its page is the answer to a POST, and its address, fetched, says something else.
function edited() {
  if (document.getElementById("problem")) return true;
  const inside = document.activeElement && main().contains(document.activeElement) ? document.activeElement : null;
  if (inside && inside.matches("input:not([type=checkbox]), textarea, select")) return true;
  return [...main().querySelectorAll("input:not([type=hidden]), textarea, select")].some((field) => {
    if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
    if (field.tagName === "SELECT") {
      const first = Math.max([...field.options].findIndex((option) => option.defaultSelected), 0);
      return field.selectedIndex !== first;
    }
    return field.value !== field.defaultValue;
  });
}

// What differs in every answer without meaning anything: forms' one-time ids.
function meaning(element) {
  const copy = element.cloneNode(true);
  copy.querySelectorAll("[name=command_id]").forEach((field) => field.remove());
  copy.querySelectorAll("details").forEach((details) => details.removeAttribute("open"));
  copy.querySelectorAll("[data-copy]").forEach((button) => button.removeAttribute("hidden"));
  return copy.innerHTML;
}

function swap(fresh) {
  const old = main();
  if (meaning(old) === meaning(fresh)) return;
  const focusable = "a[href], button, summary, input:not([type=hidden])";
  const place = [...old.querySelectorAll(focusable)].indexOf(document.activeElement);
  const open = [...old.querySelectorAll("details")].map((details) => details.open);
  const said = old.querySelector("[role=status]")?.textContent.trim();
  old.replaceWith(fresh);
  fresh.querySelectorAll("details").forEach((details, index) => { details.open = details.open || Boolean(open[index]); });
  if (place >= 0) [...fresh.querySelectorAll(focusable)][place]?.focus({ preventScroll: true });
  const says = fresh.querySelector("[role=status]")?.textContent.trim();
  // A region that was there before the words is what screen readers announce.
  if (says && says !== said) document.getElementById("announce").textContent = says;
  copying();
}

async function refresh() {
  due = 0;
  if (busy || edited()) {
    soon(1500);
    return;
  }
  busy = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
    if (answer.redirected && new URL(answer.url).pathname !== location.pathname) {
      location.assign(answer.url);
      return;
    }
    if (answer.status >= 500) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("main");
    if (fresh && !edited()) {
      swap(document.adoptNode(fresh));
      document.title = page.title;
    } else if (fresh) {
      soon(1500);
    }
  } catch {
    soon(5000);
  } finally {
    busy = false;
  }
}

function soon(delay) {
  if (!due) due = setTimeout(refresh, delay);
}

function listen() {
  if (source || !changes) return;
  source = new EventSource(changes);
  source.addEventListener("open", () => { retry = 1000; });
  source.addEventListener("change", () => soon(60));
  source.addEventListener("resync", () => soon(60));
  source.addEventListener("end", () => { hush(); refresh(); setTimeout(listen, retry); });
  source.addEventListener("error", () => {
    if (source && source.readyState === EventSource.CLOSED) {
      hush();
      setTimeout(listen, retry);
      retry = Math.min(retry * 2, 30000);
    }
  });
}

function hush() {
  if (source) source.close();
  source = null;
}

function copying() {
  main().querySelectorAll("[data-copy]").forEach((button) => {
    if (!navigator.clipboard) return;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).value);
      button.textContent = script.dataset.copied;
      document.getElementById("announce").textContent = script.dataset.copied;
    });
  });
}

// A hidden tab gives its connection back: browsers allow few to one host. When it shows again it fetches itself.
document.addEventListener("visibilitychange", () => (document.hidden ? hush() : listen()));
window.addEventListener("pagehide", hush);
window.addEventListener("pageshow", () => { if (!document.hidden) listen(); });
copying();
