// Keeps the page true: takes the pieces that have changed, says when there are none to be had, sends what is asked for.
"use strict";

const OLD_MS = 3000;
const LOOK_MS = 500;
const body = document.body;
const places = new Map([...document.querySelectorAll("[data-f]")].map((place) => [place.dataset.f, place]));
const freshness = document.getElementById("freshness");
const lost = document.getElementById("lost");
let heardMs = performance.now();
let old = false;

// Whatever had the focus inside a piece has it again, if it is still there. The server has escaped every text.
function put(place, html) {
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const scrolled = place.querySelector(".scroll")?.scrollLeft;
  place.innerHTML = html;
  if (focused !== undefined) place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  if (scrolled) place.querySelector(".scroll")?.scrollTo(scrolled, 0);
}

function heard() {
  heardMs = performance.now();
  freshness.textContent = "live ·";
  freshness.className = "live";
  if (old) {
    old = false;
    lost.hidden = true;
    body.classList.remove("old");
  }
}

const stream = new EventSource(body.dataset.stream);
stream.addEventListener("message", (message) => {
  for (const [name, html] of Object.entries(JSON.parse(message.data))) {
    const place = places.get(name);
    if (place) put(place, html);
  }
  heard();
});
stream.addEventListener("restarted", () => location.reload());
// The browser connects again by itself after a lost connection, and not after a refusal.
stream.addEventListener("error", () => {
  if (stream.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 10000);
});
addEventListener("pagehide", () => stream.close());
addEventListener("pageshow", (event) => event.persisted && location.reload());

setInterval(() => {
  const ageMs = performance.now() - heardMs;
  if (ageMs < OLD_MS) return;
  const seconds = Math.round(ageMs / 1000);
  const text = `No news from the daemon: these figures are old. It may have stopped; look at its log.`;
  if (!old) {
    old = true;
    body.classList.add("old");
    lost.textContent = text;
    lost.hidden = false;
  }
  freshness.className = "";
  freshness.textContent = `${seconds} s old ·`;
}, LOOK_MS);

document.addEventListener("click", (event) => {
  const mark = event.target.closest("a.rec");
  if (!mark) return;
  event.preventDefault();
  document.getElementById("command").textContent = mark.title;
  document.getElementById("record").focus({ preventScroll: true });
  document.getElementById("record").scrollIntoView({ block: "nearest" });
  navigator.clipboard?.writeText(mark.title).catch(() => {});
});

const form = document.getElementById("act");
if (form) {
  const answer = document.getElementById("answer");
  const dialog = document.getElementById("confirm");
  const buttons = form.querySelectorAll("button");
  const market = body.dataset.market || null;
  let verb = "";

  async function ask(confirmed) {
    buttons.forEach((button) => { button.disabled = true; });
    try {
      const reply = await fetch("/control", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-MM-Token": document.getElementById("token").value },
        body: JSON.stringify({ verb, market, confirmed }),
      });
      const { text } = await reply.json();
      if (reply.status === 409) {
        document.getElementById("question").textContent = text;
        document.getElementById("yes").textContent = verb[0].toUpperCase() + verb.slice(1);
        dialog.showModal();
        document.getElementById("no").focus();
      } else {
        answer.textContent = text;
        answer.className = reply.ok ? "" : "loss";
      }
    } catch {
      answer.textContent = "The daemon did not answer.";
      answer.className = "loss";
    } finally {
      buttons.forEach((button) => { button.disabled = false; });
    }
  }

  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    verb = event.submitter.value;
    answer.textContent = "";
    ask(false);
  });
  document.getElementById("yes").addEventListener("click", () => { dialog.close(); ask(true); });
  document.getElementById("no").addEventListener("click", () => dialog.close());
}
